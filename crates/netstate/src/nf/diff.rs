//! What a table lacks or has too much.

use std::collections::{BTreeMap, BTreeSet};

use super::read::Seen;
use crate::Row;
use crate::desired::{Change, Desired};
use crate::key::{Item, Key, NftItem};
use crate::nft::Table;

#[derive(Clone, Debug, PartialEq)]
pub enum Fix {
    Row(Box<Change>),
    /// Fill the chain anew: rules are missing, foreign or out of order.
    Reflow(Table, String),
    Rebuild(Table),
}

/// Differences in words, each with what puts it right. `sweep`: what nobody wants must go too.
pub fn diff(
    table: &Table,
    desired: &Desired,
    seen: Option<&Seen>,
    sweep: bool,
) -> Vec<(String, Fix)> {
    let mut found = Vec::new();
    let table_key = Key::nft(table, NftItem::Table);
    let Some(seen) = seen else {
        if let Some(row) = desired.get(&table_key) {
            found.push((format!("{row} was missing"), Fix::Rebuild(table.clone())));
        }
        return found;
    };
    let mut wanted = BTreeSet::new();
    let mut rules: BTreeMap<&str, Vec<(u32, u64)>> = BTreeMap::new();
    for (key, row) in desired
        .from(&table_key)
        .take_while(|(key, _)| key.table().as_ref() == Some(table))
    {
        if let Item::Nft(_, _, NftItem::Rule(chain, order, hash)) = &key.item {
            rules.entry(chain).or_default().push((*order, *hash));
            continue;
        }
        wanted.insert(key);
        let there = seen.rows.get(key);
        if there.is_some_and(|there| normal(there) == normal(row)) {
            continue;
        }
        let words = match there {
            None => format!("{row} was missing"),
            Some(there) => format!("{row} was {there} instead"),
        };
        let change = Change {
            key: key.clone(),
            old: there.cloned(),
            new: Some(row.clone()),
        };
        found.push((words, Fix::Row(Box::new(change))));
    }
    if sweep {
        for (key, row) in seen.rows.iter().filter(|(key, _)| !wanted.contains(key)) {
            let change = Change {
                key: key.clone(),
                old: Some(row.clone()),
                new: None,
            };
            found.push((format!("{row} was not wanted"), Fix::Row(Box::new(change))));
        }
    }
    let chains: BTreeSet<&str> = seen
        .rules
        .keys()
        .map(String::as_str)
        .chain(rules.keys().copied())
        .filter(|chain| wanted.contains(&Key::nft(table, NftItem::Chain(chain.to_string()))))
        .collect();
    for chain in chains {
        let want = rules.remove(chain).unwrap_or_default();
        let have: Vec<Option<(u32, u64)>> = seen
            .rules
            .get(chain)
            .into_iter()
            .flatten()
            .map(|p| p.id)
            .filter(|id| sweep || id.is_some_and(|id| want.contains(&id)))
            .collect();
        if !have.iter().copied().eq(want.iter().copied().map(Some)) {
            let words = format!(
                "chain {} {} {chain} had {} of {} rules in place",
                table.family,
                table.name,
                want.iter().filter(|id| have.contains(&Some(**id))).count(),
                want.len()
            );
            found.push((words, Fix::Reflow(table.clone(), chain.to_owned())));
        }
    }
    found
}

/// An interval of one key is that key.
fn normal(row: &Row) -> Row {
    let mut row = row.clone();
    if let Row::NftElement(element) = &mut row
        && element.key_end.as_ref() == Some(&element.key)
    {
        element.key_end = None;
    }
    row
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Ns;
    use crate::nf::read::Placed;
    use crate::nft::{Chain, Element, Family, Rule, Set, Statement, Type, Value, Verdict};

    fn table() -> Table {
        Table {
            ns: Ns::Host,
            family: Family::Ip,
            name: "pontoon".into(),
        }
    }

    fn frame() -> Vec<Row> {
        vec![
            Row::NftTable(table()),
            Row::NftChain(Chain {
                table: table(),
                name: "c".into(),
                base: None,
            }),
            Row::NftSet(Set {
                table: table(),
                name: "s".into(),
                key: vec![Type::Port],
                data: Some(vec![Type::Port]),
                interval: false,
            }),
        ]
    }

    fn element(key: u16, data: u16) -> Row {
        Row::NftElement(Element {
            table: table(),
            set: "s".into(),
            key: vec![Value::Port(key)],
            key_end: None,
            data: Some(vec![Value::Port(data)]),
        })
    }

    fn rule(order: u32) -> Row {
        Row::NftRule(Rule {
            table: table(),
            chain: "c".into(),
            order,
            body: vec![Statement::Verdict(Verdict::Drop)],
        })
    }

    fn id(row: &Row) -> Option<(u32, u64)> {
        match row.key().item {
            Item::Nft(_, _, NftItem::Rule(_, order, hash)) => Some((order, hash)),
            _ => None,
        }
    }

    fn seen(elements: &[(u16, u16)], rules: &[Option<u32>]) -> Seen {
        let rows = frame()
            .into_iter()
            .chain(elements.iter().map(|(k, d)| element(*k, *d)));
        let placed = rules.iter().zip(1..).map(|(order, handle)| Placed {
            id: order.and_then(|order| id(&rule(order))),
            handle,
        });
        Seen {
            rows: rows.map(|row| (row.key(), row)).collect(),
            rules: [("c".to_owned(), placed.collect())].into(),
        }
    }

    fn apply(seen: &mut Seen, desired: &Desired, fixes: Vec<(String, Fix)>) {
        for (_, fix) in fixes {
            match fix {
                Fix::Row(change) => match change.new {
                    Some(row) => drop(seen.rows.insert(change.key, row)),
                    None => drop(seen.rows.remove(&change.key)),
                },
                Fix::Reflow(_, chain) => {
                    let wanted = desired.in_ns(&Ns::Host).filter_map(|(_, row)| id(row));
                    let placed = wanted.map(|id| Placed {
                        id: Some(id),
                        handle: 0,
                    });
                    seen.rules.insert(chain, placed.collect());
                }
                Fix::Rebuild(_) => unreachable!("the table is there"),
            }
        }
    }

    proptest! {
        #[test]
        fn fixes_lead_to_what_is_wanted(
            wanted in proptest::collection::vec((0..4u16, 0..2u16), 0..6),
            rules in proptest::collection::btree_set(0..4u32, 0..4),
            elements in proptest::collection::vec((0..4u16, 0..2u16), 0..6),
            placed in proptest::collection::vec(proptest::option::of(0..4u32), 0..6),
            sweep in any::<bool>(),
        ) {
            let mut rows = frame();
            rows.extend(wanted.iter().map(|(k, d)| element(*k, *d)));
            rows.extend(rules.iter().map(|order| rule(*order)));
            let mut desired = Desired::default();
            desired.set(vec![("all".into(), rows)]);
            let mut seen = seen(&elements, &placed);
            let fixes = diff(&table(), &desired, Some(&seen), sweep);
            apply(&mut seen, &desired, fixes);
            prop_assert_eq!(diff(&table(), &desired, Some(&seen), sweep), vec![]);
            if sweep {
                prop_assert_eq!(seen.rows.len() + seen.rules["c"].len(), desired.len());
            }
        }
    }

    #[test]
    fn a_missing_table_is_made_anew() {
        let mut desired = Desired::default();
        assert_eq!(diff(&table(), &desired, None, true), vec![]);
        desired.set(vec![("all".into(), frame())]);
        assert_eq!(
            diff(&table(), &desired, None, true),
            [("table ip pontoon was missing".into(), Fix::Rebuild(table()))]
        );
    }
}

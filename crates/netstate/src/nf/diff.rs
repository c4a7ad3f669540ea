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

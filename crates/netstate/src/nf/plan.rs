//! From changed rows to the messages of one transaction.

use std::collections::BTreeSet;

use super::object as o;
use super::view::{Effect, View};
use crate::desired::{Change, Desired};
use crate::key::{Item, Key, NftItem, rule_hash};
use crate::netlink::wire::Msg;
use crate::nft::{Chain, Element, Family, Set, Table};
use crate::{Error, Row};

/// What is to be done in one namespace.
#[derive(Debug, Default)]
pub struct Work {
    pub changes: Vec<Change>,
    /// Tables to make anew with all that is wanted in them.
    pub rebuild: BTreeSet<Table>,
    /// Chains to empty and fill again.
    pub reflow: BTreeSet<(Table, String)>,
}

impl Work {
    pub fn tables(&self) -> BTreeSet<Table> {
        let changed = self.changes.iter().filter_map(|c| c.key.table());
        let reflow = self.reflow.iter().map(|(table, _)| table.clone());
        changed
            .chain(self.rebuild.iter().cloned())
            .chain(reflow)
            .collect()
    }

    /// Takes out what is about chains on links, which come after their links.
    pub fn split_of_links(&mut self) -> Work {
        let of_links = |table: &Table| table.family == Family::Netdev;
        let changes = self
            .changes
            .extract_if(.., |c| c.key.table().as_ref().is_some_and(of_links));
        Work {
            changes: changes.collect(),
            rebuild: self.rebuild.extract_if(.., of_links).collect(),
            reflow: self.reflow.extract_if(.., |(t, _)| of_links(t)).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.rebuild.is_empty() && self.reflow.is_empty()
    }
}

/// A message, the row that it is for, and what it does to the view.
pub struct Step {
    pub msg: Msg,
    pub row: Option<Row>,
    pub effect: Effect,
}

pub struct Plan {
    pub steps: Vec<Step>,
    /// Rows that are there already: nothing to do for them.
    pub adopted: BTreeSet<Key>,
    /// Rules whose handles will be echoed.
    pub rules: usize,
}

/// Deletions first, from rules to tables, then additions from tables to rules: each message finds what it refers to, and
/// nothing that it deletes is in use.
pub fn plan(work: &Work, desired: &Desired, view: &View, mark: &str) -> Result<Plan, Error> {
    let mut rebuild = work.rebuild.clone();
    let mut adopted = BTreeSet::new();
    let (mut gone, mut fresh) = (Vec::new(), Vec::new());
    for Change { key, old, new } in &work.changes {
        let there = old.as_ref().or_else(|| view.spare(key));
        match (there, new) {
            (Some(there), Some(new)) if there == new && old.is_none() => {
                adopted.insert(key.clone());
            }
            (None, Some(Row::NftRule(_))) if handle(view, key).is_some() => {
                adopted.insert(key.clone());
            }
            (Some(Row::NftChain(a)), Some(Row::NftChain(b))) if same_place(a, b) => {
                fresh.push(new.clone());
            }
            // What cannot be changed in place, and what may be in use.
            (Some(Row::NftChain(_) | Row::NftSet(_)), Some(_)) => rebuild.extend(key.table()),
            (there, new) => {
                gone.extend(there.cloned());
                fresh.push(new.clone());
            }
        }
    }
    let dropped: BTreeSet<Table> = gone.iter().filter_map(dropped_table).collect();
    gone.retain(|row| {
        let table = row.key().table();
        table.is_some_and(|t| !rebuild.contains(&t) && !dropped.contains(&t))
            || matches!(row, Row::NftTable(t) if !rebuild.contains(t))
    });
    let mut fresh: Vec<Row> = fresh.into_iter().flatten().collect();
    fresh.retain(|row| row.key().table().is_some_and(|t| !rebuild.contains(&t)));
    let mut plan = Planner {
        plan: Plan {
            steps: Vec::new(),
            adopted,
            rules: 0,
        },
        desired,
        view,
        mark,
        leaving: BTreeSet::new(),
        flushed: BTreeSet::new(),
        emptied: BTreeSet::new(),
    };
    for table in &rebuild {
        plan.empty(table);
        fresh.extend(rows_of(desired, table));
    }
    for (table, chain) in &work.reflow {
        if rebuild.contains(table) || dropped.contains(table) {
            continue;
        }
        plan.flush(table, chain);
        let rules = rows_of(desired, table).filter(|row| match row {
            Row::NftRule(rule) => rule.chain == *chain,
            _ => false,
        });
        fresh.retain(
            |row| !matches!(row, Row::NftRule(r) if r.table == *table && r.chain == *chain),
        );
        fresh.extend(rules);
    }
    gone.sort_by_key(|row| row.key());
    fresh.sort_by_key(|row| row.key());
    plan.delete(&gone)?;
    plan.add(fresh)?;
    Ok(plan.plan)
}

fn handle(view: &View, key: &Key) -> Option<u64> {
    match (&key.item, key.table()) {
        (Item::Nft(_, _, item), Some(table)) => view.handle(&table, item),
        _ => None,
    }
}

/// Whether two chains differ in their policy at most.
fn same_place(a: &Chain, b: &Chain) -> bool {
    match (&a.base, &b.base) {
        (Some(a), Some(b)) => {
            (a.kind, a.hook, a.priority, &a.device) == (b.kind, b.hook, b.priority, &b.device)
        }
        (a, b) => a == b,
    }
}

fn dropped_table(row: &Row) -> Option<Table> {
    match row {
        Row::NftTable(table) => Some(table.clone()),
        _ => None,
    }
}

/// Everything that is wanted in a table.
fn rows_of<'a>(desired: &'a Desired, table: &'a Table) -> impl Iterator<Item = Row> + use<'a> {
    desired
        .from(&Key::nft(table, NftItem::Table))
        .take_while(|(key, _)| key.table().as_ref() == Some(table))
        .map(|(_, row)| row.clone())
}

struct Planner<'a> {
    plan: Plan,
    desired: &'a Desired,
    view: &'a View,
    mark: &'a str,
    /// Handles of rules that this transaction deletes.
    leaving: BTreeSet<u64>,
    flushed: BTreeSet<(Table, String)>,
    emptied: BTreeSet<Table>,
}

impl<'a> Planner<'a> {
    fn step(&mut self, msg: Msg, row: Option<Row>, effect: Effect) {
        self.plan.steps.push(Step { msg, row, effect });
    }

    /// Deletes the table with its contents, whether it is there or not.
    fn empty(&mut self, table: &Table) {
        self.emptied.insert(table.clone());
        let row = Some(Row::NftTable(table.clone()));
        self.step(o::add_table(table), row.clone(), Effect::None);
        self.step(o::delete_table(table), row, Effect::Emptied(table.clone()));
    }

    fn flush(&mut self, table: &Table, chain: &str) {
        if self.flushed.insert((table.clone(), chain.to_owned())) {
            let effect = Effect::Flushed(table.clone(), chain.to_owned());
            self.step(o::flush_chain(table, chain), None, effect);
        }
    }

    fn set(&self, table: &Table, name: &str) -> Option<&'a Set> {
        match self
            .desired
            .get(&Key::nft(table, NftItem::Set(name.to_owned())))
        {
            Some(Row::NftSet(set)) => Some(set),
            _ => None,
        }
    }

    /// `gone` in key order.
    fn delete(&mut self, gone: &[Row]) -> Result<(), Error> {
        let going = |key: Key| gone.binary_search_by_key(&key, |row| row.key()).is_ok();
        for row in gone {
            if let Row::NftChain(chain) = row {
                self.flush(&chain.table, &chain.name);
            }
        }
        for row in gone {
            let Row::NftRule(rule) = row else { continue };
            if self
                .flushed
                .contains(&(rule.table.clone(), rule.chain.clone()))
            {
                continue;
            }
            let (key, id) = (row.key(), (rule.order, rule_hash(rule)));
            let Some(handle) = handle(self.view, &key) else {
                continue;
            };
            self.leaving.insert(handle);
            let effect = Effect::Removed(rule.table.clone(), rule.chain.clone(), id);
            let msg = o::delete_rule(&rule.table, &rule.chain, handle);
            self.step(msg, Some(row.clone()), effect);
        }
        let elements: Vec<&Element> = gone
            .iter()
            .filter_map(|row| match row {
                Row::NftElement(e) => Some(e),
                _ => None,
            })
            .filter(|e| !going(Key::nft(&e.table, NftItem::Set(e.set.clone()))))
            .collect();
        self.elements(&elements, false)?;
        for row in gone {
            if let Row::NftSet(set) = row {
                self.step(o::delete_set(set), Some(row.clone()), Effect::None);
            }
        }
        for row in gone {
            if let Row::NftChain(chain) = row {
                self.step(o::delete_chain(chain), Some(row.clone()), Effect::None);
            }
        }
        for row in gone {
            if let Row::NftTable(table) = row {
                let effect = Effect::Gone(table.clone());
                self.step(o::delete_table(table), Some(row.clone()), effect);
            }
        }
        Ok(())
    }

    /// `fresh` in key order, which is the order of making within a table.
    fn add(&mut self, fresh: Vec<Row>) -> Result<(), Error> {
        let mut elements = Vec::new();
        let mut rules = Vec::new();
        for (id, row) in fresh.iter().enumerate() {
            let msg = match row {
                Row::NftTable(table) => o::add_table(table),
                Row::NftChain(chain) => o::add_chain(chain),
                Row::NftSet(set) => o::add_set(set, id as u32 + 1).map_err(|e| cannot(row, e))?,
                Row::NftElement(element) => {
                    elements.push(element);
                    continue;
                }
                Row::NftRule(rule) => {
                    rules.push((rule, row));
                    continue;
                }
                _ => continue,
            };
            self.step(msg, Some(row.clone()), Effect::None);
        }
        self.elements(&elements, true)?;
        for (rule, row) in rules {
            let place = (rule.table.clone(), rule.chain.clone());
            let empty = self.emptied.contains(&rule.table) || self.flushed.contains(&place);
            let id = (rule.order, rule_hash(rule));
            let before = match empty {
                true => None,
                false => self
                    .view
                    .before(&rule.table, &rule.chain, id, &self.leaving),
            };
            let msg = o::add_rule(rule, before, self.mark, |name| self.set(&rule.table, name))
                .map_err(|e| cannot(row, e))?;
            self.step(msg, Some(row.clone()), Effect::None);
            self.plan.rules += 1;
        }
        Ok(())
    }

    /// Elements in key order, so that those of one set stand together.
    fn elements(&mut self, all: &[&Element], add: bool) -> Result<(), Error> {
        for some in all.chunk_by(|a, b| (&a.table, &a.set) == (&b.table, &b.set)) {
            let Some(first) = some.first() else { continue };
            let row = |e: &Element| Row::NftElement(e.clone());
            let set = self
                .set(&first.table, &first.set)
                .ok_or_else(|| cannot(&row(first), "its set is not declared"))?;
            let messages = o::elements(set, some, add).map_err(|e| cannot(&row(first), e))?;
            let mut at = 0;
            for (msg, count) in messages {
                self.step(msg, some.get(at).map(|e| row(e)), Effect::None);
                at += count;
            }
        }
        Ok(())
    }
}

fn cannot(row: &Row, why: impl std::fmt::Display) -> Error {
    Error::new(format!("cannot apply {row}"), why)
}

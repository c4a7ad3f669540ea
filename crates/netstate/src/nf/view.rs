//! What we know of the tables that we write: where each rule stands, and what a former run of the daemon left there.

use std::collections::{BTreeMap, BTreeSet};

use super::read::{self, Placed, Seen};
use crate::Row;
use crate::desired::Desired;
use crate::key::{Key, NftItem};
use crate::netlink::Reply;
use crate::nft::Table;

/// Tables that have been looked at. Rules have no names, only handles, so this is kept along with every transaction.
#[derive(Debug, Default)]
pub struct View(BTreeMap<Table, TableView>);

#[derive(Debug, Default)]
struct TableView {
    rules: BTreeMap<String, Vec<Placed>>,
    /// Rows that were there and that nobody has declared yet: declaring one adopts it.
    spare: BTreeMap<Key, Row>,
}

/// What a message does to the view once the transaction holds.
#[derive(Clone, Debug)]
pub enum Effect {
    None,
    /// The table is empty now.
    Emptied(Table),
    Gone(Table),
    Flushed(Table, String),
    Removed(Table, String, u64),
}

impl View {
    pub fn knows(&self, table: &Table) -> bool {
        self.0.contains_key(table)
    }

    /// Takes over what was seen. `adding`: keys that are being declared now.
    pub fn load(
        &mut self,
        table: &Table,
        seen: Option<Seen>,
        desired: &Desired,
        adding: &BTreeSet<&Key>,
    ) {
        let Seen { rows, rules } = seen.unwrap_or_default();
        let spare = rows
            .into_iter()
            .filter(|(key, _)| desired.get(key).is_none() || adding.contains(key))
            .collect();
        self.0.insert(table.clone(), TableView { rules, spare });
    }

    pub fn forget(&mut self, table: &Table) {
        self.0.remove(table);
    }

    pub fn forget_ns(&mut self, ns: &crate::Ns) {
        self.0.retain(|table, _| table.ns != *ns);
    }

    /// A row that is there without being wanted so far.
    pub fn spare(&self, key: &Key) -> Option<&Row> {
        self.0.get(&key.table()?)?.spare.get(key)
    }

    pub fn claim(&mut self, key: &Key) {
        if let Some(view) = key.table().and_then(|t| self.0.get_mut(&t)) {
            view.spare.remove(key);
        }
    }

    fn rules(&self, table: &Table, chain: &str) -> &[Placed] {
        self.0
            .get(table)
            .and_then(|view| view.rules.get(chain))
            .map_or(&[], Vec::as_slice)
    }

    pub fn handle(&self, table: &Table, item: &NftItem) -> Option<u64> {
        let NftItem::Rule(chain, order, hash) = item else {
            return None;
        };
        let id = Some((*order, *hash));
        let found = self.rules(table, chain).iter().find(|p| p.id == id)?;
        Some(found.handle)
    }

    /// The rule that one of this id must stand before; `without` are about to go.
    pub fn before(
        &self,
        table: &Table,
        chain: &str,
        id: (u32, u64),
        without: &BTreeSet<u64>,
    ) -> Option<u64> {
        self.rules(table, chain)
            .iter()
            .find(|p| p.id.is_some_and(|other| other > id) && !without.contains(&p.handle))
            .map(|p| p.handle)
    }

    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::None => {}
            Effect::Emptied(table) => drop(self.0.insert(table.clone(), TableView::default())),
            Effect::Gone(table) => self.forget(table),
            Effect::Flushed(table, chain) => {
                if let Some(view) = self.0.get_mut(table) {
                    view.rules.remove(chain);
                }
            }
            Effect::Removed(table, chain, handle) => {
                let view = self.0.get_mut(table);
                if let Some(rules) = view.and_then(|v| v.rules.get_mut(chain)) {
                    rules.retain(|p| p.handle != *handle);
                }
            }
        }
    }

    /// Takes in the handles of new rules. Returns how many there were.
    pub fn learn(&mut self, ns: &crate::Ns, echoes: &[Reply]) -> usize {
        let rules = echoes
            .iter()
            .filter(|(kind, _)| *kind == super::object::SUBSYSTEM | super::object::NEWRULE)
            .filter_map(|(_, body)| Some((read::table_of(body, ns)?, read::rule(body)?)));
        let mut count = 0;
        for (table, (chain, placed)) in rules {
            let view = self.0.entry(table).or_default();
            let rules = view.rules.entry(chain).or_default();
            // Where the kernel put it: before the first that is greater, behind the rest.
            let at = rules.iter().position(|p| p.id > placed.id);
            rules.insert(at.unwrap_or(rules.len()), placed);
            count += 1;
        }
        count
    }
}

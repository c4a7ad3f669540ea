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
    /// Handles of our rules per chain, by order and hash, which is how they stand.
    rules: BTreeMap<String, BTreeMap<(u32, u64), u64>>,
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
    Removed(Table, String, (u32, u64)),
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
        let ids = |placed: Vec<Placed>| placed.into_iter().filter_map(|p| Some((p.id?, p.handle)));
        let rules = rules
            .into_iter()
            .map(|(chain, placed)| (chain, ids(placed).collect()))
            .collect();
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

    fn rules(&self, table: &Table, chain: &str) -> Option<&BTreeMap<(u32, u64), u64>> {
        self.0.get(table)?.rules.get(chain)
    }

    pub fn handle(&self, table: &Table, item: &NftItem) -> Option<u64> {
        let NftItem::Rule(chain, order, hash) = item else {
            return None;
        };
        self.rules(table, chain)?.get(&(*order, *hash)).copied()
    }

    /// The rule that one of this id must stand before; `without` are about to go.
    pub fn before(
        &self,
        table: &Table,
        chain: &str,
        id: (u32, u64),
        without: &BTreeSet<u64>,
    ) -> Option<u64> {
        self.rules(table, chain)?
            .range(id..)
            .map(|(_, handle)| *handle)
            .find(|handle| !without.contains(handle))
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
            Effect::Removed(table, chain, id) => {
                let view = self.0.get_mut(table);
                if let Some(rules) = view.and_then(|v| v.rules.get_mut(chain)) {
                    rules.remove(id);
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
            let Some(id) = placed.id else { continue };
            let view = self.0.entry(table).or_default();
            let rules = view.rules.entry(chain).or_default();
            rules.insert(id, placed.handle);
            count += 1;
        }
        count
    }
}

//! The rows, and what of them the user sees.

use std::time::Instant;

use bytes::Bytes;
use prost::Message as _;

use super::{NetworkDb, REAP_ENTRY};
use crate::{
    Event,
    wire::networkdb::{Change, MessageType, TableEvent, wrap},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub l_time: u64,
    pub owner: String,
    pub value: Bytes,
    /// A tombstone, to be forgotten at that time.
    pub expires: Option<Instant>,
}

impl Entry {
    pub fn deleted(&self) -> bool {
        self.expires.is_some()
    }

    /// The newer row wins; of two written at the same Lamport time, the one of the greater name.
    pub fn is_newer_than(&self, other: &Entry) -> bool {
        (self.l_time, &self.owner) > (other.l_time, &other.owner)
    }

    pub fn event(
        &self,
        now: Instant,
        network: &str,
        table: &str,
        key: &str,
        change: Change,
    ) -> TableEvent {
        let residual = self
            .expires
            .map_or(0, |at| at.saturating_duration_since(now).as_secs().max(1));
        TableEvent {
            r#type: change.into(),
            l_time: self.l_time,
            node_name: self.owner.clone(),
            network_id: network.to_owned(),
            table_name: table.to_owned(),
            key: key.to_owned(),
            value: self.value.clone(),
            residual_reap_time: residual as i32,
        }
    }
}

pub fn encode_event(event: &TableEvent) -> Bytes {
    wrap(MessageType::TableEvent, event.encode_to_vec()).into()
}

impl NetworkDb {
    /// Whether the user is to know this row: it is another's, it lives, and its owner is there and vouches for it.
    pub(super) fn shows(&self, entry: &Entry) -> bool {
        let owner = self.peers.get(&entry.owner);
        !entry.deleted()
            && owner.is_some_and(|peer| peer.is_active() && peer.unproven_until.is_none())
    }

    /// Puts a row (or nothing) in the place of what is under the key, and tells the user what changed for him.
    pub(super) fn replace(&mut self, network: &str, table: &str, key: &str, new: Option<Entry>) {
        let shows = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| self.shows(entry));
        let shows_new = shows(&new);
        let id = (table.to_owned(), key.to_owned());
        let Some(entries) = self.networks.get(network).map(|n| &n.entries) else {
            return;
        };
        let old = entries.get(&id).cloned();
        let shows_old = shows(&old);
        if shows_new {
            let same = |old: &Entry, new: &Entry| old.owner == new.owner && old.value == new.value;
            if let Some(new) = &new
                && !(shows_old && old.as_ref().is_some_and(|old| same(old, new)))
            {
                self.events.push_back(set(network, &id, new));
            }
        } else if let Some(old) = old.filter(|_| shows_old) {
            self.events.push_back(deleted(network, &id, &old));
        }
        if let Some(network) = self.networks.get_mut(network) {
            match new {
                Some(new) => network.entries.insert(id, new),
                None => network.entries.remove(&id),
            };
        }
    }

    /// Tells the user of all rows of one owner, whose visibility has just changed.
    pub(super) fn announce_rows_of(&mut self, owner: &str, visible: bool) {
        for (name, network) in self.networks.iter().filter(|(_, n)| n.leaving.is_none()) {
            for (id, entry) in network
                .entries
                .iter()
                .filter(|(_, e)| e.owner == owner && !e.deleted())
            {
                self.events.push_back(if visible {
                    set(name, id, entry)
                } else {
                    deleted(name, id, entry)
                });
            }
        }
    }

    /// Forgets all rows of one owner, in one network or in all.
    pub(super) fn drop_rows_of(&mut self, owner: &str, only: Option<&str>) {
        let mut gone = Vec::new();
        for (name, network) in &self.networks {
            if only.is_none_or(|only| only == name) {
                let rows = network.entries.iter().filter(|(_, e)| e.owner == owner);
                gone.extend(
                    rows.map(|((table, key), _)| (name.clone(), table.clone(), key.clone())),
                );
            }
        }
        for (network, table, key) in gone {
            self.replace(&network, &table, &key, None);
        }
    }

    /// Forgets what has outlived its use.
    pub(super) fn reap(&mut self, now: Instant) {
        let expired_owner = |owner: &String| {
            let failed = self.peers.get(owner).and_then(|peer| peer.failed_since());
            failed.is_some_and(|since| since + REAP_ENTRY <= now)
        };
        for network in self.networks.values_mut() {
            network.entries.retain(|_, entry| {
                entry.expires.is_none_or(|at| at > now) && !expired_owner(&entry.owner)
            });
        }
        self.networks
            .retain(|_, network| network.leaving.is_none_or(|at| at > now));
        self.reap_peers(now);
    }
}

fn set(network: &str, (table, key): &(String, String), entry: &Entry) -> Event {
    Event::EntrySet {
        network: network.to_owned(),
        table: table.clone(),
        key: key.clone(),
        owner: entry.owner.clone(),
        value: entry.value.clone(),
    }
}

fn deleted(network: &str, (table, key): &(String, String), entry: &Entry) -> Event {
    Event::EntryDelete {
        network: network.to_owned(),
        table: table.clone(),
        key: key.clone(),
        owner: entry.owner.clone(),
        value: entry.value.clone(),
    }
}

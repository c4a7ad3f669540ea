//! Confirmations: a node that has acted upon an entry says so to the entry's owner, with one datagram. Docker's nodes do not
//! know of it: they say none and are told none.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message as _;

use super::NetworkDb;
use crate::{
    Progress,
    wire::networkdb::{Change, MessageType, TableEvent, wrap},
};

impl NetworkDb {
    /// What to say, and where, of another node's entry that has this value; `None` when it has another by now, or when the
    /// owner does not want to know.
    pub fn confirmation(
        &self,
        network: &str,
        table: &str,
        key: &str,
        value: &Bytes,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let id = (table.to_owned(), key.to_owned());
        let entry = self.networks.get(network)?.entries.get(&id)?;
        let owner = self
            .peers
            .get(&entry.owner)
            .filter(|owner| owner.confirms)?;
        (!entry.deleted() && entry.value == value).then(|| {
            let event = TableEvent {
                r#type: Change::Update.into(),
                l_time: entry.l_time,
                node_name: self.name.clone(),
                network_id: network.to_owned(),
                table_name: id.0,
                key: id.1,
                value: value.clone(),
                residual_reap_time: 0,
            };
            let message = wrap(MessageType::Confirmation, event.encode_to_vec());
            (owner.addr, message)
        })
    }

    /// A vouched-for entry has a new time and is the same all the same: the value counts.
    pub(super) fn confirmed(&mut self, event: TableEvent) {
        let (id, ours) = ((event.table_name, event.key), &self.name);
        let known = self.peers.contains_key(&event.node_name);
        let Some(network) = self.networks.get_mut(&event.network_id) else {
            return;
        };
        let entry = network.entries.get(&id);
        let entry = entry.filter(|e| e.owner == *ours && !e.deleted());
        if known && entry.is_some_and(|entry| entry.value == event.value) {
            let by = network.confirmed.entry(id).or_default();
            by.insert(event.node_name);
        }
    }

    /// How far an entry of ours has come; `None` when there is none.
    pub fn progress(&self, network: &str, table: &str, key: &str) -> Option<Progress> {
        let id = (table.to_owned(), key.to_owned());
        let known = self.networks.get(network)?;
        let entry = known.entries.get(&id)?;
        if entry.owner != self.name || entry.deleted() {
            return None;
        }
        let by = known.confirmed.get(&id);
        let confirmed = |name: &str| by.is_some_and(|by| by.contains(name));
        let mut progress = Progress {
            value: entry.value.clone(),
            awaited: 0,
            silent: 0,
        };
        for (name, peer) in self.attached(network) {
            match peer.confirms {
                true => progress.awaited += usize::from(!confirmed(name)),
                false => progress.silent += 1,
            }
        }
        Some(progress)
    }
}

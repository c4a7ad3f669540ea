//! What this node does: joins and leaves networks, writes entries, gossips about both.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::rngs::StdRng;

use super::{
    Network, NetworkDb, OVERLAY_PEER_TABLE, REAP_ENTRY, REAP_NETWORK, Wish,
    entries::{Entry, encode_event},
};
use crate::{
    broadcast::{Queue, Rhythm},
    pick::pick,
    wire::{
        networkdb::{Change, NetworkEvent, Presence, TableEvent, compound},
        packet::BUDGET,
    },
};

const GOSSIP_NODES: usize = 3;
const COMPOUND_HEADER: usize = 5;
const COMPOUND_OVERHEAD: usize = 4;
/// More than our attachment ever takes.
const ATTACHMENT_ROOM: usize = 128;
/// The longest event that fits into a compound beside our attachment.
pub(super) const MAX_GOSSIP: usize =
    BUDGET - COMPOUND_HEADER - 2 * COMPOUND_OVERHEAD - ATTACHMENT_ROOM;
/// While a join is young, our attachment travels with our entries: a peer refuses entries of a node that it does not know
/// to be in the network.
const YOUNG: Duration = Duration::from_secs(5);

/// One round of a network's gossip.
#[derive(Debug)]
pub struct Gossip {
    pub to: Vec<SocketAddr>,
    pub payload: Vec<u8>,
}

impl Network {
    fn new(now: Instant) -> Self {
        Self {
            l_time: 0,
            joined_at: now,
            leaving: None,
            in_sync: false,
            entries: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            own: Queue::default(),
            relay: Queue::default(),
            syncs: BTreeSet::new(),
            rhythm: Rhythm::new(now),
        }
    }

    pub(super) fn gossip_at(&self) -> Option<Instant> {
        let idle = self.own.is_empty() && self.relay.is_empty();
        let news = self.own.has_fresh() || self.relay.has_fresh();
        (!idle && self.leaving.is_none()).then(|| self.rhythm.due(news))
    }
}

impl NetworkDb {
    pub fn join_network(&mut self, now: Instant, id: &str) {
        let network = self
            .networks
            .entry(id.to_owned())
            .or_insert_with(|| Network::new(now));
        if network.l_time != 0 && network.leaving.is_none() {
            return;
        }
        network.l_time = self.network_clock.tick();
        network.joined_at = now;
        network.leaving = None;
        network.in_sync = false;
        // At once, again when what was on its way has settled, and once more for the unlucky.
        network.syncs = BTreeSet::from([0, 1000, 3000].map(|ms| now + Duration::from_millis(ms)));
        let event = self.own_network_event(id, Presence::Join);
        self.relay_network_event(&event);
        // What we deleted when we left: others may still hold it from then.
        let rows = self
            .networks
            .get(id)
            .map(|n| n.entries.clone())
            .unwrap_or_default();
        for ((table, key), entry) in rows {
            if entry.owner == self.name {
                self.broadcast(&entry.event(now, id, &table, &key, Change::Delete));
            }
        }
    }

    pub fn leave_network(&mut self, now: Instant, id: &str) {
        let Some(network) = self.networks.get_mut(id).filter(|n| n.leaving.is_none()) else {
            return;
        };
        network.l_time = self.network_clock.tick();
        let rows = network.entries.clone();
        for ((table, key), mut entry) in rows {
            if entry.owner != self.name {
                self.replace(id, &table, &key, None);
            } else if !entry.deleted() {
                entry.l_time = self.table_clock.tick();
                entry.expires = Some(now + REAP_ENTRY);
                self.replace(id, &table, &key, Some(entry));
            }
        }
        if let Some(network) = self.networks.get_mut(id) {
            network.leaving = Some(now + REAP_NETWORK);
            network.confirmed.clear();
            network.syncs.clear();
            network.own = Queue::default();
            network.relay = Queue::default();
        }
        let event = self.own_network_event(id, Presence::Leave);
        self.relay_network_event(&event);
    }

    fn own_network_event(&self, id: &str, presence: Presence) -> NetworkEvent {
        NetworkEvent {
            r#type: presence.into(),
            l_time: self.networks.get(id).map_or(0, |network| network.l_time),
            node_name: self.name.clone(),
            network_id: id.to_owned(),
        }
    }

    /// Creates or updates. Nothing happens when the entry is the same already, or when we are not in the network.
    pub fn set_entry(&mut self, now: Instant, id: &str, table: &str, key: &str, value: Bytes) {
        let Some(held) = self.held(id, table, key) else {
            return;
        };
        let live = held.filter(|held| held.owner == self.name && !held.deleted());
        if live.is_some_and(|held| held.value == value) {
            return;
        }
        // Docker 28 takes an UPDATE in this table for a delete.
        let change = match live {
            Some(_) if table != OVERLAY_PEER_TABLE => Change::Update,
            _ => Change::Create,
        };
        self.write(now, id, table, key, value, change);
    }

    /// Deletes what we own; another node's entry is its own to delete.
    pub fn delete_entry(&mut self, now: Instant, id: &str, table: &str, key: &str) {
        let held = self.held(id, table, key).flatten();
        let live = held.filter(|held| held.owner == self.name && !held.deleted());
        if let Some(value) = live.map(|held| held.value.clone()) {
            self.write(now, id, table, key, value, Change::Delete);
        }
    }

    /// `None` when we are not in the network.
    fn held(&self, id: &str, table: &str, key: &str) -> Option<Option<&Entry>> {
        let network = self.networks.get(id).filter(|n| n.leaving.is_none());
        if network.is_none() {
            tracing::warn!(
                network = id,
                table,
                key,
                "entry of a network that is not joined"
            );
        }
        Some(network?.entries.get(&(table.to_owned(), key.to_owned())))
    }

    fn write(
        &mut self,
        now: Instant,
        id: &str,
        table: &str,
        key: &str,
        value: Bytes,
        change: Change,
    ) {
        let entry = Entry {
            l_time: self.table_clock.tick(),
            owner: self.name.clone(),
            value,
            expires: (change == Change::Delete).then(|| now + REAP_ENTRY),
        };
        let event = entry.event(now, id, table, key, change);
        self.replace(id, table, key, Some(entry));
        if let Some(network) = self.networks.get_mut(id) {
            network
                .confirmed
                .remove(&(table.to_owned(), key.to_owned()));
        }
        self.broadcast(&event);
    }

    /// Queues a table event of ours. What no datagram can carry goes to every peer by stream.
    pub(super) fn broadcast(&mut self, event: &TableEvent) {
        let message = encode_event(event);
        if message.len() > MAX_GOSSIP {
            let peers = self.attached(&event.network_id).map(|(_, peer)| peer.addr);
            let wishes: Vec<Wish> = peers
                .map(|to| Wish::Send {
                    to,
                    payload: message.to_vec(),
                })
                .collect();
            self.wishes.extend(wishes);
        } else if let Some(network) = self.networks.get_mut(&event.network_id) {
            network
                .own
                .push(Some(format!("{}/{}", event.table_name, event.key)), message);
        }
    }

    /// The gossip that is due.
    pub fn gossip(&mut self, now: Instant, rng: &mut StdRng) -> Vec<Gossip> {
        let due: Vec<String> = self
            .networks
            .iter()
            .filter(|(_, network)| network.gossip_at().is_some_and(|at| at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        due.iter()
            .filter_map(|id| self.gossip_in(now, rng, id))
            .collect()
    }

    fn gossip_in(&mut self, now: Instant, rng: &mut StdRng, id: &str) -> Option<Gossip> {
        let peers: Vec<SocketAddr> = self.attached(id).map(|(_, peer)| peer.addr).collect();
        let nodes = peers.len() + 1;
        let attachment = encode_attachment(&self.own_network_event(id, Presence::Join));
        let network = self.networks.get_mut(id)?;
        if peers.is_empty() {
            network.rhythm.rest(now);
            return None;
        }
        let round = network.rhythm.round(now);
        let mut limit = BUDGET - COMPOUND_HEADER;
        let mut messages = Vec::new();
        if now.saturating_duration_since(network.joined_at) < YOUNG {
            limit = limit.saturating_sub(attachment.len() + COMPOUND_OVERHEAD);
            messages.push(attachment);
        }
        messages.extend(
            network
                .own
                .take(round, COMPOUND_OVERHEAD, &mut limit, nodes),
        );
        messages.extend(
            network
                .relay
                .take(round, COMPOUND_OVERHEAD, &mut limit, nodes),
        );
        let to = pick(rng, peers, GOSSIP_NODES);
        Some(Gossip {
            to,
            payload: compound(&messages),
        })
    }
}

pub(super) fn encode_attachment(event: &NetworkEvent) -> Bytes {
    use crate::wire::networkdb::{MessageType, wrap};
    use prost::Message as _;
    wrap(MessageType::NetworkEvent, event.encode_to_vec()).into()
}

//! What other nodes send: events, one by one or in bulk.

use std::time::{Duration, Instant};

use super::{
    NetworkDb, REAP_ENTRY, Wish,
    entries::{Entry, encode_event},
};
use crate::wire::networkdb::{BulkSyncMessage, Change, Envelope, TableEvent, open, parts};

/// Docker's `maxQueueLenBroadcastOnSync`: what came by bulk sync is not worth a longer queue.
const MAX_QUEUE_ON_SYNC: usize = 500;
/// Compounds in bulk syncs in messages: three levels are all that is ever sent.
const MAX_DEPTH: u8 = 4;

impl NetworkDb {
    /// One gossip message, from a datagram, a stream or a push/pull.
    pub fn handle(&mut self, now: Instant, bytes: &[u8]) {
        self.handle_nested(now, bytes, false, 0);
    }

    fn handle_nested(&mut self, now: Instant, bytes: &[u8], bulk: bool, depth: u8) {
        match open(bytes) {
            Ok(Envelope::Compound(data)) if depth < MAX_DEPTH => {
                for part in parts(&data) {
                    self.handle_nested(now, part, bulk, depth + 1);
                }
            }
            Ok(Envelope::BulkSync(sync)) if !bulk => self.bulk_sync(now, sync, depth),
            Ok(Envelope::Node(event)) if event.node_name != self.name => {
                self.node_event(now, event, true);
            }
            Ok(Envelope::Network(event)) if event.node_name != self.name => {
                if self.network_event(now, &event) {
                    self.relay_network_event(&event);
                }
            }
            Ok(Envelope::Table(event)) if event.node_name == self.name => self.ghost(now, &event),
            Ok(Envelope::Table(event)) => self.table_event(now, event, bulk),
            Ok(Envelope::PushPull(state)) => self.merge(now, state),
            Ok(Envelope::Confirmation(event)) => self.confirmed(event),
            Ok(Envelope::Node(_) | Envelope::Network(_)) => {}
            Ok(Envelope::Compound(_) | Envelope::BulkSync(_)) | Err(_) => self.rejected += 1,
        }
    }

    fn bulk_sync(&mut self, now: Instant, sync: BulkSyncMessage, depth: u8) {
        if !self.table_clock.witness(sync.l_time) {
            self.rejected += 1;
            return;
        }
        self.handle_nested(now, &sync.payload, true, depth + 1);
        self.prove(&sync.node_name);
        if sync.unsolicited {
            let (peer, networks) = (sync.node_name, sync.networks);
            self.wishes.push_back(Wish::Answer { peer, networks });
        } else {
            self.answered(&sync.node_name, &sync.networks);
        }
    }

    fn table_event(&mut self, now: Instant, event: TableEvent, bulk: bool) {
        if !self.table_clock.witness(event.l_time) {
            self.rejected += 1;
            return;
        }
        let Some(network) = self
            .networks
            .get(&event.network_id)
            .filter(|n| n.leaving.is_none())
        else {
            return;
        };
        let in_sync = network.in_sync;
        let deletes = match Change::try_from(event.r#type) {
            Ok(Change::Create | Change::Update) => false,
            Ok(Change::Delete) => true,
            _ => {
                self.rejected += 1;
                return;
            }
        };
        let owner = self.peers.get(&event.node_name);
        if !owner.is_some_and(|peer| peer.is_attached(&event.network_id)) {
            // We may not have heard yet that the owner joined. Docker waits up to 30 s for the next bulk sync; we ask.
            if !bulk && !owner.is_some_and(|peer| peer.attachments.contains_key(&event.network_id))
            {
                self.sync_soon(now, &event.network_id);
            }
            return;
        }
        let residual = match u64::try_from(event.residual_reap_time) {
            Ok(0) | Err(_) => REAP_ENTRY,
            Ok(secs) => Duration::from_secs(secs).min(REAP_ENTRY),
        };
        let new = Entry {
            l_time: event.l_time,
            owner: event.node_name.clone(),
            value: event.value.clone(),
            expires: deletes.then(|| now + residual),
        };
        let id = (event.table_name.clone(), event.key.clone());
        let old = network.entries.get(&id);
        if old.is_some_and(|old| !new.is_newer_than(old)) {
            return;
        }
        if deletes && let Some(ours) = old.filter(|old| old.owner == self.name && !old.deleted()) {
            // The key went from that node to us, and its delete comes late: our row has to be the newer one.
            let ours = Entry {
                l_time: self.table_clock.tick(),
                ..ours.clone()
            };
            self.vouch(now, &event, ours);
            return;
        }
        // The delete of something we never had is passed on only by bulk sync, and not when it is about to expire, or such
        // deletes would circle forever.
        let relay = match old {
            None if deletes => bulk && residual > REAP_ENTRY / 6,
            _ => true,
        };
        self.replace(&event.network_id, &event.table_name, &event.key, Some(new));
        if relay
            && in_sync
            && let Some(network) = self.networks.get_mut(&event.network_id)
        {
            if bulk && network.relay.len() > MAX_QUEUE_ON_SYNC {
                return;
            }
            network.queue_relay(&event);
        }
    }

    /// Somebody holds a row of ours that we do not know so: it must have outlived its tombstone (for example on the other
    /// side of a long partition). We are the owner and say what is true.
    fn ghost(&mut self, now: Instant, event: &TableEvent) {
        if !self.table_clock.witness(event.l_time) {
            self.rejected += 1;
            return;
        }
        let Some(network) = self
            .networks
            .get(&event.network_id)
            .filter(|n| n.leaving.is_none())
        else {
            return;
        };
        let (table, key) = (&event.table_name, &event.key);
        let held = network.entries.get(&(table.clone(), key.clone()));
        let truth = match held {
            Some(held) if held.l_time >= event.l_time => return,
            Some(held) if held.owner != self.name => return,
            Some(held) => Entry {
                l_time: self.table_clock.tick(),
                ..held.clone()
            },
            None if event.r#type == i32::from(Change::Delete) => return,
            None => Entry {
                l_time: self.table_clock.tick(),
                owner: self.name.clone(),
                value: event.value.clone(),
                expires: Some(now + REAP_ENTRY),
            },
        };
        tracing::debug!(
            network = event.network_id,
            table,
            key,
            "correcting a stale row of ours"
        );
        self.vouch(now, event, truth);
    }

    /// Stores and broadcasts our own row under the key of an event that contradicts it.
    fn vouch(&mut self, now: Instant, event: &TableEvent, truth: Entry) {
        let (network, table, key) = (&event.network_id, &event.table_name, &event.key);
        let change = if truth.deleted() {
            Change::Delete
        } else {
            Change::Create
        };
        let correction = truth.event(now, network, table, key, change);
        self.replace(network, table, key, Some(truth));
        self.broadcast(&correction);
    }
}

impl super::Network {
    fn queue_relay(&mut self, event: &TableEvent) {
        let message = encode_event(event);
        if message.len() <= super::local::MAX_GOSSIP {
            self.relay
                .push(Some(format!("{}/{}", event.table_name, event.key)), message);
        }
    }
}

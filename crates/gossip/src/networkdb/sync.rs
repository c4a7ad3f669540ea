//! Bulk sync: everything that one node knows about some networks, handed to another over a stream and answered in kind.
//!
//! Docker syncs when it joins a network (with all peers, one after the other), every 30 seconds, and with a failed node
//! that it reached again. We sync with three peers when we join, and when nodes return from failure with three of them at
//! once: one answer holds what its side of the partition knows, so fifty returning nodes need not all be asked. A node that
//! merely did not answer for a moment counts as returning too: gossip is not repeated for long, and Docker's nodes stay
//! wrong for up to 30 seconds after a cut that was too short to kill.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use prost::Message as _;
use rand::{RngExt, rngs::StdRng};

use super::{NetworkDb, entries::encode_event, local::encode_attachment};
use crate::{
    Event,
    pick::pick,
    wire::networkdb::{
        BulkSyncMessage, Change, MessageType, NetworkEvent, Presence, compound, wrap,
    },
};

/// Docker's rhythm.
const PERIOD: Duration = Duration::from_secs(30);
const ANSWER_WAIT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);
/// Peers asked at once by a node that knows nothing yet; one is enough later.
const FIRST_ROUND: usize = 3;
/// After a join without an answer, we relay all the same.
const BLIND_AFTER: Duration = Duration::from_secs(5);
/// How many nodes of a network ask one that came back.
const ASKERS: usize = 6;
const SOON: Duration = Duration::from_millis(100);

/// A stream that the core wants to have opened.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// A join push/pull with a node that came back, and a bulk sync after it.
    Rejoin { to: SocketAddr },
    /// A bulk sync of all that we have in common with the peer.
    Sync { peer: String },
    /// The answer to the peer's bulk sync.
    Answer { peer: String, networks: Vec<String> },
    /// A message too long for gossip.
    Send { to: SocketAddr, payload: Vec<u8> },
}

/// Nodes back from failure, and how many of them may be asked at a time.
#[derive(Debug)]
pub struct Returns {
    waiting: BTreeSet<String>,
    tokens: usize,
    refill_at: Instant,
    /// Answers in this burst, by network.
    answers: BTreeMap<String, usize>,
}

impl Returns {
    const BURST: usize = 3;
    const REFILL: Duration = Duration::from_millis(300);

    pub fn new(now: Instant) -> Self {
        Self {
            waiting: BTreeSet::new(),
            tokens: Self::BURST,
            refill_at: now,
            answers: BTreeMap::new(),
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.refill_at)
    }

    fn take(&mut self, now: Instant, rng: &mut StdRng) -> Vec<String> {
        if self.waiting.is_empty() || now < self.refill_at {
            return Vec::new();
        }
        // Quiet times fill the bucket.
        let idle = now.saturating_duration_since(self.refill_at).as_millis();
        let refilled = 1 + (idle / Self::REFILL.as_millis()) as usize;
        self.tokens = (self.tokens + refilled).min(Self::BURST);
        let chosen = pick(rng, self.waiting.iter().cloned().collect(), self.tokens);
        self.tokens -= chosen.len();
        self.refill_at = now + Self::REFILL;
        for name in &chosen {
            self.waiting.remove(name);
        }
        chosen
    }
}

impl NetworkDb {
    /// A node is back from failure, or answers again after a silence. A few of its peers ask it what they missed, and hand
    /// that on; if all of them did, a large cluster would run it over.
    pub fn came_back(&mut self, rng: &mut StdRng, name: &str) {
        let common = self.common_networks(name);
        let peers = common
            .iter()
            .map(|id| self.attached(id).count())
            .min()
            .unwrap_or(0);
        let chosen = peers <= ASKERS || rng.random_ratio(ASKERS as u32, peers as u32);
        if common.is_empty() || !chosen {
            return;
        }
        self.asked.remove(name);
        if self.returns.waiting.is_empty() {
            self.returns.answers.clear();
        }
        self.returns.waiting.insert(name.to_owned());
    }

    /// Perhaps it was not the other node that was silent, but we: any network may have gone on without us.
    pub fn was_cut_off(&mut self, now: Instant) {
        // Answers under way were lost too.
        self.asked.clear();
        let ids: Vec<String> = self.networks.keys().cloned().collect();
        for id in ids {
            self.sync_soon(now, &id);
        }
    }

    /// Something about the network is news to us that somebody else knows better.
    pub(super) fn sync_soon(&mut self, now: Instant, id: &str) {
        if let Some(network) = self.networks.get_mut(id).filter(|n| n.leaving.is_none())
            && network
                .syncs
                .first()
                .is_none_or(|first| *first > now + Duration::from_secs(1))
        {
            network.syncs.insert(now + SOON);
        }
    }

    pub(super) fn sync_timeout(&mut self, now: Instant, rng: &mut StdRng) {
        for name in self.returns.take(now, rng) {
            if let Some(to) = self.addr_of(&name) {
                self.wishes.push_back(Wish::Rejoin { to });
            }
        }
        let late = self.asked.extract_if(.., |_, at| *at <= now);
        let late: Vec<String> = late.map(|(name, _)| name).collect();
        for name in late {
            self.sync_failed(now, &name);
        }
        let due: Vec<String> = self
            .networks
            .iter()
            .filter(|(_, n)| n.syncs.first().is_some_and(|at| *at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.sync_network(now, rng, &id);
        }
    }

    fn sync_network(&mut self, now: Instant, rng: &mut StdRng, id: &str) {
        let peers: Vec<String> = self.attached(id).map(|(name, _)| name.to_owned()).collect();
        let alone = peers.is_empty();
        let idle: Vec<String> = peers
            .into_iter()
            .filter(|name| !self.asked.contains_key(name))
            .collect();
        let Some(network) = self.networks.get_mut(id) else {
            return;
        };
        while network.syncs.first().is_some_and(|at| *at <= now) {
            network.syncs.pop_first();
        }
        if !alone && idle.is_empty() {
            // Everybody owes us an answer already.
            network.syncs.insert(now + RETRY);
        } else if network.syncs.is_empty() {
            network
                .syncs
                .insert(now + PERIOD.mul_f64(rng.random_range(0.9..1.1)));
        }
        network.in_sync |= alone || now >= network.joined_at + BLIND_AFTER;
        let count = if network.in_sync { 1 } else { FIRST_ROUND };
        for peer in pick(rng, idle, count) {
            self.wishes.push_back(Wish::Sync { peer });
        }
    }

    /// The bulk sync for a peer, built when its stream is open. Attachments come first: their owners' entries would be
    /// refused without them.
    pub fn bulk_sync_message(
        &mut self,
        now: Instant,
        peer: &str,
        networks: Vec<String>,
        unsolicited: bool,
    ) -> Vec<u8> {
        let joined = |id: &&String| self.networks.get(*id).is_some_and(|n| n.leaving.is_none());
        let mut messages = Vec::new();
        for id in networks.iter().filter(joined) {
            messages.extend(self.attachments(id).iter().map(encode_attachment));
        }
        for id in networks.iter().filter(joined) {
            let Some(network) = self.networks.get(id) else {
                continue;
            };
            for ((table, key), entry) in &network.entries {
                let change = if entry.deleted() {
                    Change::Delete
                } else {
                    Change::Create
                };
                messages.push(encode_event(&entry.event(now, id, table, key, change)));
            }
        }
        let sync = BulkSyncMessage {
            l_time: self.table_clock.tick(),
            unsolicited,
            node_name: self.name.clone(),
            networks,
            payload: compound(&messages),
        };
        if unsolicited {
            self.asked.insert(peer.to_owned(), now + ANSWER_WAIT);
        }
        wrap(MessageType::BulkSync, sync.encode_to_vec())
    }

    /// What an unsolicited sync with the peer is about: all that we share.
    pub fn sync_scope(&self, peer: &str) -> Vec<String> {
        self.common_networks(peer)
    }

    /// Where everybody is in a network, as events.
    fn attachments(&self, id: &str) -> Vec<NetworkEvent> {
        let event = |name: &str, l_time| NetworkEvent {
            r#type: Presence::Join.into(),
            l_time,
            node_name: name.to_owned(),
            network_id: id.to_owned(),
        };
        let ours = self
            .networks
            .get(id)
            .map(|network| event(&self.name, network.l_time));
        let theirs = self.peers.iter().filter_map(|(name, peer)| {
            let attachment = peer.attachments.get(id).filter(|a| a.is_live())?;
            Some(event(name, attachment.l_time))
        });
        ours.into_iter().chain(theirs).collect()
    }

    /// The peer answered our bulk sync.
    pub(super) fn answered(&mut self, peer: &str, networks: &[String]) {
        self.asked.remove(peer);
        for id in networks {
            if let Some(network) = self.networks.get_mut(id) {
                network.in_sync = true;
                self.events.push_back(Event::Synced {
                    network: id.clone(),
                });
            }
        }
        for id in networks {
            *self.returns.answers.entry(id.clone()).or_default() += 1;
        }
        // Whoever has nothing to add to that need not be asked.
        let mut waiting = std::mem::take(&mut self.returns.waiting);
        waiting.retain(|name| {
            let enough = |id| {
                self.returns
                    .answers
                    .get(id)
                    .is_some_and(|n| *n >= Returns::BURST)
            };
            !self.common_networks(name).iter().all(enough)
        });
        self.returns.waiting = waiting;
    }

    /// The peer could not be reached, or was silent: somebody else is asked.
    pub fn sync_failed(&mut self, now: Instant, peer: &str) {
        self.asked.remove(peer);
        for id in self.common_networks(peer) {
            self.sync_soon(now, &id);
        }
    }
}

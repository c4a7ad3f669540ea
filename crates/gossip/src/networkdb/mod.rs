//! NetworkDB: which node is in which network, and the tables that the nodes of a network share.
//!
//! ```text
//!  NodeEvent, NetworkEvent ──► every node of the cluster, on the back of SWIM's gossip
//!  TableEvent              ──► the nodes of its network: gossip loop (UDP), bulk sync (TCP)
//!  NetworkPushPull         ──► in SWIM's push/pull
//! ```
//!
//! An entry belongs to the node that wrote it and dies with it: leaving the network or the cluster deletes it. A *failed*
//! node's entries are hidden, not forgotten, and its later events keep being taken, so that what other nodes relay is in
//! place when it comes back. Then they stay hidden until the owner itself (or, failing that, [`PROOF_WAIT`]) has had a
//! chance to correct them: an address that it gave up while we could not hear it must not reappear.
//!
//! **Order.** For one key the highest Lamport time wins, and between equal times the greater owner name, so all nodes end
//! with the same row. An address that moves from one node to another is two rows under two keys, which no order binds:
//! the delete of the old row can arrive after the new row. What is promised is that the delete arrives at all (repeated
//! gossip, relays, tombstones of 30 minutes in every bulk sync), and that a row whose owner does not vouch for it is
//! revoked by the owner. So a user who keeps rows by key, and for an address prefers the row set last, is never left with
//! the old place.

mod attachments;
mod clock;
mod confirm;
mod entries;
mod local;
mod peers;
mod receive;
mod sync;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::rngs::StdRng;

use crate::{
    Event, Peer as PublicPeer,
    broadcast::{Queue, Rhythm, Round},
};
use clock::Clock;
use entries::Entry;
use peers::Peer;
use sync::Returns;

pub use sync::Wish;

/// Life of a tombstone, and of what we remember for a failed node.
pub(crate) const REAP_ENTRY: Duration = Duration::from_secs(30 * 60);
/// A network that was left is remembered longer than the tombstones in it.
const REAP_NETWORK: Duration = Duration::from_secs(30 * 60 + 25);
/// Life of a failed or left node's name.
const REAP_NODE: Duration = Duration::from_secs(24 * 3600);
const REAP_PERIOD: Duration = Duration::from_secs(5);
/// How long entries of a node that came back wait for its word.
const PROOF_WAIT: Duration = Duration::from_millis(500);

pub const OVERLAY_PEER_TABLE: &str = "overlay_peer_table";

#[derive(Debug)]
pub struct NetworkDb {
    name: String,
    addr: SocketAddr,
    network_clock: Clock,
    table_clock: Clock,
    /// Everybody else that SWIM told of.
    peers: BTreeMap<String, Peer>,
    /// Where we are, or were until lately.
    networks: BTreeMap<String, Network>,
    node_queue: Queue,
    network_queue: Queue,
    returns: Returns,
    /// Bulk syncs that we started and that were not answered yet, with the time when we give up.
    asked: BTreeMap<String, Instant>,
    next_reap: Instant,
    rejected: u64,
    events: VecDeque<Event>,
    wishes: VecDeque<Wish>,
}

/// A network that this node takes part in.
#[derive(Debug)]
struct Network {
    l_time: u64,
    joined_at: Instant,
    /// When it can be forgotten, once we left it.
    leaving: Option<Instant>,
    /// Whether a peer has told us everything; before that we relay nothing.
    in_sync: bool,
    /// By table and key.
    entries: BTreeMap<(String, String), Entry>,
    /// Who has acted upon an entry of ours as it is, by table and key.
    confirmed: BTreeMap<(String, String), BTreeSet<String>>,
    /// Our changes, and those of others that we pass on when there is room.
    own: Queue,
    relay: Queue,
    /// Times of bulk syncs to come.
    syncs: BTreeSet<Instant>,
    rhythm: Rhythm,
}

impl NetworkDb {
    pub fn new(now: Instant, name: String, addr: SocketAddr) -> Self {
        Self {
            name,
            addr,
            network_clock: Clock::default(),
            table_clock: Clock::default(),
            peers: BTreeMap::new(),
            networks: BTreeMap::new(),
            node_queue: Queue::default(),
            network_queue: Queue::default(),
            returns: Returns::new(now),
            asked: BTreeMap::new(),
            next_reap: now + REAP_PERIOD,
            rejected: 0,
            events: VecDeque::new(),
            wishes: VecDeque::new(),
        }
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
    pub fn poll_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }
    pub fn rejected(&self) -> u64 {
        self.rejected
    }
    pub fn addr_of(&self, name: &str) -> Option<SocketAddr> {
        self.peers.get(name).map(|peer| peer.addr)
    }

    /// Networks joined, live entries (ours and visible ones of others), and messages waiting to be gossiped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let joined = || self.networks.values().filter(|n| n.leaving.is_none());
        let entries = joined().flat_map(|n| n.entries.values());
        let live = entries.filter(|e| self.shows(e) || (e.owner == self.name && !e.deleted()));
        let queued: usize = self
            .networks
            .values()
            .map(|n| n.own.len() + n.relay.len())
            .sum();
        (
            joined().count(),
            live.count(),
            queued + self.node_queue.len() + self.network_queue.len(),
        )
    }

    /// Active nodes, ourselves first.
    pub fn cluster_peers(&self) -> Vec<PublicPeer> {
        let me = PublicPeer {
            name: self.name.clone(),
            addr: self.addr.ip(),
        };
        let others = self.peers.iter().filter(|(_, peer)| peer.is_active());
        std::iter::once(me)
            .chain(others.map(|(name, peer)| public(name, peer)))
            .collect()
    }

    /// Active nodes of a network, ourselves included when we are in it.
    pub fn network_peers(&self, network: &str) -> Vec<PublicPeer> {
        let joined = self
            .networks
            .get(network)
            .is_some_and(|n| n.leaving.is_none());
        let me = joined.then(|| PublicPeer {
            name: self.name.clone(),
            addr: self.addr.ip(),
        });
        let others = self
            .attached(network)
            .map(|(name, peer)| public(name, peer));
        me.into_iter().chain(others).collect()
    }

    /// Gossip for the whole cluster, to ride on SWIM's.
    pub fn cluster_gossip(
        &mut self,
        round: Round,
        overhead: usize,
        limit: &mut usize,
    ) -> Vec<bytes::Bytes> {
        let nodes = 1 + self.peers.values().filter(|peer| peer.is_active()).count();
        let mut out = self.network_queue.take(round, overhead, limit, nodes);
        out.extend(self.node_queue.take(round, overhead, limit, nodes));
        out
    }
    pub fn has_fresh_cluster_gossip(&self) -> bool {
        self.network_queue.has_fresh() || self.node_queue.has_fresh()
    }
    pub fn has_cluster_gossip(&self) -> bool {
        !(self.network_queue.is_empty() && self.node_queue.is_empty())
    }

    pub fn poll_timeout(&self) -> Instant {
        let syncs = self.networks.values().filter_map(|n| n.syncs.first());
        let gossip = self.networks.values().filter_map(Network::gossip_at);
        let proofs = self.peers.values().filter_map(|peer| peer.unproven_until);
        let timers = syncs.copied().chain(gossip).chain(proofs);
        let timers = timers
            .chain(self.asked.values().copied())
            .chain(self.returns.poll_timeout());
        timers.fold(self.next_reap, Instant::min)
    }

    /// All but the gossip loop, which is [`NetworkDb::gossip`].
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut StdRng) {
        self.prove_overdue(now);
        self.sync_timeout(now, rng);
        if self.next_reap <= now {
            self.next_reap = now + REAP_PERIOD;
            self.reap(now);
        }
    }
}

fn public(name: &str, peer: &Peer) -> PublicPeer {
    PublicPeer {
        name: name.to_owned(),
        addr: peer.addr.ip(),
    }
}

//! One node of the gossip, without sockets, clock or randomness of its own.
//!
//! Bytes, connections and the time go in; datagrams to send, connections to open and events for the user come out. A runner
//! (or a simulation) calls [`Agent::poll_transmit`] and [`Agent::poll_event`] until they are empty after every other call,
//! and [`Agent::handle_timeout`] when [`Agent::poll_timeout`] has come.

mod gossip;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{RngExt, rngs::StdRng};

use crate::{
    Event, Peer, Progress, Stats,
    broadcast::{Rhythm, Round},
    networkdb::{NetworkDb, Wish},
    pick::pick,
    swim::{Action, Swim},
    wire::{self, crypto::Keyring, message::Message, networkdb::Presence, packet},
};
use streams::Exchange;
pub use streams::{Outgoing, StreamId};

const PUSH_PULL_INTERVAL: Duration = Duration::from_secs(30);
/// From this many nodes on, push/pulls become rarer.
const PUSH_PULL_SCALE: f64 = 32.0;
/// How often lost nodes are looked for. Docker takes 1 s for failed nodes, 60 s for managers.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(500);
/// Attempts to one address that may hang at a time.
const MAX_ATTEMPTS: usize = 3;

pub struct Config {
    /// See [`crate::Config`].
    pub node_name: String,
    pub advertise: SocketAddr,
    pub keys: Vec<Vec<u8>>,
    /// All chance in here comes from it, nonces too: seed it from the operating system where encryption matters.
    pub rng: StdRng,
}

/// What the runner is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Transmit {
    Datagram {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Open a stream; then [`Agent::handle_connected`], or [`Agent::handle_stream_failed`] after `timeout`.
    Connect {
        stream: StreamId,
        to: SocketAddr,
        timeout: Duration,
    },
}

pub struct Agent {
    rng: StdRng,
    keys: Keyring,
    swim: Swim,
    db: NetworkDb,
    bootstrap: Vec<SocketAddr>,
    streams: BTreeMap<StreamId, (SocketAddr, Exchange)>,
    last_stream: u64,
    /// Of the gossip of the whole cluster.
    rhythm: Rhythm,
    next_push_pull: Instant,
    next_reconnect: Instant,
    rejected_packets: u64,
    rejected_streams: u64,
    transmits: VecDeque<Transmit>,
}

impl Agent {
    pub fn new(now: Instant, config: Config) -> Result<Self, wire::Error> {
        let Config {
            node_name,
            advertise,
            keys,
            mut rng,
        } = config;
        Ok(Self {
            keys: Keyring::new(&keys)?,
            swim: Swim::new(now, &mut rng, node_name.clone(), advertise),
            db: NetworkDb::new(now, node_name, advertise),
            bootstrap: Vec::new(),
            streams: BTreeMap::new(),
            last_stream: 0,
            rhythm: Rhythm::new(now),
            next_push_pull: now + PUSH_PULL_INTERVAL.mul_f64(rng.random()),
            next_reconnect: now,
            rejected_packets: 0,
            rejected_streams: 0,
            transmits: VecDeque::new(),
            rng,
        })
    }

    // ---- what the user wants ----

    /// Makes the ring exactly `keys`, the first primary. On an error the old ring stays.
    pub fn set_keys(&mut self, keys: &[Vec<u8>]) -> Result<(), wire::Error> {
        self.keys = Keyring::new(keys)?;
        Ok(())
    }

    /// The addresses to join through, tried at once and whenever no live node has them.
    pub fn set_bootstrap(&mut self, now: Instant, addrs: Vec<SocketAddr>) {
        self.bootstrap = addrs;
        self.next_reconnect = now;
    }

    pub fn join_network(&mut self, now: Instant, network: &str) {
        self.db.join_network(now, network);
    }
    pub fn leave_network(&mut self, now: Instant, network: &str) {
        self.db.leave_network(now, network);
        self.settle(now);
    }
    pub fn set_entry(&mut self, now: Instant, network: &str, table: &str, key: &str, value: Bytes) {
        self.db.set_entry(now, network, table, key, value);
        self.settle(now);
    }
    pub fn delete_entry(&mut self, now: Instant, network: &str, table: &str, key: &str) {
        self.db.delete_entry(now, network, table, key);
        self.settle(now);
    }
    pub fn confirm(&mut self, network: &str, table: &str, key: &str, value: &Bytes) {
        if let Some((to, payload)) = self.db.confirmation(network, table, key, value) {
            self.send_user(to, &payload);
        }
    }
    pub fn progress(&self, network: &str, table: &str, key: &str) -> Option<Progress> {
        self.db.progress(network, table, key)
    }
    pub fn cluster_peers(&self) -> Vec<Peer> {
        self.db.cluster_peers()
    }
    pub fn network_peers(&self, network: &str) -> Vec<Peer> {
        self.db.network_peers(network)
    }

    /// Starts to say goodbye; [`Agent::has_left`] tells when it was said often enough.
    pub fn leave(&mut self) {
        self.db.announce(Presence::Leave);
        self.swim.leave();
    }
    pub fn has_left(&self) -> bool {
        let said = self.swim.queue.is_empty() && !self.db.has_cluster_gossip();
        self.swim.has_left() && (said || self.swim.up().next().is_none())
    }

    pub fn stats(&self) -> Stats {
        let (networks, entries, queued) = self.db.counts();
        Stats {
            members: self.db.cluster_peers().len(),
            failed: self.db.failed_peers().count(),
            networks,
            entries,
            queued: queued + self.swim.queue.len(),
            streams: self.streams.len(),
            rejected_packets: self.rejected_packets,
            rejected_streams: self.rejected_streams,
            rejected_events: self.db.rejected(),
            health: self.swim.health(),
        }
    }

    // ---- what happens ----

    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let decoded = match packet::decode(bytes, &self.keys) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::debug!(%from, %error, "packet refused");
                self.rejected_packets += 1;
                return;
            }
        };
        self.rejected_packets += decoded.rejected as u64;
        for message in decoded.messages {
            match message {
                Message::User(payload) => self.db.handle(now, &payload),
                other => self.swim.handle(now, &mut self.rng, from, other),
            }
        }
        self.settle(now);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.swim.handle_timeout(now, &mut self.rng);
        self.db.handle_timeout(now, &mut self.rng);
        if self.gossip_at().is_some_and(|at| at <= now) {
            self.gossip(now);
        }
        for gossip in self.db.gossip(now, &mut self.rng) {
            for to in gossip.to {
                self.send_user(to, &gossip.payload);
            }
        }
        if self.next_push_pull <= now {
            self.next_push_pull = now + push_pull_interval(self.swim.cluster_size());
            if let Some(to) = self.swim.random_alive(&mut self.rng) {
                self.connect(to, Exchange::PushPull { join: false });
            }
        }
        if self.next_reconnect <= now {
            self.next_reconnect = now + RECONNECT_INTERVAL.mul_f64(self.rng.random_range(0.9..1.1));
            self.reconnect();
        }
        self.settle(now);
    }

    /// When to call [`Agent::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Instant {
        let own = [
            self.next_push_pull,
            self.next_reconnect,
            self.swim.poll_timeout(),
        ];
        let own = own.into_iter().chain(self.gossip_at());
        own.fold(self.db.poll_timeout(), Instant::min)
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.db.poll_event()
    }

    // ---- inside ----

    /// Carries out what the two cores decided, and what follows from that.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(action) = self.swim.poll_action() {
                self.act(now, action);
            } else if let Some(wish) = self.db.poll_wish() {
                self.grant(wish);
            } else {
                return;
            }
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Send {
                to,
                mut messages,
                crc,
                piggyback,
            } => {
                if piggyback {
                    let used: usize = messages
                        .iter()
                        .map(|m| m.len() + gossip::COMPOUND_OVERHEAD)
                        .sum();
                    messages.extend(self.broadcasts(Round::All, used).into_iter().map(Vec::from));
                }
                self.send(to, &messages, crc);
            }
            Action::StreamPing {
                to,
                seq,
                message,
                timeout,
            } => {
                self.connect_within(to, Exchange::Ping { seq, message }, timeout);
            }
            Action::Up { name, addr, ours } => {
                self.db.peer_up(now, &mut self.rng, &name, addr, ours);
            }
            Action::Recovered { name, by_us } => {
                self.db.came_back(&mut self.rng, &name);
                if by_us {
                    self.db.was_cut_off(now);
                }
            }
            Action::Failed { name } => self.db.peer_failed(now, &name),
            Action::Left { name } => self.db.peer_left(now, &name),
        }
    }

    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Rejoin { to } => self.connect(to, Exchange::PushPull { join: true }),
            Wish::Sync { peer } => {
                let networks = self.db.sync_scope(&peer);
                self.bulk_sync(peer, networks, true);
            }
            Wish::Answer { peer, networks } => self.bulk_sync(peer, networks, false),
            Wish::Send { to, payload } => self.connect(to, Exchange::User { payload }),
        }
    }

    fn bulk_sync(&mut self, peer: String, networks: Vec<String>, unsolicited: bool) {
        if let Some(to) = self.db.addr_of(&peer)
            && !networks.is_empty()
        {
            self.connect(
                to,
                Exchange::BulkSync {
                    peer,
                    networks,
                    unsolicited,
                },
            );
        }
    }

    /// Looks for bootstrap nodes that are not members, and for one failed node.
    fn reconnect(&mut self) {
        if self.swim.has_left() {
            return;
        }
        let missing = self.bootstrap.iter().copied();
        let missing = missing.filter(|at| *at != self.swim.addr() && !self.swim.is_up_at(*at));
        let mut targets: BTreeSet<SocketAddr> = missing.collect();
        targets.extend(pick(&mut self.rng, self.db.failed_peers().collect(), 1));
        for to in targets {
            if self.attempts(to) < MAX_ATTEMPTS {
                self.connect(to, Exchange::PushPull { join: true });
            }
        }
    }
}

fn push_pull_interval(nodes: usize) -> Duration {
    let nodes = nodes as f64;
    if nodes <= PUSH_PULL_SCALE {
        return PUSH_PULL_INTERVAL;
    }
    PUSH_PULL_INTERVAL.mul_f64((nodes.log2() - PUSH_PULL_SCALE.log2()).ceil() + 1.0)
}

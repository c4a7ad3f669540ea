//! Who is in the cluster: SWIM with Lifeguard's refinements, as memberlist does it.
//!
//! ```text
//!             alive (newer incarnation)
//!        ┌──────────────◄───────────────┐
//!   ┌────▼──┐ probe failed ┌─────────┐  │  ┌──────┐ 30 s
//!   │ Alive ├─────────────►│ Suspect ├──┴─►│ Dead ├──────► forgotten
//!   └───┬───┘   or told    └─────────┘     └──────┘
//!       │ says so itself, or a new name at its address     ┌──────┐ 24 h
//!       └─────────────────────────────────────────────────►│ Left ├──────► forgotten
//!                                                          └──────┘
//! ```
//!
//! Beyond memberlist, and invisible to it: a node that missed a probe is pinged until it answers or dies, because what was
//! said meanwhile is lost to it and it must be told again ([`Action::Recovered`]); an accusation of ourselves is answered
//! to the accuser directly, not only by gossip; a dead member of whom somebody says that it lives is asked at once
//! ([`Swim::merge`]); a new name at a member's address replaces that member here too, not only in NetworkDB. Together they
//! let a healed partition be whole again after one contact and one round trip.

mod membership;
mod probe;
mod suspicion;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::rngs::StdRng;

use crate::{
    broadcast::Queue,
    pick::pick,
    wire::message::{Alive, Message, NodeState, State, VERSIONS},
};
use probe::Prober;
use suspicion::Suspicion;

const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const GOSSIP_NODES: usize = 3;
/// How long a dead node is still gossiped to and mentioned; then it is forgotten.
const DEAD_MEMORY: Duration = Duration::from_secs(30);
/// Left names stay known, so that a late "alive" about the predecessor of a restarted agent cannot replace the agent.
const LEFT_MEMORY: Duration = Duration::from_secs(24 * 3600);
const MAX_HEALTH: u32 = 7;
/// What a node of ours says about itself; Docker's have nothing to say.
const OURS: &[u8] = b"pontoon";

/// What the core wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Send {
        to: SocketAddr,
        messages: Vec<Vec<u8>>,
        /// The receiver checks a CRC (protocol 5).
        crc: bool,
        /// Gossip may ride along.
        piggyback: bool,
    },
    /// A ping over a stream, to be answered by [`Swim::stream_ack`] until `timeout` is over.
    StreamPing {
        to: SocketAddr,
        seq: u32,
        message: Vec<u8>,
        timeout: Duration,
    },
    Up {
        name: String,
        addr: SocketAddr,
        ours: bool,
    },
    /// It did not answer for a moment, and does again: what it and we said in between was lost.
    Recovered {
        name: String,
        /// We missed it ourselves: the fault may have been ours.
        by_us: bool,
    },
    Failed {
        name: String,
    },
    Left {
        name: String,
    },
}

#[derive(Debug)]
struct Member {
    alive: Alive,
    state: State,
    since: Instant,
    suspicion: Option<Suspicion>,
    /// It missed a probe; when to ping it again.
    shaky: Option<Instant>,
    /// Left because another name came up at its address.
    replaced: bool,
}

impl Member {
    fn is_up(&self) -> bool {
        matches!(self.state, State::Alive | State::Suspect)
    }
    fn checks_crc(&self) -> bool {
        self.alive.versions[1] >= 5
    }
}

#[derive(Debug)]
pub struct Swim {
    /// What we say of ourselves.
    me: Alive,
    has_left: bool,
    /// The others.
    members: BTreeMap<String, Member>,
    /// Lifeguard's awareness: 0 is healthy, each step makes us slower to accuse.
    health: u32,
    last_seq: u32,
    prober: Prober,
    pub queue: Queue,
    actions: VecDeque<Action>,
}

impl Swim {
    pub fn new(now: Instant, rng: &mut StdRng, name: String, addr: SocketAddr) -> Self {
        Self {
            me: Alive {
                incarnation: 1,
                node: name,
                addr,
                meta: OURS.to_vec(),
                versions: VERSIONS,
            },
            has_left: false,
            members: BTreeMap::new(),
            health: 0,
            last_seq: 0,
            prober: Prober::new(now, rng),
            queue: Queue::default(),
            actions: VecDeque::new(),
        }
    }

    pub fn name(&self) -> &str {
        &self.me.node
    }
    pub fn addr(&self) -> SocketAddr {
        self.me.addr
    }
    pub fn health(&self) -> u32 {
        self.health
    }
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Ourselves included; a basis for timeouts and transmit limits.
    pub fn cluster_size(&self) -> usize {
        1 + self
            .members
            .values()
            .filter(|m| m.state != State::Left)
            .count()
    }

    /// The others that are up, suspects included.
    pub fn up(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        let up = self.members.iter().filter(|(_, m)| m.is_up());
        up.map(|(name, m)| (name.as_str(), m.alive.addr))
    }

    pub fn is_up_at(&self, addr: SocketAddr) -> bool {
        self.up().any(|(_, at)| at == addr)
    }

    /// Whether the node at `addr` checks CRCs.
    pub fn checks_crc(&self, addr: SocketAddr) -> bool {
        self.members
            .values()
            .any(|m| m.alive.addr == addr && m.checks_crc())
    }

    pub fn handle(&mut self, now: Instant, rng: &mut StdRng, from: SocketAddr, message: Message) {
        match message {
            Message::Ping(ping) => self.answer_ping(from, ping),
            Message::IndirectPing(ping) => self.relay_ping(now, from, ping),
            Message::Ack { seq } => self.ack(seq),
            Message::Nack { seq } => self.nack(seq),
            Message::Suspect(accusation) => self.suspect(now, accusation, Some(from)),
            Message::Dead(accusation) => self.dead(now, accusation, Some(from)),
            Message::Alive(alive) => self.alive(now, rng, alive, Some(from)),
            Message::User(_) => {}
        }
    }

    pub fn handle_timeout(&mut self, now: Instant, rng: &mut StdRng) {
        self.bury(now);
        self.probe_timeout(now, rng);
        self.ping_shaky(now);
    }

    pub fn poll_timeout(&self) -> Instant {
        let suspicions = self.members.values().filter_map(|m| m.suspicion.as_ref());
        let suspicions = suspicions.map(Suspicion::deadline);
        let shaky = self.members.values().filter_map(|m| m.shaky);
        suspicions
            .chain(shaky)
            .fold(self.probe_deadline(), Instant::min)
    }

    /// A few nodes to gossip with: those that are up, and the dead who may not know yet that they are.
    pub fn gossip_targets(&self, rng: &mut StdRng) -> Vec<SocketAddr> {
        let others = self.members.values().filter(|m| m.state != State::Left);
        pick(rng, others.map(|m| m.alive.addr).collect(), GOSSIP_NODES)
    }

    /// A random member for a push/pull.
    pub fn random_alive(&self, rng: &mut StdRng) -> Option<SocketAddr> {
        let alive = self.members.values().filter(|m| m.state == State::Alive);
        pick(rng, alive.map(|m| m.alive.addr).collect(), 1).pop()
    }

    /// Our view of everybody, for a push/pull.
    pub fn states(&self, now: Instant) -> Vec<NodeState> {
        let state = if self.has_left {
            State::Left
        } else {
            State::Alive
        };
        let me = NodeState {
            alive: self.me.clone(),
            state,
            nil_meta: false,
        };
        let mentioned = self.members.values().filter(|member| {
            member.is_up() || now.saturating_duration_since(member.since) <= DEAD_MEMORY
        });
        let others = mentioned.map(|member| NodeState {
            alive: member.alive.clone(),
            state: member.state,
            nil_meta: false,
        });
        std::iter::once(me).chain(others).collect()
    }

    fn improve_health(&mut self) {
        self.health = self.health.saturating_sub(1);
    }
    fn worsen_health(&mut self, by: u32) {
        self.health = (self.health + by).min(MAX_HEALTH);
    }
}

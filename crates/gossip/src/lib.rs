//! SWIM membership and NetworkDB tables on the wire of memberlist, port 7946: how the nodes of a swarm find out who is
//! there, and where each container is. Docker's nodes and ours share one cluster.
//!
//! ```text
//!   user ── set_entry, join_network … ──►┌────────────────────────────┐──► Event
//!                                        │ agent::Agent               │
//!   UDP 7946 ◄──────────────────────────►│  swim ── who is alive      │
//!   TCP 7946 ◄──────────────────────────►│  networkdb ── who has what │
//!                     runner             │  wire ── the bytes         │
//!                                        └────────────────────────────┘
//! ```
//!
//! [`agent::Agent`] is a state machine: it has no socket, no clock and no randomness but the seed it is given, so a hundred
//! of them make a deterministic cluster in one process (`tests/simulation.rs`). [`Gossip`] runs one on a thread of its own.
//!
//! What it does not do: it does not interpret entries (the overlay driver and the resolver do), it keeps nothing on disk,
//! and it does not distribute keys (the swarm's dispatcher does; see [`Gossip::set_keys`]).

#![forbid(unsafe_code)]

pub mod agent;
mod broadcast;
mod networkdb;
mod pick;
pub mod records;
mod runner;
mod swim;
pub mod wire;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;
use tokio::sync::mpsc;

/// How this node takes part.
#[derive(Clone)]
pub struct Config {
    /// 12 hex characters, new at every start of the agent (NetworkDB's `node_name`).
    pub node_name: String,
    /// Where the sockets listen (UDP and TCP).
    pub bind: SocketAddr,
    /// What other nodes are told.
    pub advertise: SocketAddr,
    /// AES keys; the first encrypts, all decrypt. None at all means plain text.
    pub keys: Vec<Vec<u8>>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("node_name", &self.node_name)
            .field("bind", &self.bind)
            .field("advertise", &self.advertise)
            .field("keys", &self.keys.len())
            .finish()
    }
}

/// What NetworkDB tells its user. Only entries of joined networks that other nodes own are reported.
///
/// Keep rows by `(network, table, key)`. Two rows with the same address under different keys are an address that moved: the
/// row set last is right, and the delete of the other may come after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    NodeJoin {
        name: String,
        addr: IpAddr,
    },
    NodeLeave {
        name: String,
        addr: IpAddr,
    },
    /// The entry is there, or has another value or owner than before.
    EntrySet {
        network: String,
        table: String,
        key: String,
        owner: String,
        value: Bytes,
    },
    /// A peer has told all that it knows of the network: whoever kept entries of an earlier run may now drop those that
    /// were not reported in this one. Comes with every bulk sync.
    Synced {
        network: String,
    },
    /// The entry is gone, or its owner is; `value` is the last one reported. When a failed owner comes back, what it still
    /// has is set again.
    EntryDelete {
        network: String,
        table: String,
        key: String,
        owner: String,
        value: Bytes,
    },
}

/// A member of the cluster, or of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    pub addr: IpAddr,
}

/// How far an entry of this node has come in its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub value: Bytes,
    /// Nodes that have yet to confirm that they act upon this value.
    pub awaited: usize,
    /// Nodes that never will, for they are Docker's.
    pub silent: usize,
}

/// How the agent is doing, for diagnosis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Active nodes, this one included.
    pub members: usize,
    /// Nodes lost without a goodbye, looked for every half second.
    pub failed: usize,
    /// Networks that this node is in.
    pub networks: usize,
    /// Live entries in them, its own included.
    pub entries: usize,
    /// Messages that still have to be gossiped.
    pub queued: usize,
    /// Streams of ours that are open or being opened.
    pub streams: usize,
    /// Datagrams, and messages in them, that were not encrypted with our keys or made no sense.
    pub rejected_packets: u64,
    pub rejected_streams: u64,
    /// NetworkDB messages inside good packets that made no sense.
    pub rejected_events: u64,
    /// Lifeguard's score: 0 is healthy, 7 means that hardly anybody answers us.
    pub health: u32,
}

/// A running agent: commands go in here, [`Event`]s come out of the channel that `start` returns. It stops when the last
/// clone is dropped; the others then find it failed, unless [`Gossip::leave`] said goodbye.
#[derive(Clone)]
pub struct Gossip {
    handle: runner::Handle,
}

impl Gossip {
    /// Opens the sockets in the network namespace of the calling thread, and starts the agent on a thread of its own that
    /// stays there. Fails when the address is taken or a key has an impossible length.
    pub async fn start(config: Config) -> Result<(Self, mpsc::Receiver<Event>), Error> {
        let (handle, events) = runner::start(config).await?;
        Ok((Self { handle }, events))
    }

    /// The managers to join through, and to come back to after a partition.
    pub fn set_bootstrap(&self, addrs: Vec<SocketAddr>) {
        self.handle
            .with(|agent, now| agent.set_bootstrap(now, addrs));
    }

    /// Rotation: makes the key ring exactly `keys`, the first one primary. Keys of an impossible length are refused, all of
    /// them, and the old ring stays.
    pub fn set_keys(&self, keys: Vec<Vec<u8>>) {
        if let Err(error) = self.handle.with(|agent, _| agent.set_keys(&keys)) {
            tracing::error!(%error, "gossip keys refused, the old ones stay");
        }
    }

    pub async fn join_network(&self, network: &str) {
        self.handle
            .with(|agent, now| agent.join_network(now, network));
    }

    /// Deletes this node's entries in the network, and reports those of the others as deleted.
    pub async fn leave_network(&self, network: &str) {
        self.handle
            .with(|agent, now| agent.leave_network(now, network));
    }

    /// Creates the entry, or updates it when it exists with another value. Does nothing in a network that is not joined.
    pub async fn set_entry(&self, network: &str, table: &str, key: &str, value: Bytes) {
        self.handle
            .with(|agent, now| agent.set_entry(now, network, table, key, value));
    }

    /// Deletes an entry of this node; those of others are theirs to delete.
    pub async fn delete_entry(&self, network: &str, table: &str, key: &str) {
        self.handle
            .with(|agent, now| agent.delete_entry(now, network, table, key));
    }

    /// Says to the owner of an entry that this node acts upon it, as it is with this value.
    pub fn confirm(&self, network: &str, table: &str, key: &str, value: &Bytes) {
        self.handle
            .with(|agent, _| agent.confirm(network, table, key, value));
    }

    /// How far an entry of this node has come; `None` when there is none.
    pub fn progress(&self, network: &str, table: &str, key: &str) -> Option<Progress> {
        self.handle
            .with(|agent, _| agent.progress(network, table, key))
    }

    /// Active nodes, this one included.
    pub async fn cluster_peers(&self) -> Vec<Peer> {
        self.handle.with(|agent, _| agent.cluster_peers())
    }

    /// Active nodes in a network, this one included when it has joined.
    pub async fn network_peers(&self, network: &str) -> Vec<Peer> {
        self.handle.with(|agent, _| agent.network_peers(network))
    }

    pub fn stats(&self) -> Stats {
        self.handle.with(|agent, _| agent.stats())
    }

    /// Says goodbye (for at most 1.5 s) and closes the sockets, for all clones.
    pub async fn leave(self) {
        self.handle.leave().await;
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

//! This node's part in a swarm.
//!
//! ```text
//!   engine-api ──► Cluster ── init, join, leave, listings, updates
//!                    │
//!      ┌─────────────┼──────────────────────────┐
//!   Manager       Agent ──► NodeExecutor        Glue
//!   (swarm)      (swarm)     tasks as containers  overlay view ⇄ gossip
//!                              │  (engine)            (cnm)
//!                              └── attachments: standalone containers' places on swarm networks
//! ```
//!
//! * [`lifecycle`]: how a node becomes a member, comes back after a restart, and leaves without a trace; [`member`]: a
//!   member's running parts; [`stored`]: what it keeps on disk.
//! * [`objects`]: the managers' objects for the API, in Docker's JSON ([`convert`]).
//! * [`executor`], [`task`], [`attachment`], [`request`], [`secrets`]: what the agent runs here.
//! * [`logs`]: what tasks here have written, and what a service's tasks have written anywhere.
//! * [`gossip_glue`]: endpoints told to other nodes, and theirs to this one.
//! * [`migrate`]: a node's move from Docker's engine to this one and back, while neither runs.
//!
//! It decides nothing about scheduling or addresses (crate `swarm`) and touches no packet (crates `cnm`, `netstate`).

#![forbid(unsafe_code)]

mod addresses;
mod attachment;
mod balance_labels;
mod checks;
mod convert;
mod drain;
mod errors;
mod events;
mod executor;
mod gossip_glue;
mod lifecycle;
mod logs;
mod lookup;
mod member;
pub mod migrate;
mod networks;
mod objects;
mod publish_labels;
mod request;
mod secrets;
mod status;
mod stored;
mod task;

use std::path::PathBuf;
use std::sync::Arc;

pub use objects::Rotate;

#[derive(Clone, Debug)]
pub struct Config {
    /// `<data-root>/swarm`
    pub dir: PathBuf,
    /// `<exec-root>`: tasks' secrets live below it, in memory.
    pub exec_root: PathBuf,
    pub default_advertise_addr: Option<String>,
    pub engine_labels: Vec<String>,
    pub engine_version: String,
}

#[derive(Clone)]
pub struct Cluster {
    inner: Arc<member::Inner>,
}

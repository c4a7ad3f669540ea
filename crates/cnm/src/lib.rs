//! The Container Network Model on this host: networks, endpoints, sandboxes.
//!
//! ```text
//!    engine, HTTP API, cluster
//!        │ create/list/inspect/remove   │ sandbox_create, connect …   │ set_peer, set_record
//!        ▼                              ▼                             ▼
//!    ┌──────────────────────────── Controller ───────────────────────────────┐
//!    │ State: networks · records (a sandbox, its endpoints) · remote peers   │──► store (redb)
//!    │        └── pure: addresses, names, gateway, files, rows per owner ──┐ │──► zones ──► dns::Resolver
//!    └─────────────────────────────────────────────────────────────────────┼─┘──► overlay_view (watch)
//!                                   Driver::{network,endpoint,peer}_rows ◄─┘
//!                                                 │ rows by owner
//!                                                 ▼ netstate::set_many
//! ```
//!
//! * A change to a sandbox is a transition from one [`Record`](model::Record) to another: what has to happen in the
//!   kernel is the difference of the rows of both, applied in one batch. When that fails, the former record holds again.
//! * The state's lock is held for look-ups and allocation only. Transitions of one sandbox are in order, those of
//!   different sandboxes run side by side; networks that live as long as their endpoints (overlay) are in order too.
//! * Endpoints are gone from the store before nobody wants their rows: what a crash leaves over, `netstate.collect`
//!   finds by its mark.
//!
//! * What a plugin answers is stored with its network and endpoint before rows follow from it ([`remote`]). No lock of the
//!   state and no turn but the sandbox's own is held while a plugin is asked.
//!
//! It does not know netlink, HTTP, gossip or the swarm's objects, runs no container, and balances no load.
#![forbid(unsafe_code)]

mod address;
mod connect;
mod controller;
mod create;
mod default_bridge;
mod drift;
pub mod driver;
mod explain;
mod filter;
pub mod fuzzing;
mod gateway_bridge;
mod grants;
mod icmp;
mod inspect;
mod ipam_check;
mod kernel;
mod lifecycle;
mod links;
mod mesh;
pub mod model;
mod names;
mod network_files;
mod nodes;
mod options;
mod overlay;
mod paths;
mod plug;
mod plugged;
pub mod ports;
mod proxy;
mod publish;
pub mod remote;
mod resolv_conf;
mod resolver;
mod sandbox;
mod services;
mod state;
mod store;
mod subnets;
mod swarm;
mod transition;
mod ways;

pub use address::{SHORT_V6, endpoint_mac, short};
pub use controller::{Config, Controller, NetworkEvent};
pub use create::random_id;
pub use default_bridge::DefaultBridge;
pub use explain::{Known, Target};
pub use overlay::{
    LocalEndpoint, NameRecord, OverlayView, Peer, Port, Subnet, SwarmNetwork, SwarmNetworks,
};
pub use proxy::{Proxy, Relay};
pub use publish::{Publish, exposed, published};
pub use sandbox::{Balance, ConnectRequest, Mode, Prefer, Sandbox, SandboxSpec, ServiceBinding};
pub use subnets::routes;

#[cfg(test)]
mod tests;

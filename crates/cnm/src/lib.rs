//! The Container Network Model on this host: networks, endpoints, sandboxes.

mod controller;
pub mod driver;
mod overlay;
mod sandbox;

pub use controller::{Config, Controller, NetworkEvent};
pub use overlay::{
    LocalEndpoint, NameRecord, OverlayView, Peer, Port, Subnet, SwarmNetwork, SwarmNetworks,
};
pub use sandbox::{ConnectRequest, Mode, Sandbox, SandboxSpec, ServiceBinding};

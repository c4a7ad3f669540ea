use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use engine_types::container::PortBinding;
use engine_types::network::{self, EndpointSettings};
use engine_types::{Filters, Result};
use netstate::NetState;
use tokio::sync::watch;

use crate::{
    ConnectRequest, NameRecord, OverlayView, Peer, Sandbox, SandboxSpec, SwarmNetwork,
    SwarmNetworks,
};

/// The daemon's network settings (flags and daemon.json).
#[derive(Clone, Debug)]
pub struct Config {
    /// `<data-root>/network`
    pub dir: PathBuf,
    pub bip: Option<String>,
    pub mtu: u32,
    pub default_address_pools: Vec<ipam::DefaultPool>,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    /// Program NAT and filter rules (`--iptables`).
    pub firewall: bool,
    pub default_binding: IpAddr,
    pub labels: Vec<String>,
}

/// Something that happened to a network, for `docker events`.
#[derive(Clone, Debug)]
pub struct NetworkEvent {
    /// create, connect, disconnect, destroy, remove, prune
    pub action: &'static str,
    pub network_id: String,
    pub attributes: BTreeMap<String, String>,
    pub scope: &'static str,
}

#[derive(Clone)]
pub struct Controller {}

impl Controller {
    /// Opens the local store, makes the predefined networks, declares the rows of everything that was there before.
    pub async fn start(
        _config: Config,
        _netstate: NetState,
        _drivers: Vec<Arc<dyn crate::driver::Driver>>,
        _events: tokio::sync::mpsc::UnboundedSender<NetworkEvent>,
    ) -> Result<Self> {
        todo!()
    }

    // --- networks (the HTTP API) ---
    pub async fn create(
        &self,
        _name: &str,
        _options: network::CreateOptions,
    ) -> Result<network::CreateResponse> {
        todo!()
    }
    pub async fn list(&self, _filters: &Filters) -> Result<Vec<network::Inspect>> {
        todo!()
    }
    pub async fn inspect(
        &self,
        _id_or_name: &str,
        _verbose: bool,
        _scope: &str,
    ) -> Result<network::Inspect> {
        todo!()
    }
    pub async fn remove(&self, _id_or_name: &str) -> Result<()> {
        todo!()
    }
    pub async fn prune(&self, _filters: &Filters) -> Result<network::PruneReport> {
        todo!()
    }

    // --- sandboxes (the engine) ---
    /// Makes the namespace and the files. Endpoints come with [`Self::connect`].
    pub async fn sandbox_create(&self, _spec: SandboxSpec) -> Result<Sandbox> {
        todo!()
    }
    /// Disconnects what is connected and removes the namespace. Goes on past failures and returns them.
    pub async fn sandbox_remove(&self, _container_id: &str) -> Vec<engine_types::Error> {
        todo!()
    }
    pub async fn connect(&self, _container_id: &str, _request: ConnectRequest) -> Result<()> {
        todo!()
    }
    pub async fn disconnect(
        &self,
        _container_id: &str,
        _network: &str,
        _force: bool,
    ) -> Result<()> {
        todo!()
    }
    /// Announces the container's names (it runs and is healthy).
    pub async fn activate(&self, _container_id: &str) -> Result<()> {
        todo!()
    }
    /// Takes its names out of every answer, here and on all nodes; packets still flow.
    pub async fn deactivate(&self, _container_id: &str) -> Result<()> {
        todo!()
    }
    pub async fn rename(&self, _container_id: &str, _name: &str) -> Result<()> {
        todo!()
    }
    /// Network name to its settings, filled in with what was allocated.
    pub fn endpoints(&self, _container_id: &str) -> BTreeMap<String, EndpointSettings> {
        todo!()
    }
    /// `80/tcp` to where it is published, ephemeral ports resolved.
    pub fn ports(&self, _container_id: &str) -> BTreeMap<String, Option<Vec<PortBinding>>> {
        todo!()
    }
    pub fn sandbox(&self, _container_id: &str) -> Option<Sandbox> {
        todo!()
    }
    /// After a restart: sandboxes of containers that are not in `alive` are removed, the rest is whole again.
    pub async fn restore(&self, _alive: &[String]) -> Result<()> {
        todo!()
    }

    // --- the swarm's side ---
    pub fn set_swarm(&self, _swarm: Option<Arc<dyn SwarmNetworks>>) {
        todo!()
    }
    /// The address that other nodes' tunnels send to.
    pub async fn set_vtep(&self, _vtep: Option<IpAddr>) {
        todo!()
    }
    /// Makes the network known here (nothing in the kernel until an endpoint joins).
    pub async fn swarm_network(&self, _network: SwarmNetwork) -> Result<()> {
        todo!()
    }
    /// Forgets it when no endpoint is left.
    pub async fn forget_swarm_network(&self, _id: &str) -> Result<()> {
        todo!()
    }
    pub fn overlay_view(&self) -> watch::Receiver<Arc<OverlayView>> {
        todo!()
    }
    pub async fn set_peer(&self, _network: &str, _endpoint: &str, _peer: Option<Peer>) {
        todo!()
    }
    /// Names of remote endpoints.
    pub async fn set_record(&self, _network: &str, _endpoint: &str, _record: Option<NameRecord>) {
        todo!()
    }
    /// Names of the drivers (`docker info`).
    pub fn driver_names(&self) -> Vec<String> {
        todo!()
    }
}

//! Network drivers and address pools in programs of others: what they are asked, and what they answer.
//!
//! A plugin does I/O, so it is no [`Driver`]. What it answers becomes part of the stored network and endpoint; from
//! there on its half that is a `Driver` ([`Plugins::rows`]) returns rows like any other.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::Mac;

use crate::SandboxSpec;
use crate::driver::Driver;
use crate::model::{Endpoint, Joined, Mapping, Network, Scope};

/// Where plugins are found. No call waits for another plugin's answer.
#[async_trait]
pub trait Plugins: Send + Sync + 'static {
    /// The rows of networks of the driver `name`, which may not be there (yet).
    fn rows(&self, name: &str, scope: Scope) -> Arc<dyn Driver>;
    /// Activated, its capabilities known.
    async fn network(&self, name: &str) -> Result<Arc<dyn NetworkPlugin>>;
    async fn ipam(&self, name: &str) -> Result<Arc<dyn IpamPlugin>>;
}

/// A network driver elsewhere.
#[async_trait]
pub trait NetworkPlugin: Send + Sync + 'static {
    /// `Local` or `Global`.
    fn scope(&self) -> Scope;
    /// Its networks reach other hosts, so it is told of the swarm's nodes.
    fn spans(&self) -> bool;
    /// A node has come or gone.
    async fn discover(&self, node: &Node, present: bool) -> Result<()>;
    /// For which families (IPv4, IPv6) the network needs no gateway address.
    async fn skips_gateway(&self, network: &Network) -> Result<(bool, bool)>;
    async fn create_network(&self, network: &Network) -> Result<()>;
    async fn delete_network(&self, id: &str) -> Result<()>;
    /// Tells of the addresses that it has, and learns of those that the plugin gives.
    async fn create_endpoint(&self, endpoint: &Endpoint, spec: &SandboxSpec) -> Result<Assigned>;
    async fn join(&self, endpoint: &Endpoint, sandbox: &Path, spec: &SandboxSpec)
    -> Result<Answer>;
    /// The endpoint is its sandbox's way outside now. Returns the published ports that the plugin tells of.
    async fn program(&self, endpoint: &Endpoint, spec: &SandboxSpec) -> Result<Vec<Mapping>>;
    async fn revoke(&self, endpoint: &Endpoint) -> Result<()>;
    /// The endpoint has left its sandbox and goes. All of it is tried; returns what failed.
    async fn forget(&self, endpoint: &Endpoint) -> Vec<Error>;
}

/// A node of the swarm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    pub address: IpAddr,
    /// This one.
    pub own: bool,
}

/// What a plugin gives an endpoint that has none of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assigned {
    pub ipv4: Option<IpNet>,
    pub ipv6: Option<IpNet>,
    pub mac: Option<Mac>,
}

/// The answer to a join.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub joined: Joined,
    /// What the interface is to be called, without its number.
    pub prefix: String,
}

/// Address pools elsewhere.
#[async_trait]
pub trait IpamPlugin: Send + Sync + 'static {
    /// The MAC address of an endpoint comes with the request for its address.
    fn requires_mac(&self) -> bool;
    /// After a restart of this daemon it wants to be told again what it has given.
    fn requires_replay(&self) -> bool;
    async fn address_space(&self, scope: Scope) -> Result<String>;
    async fn request_pool(&self, request: PoolRequest<'_>) -> Result<GivenPool>;
    async fn release_pool(&self, id: &str) -> Result<()>;
    async fn request_address(&self, request: AddressRequest<'_>) -> Result<IpNet>;
    async fn release_address(&self, pool: &str, address: IpAddr) -> Result<()>;
}

/// A pool for a network whose address space is known. Empty texts leave the choice to the plugin.
#[derive(Clone, Debug)]
pub struct PoolRequest<'a> {
    pub network: &'a Network,
    pub subnet: &'a str,
    pub range: &'a str,
    pub v6: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GivenPool {
    pub id: String,
    pub subnet: IpNet,
    pub gateway: Option<IpAddr>,
}

#[derive(Clone, Debug, Default)]
pub struct AddressRequest<'a> {
    pub pool: &'a str,
    pub wanted: Option<IpAddr>,
    pub purpose: Purpose<'a>,
}

/// What an address is for.
#[derive(Clone, Debug, Default)]
pub enum Purpose<'a> {
    Gateway,
    /// `--aux-address`
    #[default]
    Reserved,
    Endpoint {
        name: &'a str,
        mac: Option<Mac>,
    },
}

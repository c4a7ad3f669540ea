//! What a network driver is: pure functions from a network and its endpoints to rows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::{Choice, Ns, Row};

use crate::model::{Endpoint, Mapping, Network, Scope};
use crate::remote::Plugins;
use crate::{Peer, Proxy};

/// What a driver can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// `Swarm`: its networks are created by the managers.
    pub scope: Scope,
    /// Endpoints get an interface and addresses.
    pub addresses: bool,
    /// And a MAC of their own.
    pub macs: bool,
    /// Endpoints on several hosts are on one network, so a name is a name on all of them.
    pub spans: bool,
    /// The network is in the kernel only while it has an endpoint: its rows come with each endpoint's.
    pub lazy: bool,
}

/// Where the default route of a container on such a network comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// From the network itself, which publishes ports as well.
    Own,
    /// From a router that is on the network and none of ours.
    Router,
    /// The interface itself: what is behind it finds the way.
    Interface,
    /// From an endpoint on `docker_gwbridge`.
    Shared,
    Nowhere,
}

impl Gateway {
    /// The network itself leads outside.
    pub fn leads_out(self) -> bool {
        matches!(self, Self::Own | Self::Router | Self::Interface)
    }
}

/// The link of the host that a network's endpoints are made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// What is made on it, as the kernel calls it.
    pub kind: &'static str,
    /// One of these must be there; none, when the network's rows make it.
    pub links: Vec<String>,
    /// What the user reads when none is.
    pub missing: String,
}

/// The host as rows need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub firewall: Firewall,
    /// The address that other nodes' tunnels send to.
    pub vtep: Option<IpAddr>,
    /// Connections can be balanced when they are made.
    pub balances: bool,
    /// A task can answer through the node that a packet came by.
    pub steers: bool,
    /// Host address of published ports that name none.
    pub default_binding: IpAddr,
}

impl Host {
    pub(crate) fn has_v6_tunnel(&self) -> bool {
        self.vtep.is_some_and(|vtep| vtep.is_ipv6())
    }
}

/// A service on a network: its own address, and who is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub address: IpAddr,
    /// Which of its tasks a connection reaches.
    pub choice: Choice,
    /// Healthy tasks, and whether they take packets to `address` as they are.
    pub backends: BTreeMap<IpAddr, bool>,
}

impl Service {
    /// Every backend can be reached without translation.
    pub fn is_direct(&self) -> bool {
        self.backends.values().all(|direct| *direct)
    }
}

/// Ports that every node of the swarm answers on, and who is behind them, at the same ports of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshPort {
    /// tcp, udp, sctp
    pub protocol: String,
    pub first: u16,
    pub last: u16,
    /// Healthy tasks by all their addresses, and whether they answer a client through the node that it asked.
    pub backends: BTreeMap<IpAddr, bool>,
    /// They see the node's address all the same.
    pub concealed: bool,
    /// A client reaches the same one with every connection.
    pub sticky: bool,
    /// Nodes answer at these addresses of theirs only.
    pub within: Option<IpNet>,
    /// Those of the tasks that are reached through a relay, and the header that they want.
    pub relayed: BTreeMap<IpAddr, Proxy>,
}

/// Rows of a port of the mesh, and parts that ports have in common, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeshRows {
    pub own: Vec<Row>,
    pub shared: BTreeMap<String, Vec<Row>>,
}

impl MeshPort {
    /// Whether `next` is the same thing one port further. The relay's ports are not.
    pub(crate) fn goes_on_with(&self, next: &MeshPort) -> bool {
        let same = |port: &MeshPort| MeshPort {
            first: 0,
            last: 0,
            ..port.clone()
        };
        self.relayed.is_empty()
            && self.last.checked_add(1) == Some(next.first)
            && same(self) == same(next)
    }
}

/// What the daemon may do to the host's packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// Program NAT and filter rules (`--iptables`, `--ip6tables`).
    pub ipv4: bool,
    pub ipv6: bool,
    /// Switch forwarding on where a network needs it (`--ip-forward`).
    pub forward: bool,
    /// Published ports are reached at the containers' own addresses as well (`--allow-direct-routing`).
    pub direct: bool,
    /// Packets to containers with this mark under this mask come in (`--bridge-accept-fwmark`).
    pub accept_mark: Option<(u32, u32)>,
    /// Published ports are open to whom the host's own input rules let in (`--firewall-policy=host`).
    pub host_policy: bool,
}

impl Default for Firewall {
    fn default() -> Self {
        Self {
            ipv4: true,
            ipv6: true,
            forward: true,
            direct: false,
            accept_mark: None,
            host_policy: false,
        }
    }
}

/// Rows are functions of the arguments alone: the same network and endpoint give the same rows after a restart.
pub trait Driver: Send + Sync + 'static {
    fn name(&self) -> &str;
    fn capability(&self) -> Capability;
    fn gateway(&self, network: &Network) -> Gateway;
    /// What has to be on the host before the network can be made.
    fn parent(&self, _network: &Network) -> Option<Parent> {
        None
    }
    /// Checks what the user asked for: options, pools, conflicts with `others` of the same driver.
    fn validate(&self, network: &Network, others: &[&Network]) -> Result<()>;
    /// What the network is without endpoints.
    fn network_rows(&self, network: &Network, host: &Host) -> Vec<Row>;
    /// The interface in the namespace `sandbox` and its other end. The default route is not the driver's.
    fn endpoint_rows(&self, network: &Network, endpoint: &Endpoint, sandbox: &Ns) -> Vec<Row>;
    /// The same for one endpoint, where those of a network differ.
    fn endpoint_gateway(&self, network: &Network, _endpoint: &Endpoint) -> Gateway {
        self.gateway(network)
    }
    /// The routers of the default routes, for the endpoint that gives them.
    fn next_hops(&self, network: &Network, endpoint: &Endpoint) -> Vec<IpAddr> {
        let through = self.gateway(network) == Gateway::Interface;
        let pools = endpoint
            .addresses()
            .filter_map(|a| network.pool_of(&a.addr()));
        pools
            .filter_map(|(_, pool)| pool.default_gateway().filter(|_| !through))
            .collect()
    }
    /// Published ports of the endpoint that is its sandbox's gateway.
    fn publish_rows(&self, _network: &Network, _to: &Endpoint, _ports: &[Mapping]) -> Vec<Row> {
        Vec::new()
    }
    /// The same for one entry, at those addresses of the host only that are in this subnet.
    fn publish_within_rows(
        &self,
        _network: &Network,
        _to: &Endpoint,
        _port: &Mapping,
        _within: &IpNet,
    ) -> Vec<Row> {
        Vec::new()
    }
    /// What a legacy link from one endpoint to another lets pass that would not, to these protocols and ports.
    fn link_rows(
        &self,
        _network: &Network,
        _from: &Endpoint,
        _to: &Endpoint,
        _ports: &[(String, u16)],
    ) -> Vec<Row> {
        Vec::new()
    }
    /// Devices by which packets leave for other hosts' endpoints.
    fn tunnels(&self, _network: &Network) -> Vec<(Ns, String)> {
        Vec::new()
    }
    /// The longest packet that the network sends to other hosts when their paths carry it; `None`: it sends none of its own.
    fn full_size(&self, _network: &Network) -> Option<u32> {
        None
    }
    /// The way to an endpoint on another host, by one of its addresses.
    fn peer_rows(&self, _network: &Network, _peer: &Peer, _address: IpAddr) -> Vec<Row> {
        Vec::new()
    }
    /// The way to a service by its own address, from this host's endpoints.
    fn service_rows(&self, _network: &Network, _service: &Service, _host: &Host) -> Vec<Row> {
        Vec::new()
    }
    /// What makes the connections of a sandbox on the network subject to balancing.
    fn client_rows(&self, _network: &Network, _sandbox: &Ns) -> Vec<Row> {
        Vec::new()
    }
    /// What makes a sandbox on the network a way into the mesh; packets come to it by `outside`.
    fn entry_rows(
        &self,
        _network: &Network,
        _inside: &Endpoint,
        _outside: &Endpoint,
        _sandbox: &Ns,
    ) -> Vec<Row> {
        Vec::new()
    }
    /// The way from there to the tasks behind a published port.
    fn mesh_rows(
        &self,
        _network: &Network,
        _port: &MeshPort,
        _outside: &Endpoint,
        _sandbox: &Ns,
    ) -> MeshRows {
        MeshRows::default()
    }
    /// What a task does with packets of the mesh to its address `own`. `answers`: where its packets to anywhere come from; `None` where it
    /// cannot answer clients by the way that they came.
    fn task_rows(
        &self,
        _network: &Network,
        _endpoint: &Endpoint,
        _own: IpNet,
        _ports: &[Mapping],
        _answers: Option<IpAddr>,
        _sandbox: &Ns,
    ) -> Vec<Row> {
        Vec::new()
    }
    /// What makes the host take the place of its containers, and of these subnets, towards published ports of `to`.
    fn concealed_rows(&self, _network: &Network, _to: &Endpoint, _from: &[IpNet]) -> Vec<Row> {
        Vec::new()
    }
    /// Host address of published ports that name none, when the network has a view on it.
    fn host_binding(&self, _network: &Network) -> Option<IpAddr> {
        None
    }
    /// Whether an address of this family is set aside for a gateway that the user has not named.
    fn has_gateway(&self, _network: &Network, _v6: bool) -> bool {
        true
    }
    /// Published ports are ports of the host; otherwise containers are reached at their own addresses only.
    fn translates(&self, _network: &Network, _v6: bool) -> bool {
        true
    }
}

/// The drivers by name: our own, and those of plugins that were asked for.
pub(crate) struct Registry {
    own: BTreeMap<String, Arc<dyn Driver>>,
    plugged: BTreeMap<String, Arc<dyn Driver>>,
    pub plugins: Option<Arc<dyn Plugins>>,
}

impl Registry {
    pub fn new(drivers: Vec<Arc<dyn Driver>>, plugins: Option<Arc<dyn Plugins>>) -> Self {
        Self {
            own: drivers
                .into_iter()
                .map(|d| (d.name().to_string(), d))
                .collect(),
            plugged: BTreeMap::new(),
            plugins,
        }
    }
    pub fn get(&self, name: &str) -> Result<&dyn Driver> {
        match self.own.get(name).or_else(|| self.plugged.get(name)) {
            Some(driver) => Ok(driver.as_ref()),
            None => Err(plugin_not_found(name)),
        }
    }
    pub fn is_own(&self, name: &str) -> bool {
        self.own.contains_key(name)
    }
    /// From now on there are networks of a plugin's driver.
    pub fn plug(&mut self, name: &str, scope: Scope) {
        if let Some(plugins) = self.plugins.as_ref().filter(|_| !self.is_own(name)) {
            self.plugged
                .insert(name.to_string(), plugins.rows(name, scope));
        }
    }
    pub fn plugged_names(&self) -> Vec<String> {
        self.plugged.keys().cloned().collect()
    }
    pub fn own_names(&self) -> impl Iterator<Item = &String> {
        self.own.keys()
    }
}

pub(crate) fn plugin_not_found(name: &str) -> Error {
    Error::not_found(format!("plugin {name:?} not found"))
}

//! What this host knows of a network, and of a container's part in networks. The store holds exactly this.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use engine_types::network::{EndpointSettings, IPAM};
use ipnet::IpNet;
use netstate::{Mac, Ns};
use serde::{Deserialize, Serialize};

use crate::{Mode, Sandbox, SandboxSpec, ServiceBinding};

/// How far a network reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    #[default]
    Local,
    /// Of a plugin's driver that reaches other hosts by itself; made on this host alone, without a swarm.
    Global,
    Swarm,
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
            Self::Swarm => "swarm",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    pub id: String,
    pub name: String,
    pub driver: String,
    /// RFC 3339
    pub created: String,
    pub scope: Scope,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    /// Only settings for others to copy: no pools, no endpoints.
    pub config_only: bool,
    pub config_from: String,
    pub enable_ipv4: bool,
    pub enable_ipv6: bool,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// As the user wrote it; what came of it is in `pools`.
    pub ipam: IPAM,
    pub pools: Vec<Pool>,
    /// UDP port of the swarm's data path.
    pub vxlan_port: u16,
    /// Its tunnels are between IPv6 addresses of hosts, and carry so much less.
    pub tunnel_v6: bool,
    /// Of the IPAM plugin that gave the pools.
    pub address_space: String,
}

/// A subnet of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    pub subnet: IpNet,
    pub range: Option<IpNet>,
    pub gateway: Option<IpAddr>,
    #[serde(default)]
    pub aux: BTreeMap<String, IpAddr>,
    #[serde(default)]
    pub vni: Option<u32>,
    /// The user chose the subnet, so he may choose addresses too.
    #[serde(default)]
    pub chosen: bool,
    /// What the IPAM plugin that gave it calls it.
    #[serde(default)]
    pub id: Option<String>,
}

impl Pool {
    /// Where containers' default routes lead: to another machine, where the user has named one in Docker's way.
    pub fn default_gateway(&self) -> Option<IpAddr> {
        let chosen = match self.subnet {
            IpNet::V4(_) => "DefaultGatewayIPv4",
            IpNet::V6(_) => "DefaultGatewayIPv6",
        };
        self.aux.get(chosen).copied().or(self.gateway)
    }
}

impl Network {
    /// The pool that `address` is from, and its place among the pools.
    pub fn pool_of(&self, address: &IpAddr) -> Option<(usize, &Pool)> {
        let mut pools = self.pools.iter().enumerate();
        pools.find(|(_, pool)| pool.subnet.contains(address))
    }
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }
    /// `bridge`, `host` and `none` always exist.
    pub fn is_predefined(&self) -> bool {
        is_predefined(&self.name)
    }
}

pub(crate) fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none" | "default")
}

/// A sandbox's connection to a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// 64 hex characters.
    pub id: String,
    pub network: String,
    pub ifname: String,
    #[serde(with = "crate::overlay::mac_text")]
    pub mac: Mac,
    /// With the subnet's prefix length.
    pub ipv4: Option<IpNet>,
    pub ipv6: Option<IpNet>,
    /// As it was asked for.
    pub settings: EndpointSettings,
    pub service: Option<ServiceBinding>,
    /// Container name, aliases, short id, host name; the first is the one that PTR answers give.
    pub names: Vec<String>,
    /// Ours, on `docker_gwbridge`: there because no other network gives a default route.
    pub is_gateway: bool,
    /// The managers allocated the address for this container: they want to know when it goes.
    pub attached: bool,
    /// What the plugin answered that drives the network; `None` until it has.
    #[serde(default)]
    pub joined: Option<Joined>,
}

/// A plugin's answer to a join: what the rows of its endpoint follow from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Joined {
    /// Name of the interface on the host, which is to be taken into the sandbox.
    pub link: Option<String>,
    pub gateways: Vec<IpAddr>,
    pub routes: Vec<StaticRoute>,
    /// It wants no way outside, not even by `docker_gwbridge`.
    pub no_gateway: bool,
    /// Published by the plugin, as far as it tells.
    pub ports: Vec<Mapping>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StaticRoute {
    pub dst: IpNet,
    /// `None`: on the link itself.
    pub via: Option<IpAddr>,
}

impl Endpoint {
    /// The host's end of the veth pair.
    pub fn veth(&self) -> String {
        format!("veth{:.7}", self.id)
    }
    pub fn addresses(&self) -> impl Iterator<Item = IpNet> {
        self.ipv4.into_iter().chain(self.ipv6)
    }
    pub fn address(&self, v6: bool) -> Option<IpNet> {
        if v6 { self.ipv6 } else { self.ipv4 }
    }
    /// None without one of its own, and while a plugin's interface has one that nobody asked for.
    pub fn known_mac(&self) -> Option<Mac> {
        Some(self.mac).filter(|mac| *mac != Mac([0; 6]))
    }
    pub(crate) fn mac_text(&self) -> String {
        let mac = self.known_mac().map(|mac| mac.to_string());
        mac.unwrap_or_default()
    }
    /// Of the service that the task belongs to, as far as it has any.
    pub fn virtual_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.service.iter().flat_map(ServiceBinding::virtual_ips)
    }
    /// The one of IPv4.
    pub fn virtual_ip(&self) -> Option<Ipv4Addr> {
        self.service.as_ref()?.virtual_ip.parse().ok()
    }
    pub fn has(&self, ip: &IpAddr) -> bool {
        self.addresses().any(|a| a.addr() == *ip)
    }
}

/// Published ports, their host side resolved: so many in a row, one to one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mapping {
    /// tcp, udp, sctp
    pub protocol: String,
    pub target: u16,
    pub host_ip: IpAddr,
    /// `None`: the container is reached at its own address.
    pub host_port: Option<u16>,
    /// At least one; neither side goes past port 65535.
    #[serde(default = "one")]
    pub count: u16,
}

fn one() -> u16 {
    1
}

impl Mapping {
    pub fn last_target(&self) -> u16 {
        self.target.saturating_add(self.count.saturating_sub(1))
    }
    /// The host's ports, first and last.
    pub fn host_ports(&self) -> Option<(u16, u16)> {
        let first = self.host_port?;
        Some((first, first.saturating_add(self.count.saturating_sub(1))))
    }
}

/// Docker's name of it, which `docker network inspect` shows.
pub(crate) const ENTRY: &str = "ingress-sbox";

/// A sandbox and all that is connected to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// 64 hex characters.
    pub id: String,
    pub spec: SandboxSpec,
    /// Its names are in the answers.
    pub active: bool,
    pub endpoints: Vec<Endpoint>,
    pub mappings: Vec<Mapping>,
}

impl Record {
    pub fn new(id: String, spec: SandboxSpec) -> Self {
        Self {
            id,
            spec,
            active: false,
            endpoints: Vec::new(),
            mappings: Vec::new(),
        }
    }
    /// The sandbox of this node's own, through which its published ports lead into the routing mesh.
    pub fn is_entry(&self) -> bool {
        self.spec.container_id == ENTRY
    }
    /// The namespace, when it is this sandbox's own.
    pub fn ns(&self) -> Option<Ns> {
        (self.spec.mode == Mode::Private).then(|| Ns::Named(format!("{:.12}", self.id)))
    }
    pub fn endpoint_on(&self, network: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|e| e.network == network)
    }
    pub(crate) fn sandbox(&self, path: impl Fn(&Ns) -> std::path::PathBuf) -> Sandbox {
        Sandbox {
            id: self.id.clone(),
            netns: self.ns().map(|ns| path(&ns)),
        }
    }
}

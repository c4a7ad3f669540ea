//! Sandboxes: a container's network namespace, its endpoints, `resolv.conf`, `hosts` and resolver.

use std::net::IpAddr;
use std::path::PathBuf;

use engine_types::network::EndpointSettings;
use std::collections::BTreeMap;

use crate::publish::Publish;

/// How a container is connected (`HostConfig.NetworkMode`).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Mode {
    /// A namespace of its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's, by id.
    Container(String),
}

/// What a sandbox is made from. `dir` is the container's own folder: `hosts` and `resolv.conf` are written there.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SandboxSpec {
    pub container_id: String,
    pub container_name: String,
    pub mode: Mode,
    pub hostname: String,
    pub domainname: String,
    pub dir: PathBuf,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    /// `name:ip`
    pub extra_hosts: Vec<String>,
    /// Its namespace is to be without IPv6 (a sysctl says so).
    #[serde(default)]
    pub ipv6_disabled: bool,
    pub sysctls: BTreeMap<String, String>,
    pub ports: Vec<Publish>,
    /// Protocol, first and last port of what it says that it serves.
    #[serde(default)]
    pub exposed: Vec<(String, u16, u16)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// 64 hex characters (`NetworkSettings.SandboxID`).
    pub id: String,
    /// The namespace's path, for the OCI runtime; `None` for the host's.
    pub netns: Option<PathBuf>,
}

/// One connection of a container to a network.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ConnectRequest {
    /// Name, id, or unique id prefix.
    pub network: String,
    pub settings: EndpointSettings,
    /// A swarm task's endpoint: its address (in `settings.ipam_config`) was allocated by the manager already.
    pub preallocated: bool,
    pub service: Option<ServiceBinding>,
}

/// The service that a task's endpoint belongs to.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ServiceBinding {
    pub id: String,
    pub name: String,
    /// Address without mask, or empty.
    pub virtual_ip: String,
    /// The same of IPv6.
    pub virtual_ip_v6: String,
    pub aliases: Vec<String>,
    /// Published through the mesh; only on the ingress network.
    pub ingress_ports: Vec<crate::Port>,
    pub balance: Balance,
}

impl ServiceBinding {
    /// The service's own addresses, one of a family at most.
    pub fn virtual_ips(&self) -> impl Iterator<Item = IpAddr> {
        let both = [&self.virtual_ip, &self.virtual_ip_v6];
        both.into_iter().filter_map(|text| text.parse().ok())
    }
    /// Of the family of `beside`.
    pub fn virtual_ip_beside(&self, beside: IpAddr) -> Option<IpAddr> {
        self.virtual_ips()
            .find(|own| own.is_ipv6() == beside.is_ipv6())
    }
}

/// Which of a service's tasks a client reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Balance {
    /// The same one with every connection.
    pub sticky: bool,
    /// One that the client's node has the fewest connections to; not both.
    pub least: bool,
    pub prefer: Prefer,
}

impl Balance {
    pub fn choice(self) -> netstate::Choice {
        match self {
            Self { sticky: true, .. } => netstate::Choice::Sticky,
            Self { least: true, .. } => netstate::Choice::Fewest,
            _ => netstate::Choice::Any,
        }
    }
}

/// Near tasks, as long as there is one.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum Prefer {
    /// On the client's node.
    Node,
    /// On nodes with the same engine label `zone`.
    Zone,
    #[default]
    Any,
}

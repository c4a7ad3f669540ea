//! The seam between this host's networks and the swarm: what goes out to gossip, and what comes in from it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use engine_types::{Result, network};
use ipnet::IpNet;
use netstate::Mac;

use crate::{Proxy, ServiceBinding};

/// A swarm network as a node needs it (from a task, an attachment or a node's attachments).
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SwarmNetwork {
    pub id: String,
    pub name: String,
    pub driver: String,
    pub created: String,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub enable_ipv6: bool,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
    pub subnets: Vec<Subnet>,
    /// Of a network that each node makes for itself: its network of settings, and the subnets that the user wrote.
    pub config_from: String,
    pub ipam: Vec<network::IPAMConfig>,
    /// UDP port of the data path.
    pub vxlan_port: u16,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Subnet {
    pub subnet: IpNet,
    pub gateway: Option<IpAddr>,
    pub vni: u32,
}

/// Everything that this node tells others: per network that spans nodes its local endpoints. Level-triggered: whoever
/// publishes compares this with what it has published.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverlayView {
    pub networks: BTreeMap<String, BTreeMap<String, LocalEndpoint>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LocalEndpoint {
    /// With the subnet's prefix length; of IPv4 where it has one.
    pub address: IpNet,
    /// Beside one of IPv4.
    pub address_v6: Option<IpNet>,
    pub mac: Mac,
    /// Other nodes reach it by this node's tunnel; otherwise by a wire that they share with it.
    pub tunnelled: bool,
    /// Names to announce; `None` until the container runs (and is healthy) or while it drains.
    pub record: Option<NameRecord>,
}

/// `endpoint_table`'s row in our terms.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NameRecord {
    pub name: String,
    /// Short id, host name, aliases.
    pub task_aliases: Vec<String>,
    pub address: Option<IpAddr>,
    #[serde(default)]
    pub address_v6: Option<IpAddr>,
    /// It takes packets to its service's address as they are; on the ingress network, it answers by the way that they came.
    pub direct: bool,
    /// Its node's; empty for none.
    pub zone: String,
    /// Empty (default) for a standalone container.
    pub service: ServiceBinding,
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Port {
    pub name: String,
    /// tcp, udp, sctp
    pub protocol: String,
    pub target: u16,
    pub published: u16,
    /// Tasks see the node's address in the client's place.
    #[serde(default)]
    pub concealed: bool,
    /// Nodes answer at these addresses of theirs only.
    #[serde(default)]
    pub within: Option<IpNet>,
    /// The task wants to be told of its clients.
    #[serde(default)]
    pub proxy: Option<Proxy>,
}

/// A remote endpoint.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Peer {
    pub address: IpNet,
    #[serde(default)]
    pub address_v6: Option<IpNet>,
    #[serde(with = "mac_text")]
    pub mac: Mac,
    pub vtep: IpAddr,
}

impl Peer {
    pub fn addresses(&self) -> impl Iterator<Item = IpNet> + use<> {
        std::iter::once(self.address).chain(self.address_v6)
    }
}

impl NameRecord {
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.address.into_iter().chain(self.address_v6)
    }
}

/// What the swarm does for this host's networks. Absent while the node is in no swarm.
#[async_trait]
pub trait SwarmNetworks: Send + Sync + 'static {
    /// Managers: all swarm networks. Workers: none (what is in use here is known locally).
    async fn list(&self) -> Result<Vec<network::Inspect>>;
    async fn create(&self, name: &str, options: network::CreateOptions) -> Result<String>;
    /// By id.
    async fn remove(&self, id: &str) -> Result<()>;
    /// Asks the managers to attach a standalone container; returns the network and the addresses that were allocated, one
    /// for each family that the network has; none where they are the node's own affair.
    async fn attach(
        &self,
        network: &str,
        container_id: &str,
        addresses: Vec<String>,
    ) -> Result<(SwarmNetwork, Vec<IpNet>)>;
    async fn detach(&self, network_id: &str, container_id: &str) -> Result<()>;
    /// Nodes that take part in the network (`Peers` of inspect).
    async fn peers(&self, network_id: &str) -> Vec<network::PeerInfo>;
    fn is_manager(&self) -> bool;
}

/// `02:42:0a:00:00:03` in the store.
pub(crate) mod mac_text {
    use netstate::Mac;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(mac: &Mac, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(mac)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Mac, D::Error> {
        let text = String::deserialize(d)?;
        Mac::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("not a MAC address: {text}")))
    }
}

//! SWIM membership and NetworkDB tables on the wire of memberlist, port 7946.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use tokio::sync::mpsc;

/// How this node takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// 12 hex characters, new at every start of the agent (NetworkDB's `node_name`).
    pub node_name: String,
    /// Where the sockets listen (UDP and TCP).
    pub bind: SocketAddr,
    /// What other nodes are told.
    pub advertise: SocketAddr,
    /// AES keys; the first encrypts, all decrypt.
    pub keys: Vec<Vec<u8>>,
}

/// What NetworkDB tells its user. Only entries of joined networks that other nodes own are reported.
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
    EntrySet {
        network: String,
        table: String,
        key: String,
        owner: String,
        value: Bytes,
    },
    EntryDelete {
        network: String,
        table: String,
        key: String,
        owner: String,
        value: Bytes,
    },
}

/// A running agent: commands go in here, [`Event`]s come out of the channel that `start` returns.
#[derive(Clone)]
pub struct Gossip {}

/// A member of the cluster, or of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    pub addr: IpAddr,
}

impl Gossip {
    pub async fn start(_config: Config) -> Result<(Self, mpsc::Receiver<Event>), Error> {
        todo!()
    }
    /// The managers to join through, and to come back to after a partition.
    pub fn set_bootstrap(&self, _addrs: Vec<SocketAddr>) {
        todo!()
    }
    /// Rotation: makes the key ring exactly `keys`, the first one primary.
    pub fn set_keys(&self, _keys: Vec<Vec<u8>>) {
        todo!()
    }
    pub async fn join_network(&self, _network: &str) {
        todo!()
    }
    pub async fn leave_network(&self, _network: &str) {
        todo!()
    }
    /// Creates the entry, or updates it when it exists with another value.
    pub async fn set_entry(&self, _network: &str, _table: &str, _key: &str, _value: Bytes) {
        todo!()
    }
    pub async fn delete_entry(&self, _network: &str, _table: &str, _key: &str) {
        todo!()
    }
    pub async fn cluster_peers(&self) -> Vec<Peer> {
        todo!()
    }
    pub async fn network_peers(&self, _network: &str) -> Vec<Peer> {
        todo!()
    }
    /// Says goodbye (bounded wait) and closes the sockets.
    pub async fn leave(self) {
        todo!()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// The messages of the two tables that Docker's nodes share.
pub mod records {
    /// `overlay_peer_table`: where an endpoint is.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct PeerRecord {
        /// `10.0.1.5/24`
        #[prost(string, tag = "1")]
        pub endpoint_ip: String,
        #[prost(string, tag = "2")]
        pub endpoint_mac: String,
        #[prost(string, tag = "3")]
        pub tunnel_endpoint_ip: String,
    }

    /// `endpoint_table`: what an endpoint is called.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct EndpointRecord {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub service_name: String,
        #[prost(string, tag = "3")]
        pub service_id: String,
        #[prost(string, tag = "4")]
        pub virtual_ip: String,
        #[prost(string, tag = "5")]
        pub endpoint_ip: String,
        #[prost(message, repeated, tag = "6")]
        pub ingress_ports: Vec<PortConfig>,
        #[prost(string, repeated, tag = "7")]
        pub aliases: Vec<String>,
        #[prost(string, repeated, tag = "8")]
        pub task_aliases: Vec<String>,
        #[prost(bool, tag = "9")]
        pub service_disabled: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct PortConfig {
        #[prost(string, tag = "1")]
        pub name: String,
        /// 0 tcp, 1 udp, 2 sctp
        #[prost(int32, tag = "2")]
        pub protocol: i32,
        #[prost(uint32, tag = "3")]
        pub target_port: u32,
        #[prost(uint32, tag = "4")]
        pub published_port: u32,
    }
}

//! The messages of the two tables that Docker's nodes share.

/// `overlay_peer_table`: where an endpoint is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PeerRecord {
    /// `10.0.1.5/24`; of IPv6 where the network has no IPv4, which Docker's nodes find in none of their subnets.
    #[prost(string, tag = "1")]
    pub endpoint_ip: String,
    #[prost(string, tag = "2")]
    pub endpoint_mac: String,
    #[prost(string, tag = "3")]
    pub tunnel_endpoint_ip: String,
    /// Ours, which Docker's nodes pass on unread: `fd00::5/64`, empty for none. Docker tells IPv4 addresses only.
    #[prost(string, tag = "1000")]
    pub endpoint_ipv6: String,
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
    /// Ours, which Docker's nodes pass on unread: the endpoint has its service's address, so packets for it need no
    /// translation.
    #[prost(bool, tag = "1000")]
    pub direct: bool,
    /// Ours: a client's connections all reach the same task.
    #[prost(bool, tag = "1001")]
    pub sticky: bool,
    /// Ours: 0 any task, 1 those on the client's node, 2 those in its zone.
    #[prost(uint32, tag = "1002")]
    pub prefer: u32,
    /// Ours: the node's, empty for none.
    #[prost(string, tag = "1003")]
    pub zone: String,
    /// Ours: a client's node chooses a task that it has the fewest connections to.
    #[prost(bool, tag = "1006")]
    pub least: bool,
    /// Ours, empty for none.
    #[prost(string, tag = "1010")]
    pub endpoint_ipv6: String,
    /// Ours, empty for none: the service's own address beside that.
    #[prost(string, tag = "1011")]
    pub virtual_ipv6: String,
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
    /// Ours, as `EndpointRecord::direct` is: the task is to see the node's address in the client's place.
    #[prost(bool, tag = "1000")]
    pub concealed: bool,
    /// Ours: nodes answer at their addresses in this subnet only; empty for all.
    #[prost(string, tag = "1001")]
    pub within: String,
}

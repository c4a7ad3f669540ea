//! `NetworkDriver.*`

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Capabilities {
    #[serde(deserialize_with = "engine_types::null_default")]
    pub scope: String,
    #[serde(deserialize_with = "engine_types::null_default")]
    pub connectivity_scope: String,
    #[serde(deserialize_with = "engine_types::null_default")]
    pub gw_alloc_checker: bool,
}

/// A pool of a network, in CIDR.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IpamData {
    #[serde(deserialize_with = "engine_types::null_default")]
    pub address_space: String,
    #[serde(
        deserialize_with = "engine_types::null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub pool: String,
    #[serde(
        deserialize_with = "engine_types::null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub gateway: String,
    #[serde(
        deserialize_with = "engine_types::null_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub aux_addresses: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateNetwork {
    #[serde(rename = "NetworkID")]
    pub network: String,
    #[serde(rename = "Options", deserialize_with = "engine_types::null_default")]
    pub options: Map<String, Value>,
    #[serde(rename = "IPv4Data", deserialize_with = "engine_types::null_default")]
    pub ipv4: Vec<IpamData>,
    #[serde(rename = "IPv6Data", deserialize_with = "engine_types::null_default")]
    pub ipv6: Vec<IpamData>,
}

/// `DeleteNetwork`, `FreeNetwork`
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfNetwork {
    #[serde(rename = "NetworkID")]
    pub network: String,
}

/// `DiscoveryType` of nodes.
pub const NODE: u8 = 1;

/// `DiscoverNew`, `DiscoverDelete`
#[derive(Debug, Serialize)]
pub struct Discovery {
    #[serde(rename = "DiscoveryType")]
    pub kind: u8,
    #[serde(rename = "DiscoveryData")]
    pub data: NodeData,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeData {
    pub address: String,
    pub bind_address: String,
    #[serde(rename = "Self")]
    pub own: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GwAllocCheck {
    #[serde(rename = "Options", deserialize_with = "engine_types::null_default")]
    pub options: Map<String, Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GwAllocChecked {
    #[serde(rename = "SkipIPv4", deserialize_with = "engine_types::null_default")]
    pub skip_ipv4: bool,
    #[serde(rename = "SkipIPv6", deserialize_with = "engine_types::null_default")]
    pub skip_ipv6: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    #[serde(rename = "Address", deserialize_with = "engine_types::null_default")]
    pub address: String,
    #[serde(
        rename = "AddressIPv6",
        deserialize_with = "engine_types::null_default"
    )]
    pub address_ipv6: String,
    #[serde(rename = "MacAddress", deserialize_with = "engine_types::null_default")]
    pub mac: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateEndpoint {
    #[serde(rename = "NetworkID")]
    pub network: String,
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
    #[serde(rename = "Interface", deserialize_with = "engine_types::null_default")]
    pub interface: Interface,
    #[serde(rename = "Options", deserialize_with = "engine_types::null_default")]
    pub options: Map<String, Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreatedEndpoint {
    #[serde(rename = "Interface", deserialize_with = "engine_types::null_default")]
    pub interface: Interface,
}

/// `DeleteEndpoint`, `Leave`, `EndpointOperInfo`, `RevokeExternalConnectivity`; with options
/// `ProgramExternalConnectivity`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfEndpoint {
    #[serde(rename = "NetworkID")]
    pub network: String,
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
    #[serde(
        rename = "Options",
        deserialize_with = "engine_types::null_default",
        skip_serializing_if = "Map::is_empty"
    )]
    pub options: Map<String, Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Join {
    #[serde(rename = "NetworkID")]
    pub network: String,
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
    #[serde(rename = "SandboxKey")]
    pub sandbox: String,
    #[serde(rename = "Options", deserialize_with = "engine_types::null_default")]
    pub options: Map<String, Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct InterfaceName {
    #[serde(deserialize_with = "engine_types::null_default")]
    pub src_name: String,
    #[serde(deserialize_with = "engine_types::null_default")]
    pub dst_prefix: String,
}

/// `RouteType` of a route to the link itself.
pub const CONNECTED: i64 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct StaticRoute {
    #[serde(deserialize_with = "engine_types::null_default")]
    pub destination: String,
    #[serde(deserialize_with = "engine_types::null_default")]
    pub route_type: i64,
    #[serde(deserialize_with = "engine_types::null_default")]
    pub next_hop: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Joined {
    #[serde(
        rename = "InterfaceName",
        deserialize_with = "engine_types::null_default"
    )]
    pub interface: InterfaceName,
    #[serde(rename = "Gateway", deserialize_with = "engine_types::null_default")]
    pub gateway: String,
    #[serde(
        rename = "GatewayIPv6",
        deserialize_with = "engine_types::null_default"
    )]
    pub gateway_ipv6: String,
    #[serde(
        rename = "StaticRoutes",
        deserialize_with = "engine_types::null_default"
    )]
    pub routes: Vec<StaticRoute>,
    #[serde(
        rename = "DisableGatewayService",
        deserialize_with = "engine_types::null_default"
    )]
    pub no_gateway: bool,
}

/// `EndpointOperInfo`'s answer.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    #[serde(rename = "Value", deserialize_with = "engine_types::null_default")]
    pub value: Map<String, Value>,
}

/// An entry of `com.docker.network.portmap`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortBinding {
    #[serde(rename = "Proto")]
    pub protocol: u8,
    #[serde(rename = "IP", deserialize_with = "engine_types::null_default")]
    pub ip: String,
    #[serde(rename = "Port")]
    pub port: u16,
    #[serde(rename = "HostIP", deserialize_with = "engine_types::null_default")]
    pub host_ip: String,
    #[serde(rename = "HostPort")]
    pub host_port: u16,
    #[serde(rename = "HostPortEnd")]
    pub host_port_end: u16,
}

/// An entry of `com.docker.network.endpoint.exposedports`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TransportPort {
    pub proto: u8,
    pub port: u16,
}

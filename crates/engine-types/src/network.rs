//! Networks, endpoints and their addresses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::*;

/// Docker's `Address`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    #[serde(rename = "Addr", deserialize_with = "crate::null_default")]
    pub addr: String,
    #[serde(rename = "PrefixLen", deserialize_with = "crate::null_default")]
    pub prefix_len: i64,
}

/// Docker's `ConfigReference`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigReference {
    #[serde(rename = "Network", deserialize_with = "crate::null_default")]
    pub network: String,
}

/// Docker's `ConnectOptions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectOptions {
    #[serde(rename = "Container", deserialize_with = "crate::null_default")]
    pub container: String,
    #[serde(rename = "EndpointConfig", skip_serializing_if = "crate::is_empty")]
    pub endpoint_config: Option<EndpointSettings>,
}

/// `POST /networks/create` without the name. Empty `driver` = bridge; `enable_ipv4` unset = true.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateOptions {
    #[serde(rename = "Driver", deserialize_with = "crate::null_default")]
    pub driver: String,
    #[serde(rename = "Scope", deserialize_with = "crate::null_default")]
    pub scope: String,
    #[serde(rename = "EnableIPv4", skip_serializing_if = "crate::is_empty")]
    pub enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6", skip_serializing_if = "crate::is_empty")]
    pub enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    pub ipam: Option<IPAM>,
    #[serde(rename = "Internal", deserialize_with = "crate::null_default")]
    pub internal: bool,
    #[serde(rename = "Attachable", deserialize_with = "crate::null_default")]
    pub attachable: bool,
    #[serde(rename = "Ingress", deserialize_with = "crate::null_default")]
    pub ingress: bool,
    #[serde(rename = "ConfigOnly", deserialize_with = "crate::null_default")]
    pub config_only: bool,
    #[serde(rename = "ConfigFrom")]
    pub config_from: Option<ConfigReference>,
    #[serde(rename = "Options")]
    pub options: Option<BTreeMap<String, String>>,
    #[serde(rename = "Labels")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// Docker's `CreateRequest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateRequest {
    #[serde(flatten)]
    pub create_options: CreateOptions,
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "CheckDuplicate", skip_serializing_if = "crate::is_empty")]
    pub check_duplicate: Option<bool>,
}

/// Docker's `CreateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateResponse {
    #[serde(rename = "Id", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(rename = "Warning", deserialize_with = "crate::null_default")]
    pub warning: String,
}

/// Docker's `DisconnectOptions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DisconnectOptions {
    #[serde(rename = "Container", deserialize_with = "crate::null_default")]
    pub container: String,
    #[serde(rename = "Force", deserialize_with = "crate::null_default")]
    pub force: bool,
}

/// Addresses that the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointIPAMConfig {
    #[serde(
        rename = "IPv4Address",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub ipv4_address: String,
    #[serde(
        rename = "IPv6Address",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub ipv6_address: String,
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "crate::no_items")]
    pub link_local_ips: Option<Vec<String>>,
}

/// A container in [`Inspect::containers`]; addresses with prefix length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointResource {
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "EndpointID", deserialize_with = "crate::null_default")]
    pub endpoint_id: String,
    #[serde(rename = "MacAddress", deserialize_with = "crate::null_default")]
    pub mac_address: String,
    #[serde(rename = "IPv4Address", deserialize_with = "crate::null_default")]
    pub ipv4_address: String,
    #[serde(rename = "IPv6Address", deserialize_with = "crate::null_default")]
    pub ipv6_address: String,
}

/// A container's place in a network: what was asked for (`ipam_config`, `links`, `aliases`, `driver_opts`, `gw_priority`) and
/// what it got.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIPAMConfig>,
    #[serde(rename = "Links")]
    pub links: Option<Vec<String>>,
    #[serde(rename = "Aliases")]
    pub aliases: Option<Vec<String>>,
    #[serde(rename = "MacAddress", deserialize_with = "crate::null_default")]
    pub mac_address: String,
    #[serde(rename = "DriverOpts")]
    pub driver_opts: Option<BTreeMap<String, String>>,
    #[serde(rename = "GwPriority", deserialize_with = "crate::null_default")]
    pub gw_priority: i64,
    #[serde(rename = "NetworkID", deserialize_with = "crate::null_default")]
    pub network_id: String,
    #[serde(rename = "EndpointID", deserialize_with = "crate::null_default")]
    pub endpoint_id: String,
    #[serde(rename = "Gateway", deserialize_with = "crate::null_default")]
    pub gateway: String,
    #[serde(rename = "IPAddress", deserialize_with = "crate::null_default")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen", deserialize_with = "crate::null_default")]
    pub ip_prefix_len: i64,
    #[serde(rename = "IPv6Gateway", deserialize_with = "crate::null_default")]
    pub ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "crate::null_default")]
    pub global_ipv6_address: String,
    #[serde(
        rename = "GlobalIPv6PrefixLen",
        deserialize_with = "crate::null_default"
    )]
    pub global_ipv6_prefix_len: i64,
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// Docker's `IPAMConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IPAMConfig {
    #[serde(
        rename = "Subnet",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub subnet: String,
    #[serde(
        rename = "IPRange",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub ip_range: String,
    #[serde(
        rename = "Gateway",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub gateway: String,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "crate::no_items")]
    pub auxiliary_addresses: Option<BTreeMap<String, String>>,
}

/// Docker's `IPAM`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IPAM {
    #[serde(rename = "Driver", deserialize_with = "crate::null_default")]
    pub driver: String,
    #[serde(rename = "Options")]
    pub options: Option<BTreeMap<String, String>>,
    #[serde(rename = "Config")]
    pub config: Option<Vec<IPAMConfig>>,
}

/// `GET /networks/{id}`, and with fewer fields a row of `GET /networks`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspect {
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "Id", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(rename = "Created", deserialize_with = "crate::null_default")]
    pub created: Time,
    #[serde(rename = "Scope", deserialize_with = "crate::null_default")]
    pub scope: String,
    #[serde(rename = "Driver", deserialize_with = "crate::null_default")]
    pub driver: String,
    #[serde(rename = "EnableIPv4", deserialize_with = "crate::null_default")]
    pub enable_ipv4: bool,
    #[serde(rename = "EnableIPv6", deserialize_with = "crate::null_default")]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM", deserialize_with = "crate::null_default")]
    pub ipam: IPAM,
    #[serde(rename = "Internal", deserialize_with = "crate::null_default")]
    pub internal: bool,
    #[serde(rename = "Attachable", deserialize_with = "crate::null_default")]
    pub attachable: bool,
    #[serde(rename = "Ingress", deserialize_with = "crate::null_default")]
    pub ingress: bool,
    #[serde(rename = "ConfigFrom", deserialize_with = "crate::null_default")]
    pub config_from: ConfigReference,
    #[serde(rename = "ConfigOnly", deserialize_with = "crate::null_default")]
    pub config_only: bool,
    #[serde(rename = "Containers")]
    pub containers: Option<BTreeMap<String, EndpointResource>>,
    #[serde(rename = "Options")]
    pub options: Option<BTreeMap<String, String>>,
    #[serde(rename = "Labels")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "Peers", skip_serializing_if = "crate::no_items")]
    pub peers: Option<Vec<PeerInfo>>,
    #[serde(rename = "Services", skip_serializing_if = "crate::no_items")]
    pub services: Option<BTreeMap<String, ServiceInfo>>,
}

/// Docker's `NetworkingConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkingConfig {
    #[serde(rename = "EndpointsConfig", deserialize_with = "crate::null_values")]
    pub endpoints_config: Option<BTreeMap<String, EndpointSettings>>,
}

/// Docker's `PeerInfo`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerInfo {
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "IP", deserialize_with = "crate::null_default")]
    pub ip: String,
}

/// Docker's `PruneReport`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PruneReport {
    #[serde(rename = "NetworksDeleted")]
    pub networks_deleted: Option<Vec<String>>,
}

/// `verbose` inspection of a swarm network: a service and its tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceInfo {
    #[serde(rename = "VIP", deserialize_with = "crate::null_default")]
    pub vip: String,
    #[serde(rename = "Ports")]
    pub ports: Option<Vec<String>>,
    #[serde(rename = "LocalLBIndex", deserialize_with = "crate::null_default")]
    pub local_lb_index: i64,
    #[serde(rename = "Tasks")]
    pub tasks: Option<Vec<Task>>,
}

/// Docker's `Task`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "EndpointID", deserialize_with = "crate::null_default")]
    pub endpoint_id: String,
    #[serde(rename = "EndpointIP", deserialize_with = "crate::null_default")]
    pub endpoint_ip: String,
    #[serde(rename = "Info")]
    pub info: Option<BTreeMap<String, String>>,
}

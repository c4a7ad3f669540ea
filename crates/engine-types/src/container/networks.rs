//! A container's networks as they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PortBinding;
use crate::network;

/// Docker's `NetworkSettings`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettings {
    #[serde(flatten)]
    pub base: NetworkSettingsBase,
    #[serde(flatten)]
    pub default_network_settings: DefaultNetworkSettings,
    #[serde(rename = "Networks", deserialize_with = "crate::null_values")]
    pub networks: Option<BTreeMap<String, network::EndpointSettings>>,
}

/// Docker's `NetworkSettingsBase`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettingsBase {
    #[serde(rename = "Bridge", deserialize_with = "crate::null_default")]
    pub bridge: String,
    #[serde(rename = "SandboxID", deserialize_with = "crate::null_default")]
    pub sandbox_id: String,
    #[serde(rename = "SandboxKey", deserialize_with = "crate::null_default")]
    pub sandbox_key: String,
    #[serde(rename = "Ports")]
    pub ports: Option<BTreeMap<String, Option<Vec<PortBinding>>>>,
    #[serde(rename = "HairpinMode", deserialize_with = "crate::null_default")]
    pub hairpin_mode: bool,
    #[serde(
        rename = "LinkLocalIPv6Address",
        deserialize_with = "crate::null_default"
    )]
    pub link_local_ipv6_address: String,
    #[serde(
        rename = "LinkLocalIPv6PrefixLen",
        deserialize_with = "crate::null_default"
    )]
    pub link_local_ipv6_prefix_len: i64,
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<network::Address>>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<network::Address>>,
}

/// The endpoint on the default bridge network, or empty (`DefaultNetworkSettings`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultNetworkSettings {
    #[serde(rename = "EndpointID", deserialize_with = "crate::null_default")]
    pub endpoint_id: String,
    #[serde(rename = "Gateway", deserialize_with = "crate::null_default")]
    pub gateway: String,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "crate::null_default")]
    pub global_ipv6_address: String,
    #[serde(
        rename = "GlobalIPv6PrefixLen",
        deserialize_with = "crate::null_default"
    )]
    pub global_ipv6_prefix_len: i64,
    #[serde(rename = "IPAddress", deserialize_with = "crate::null_default")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen", deserialize_with = "crate::null_default")]
    pub ip_prefix_len: i64,
    #[serde(rename = "IPv6Gateway", deserialize_with = "crate::null_default")]
    pub ipv6_gateway: String,
    #[serde(rename = "MacAddress", deserialize_with = "crate::null_default")]
    pub mac_address: String,
}

/// Docker's `NetworkSettingsSummary`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettingsSummary {
    #[serde(rename = "Networks", deserialize_with = "crate::null_values")]
    pub networks: Option<BTreeMap<String, network::EndpointSettings>>,
}

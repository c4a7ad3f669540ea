//! `IpamDriver.*`

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    #[serde(
        rename = "RequiresMACAddress",
        deserialize_with = "engine_types::null_default"
    )]
    pub requires_mac: bool,
    #[serde(
        rename = "RequiresRequestReplay",
        deserialize_with = "engine_types::null_default"
    )]
    pub requires_replay: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Spaces {
    #[serde(deserialize_with = "engine_types::null_default")]
    pub local_default_address_space: String,
    #[serde(deserialize_with = "engine_types::null_default")]
    pub global_default_address_space: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RequestPool {
    pub address_space: String,
    pub pool: String,
    pub sub_pool: String,
    #[serde(deserialize_with = "engine_types::null_default")]
    pub options: BTreeMap<String, String>,
    pub v6: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pool {
    #[serde(rename = "PoolID", deserialize_with = "engine_types::null_default")]
    pub id: String,
    #[serde(rename = "Pool", deserialize_with = "engine_types::null_default")]
    pub pool: String,
    #[serde(rename = "Data", deserialize_with = "engine_types::null_default")]
    pub data: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleasePool {
    #[serde(rename = "PoolID")]
    pub id: String,
}

/// `RequestAddress`, and without options `ReleaseAddress`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfAddress {
    #[serde(rename = "PoolID")]
    pub pool: String,
    /// Empty: any.
    #[serde(rename = "Address")]
    pub address: String,
    #[serde(
        rename = "Options",
        deserialize_with = "engine_types::null_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    /// In CIDR.
    #[serde(rename = "Address", deserialize_with = "engine_types::null_default")]
    pub address: String,
}

//! Networks of the swarm, and attachments to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Annotations, Driver, Meta};

use crate::network;

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
        rename = "Range",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub range: String,
    #[serde(
        rename = "Gateway",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub gateway: String,
}

/// Docker's `IPAMOptions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IPAMOptions {
    #[serde(rename = "Driver", deserialize_with = "crate::null_default")]
    pub driver: Driver,
    #[serde(rename = "Configs", skip_serializing_if = "crate::no_items")]
    pub configs: Option<Vec<IPAMConfig>>,
}

/// Docker's `NetworkAttachmentConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachmentConfig {
    #[serde(
        rename = "Target",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub target: String,
    #[serde(rename = "Aliases", skip_serializing_if = "crate::no_items")]
    pub aliases: Option<Vec<String>>,
    #[serde(rename = "DriverOpts", skip_serializing_if = "crate::no_items")]
    pub driver_opts: Option<BTreeMap<String, String>>,
}

/// Docker's `NetworkAttachment`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachment {
    #[serde(rename = "Network", deserialize_with = "crate::null_default")]
    pub network: Network,
    #[serde(rename = "Addresses", skip_serializing_if = "crate::no_items")]
    pub addresses: Option<Vec<String>>,
}

/// Docker's `NetworkSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    #[serde(flatten)]
    pub annotations: Annotations,
    #[serde(
        rename = "DriverConfiguration",
        skip_serializing_if = "crate::is_empty"
    )]
    pub driver_configuration: Option<Driver>,
    #[serde(
        rename = "IPv6Enabled",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub ipv6_enabled: bool,
    #[serde(
        rename = "Internal",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub internal: bool,
    #[serde(
        rename = "Attachable",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub attachable: bool,
    #[serde(
        rename = "Ingress",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub ingress: bool,
    #[serde(rename = "IPAMOptions", skip_serializing_if = "crate::is_empty")]
    pub ipam_options: Option<IPAMOptions>,
    #[serde(rename = "ConfigFrom", skip_serializing_if = "crate::is_empty")]
    pub config_from: Option<network::ConfigReference>,
    #[serde(
        rename = "Scope",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub scope: String,
}

/// Docker's `Network`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(flatten)]
    pub meta: Meta,
    #[serde(rename = "Spec", deserialize_with = "crate::null_default")]
    pub spec: NetworkSpec,
    #[serde(rename = "DriverState", deserialize_with = "crate::null_default")]
    pub driver_state: Driver,
    #[serde(rename = "IPAMOptions", skip_serializing_if = "crate::is_empty")]
    pub ipam_options: Option<IPAMOptions>,
}

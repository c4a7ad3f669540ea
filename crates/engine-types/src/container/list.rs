//! `docker ps`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Descriptor, MountPoint, NetworkSettingsSummary};

/// A row of `GET /containers/json`. `created` is in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    #[serde(rename = "Id", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(rename = "Names")]
    pub names: Option<Vec<String>>,
    #[serde(rename = "Image", deserialize_with = "crate::null_default")]
    pub image: String,
    #[serde(rename = "ImageID", deserialize_with = "crate::null_default")]
    pub image_id: String,
    #[serde(
        rename = "ImageManifestDescriptor",
        skip_serializing_if = "crate::is_empty"
    )]
    pub image_manifest_descriptor: Option<Descriptor>,
    #[serde(rename = "Command", deserialize_with = "crate::null_default")]
    pub command: String,
    #[serde(rename = "Created", deserialize_with = "crate::null_default")]
    pub created: i64,
    #[serde(rename = "Ports")]
    pub ports: Option<Vec<Port>>,
    #[serde(
        rename = "SizeRw",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub size_rw: i64,
    #[serde(
        rename = "SizeRootFs",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub size_root_fs: i64,
    #[serde(rename = "Labels")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "State", deserialize_with = "crate::null_default")]
    pub state: String,
    #[serde(rename = "Status", deserialize_with = "crate::null_default")]
    pub status: String,
    #[serde(rename = "HostConfig", deserialize_with = "crate::null_default")]
    pub host_config: HostConfigSummary,
    #[serde(rename = "NetworkSettings")]
    pub network_settings: Option<NetworkSettingsSummary>,
    #[serde(rename = "Mounts")]
    pub mounts: Option<Vec<MountPoint>>,
}

/// Docker's `HostConfigSummary`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostConfigSummary {
    #[serde(
        rename = "NetworkMode",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub network_mode: String,
    #[serde(rename = "Annotations", skip_serializing_if = "crate::no_items")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// A row of `ports` in [`Summary`]: `public_port` 0 means exposed only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    #[serde(
        rename = "IP",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub ip: String,
    #[serde(rename = "PrivatePort", deserialize_with = "crate::null_default")]
    pub private_port: u16,
    #[serde(
        rename = "PublicPort",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub public_port: u16,
    #[serde(rename = "Type", deserialize_with = "crate::null_default")]
    pub r#type: String,
}

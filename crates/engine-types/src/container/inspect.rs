//! A container as it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Config, HostConfig, MountPoint, NetworkSettings, State};

/// `GET /containers/{id}/json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InspectResponse {
    #[serde(flatten)]
    pub base: ContainerJSONBase,
    #[serde(rename = "Mounts")]
    pub mounts: Option<Vec<MountPoint>>,
    #[serde(rename = "Config")]
    pub config: Option<Config>,
    #[serde(rename = "NetworkSettings")]
    pub network_settings: Option<NetworkSettings>,
    #[serde(
        rename = "ImageManifestDescriptor",
        skip_serializing_if = "crate::is_empty"
    )]
    pub image_manifest_descriptor: Option<Descriptor>,
}

/// The part of `GET /containers/{id}/json` that does not depend on networks (`ContainerJSONBase`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerJSONBase {
    #[serde(rename = "Id", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(rename = "Created", deserialize_with = "crate::null_default")]
    pub created: String,
    #[serde(rename = "Path", deserialize_with = "crate::null_default")]
    pub path: String,
    #[serde(rename = "Args")]
    pub args: Option<Vec<String>>,
    #[serde(rename = "State")]
    pub state: Option<State>,
    #[serde(rename = "Image", deserialize_with = "crate::null_default")]
    pub image: String,
    #[serde(rename = "ResolvConfPath", deserialize_with = "crate::null_default")]
    pub resolv_conf_path: String,
    #[serde(rename = "HostnamePath", deserialize_with = "crate::null_default")]
    pub hostname_path: String,
    #[serde(rename = "HostsPath", deserialize_with = "crate::null_default")]
    pub hosts_path: String,
    #[serde(rename = "LogPath", deserialize_with = "crate::null_default")]
    pub log_path: String,
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "RestartCount", deserialize_with = "crate::null_default")]
    pub restart_count: i64,
    #[serde(rename = "Driver", deserialize_with = "crate::null_default")]
    pub driver: String,
    #[serde(rename = "Platform", deserialize_with = "crate::null_default")]
    pub platform: String,
    #[serde(rename = "MountLabel", deserialize_with = "crate::null_default")]
    pub mount_label: String,
    #[serde(rename = "ProcessLabel", deserialize_with = "crate::null_default")]
    pub process_label: String,
    #[serde(rename = "AppArmorProfile", deserialize_with = "crate::null_default")]
    pub app_armor_profile: String,
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    #[serde(rename = "HostConfig")]
    pub host_config: Option<HostConfig>,
    #[serde(rename = "GraphDriver", deserialize_with = "crate::null_default")]
    pub graph_driver: DriverData,
    #[serde(rename = "SizeRw", skip_serializing_if = "crate::is_empty")]
    pub size_rw: Option<i64>,
    #[serde(rename = "SizeRootFs", skip_serializing_if = "crate::is_empty")]
    pub size_root_fs: Option<i64>,
}

/// The storage driver and where it keeps the layers (`GraphDriver`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DriverData {
    #[serde(rename = "Data")]
    pub data: Option<BTreeMap<String, String>>,
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
}

/// An OCI content descriptor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Descriptor {
    #[serde(rename = "mediaType", deserialize_with = "crate::null_default")]
    pub media_type: String,
    #[serde(rename = "digest", deserialize_with = "crate::null_default")]
    pub digest: String,
    #[serde(rename = "size", deserialize_with = "crate::null_default")]
    pub size: i64,
}

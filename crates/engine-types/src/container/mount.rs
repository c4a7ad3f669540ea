//! Volumes, binds and tmpfs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `HostConfig.Mounts`. `type`: bind, volume, tmpfs, npipe, cluster, image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    #[serde(
        rename = "Type",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub r#type: String,
    #[serde(
        rename = "Source",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub source: String,
    #[serde(
        rename = "Target",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub target: String,
    #[serde(
        rename = "ReadOnly",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub read_only: bool,
    #[serde(
        rename = "Consistency",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub consistency: String,
    #[serde(rename = "BindOptions", skip_serializing_if = "crate::is_empty")]
    pub bind_options: Option<BindOptions>,
    #[serde(rename = "VolumeOptions", skip_serializing_if = "crate::is_empty")]
    pub volume_options: Option<VolumeOptions>,
    #[serde(rename = "TmpfsOptions", skip_serializing_if = "crate::is_empty")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Docker's `BindOptions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BindOptions {
    #[serde(
        rename = "Propagation",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub propagation: String,
    #[serde(
        rename = "NonRecursive",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub non_recursive: bool,
    #[serde(
        rename = "CreateMountpoint",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub create_mountpoint: bool,
    #[serde(
        rename = "ReadOnlyNonRecursive",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub read_only_non_recursive: bool,
    #[serde(
        rename = "ReadOnlyForceRecursive",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub read_only_force_recursive: bool,
}

/// Docker's `VolumeOptions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeOptions {
    #[serde(
        rename = "NoCopy",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub no_copy: bool,
    #[serde(rename = "Labels", skip_serializing_if = "crate::no_items")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(
        rename = "Subpath",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub subpath: String,
    #[serde(rename = "DriverConfig", skip_serializing_if = "crate::is_empty")]
    pub driver_config: Option<serde_json::Value>,
}

/// `mode` is a Unix mode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TmpfsOptions {
    #[serde(
        rename = "SizeBytes",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub size_bytes: i64,
    #[serde(
        rename = "Mode",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub mode: u32,
}

/// A mount as inspection shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountPoint {
    #[serde(
        rename = "Type",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub r#type: String,
    #[serde(
        rename = "Name",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub name: String,
    #[serde(rename = "Source", deserialize_with = "crate::null_default")]
    pub source: String,
    #[serde(rename = "Destination", deserialize_with = "crate::null_default")]
    pub destination: String,
    #[serde(
        rename = "Driver",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub driver: String,
    #[serde(rename = "Mode", deserialize_with = "crate::null_default")]
    pub mode: String,
    #[serde(rename = "RW", deserialize_with = "crate::null_default")]
    pub rw: bool,
    #[serde(rename = "Propagation", deserialize_with = "crate::null_default")]
    pub propagation: String,
}

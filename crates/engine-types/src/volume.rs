//! Volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Time;

/// Docker's `Volume`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    #[serde(rename = "CreatedAt")]
    pub created_at: Time,
    #[serde(rename = "Driver")]
    pub driver: String,
    #[serde(rename = "Labels")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "Mountpoint")]
    pub mountpoint: String,
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "Options")]
    pub options: Option<BTreeMap<String, String>>,
    #[serde(rename = "Scope")]
    pub scope: String,
}

/// Docker's `CreateOptions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateRequest {
    #[serde(
        rename = "Driver",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub driver: String,
    #[serde(rename = "DriverOpts", skip_serializing_if = "crate::no_items")]
    pub driver_opts: Option<BTreeMap<String, String>>,
    #[serde(rename = "Labels", skip_serializing_if = "crate::no_items")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(
        rename = "Name",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub name: String,
}

/// Docker's `ListResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListResponse {
    #[serde(rename = "Volumes")]
    pub volumes: Vec<Volume>,
    #[serde(rename = "Warnings")]
    pub warnings: Option<Vec<String>>,
}

/// Docker's `PruneReport`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PruneReport {
    #[serde(rename = "VolumesDeleted")]
    pub volumes_deleted: Vec<String>,
    /// Bytes.
    #[serde(rename = "SpaceReclaimed")]
    pub space_reclaimed: u64,
}

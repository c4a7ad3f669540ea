//! Swarm objects: nodes, services, tasks, networks, secrets, configs and the cluster.
//!
//! Every duration is in nanoseconds. Words that stand for enumerations are kept as text; the reference lists them.

mod cluster;
mod container_spec;
mod network_spec;
mod node;
mod secret;
mod service;
mod task;

pub use cluster::*;
pub use container_spec::*;
pub use network_spec::*;
pub use node::*;
pub use secret::*;
pub use service::*;
pub use task::*;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Time;

/// Docker's `Annotations`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Annotations {
    #[serde(
        rename = "Name",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub name: String,
    #[serde(rename = "Labels")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// Docker's `Driver`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Driver {
    #[serde(
        rename = "Name",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub name: String,
    #[serde(rename = "Options", skip_serializing_if = "crate::no_items")]
    pub options: Option<BTreeMap<String, String>>,
}

/// What every object of the store has. `version` must come back with an update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    #[serde(rename = "Version", deserialize_with = "crate::null_default")]
    pub version: Version,
    #[serde(rename = "CreatedAt", deserialize_with = "crate::null_default")]
    pub created_at: Time,
    #[serde(rename = "UpdatedAt", deserialize_with = "crate::null_default")]
    pub updated_at: Time,
}

/// Docker's `Version`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    #[serde(
        rename = "Index",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub index: u64,
}

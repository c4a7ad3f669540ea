//! Tasks: placement, resources, restarts, status.

use serde::{Deserialize, Serialize};

use super::{
    Annotations, ContainerSpec, Driver, GenericResource, Meta, NetworkAttachment,
    NetworkAttachmentConfig, Platform, PortConfig, Resources, Version,
};

use crate::Time;

/// Docker's `ContainerStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    #[serde(rename = "ContainerID", deserialize_with = "crate::null_default")]
    pub container_id: String,
    #[serde(rename = "PID", deserialize_with = "crate::null_default")]
    pub pid: i64,
    #[serde(rename = "ExitCode", deserialize_with = "crate::null_default")]
    pub exit_code: i64,
}

/// Docker's `Limit`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limit {
    #[serde(
        rename = "NanoCPUs",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub nano_cpus: i64,
    #[serde(
        rename = "MemoryBytes",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub memory_bytes: i64,
    #[serde(
        rename = "Pids",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub pids: i64,
}

/// Docker's `NetworkAttachmentSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachmentSpec {
    #[serde(rename = "ContainerID", deserialize_with = "crate::null_default")]
    pub container_id: String,
}

/// Docker's `PlacementPreference`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlacementPreference {
    #[serde(rename = "Spread")]
    pub spread: Option<SpreadOver>,
}

/// Docker's `Placement`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    #[serde(rename = "Constraints", skip_serializing_if = "crate::no_items")]
    pub constraints: Option<Vec<String>>,
    #[serde(rename = "Preferences", skip_serializing_if = "crate::no_items")]
    pub preferences: Option<Vec<PlacementPreference>>,
    #[serde(
        rename = "MaxReplicas",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub max_replicas: u64,
    #[serde(rename = "Platforms", skip_serializing_if = "crate::no_items")]
    pub platforms: Option<Vec<Platform>>,
}

/// Docker's `PortStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortStatus {
    #[serde(rename = "Ports", skip_serializing_if = "crate::no_items")]
    pub ports: Option<Vec<PortConfig>>,
}

/// Docker's `ResourceRequirements`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceRequirements {
    #[serde(rename = "Limits", skip_serializing_if = "crate::is_empty")]
    pub limits: Option<Limit>,
    #[serde(rename = "Reservations", skip_serializing_if = "crate::is_empty")]
    pub reservations: Option<Resources>,
}

/// `condition`: none, on-failure, any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    #[serde(
        rename = "Condition",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub condition: String,
    #[serde(rename = "Delay", skip_serializing_if = "crate::is_empty")]
    pub delay: Option<i64>,
    #[serde(rename = "MaxAttempts", skip_serializing_if = "crate::is_empty")]
    pub max_attempts: Option<u64>,
    #[serde(rename = "Window", skip_serializing_if = "crate::is_empty")]
    pub window: Option<i64>,
}

/// Docker's `SpreadOver`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpreadOver {
    #[serde(rename = "SpreadDescriptor", deserialize_with = "crate::null_default")]
    pub spread_descriptor: String,
}

/// Docker's `TaskSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskSpec {
    #[serde(rename = "ContainerSpec", skip_serializing_if = "crate::is_empty")]
    pub container_spec: Option<ContainerSpec>,
    #[serde(rename = "PluginSpec", skip_serializing_if = "crate::is_empty")]
    pub plugin_spec: Option<serde_json::Value>,
    #[serde(
        rename = "NetworkAttachmentSpec",
        skip_serializing_if = "crate::is_empty"
    )]
    pub network_attachment_spec: Option<NetworkAttachmentSpec>,
    #[serde(rename = "Resources", skip_serializing_if = "crate::is_empty")]
    pub resources: Option<ResourceRequirements>,
    #[serde(rename = "RestartPolicy", skip_serializing_if = "crate::is_empty")]
    pub restart_policy: Option<RestartPolicy>,
    #[serde(rename = "Placement", skip_serializing_if = "crate::is_empty")]
    pub placement: Option<Placement>,
    #[serde(rename = "Networks", skip_serializing_if = "crate::no_items")]
    pub networks: Option<Vec<NetworkAttachmentConfig>>,
    #[serde(rename = "LogDriver", skip_serializing_if = "crate::is_empty")]
    pub log_driver: Option<Driver>,
    #[serde(rename = "ForceUpdate", deserialize_with = "crate::null_default")]
    pub force_update: u64,
    #[serde(
        rename = "Runtime",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub runtime: String,
}

/// Docker's `TaskStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskStatus {
    #[serde(rename = "Timestamp", deserialize_with = "crate::null_default")]
    pub timestamp: Time,
    #[serde(
        rename = "State",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub state: String,
    #[serde(
        rename = "Message",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub message: String,
    #[serde(
        rename = "Err",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub err: String,
    #[serde(rename = "ContainerStatus", skip_serializing_if = "crate::is_empty")]
    pub container_status: Option<ContainerStatus>,
    #[serde(rename = "PortStatus", deserialize_with = "crate::null_default")]
    pub port_status: PortStatus,
}

/// Docker's `Task`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(flatten)]
    pub meta: Meta,
    #[serde(flatten)]
    pub annotations: Annotations,
    #[serde(rename = "Spec", deserialize_with = "crate::null_default")]
    pub spec: TaskSpec,
    #[serde(
        rename = "ServiceID",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub service_id: String,
    #[serde(
        rename = "Slot",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub slot: i64,
    #[serde(
        rename = "NodeID",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub node_id: String,
    #[serde(rename = "Status", deserialize_with = "crate::null_default")]
    pub status: TaskStatus,
    #[serde(
        rename = "DesiredState",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub desired_state: String,
    #[serde(
        rename = "NetworksAttachments",
        skip_serializing_if = "crate::no_items"
    )]
    pub networks_attachments: Option<Vec<NetworkAttachment>>,
    #[serde(rename = "GenericResources", skip_serializing_if = "crate::no_items")]
    pub generic_resources: Option<Vec<GenericResource>>,
    #[serde(rename = "JobIteration", skip_serializing_if = "crate::is_empty")]
    pub job_iteration: Option<Version>,
    #[serde(rename = "Volumes")]
    pub volumes: Option<Vec<VolumeAttachment>>,
}

/// Docker's `VolumeAttachment`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeAttachment {
    #[serde(
        rename = "ID",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub id: String,
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
}

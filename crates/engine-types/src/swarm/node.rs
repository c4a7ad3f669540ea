//! Nodes and what they are made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Annotations, Meta, TLSInfo};

/// Docker's `DiscreteGenericResource`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscreteGenericResource {
    #[serde(
        rename = "Kind",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub kind: String,
    #[serde(
        rename = "Value",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub value: i64,
}

/// Docker's `EngineDescription`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineDescription {
    #[serde(
        rename = "EngineVersion",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub engine_version: String,
    #[serde(rename = "Labels", skip_serializing_if = "crate::no_items")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "Plugins", skip_serializing_if = "crate::no_items")]
    pub plugins: Option<Vec<PluginDescription>>,
}

/// Docker's `GenericResource`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenericResource {
    #[serde(rename = "NamedResourceSpec", skip_serializing_if = "crate::is_empty")]
    pub named_resource_spec: Option<NamedGenericResource>,
    #[serde(
        rename = "DiscreteResourceSpec",
        skip_serializing_if = "crate::is_empty"
    )]
    pub discrete_resource_spec: Option<DiscreteGenericResource>,
}

/// Docker's `ManagerStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagerStatus {
    #[serde(
        rename = "Leader",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub leader: bool,
    #[serde(
        rename = "Reachability",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub reachability: String,
    #[serde(
        rename = "Addr",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub addr: String,
}

/// Docker's `NamedGenericResource`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedGenericResource {
    #[serde(
        rename = "Kind",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub kind: String,
    #[serde(
        rename = "Value",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub value: String,
}

/// Docker's `NodeCSIInfo`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeCSIInfo {
    #[serde(
        rename = "PluginName",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub plugin_name: String,
    #[serde(
        rename = "NodeID",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub node_id: String,
    #[serde(
        rename = "MaxVolumesPerNode",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub max_volumes_per_node: i64,
    #[serde(rename = "AccessibleTopology", skip_serializing_if = "crate::is_empty")]
    pub accessible_topology: Option<Topology>,
}

/// Docker's `NodeDescription`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDescription {
    #[serde(
        rename = "Hostname",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub hostname: String,
    #[serde(rename = "Platform", deserialize_with = "crate::null_default")]
    pub platform: Platform,
    #[serde(rename = "Resources", deserialize_with = "crate::null_default")]
    pub resources: Resources,
    #[serde(rename = "Engine", deserialize_with = "crate::null_default")]
    pub engine: EngineDescription,
    #[serde(rename = "TLSInfo", deserialize_with = "crate::null_default")]
    pub tls_info: TLSInfo,
    #[serde(rename = "CSIInfo", skip_serializing_if = "crate::no_items")]
    pub csi_info: Option<Vec<NodeCSIInfo>>,
}

/// Docker's `NodeSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    #[serde(flatten)]
    pub annotations: Annotations,
    #[serde(
        rename = "Role",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub role: String,
    #[serde(
        rename = "Availability",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub availability: String,
}

/// `state`: unknown, down, ready, disconnected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
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
        rename = "Addr",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub addr: String,
}

/// Docker's `Node`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(flatten)]
    pub meta: Meta,
    #[serde(rename = "Spec", deserialize_with = "crate::null_default")]
    pub spec: NodeSpec,
    #[serde(rename = "Description", deserialize_with = "crate::null_default")]
    pub description: NodeDescription,
    #[serde(rename = "Status", deserialize_with = "crate::null_default")]
    pub status: NodeStatus,
    #[serde(rename = "ManagerStatus", skip_serializing_if = "crate::is_empty")]
    pub manager_status: Option<ManagerStatus>,
}

/// Docker's `Platform`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    #[serde(
        rename = "Architecture",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub architecture: String,
    #[serde(
        rename = "OS",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub os: String,
}

/// Docker's `PluginDescription`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginDescription {
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
}

/// 10⁻⁹ CPUs and bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
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
    #[serde(rename = "GenericResources", skip_serializing_if = "crate::no_items")]
    pub generic_resources: Option<Vec<GenericResource>>,
}

/// Docker's `Topology`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topology {
    #[serde(rename = "Segments", skip_serializing_if = "crate::no_items")]
    pub segments: Option<BTreeMap<String, String>>,
}

//! The cluster: its settings, tokens and what `docker info` shows of it; init and join.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Annotations, Driver, Meta};

use crate::Base64;

/// Docker's `CAConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CAConfig {
    #[serde(
        rename = "NodeCertExpiry",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub node_cert_expiry: i64,
    #[serde(rename = "ExternalCAs", skip_serializing_if = "crate::no_items")]
    pub external_cas: Option<Vec<ExternalCA>>,
    #[serde(
        rename = "SigningCACert",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub signing_ca_cert: String,
    #[serde(
        rename = "SigningCAKey",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub signing_ca_key: String,
    #[serde(
        rename = "ForceRotate",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub force_rotate: u64,
}

/// Docker's `ClusterInfo`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterInfo {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(flatten)]
    pub meta: Meta,
    #[serde(rename = "Spec", deserialize_with = "crate::null_default")]
    pub spec: Spec,
    #[serde(rename = "TLSInfo", deserialize_with = "crate::null_default")]
    pub tls_info: TLSInfo,
    #[serde(
        rename = "RootRotationInProgress",
        deserialize_with = "crate::null_default"
    )]
    pub root_rotation_in_progress: bool,
    #[serde(rename = "DefaultAddrPool")]
    pub default_addr_pool: Option<Vec<String>>,
    #[serde(rename = "SubnetSize", deserialize_with = "crate::null_default")]
    pub subnet_size: u32,
    #[serde(rename = "DataPathPort", deserialize_with = "crate::null_default")]
    pub data_path_port: u32,
}

/// Docker's `DispatcherConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DispatcherConfig {
    #[serde(
        rename = "HeartbeatPeriod",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub heartbeat_period: i64,
}

/// Docker's `EncryptionConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EncryptionConfig {
    #[serde(rename = "AutoLockManagers", deserialize_with = "crate::null_default")]
    pub auto_lock_managers: bool,
}

/// Docker's `ExternalCA`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExternalCA {
    #[serde(rename = "Protocol", deserialize_with = "crate::null_default")]
    pub protocol: String,
    #[serde(rename = "URL", deserialize_with = "crate::null_default")]
    pub url: String,
    #[serde(rename = "Options", skip_serializing_if = "crate::no_items")]
    pub options: Option<BTreeMap<String, String>>,
    #[serde(rename = "CACert", deserialize_with = "crate::null_default")]
    pub ca_cert: String,
}

/// `Swarm` of `GET /info`. `local_node_state`: inactive, pending, active, error, locked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    #[serde(rename = "NodeID", deserialize_with = "crate::null_default")]
    pub node_id: String,
    #[serde(rename = "NodeAddr", deserialize_with = "crate::null_default")]
    pub node_addr: String,
    #[serde(rename = "LocalNodeState", deserialize_with = "crate::null_default")]
    pub local_node_state: String,
    #[serde(rename = "ControlAvailable", deserialize_with = "crate::null_default")]
    pub control_available: bool,
    #[serde(rename = "Error", deserialize_with = "crate::null_default")]
    pub error: String,
    #[serde(rename = "RemoteManagers")]
    pub remote_managers: Option<Vec<Peer>>,
    #[serde(
        rename = "Nodes",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub nodes: i64,
    #[serde(
        rename = "Managers",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub managers: i64,
    #[serde(rename = "Cluster", skip_serializing_if = "crate::is_empty")]
    pub cluster: Option<ClusterInfo>,
    #[serde(rename = "Warnings", skip_serializing_if = "crate::no_items")]
    pub warnings: Option<Vec<String>>,
}

/// Docker's `InitRequest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InitRequest {
    #[serde(rename = "ListenAddr", deserialize_with = "crate::null_default")]
    pub listen_addr: String,
    #[serde(rename = "AdvertiseAddr", deserialize_with = "crate::null_default")]
    pub advertise_addr: String,
    #[serde(rename = "DataPathAddr", deserialize_with = "crate::null_default")]
    pub data_path_addr: String,
    #[serde(rename = "DataPathPort", deserialize_with = "crate::null_default")]
    pub data_path_port: u32,
    #[serde(rename = "ForceNewCluster", deserialize_with = "crate::null_default")]
    pub force_new_cluster: bool,
    #[serde(rename = "Spec", deserialize_with = "crate::null_default")]
    pub spec: Spec,
    #[serde(rename = "AutoLockManagers", deserialize_with = "crate::null_default")]
    pub auto_lock_managers: bool,
    #[serde(rename = "Availability", deserialize_with = "crate::null_default")]
    pub availability: String,
    #[serde(rename = "DefaultAddrPool")]
    pub default_addr_pool: Option<Vec<String>>,
    #[serde(rename = "SubnetSize", deserialize_with = "crate::null_default")]
    pub subnet_size: u32,
}

/// Docker's `JoinRequest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JoinRequest {
    #[serde(rename = "ListenAddr", deserialize_with = "crate::null_default")]
    pub listen_addr: String,
    #[serde(rename = "AdvertiseAddr", deserialize_with = "crate::null_default")]
    pub advertise_addr: String,
    #[serde(rename = "DataPathAddr", deserialize_with = "crate::null_default")]
    pub data_path_addr: String,
    #[serde(rename = "RemoteAddrs")]
    pub remote_addrs: Option<Vec<String>>,
    #[serde(rename = "JoinToken", deserialize_with = "crate::null_default")]
    pub join_token: String,
    #[serde(rename = "Availability", deserialize_with = "crate::null_default")]
    pub availability: String,
}

/// Docker's `JoinTokens`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JoinTokens {
    #[serde(rename = "Worker", deserialize_with = "crate::null_default")]
    pub worker: String,
    #[serde(rename = "Manager", deserialize_with = "crate::null_default")]
    pub manager: String,
}

/// Docker's `OrchestrationConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrchestrationConfig {
    #[serde(
        rename = "TaskHistoryRetentionLimit",
        skip_serializing_if = "crate::is_empty"
    )]
    pub task_history_retention_limit: Option<i64>,
}

/// Docker's `Peer`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Peer {
    #[serde(rename = "NodeID", deserialize_with = "crate::null_default")]
    pub node_id: String,
    #[serde(rename = "Addr", deserialize_with = "crate::null_default")]
    pub addr: String,
}

/// Docker's `RaftConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RaftConfig {
    #[serde(
        rename = "SnapshotInterval",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub snapshot_interval: u64,
    #[serde(rename = "KeepOldSnapshots", skip_serializing_if = "crate::is_empty")]
    pub keep_old_snapshots: Option<u64>,
    #[serde(
        rename = "LogEntriesForSlowFollowers",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub log_entries_for_slow_followers: u64,
    #[serde(rename = "ElectionTick", deserialize_with = "crate::null_default")]
    pub election_tick: i64,
    #[serde(rename = "HeartbeatTick", deserialize_with = "crate::null_default")]
    pub heartbeat_tick: i64,
}

/// Docker's `Spec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    #[serde(flatten)]
    pub annotations: Annotations,
    #[serde(rename = "Orchestration", deserialize_with = "crate::null_default")]
    pub orchestration: OrchestrationConfig,
    #[serde(rename = "Raft", deserialize_with = "crate::null_default")]
    pub raft: RaftConfig,
    #[serde(rename = "Dispatcher", deserialize_with = "crate::null_default")]
    pub dispatcher: DispatcherConfig,
    #[serde(rename = "CAConfig", deserialize_with = "crate::null_default")]
    pub ca_config: CAConfig,
    #[serde(rename = "TaskDefaults", deserialize_with = "crate::null_default")]
    pub task_defaults: TaskDefaults,
    #[serde(rename = "EncryptionConfig", deserialize_with = "crate::null_default")]
    pub encryption_config: EncryptionConfig,
}

/// Docker's `Swarm`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Swarm {
    #[serde(flatten)]
    pub cluster_info: ClusterInfo,
    #[serde(rename = "JoinTokens", deserialize_with = "crate::null_default")]
    pub join_tokens: JoinTokens,
}

/// Docker's `TLSInfo`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TLSInfo {
    #[serde(
        rename = "TrustRoot",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub trust_root: String,
    #[serde(rename = "CertIssuerSubject", skip_serializing_if = "crate::is_empty")]
    pub cert_issuer_subject: Option<Base64>,
    #[serde(
        rename = "CertIssuerPublicKey",
        skip_serializing_if = "crate::is_empty"
    )]
    pub cert_issuer_public_key: Option<Base64>,
}

/// Docker's `TaskDefaults`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskDefaults {
    #[serde(rename = "LogDriver", skip_serializing_if = "crate::is_empty")]
    pub log_driver: Option<Driver>,
}

/// Docker's `UnlockKeyResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnlockKeyResponse {
    #[serde(rename = "UnlockKey", deserialize_with = "crate::null_default")]
    pub unlock_key: String,
}

/// Docker's `UnlockRequest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnlockRequest {
    #[serde(rename = "UnlockKey", deserialize_with = "crate::null_default")]
    pub unlock_key: String,
}

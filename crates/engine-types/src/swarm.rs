//! Swarm objects: nodes, services, tasks, networks, secrets, configs and the cluster.
//!
//! Every duration is in nanoseconds. Words that stand for enumerations are kept as text; the reference lists them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{container, network, *};

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

/// Docker's `AppArmorOpts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppArmorOpts {
    #[serde(
        rename = "Mode",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub mode: String,
}

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

/// Docker's `ConfigCreateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigCreateResponse {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
}

/// `name` is relative to `/`; `mode` a Unix mode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigReferenceFileTarget {
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "UID", deserialize_with = "crate::null_default")]
    pub uid: String,
    #[serde(rename = "GID", deserialize_with = "crate::null_default")]
    pub gid: String,
    #[serde(rename = "Mode", deserialize_with = "crate::null_default")]
    pub mode: u32,
}

/// Docker's `ConfigReferenceRuntimeTarget`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigReferenceRuntimeTarget {}

/// Docker's `ConfigReference`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigReference {
    #[serde(rename = "File", skip_serializing_if = "crate::is_empty")]
    pub file: Option<ConfigReferenceFileTarget>,
    #[serde(rename = "Runtime", skip_serializing_if = "crate::is_empty")]
    pub runtime: Option<ConfigReferenceRuntimeTarget>,
    #[serde(rename = "ConfigID", deserialize_with = "crate::null_default")]
    pub config_id: String,
    #[serde(rename = "ConfigName", deserialize_with = "crate::null_default")]
    pub config_name: String,
}

/// Docker's `ConfigSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigSpec {
    #[serde(flatten)]
    pub annotations: Annotations,
    #[serde(rename = "Data", skip_serializing_if = "crate::is_empty")]
    pub data: Option<Base64>,
    #[serde(rename = "Templating", skip_serializing_if = "crate::is_empty")]
    pub templating: Option<Driver>,
}

/// Docker's `Config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(flatten)]
    pub meta: Meta,
    #[serde(rename = "Spec", deserialize_with = "crate::null_default")]
    pub spec: ConfigSpec,
}

/// Docker's `ContainerSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    #[serde(
        rename = "Image",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub image: String,
    #[serde(rename = "Labels", skip_serializing_if = "crate::no_items")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "Command", skip_serializing_if = "crate::no_items")]
    pub command: Option<Vec<String>>,
    #[serde(rename = "Args", skip_serializing_if = "crate::no_items")]
    pub args: Option<Vec<String>>,
    #[serde(
        rename = "Hostname",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub hostname: String,
    #[serde(rename = "Env", skip_serializing_if = "crate::no_items")]
    pub env: Option<Vec<String>>,
    #[serde(
        rename = "Dir",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub dir: String,
    #[serde(
        rename = "User",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub user: String,
    #[serde(rename = "Groups", skip_serializing_if = "crate::no_items")]
    pub groups: Option<Vec<String>>,
    #[serde(rename = "Privileges", skip_serializing_if = "crate::is_empty")]
    pub privileges: Option<Privileges>,
    #[serde(rename = "Init", skip_serializing_if = "crate::is_empty")]
    pub init: Option<bool>,
    #[serde(
        rename = "StopSignal",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub stop_signal: String,
    #[serde(
        rename = "TTY",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub tty: bool,
    #[serde(
        rename = "OpenStdin",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub open_stdin: bool,
    #[serde(
        rename = "ReadOnly",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub read_only: bool,
    #[serde(rename = "Mounts", skip_serializing_if = "crate::no_items")]
    pub mounts: Option<Vec<container::Mount>>,
    #[serde(rename = "StopGracePeriod", skip_serializing_if = "crate::is_empty")]
    pub stop_grace_period: Option<i64>,
    #[serde(rename = "Healthcheck", skip_serializing_if = "crate::is_empty")]
    pub healthcheck: Option<container::HealthConfig>,
    #[serde(rename = "Hosts", skip_serializing_if = "crate::no_items")]
    pub hosts: Option<Vec<String>>,
    #[serde(rename = "DNSConfig", skip_serializing_if = "crate::is_empty")]
    pub dns_config: Option<DNSConfig>,
    #[serde(rename = "Secrets", skip_serializing_if = "crate::no_items")]
    pub secrets: Option<Vec<SecretReference>>,
    #[serde(rename = "Configs", skip_serializing_if = "crate::no_items")]
    pub configs: Option<Vec<ConfigReference>>,
    #[serde(
        rename = "Isolation",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub isolation: String,
    #[serde(rename = "Sysctls", skip_serializing_if = "crate::no_items")]
    pub sysctls: Option<BTreeMap<String, String>>,
    #[serde(rename = "CapabilityAdd", skip_serializing_if = "crate::no_items")]
    pub capability_add: Option<Vec<String>>,
    #[serde(rename = "CapabilityDrop", skip_serializing_if = "crate::no_items")]
    pub capability_drop: Option<Vec<String>>,
    #[serde(rename = "Ulimits", skip_serializing_if = "crate::no_items")]
    pub ulimits: Option<Vec<container::Ulimit>>,
    #[serde(
        rename = "OomScoreAdj",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub oom_score_adj: i64,
}

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

/// Docker's `CredentialSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CredentialSpec {
    #[serde(rename = "Config", deserialize_with = "crate::null_default")]
    pub config: String,
    #[serde(rename = "File", deserialize_with = "crate::null_default")]
    pub file: String,
    #[serde(rename = "Registry", deserialize_with = "crate::null_default")]
    pub registry: String,
}

/// Docker's `DNSConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DNSConfig {
    #[serde(rename = "Nameservers", skip_serializing_if = "crate::no_items")]
    pub nameservers: Option<Vec<String>>,
    #[serde(rename = "Search", skip_serializing_if = "crate::no_items")]
    pub search: Option<Vec<String>>,
    #[serde(rename = "Options", skip_serializing_if = "crate::no_items")]
    pub options: Option<Vec<String>>,
}

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

/// Docker's `EncryptionConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EncryptionConfig {
    #[serde(rename = "AutoLockManagers", deserialize_with = "crate::null_default")]
    pub auto_lock_managers: bool,
}

/// Docker's `EndpointSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSpec {
    #[serde(
        rename = "Mode",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub mode: String,
    #[serde(rename = "Ports", skip_serializing_if = "crate::no_items")]
    pub ports: Option<Vec<PortConfig>>,
}

/// Docker's `EndpointVirtualIP`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointVirtualIP {
    #[serde(
        rename = "NetworkID",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub network_id: String,
    #[serde(
        rename = "Addr",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub addr: String,
}

/// Docker's `Endpoint`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    #[serde(rename = "Spec", deserialize_with = "crate::null_default")]
    pub spec: EndpointSpec,
    #[serde(rename = "Ports", skip_serializing_if = "crate::no_items")]
    pub ports: Option<Vec<PortConfig>>,
    #[serde(rename = "VirtualIPs", skip_serializing_if = "crate::no_items")]
    pub virtual_ips: Option<Vec<EndpointVirtualIP>>,
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

/// Docker's `GlobalJob`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GlobalJob {}

/// Docker's `GlobalService`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GlobalService {}

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

/// Docker's `JobStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatus {
    #[serde(rename = "JobIteration", deserialize_with = "crate::null_default")]
    pub job_iteration: Version,
    #[serde(rename = "LastExecution", deserialize_with = "crate::null_default")]
    pub last_execution: Time,
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

/// Docker's `NetworkAttachmentSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachmentSpec {
    #[serde(rename = "ContainerID", deserialize_with = "crate::null_default")]
    pub container_id: String,
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

/// `protocol`: tcp, udp, sctp; `publish_mode`: ingress, host; `published_port` 0 = the manager chooses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortConfig {
    #[serde(
        rename = "Name",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub name: String,
    #[serde(
        rename = "Protocol",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub protocol: String,
    #[serde(
        rename = "TargetPort",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub target_port: u32,
    #[serde(
        rename = "PublishedPort",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub published_port: u32,
    #[serde(
        rename = "PublishMode",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub publish_mode: String,
}

/// Docker's `PortStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortStatus {
    #[serde(rename = "Ports", skip_serializing_if = "crate::no_items")]
    pub ports: Option<Vec<PortConfig>>,
}

/// Docker's `Privileges`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Privileges {
    #[serde(rename = "CredentialSpec")]
    pub credential_spec: Option<CredentialSpec>,
    #[serde(rename = "SELinuxContext")]
    pub se_linux_context: Option<SELinuxContext>,
    #[serde(rename = "Seccomp", skip_serializing_if = "crate::is_empty")]
    pub seccomp: Option<SeccompOpts>,
    #[serde(rename = "AppArmor", skip_serializing_if = "crate::is_empty")]
    pub app_armor: Option<AppArmorOpts>,
    #[serde(rename = "NoNewPrivileges", deserialize_with = "crate::null_default")]
    pub no_new_privileges: bool,
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

/// Docker's `ReplicatedJob`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplicatedJob {
    #[serde(rename = "MaxConcurrent", skip_serializing_if = "crate::is_empty")]
    pub max_concurrent: Option<u64>,
    #[serde(rename = "TotalCompletions", skip_serializing_if = "crate::is_empty")]
    pub total_completions: Option<u64>,
}

/// Docker's `ReplicatedService`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplicatedService {
    #[serde(rename = "Replicas", skip_serializing_if = "crate::is_empty")]
    pub replicas: Option<u64>,
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

/// Docker's `SELinuxContext`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SELinuxContext {
    #[serde(rename = "Disable", deserialize_with = "crate::null_default")]
    pub disable: bool,
    #[serde(rename = "User", deserialize_with = "crate::null_default")]
    pub user: String,
    #[serde(rename = "Role", deserialize_with = "crate::null_default")]
    pub role: String,
    #[serde(rename = "Type", deserialize_with = "crate::null_default")]
    pub r#type: String,
    #[serde(rename = "Level", deserialize_with = "crate::null_default")]
    pub level: String,
}

/// Docker's `SeccompOpts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeccompOpts {
    #[serde(
        rename = "Mode",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub mode: String,
    #[serde(rename = "Profile", skip_serializing_if = "crate::is_empty")]
    pub profile: Option<Base64>,
}

/// Docker's `SecretCreateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretCreateResponse {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
}

/// `name` is relative to `/run/secrets`, or absolute; `mode` a Unix mode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretReferenceFileTarget {
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "UID", deserialize_with = "crate::null_default")]
    pub uid: String,
    #[serde(rename = "GID", deserialize_with = "crate::null_default")]
    pub gid: String,
    #[serde(rename = "Mode", deserialize_with = "crate::null_default")]
    pub mode: u32,
}

/// Docker's `SecretReference`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretReference {
    #[serde(rename = "File")]
    pub file: Option<SecretReferenceFileTarget>,
    #[serde(rename = "SecretID", deserialize_with = "crate::null_default")]
    pub secret_id: String,
    #[serde(rename = "SecretName", deserialize_with = "crate::null_default")]
    pub secret_name: String,
}

/// Docker's `SecretSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretSpec {
    #[serde(flatten)]
    pub annotations: Annotations,
    #[serde(rename = "Data", skip_serializing_if = "crate::is_empty")]
    pub data: Option<Base64>,
    #[serde(rename = "Driver", skip_serializing_if = "crate::is_empty")]
    pub driver: Option<Driver>,
    #[serde(rename = "Templating", skip_serializing_if = "crate::is_empty")]
    pub templating: Option<Driver>,
}

/// Docker's `Secret`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(flatten)]
    pub meta: Meta,
    #[serde(rename = "Spec", deserialize_with = "crate::null_default")]
    pub spec: SecretSpec,
}

/// Docker's `ServiceCreateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceCreateResponse {
    #[serde(
        rename = "ID",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub id: String,
    #[serde(rename = "Warnings")]
    pub warnings: Option<Vec<String>>,
}

/// Exactly one is set; none means one replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceMode {
    #[serde(rename = "Replicated", skip_serializing_if = "crate::is_empty")]
    pub replicated: Option<ReplicatedService>,
    #[serde(rename = "Global", skip_serializing_if = "crate::is_empty")]
    pub global: Option<GlobalService>,
    #[serde(rename = "ReplicatedJob", skip_serializing_if = "crate::is_empty")]
    pub replicated_job: Option<ReplicatedJob>,
    #[serde(rename = "GlobalJob", skip_serializing_if = "crate::is_empty")]
    pub global_job: Option<GlobalJob>,
}

/// Docker's `ServiceSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    #[serde(flatten)]
    pub annotations: Annotations,
    #[serde(rename = "TaskTemplate", deserialize_with = "crate::null_default")]
    pub task_template: TaskSpec,
    #[serde(rename = "Mode", deserialize_with = "crate::null_default")]
    pub mode: ServiceMode,
    #[serde(rename = "UpdateConfig", skip_serializing_if = "crate::is_empty")]
    pub update_config: Option<UpdateConfig>,
    #[serde(rename = "RollbackConfig", skip_serializing_if = "crate::is_empty")]
    pub rollback_config: Option<UpdateConfig>,
    #[serde(rename = "Networks", skip_serializing_if = "crate::no_items")]
    pub networks: Option<Vec<NetworkAttachmentConfig>>,
    #[serde(rename = "EndpointSpec", skip_serializing_if = "crate::is_empty")]
    pub endpoint_spec: Option<EndpointSpec>,
}

/// How many tasks run and should run; filled in when a listing asks with `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceStatus {
    #[serde(rename = "RunningTasks", deserialize_with = "crate::null_default")]
    pub running_tasks: u64,
    #[serde(rename = "DesiredTasks", deserialize_with = "crate::null_default")]
    pub desired_tasks: u64,
    #[serde(rename = "CompletedTasks", deserialize_with = "crate::null_default")]
    pub completed_tasks: u64,
}

/// Docker's `ServiceUpdateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceUpdateResponse {
    #[serde(rename = "Warnings")]
    pub warnings: Option<Vec<String>>,
}

/// Docker's `Service`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(flatten)]
    pub meta: Meta,
    #[serde(rename = "Spec", deserialize_with = "crate::null_default")]
    pub spec: ServiceSpec,
    #[serde(rename = "PreviousSpec", skip_serializing_if = "crate::is_empty")]
    pub previous_spec: Option<ServiceSpec>,
    #[serde(rename = "Endpoint", deserialize_with = "crate::null_default")]
    pub endpoint: Endpoint,
    #[serde(rename = "UpdateStatus", skip_serializing_if = "crate::is_empty")]
    pub update_status: Option<UpdateStatus>,
    #[serde(rename = "ServiceStatus", skip_serializing_if = "crate::is_empty")]
    pub service_status: Option<ServiceStatus>,
    #[serde(rename = "JobStatus", skip_serializing_if = "crate::is_empty")]
    pub job_status: Option<JobStatus>,
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

/// Docker's `SpreadOver`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpreadOver {
    #[serde(rename = "SpreadDescriptor", deserialize_with = "crate::null_default")]
    pub spread_descriptor: String,
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

/// Docker's `Topology`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topology {
    #[serde(rename = "Segments", skip_serializing_if = "crate::no_items")]
    pub segments: Option<BTreeMap<String, String>>,
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

/// `failure_action`: pause, continue, rollback; `order`: stop-first, start-first; `parallelism` 0 = all at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateConfig {
    #[serde(rename = "Parallelism", deserialize_with = "crate::null_default")]
    pub parallelism: u64,
    #[serde(
        rename = "Delay",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub delay: i64,
    #[serde(
        rename = "FailureAction",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub failure_action: String,
    #[serde(
        rename = "Monitor",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub monitor: i64,
    #[serde(
        rename = "MaxFailureRatio",
        deserialize_with = "crate::null_default",
        serialize_with = "crate::go::float"
    )]
    pub max_failure_ratio: f32,
    #[serde(rename = "Order", deserialize_with = "crate::null_default")]
    pub order: String,
}

/// Docker's `UpdateStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateStatus {
    #[serde(
        rename = "State",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub state: String,
    #[serde(rename = "StartedAt", skip_serializing_if = "crate::is_empty")]
    pub started_at: Option<Time>,
    #[serde(rename = "CompletedAt", skip_serializing_if = "crate::is_empty")]
    pub completed_at: Option<Time>,
    #[serde(
        rename = "Message",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub message: String,
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

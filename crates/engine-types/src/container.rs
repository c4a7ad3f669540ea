//! Containers, their configuration and state, and exec.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{network, *};

/// A command line: Docker reads a string or a list; unset is `null`.
pub type StrSlice = Option<Vec<String>>;

/// What a container is made of, apart from the host (`Config`; also an image's defaults).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    #[serde(rename = "Hostname", deserialize_with = "crate::null_default")]
    pub hostname: String,
    #[serde(rename = "Domainname", deserialize_with = "crate::null_default")]
    pub domainname: String,
    #[serde(rename = "User", deserialize_with = "crate::null_default")]
    pub user: String,
    #[serde(rename = "AttachStdin", deserialize_with = "crate::null_default")]
    pub attach_stdin: bool,
    #[serde(rename = "AttachStdout", deserialize_with = "crate::null_default")]
    pub attach_stdout: bool,
    #[serde(rename = "AttachStderr", deserialize_with = "crate::null_default")]
    pub attach_stderr: bool,
    #[serde(rename = "ExposedPorts", skip_serializing_if = "crate::ports::none")]
    pub exposed_ports: Option<PortSet>,
    #[serde(rename = "Tty", deserialize_with = "crate::null_default")]
    pub tty: bool,
    #[serde(rename = "OpenStdin", deserialize_with = "crate::null_default")]
    pub open_stdin: bool,
    #[serde(rename = "StdinOnce", deserialize_with = "crate::null_default")]
    pub stdin_once: bool,
    #[serde(rename = "Env")]
    pub env: Option<Vec<String>>,
    #[serde(rename = "Cmd", deserialize_with = "crate::str_slice")]
    pub cmd: StrSlice,
    #[serde(rename = "Healthcheck", skip_serializing_if = "crate::is_empty")]
    pub healthcheck: Option<HealthConfig>,
    #[serde(
        rename = "ArgsEscaped",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub args_escaped: bool,
    #[serde(rename = "Image", deserialize_with = "crate::null_default")]
    pub image: String,
    #[serde(rename = "Volumes", deserialize_with = "crate::null_values")]
    pub volumes: Option<BTreeMap<String, Empty>>,
    #[serde(rename = "WorkingDir", deserialize_with = "crate::null_default")]
    pub working_dir: String,
    #[serde(rename = "Entrypoint", deserialize_with = "crate::str_slice")]
    pub entrypoint: StrSlice,
    #[serde(
        rename = "NetworkDisabled",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub network_disabled: bool,
    #[serde(
        rename = "MacAddress",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub mac_address: String,
    #[serde(rename = "OnBuild")]
    pub on_build: Option<Vec<String>>,
    #[serde(rename = "Labels")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(
        rename = "StopSignal",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub stop_signal: String,
    #[serde(rename = "StopTimeout", skip_serializing_if = "crate::is_empty")]
    pub stop_timeout: Option<i64>,
    #[serde(
        rename = "Shell",
        deserialize_with = "crate::str_slice",
        skip_serializing_if = "crate::no_items"
    )]
    pub shell: StrSlice,
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
    pub graph_driver: container::DriverData,
    #[serde(rename = "SizeRw", skip_serializing_if = "crate::is_empty")]
    pub size_rw: Option<i64>,
    #[serde(rename = "SizeRootFs", skip_serializing_if = "crate::is_empty")]
    pub size_root_fs: Option<i64>,
}

/// `POST /containers/create`: a [`Config`] with two more fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateRequest {
    #[serde(flatten)]
    pub config: Config,
    #[serde(rename = "HostConfig", skip_serializing_if = "crate::is_empty")]
    pub host_config: Option<HostConfig>,
    #[serde(rename = "NetworkingConfig", skip_serializing_if = "crate::is_empty")]
    pub networking_config: Option<network::NetworkingConfig>,
}

/// Answer to `POST /containers/create`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateResponse {
    #[serde(rename = "Id", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(rename = "Warnings")]
    pub warnings: Option<Vec<String>>,
}

/// The endpoint on the default bridge network, or empty (`DefaultNetworkSettings`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultNetworkSettings {
    #[serde(rename = "EndpointID", deserialize_with = "crate::null_default")]
    pub endpoint_id: String,
    #[serde(rename = "Gateway", deserialize_with = "crate::null_default")]
    pub gateway: String,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "crate::null_default")]
    pub global_ipv6_address: String,
    #[serde(
        rename = "GlobalIPv6PrefixLen",
        deserialize_with = "crate::null_default"
    )]
    pub global_ipv6_prefix_len: i64,
    #[serde(rename = "IPAddress", deserialize_with = "crate::null_default")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen", deserialize_with = "crate::null_default")]
    pub ip_prefix_len: i64,
    #[serde(rename = "IPv6Gateway", deserialize_with = "crate::null_default")]
    pub ipv6_gateway: String,
    #[serde(rename = "MacAddress", deserialize_with = "crate::null_default")]
    pub mac_address: String,
}

/// Docker's `ExecInspect`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecInspect {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
    #[serde(rename = "ContainerID", deserialize_with = "crate::null_default")]
    pub container_id: String,
    #[serde(rename = "Running", deserialize_with = "crate::null_default")]
    pub running: bool,
    #[serde(rename = "ExitCode", deserialize_with = "crate::null_default")]
    pub exit_code: i64,
    #[serde(rename = "Pid", deserialize_with = "crate::null_default")]
    pub pid: i64,
}

/// `POST /containers/{id}/exec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecOptions {
    #[serde(rename = "User", deserialize_with = "crate::null_default")]
    pub user: String,
    #[serde(rename = "Privileged", deserialize_with = "crate::null_default")]
    pub privileged: bool,
    #[serde(rename = "Tty", deserialize_with = "crate::null_default")]
    pub tty: bool,
    #[serde(rename = "ConsoleSize", skip_serializing_if = "crate::no_items")]
    pub console_size: Option<Vec<u64>>,
    #[serde(rename = "AttachStdin", deserialize_with = "crate::null_default")]
    pub attach_stdin: bool,
    #[serde(rename = "AttachStderr", deserialize_with = "crate::null_default")]
    pub attach_stderr: bool,
    #[serde(rename = "AttachStdout", deserialize_with = "crate::null_default")]
    pub attach_stdout: bool,
    #[serde(rename = "DetachKeys", deserialize_with = "crate::null_default")]
    pub detach_keys: String,
    #[serde(rename = "Env")]
    pub env: Option<Vec<String>>,
    #[serde(rename = "WorkingDir", deserialize_with = "crate::null_default")]
    pub working_dir: String,
    #[serde(rename = "Cmd")]
    pub cmd: Option<Vec<String>>,
    #[serde(rename = "Detach", deserialize_with = "crate::null_default")]
    pub detach: bool,
}

/// `POST /exec/{id}/start`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecStartOptions {
    #[serde(rename = "Detach", deserialize_with = "crate::null_default")]
    pub detach: bool,
    #[serde(rename = "Tty", deserialize_with = "crate::null_default")]
    pub tty: bool,
    #[serde(rename = "ConsoleSize", skip_serializing_if = "crate::no_items")]
    pub console_size: Option<Vec<u64>>,
}

/// How the container meets this host (`HostConfig`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostConfig {
    #[serde(rename = "Binds")]
    pub binds: Option<Vec<String>>,
    #[serde(rename = "ContainerIDFile", deserialize_with = "crate::null_default")]
    pub container_id_file: String,
    #[serde(rename = "LogConfig", deserialize_with = "crate::null_default")]
    pub log_config: LogConfig,
    #[serde(rename = "NetworkMode", deserialize_with = "crate::null_default")]
    pub network_mode: String,
    #[serde(rename = "PortBindings")]
    pub port_bindings: Option<PortMap>,
    #[serde(rename = "RestartPolicy", deserialize_with = "crate::null_default")]
    pub restart_policy: RestartPolicy,
    #[serde(rename = "AutoRemove", deserialize_with = "crate::null_default")]
    pub auto_remove: bool,
    #[serde(rename = "VolumeDriver", deserialize_with = "crate::null_default")]
    pub volume_driver: String,
    #[serde(rename = "VolumesFrom")]
    pub volumes_from: Option<Vec<String>>,
    #[serde(rename = "ConsoleSize", serialize_with = "crate::go::console_size")]
    pub console_size: Option<Vec<u64>>,
    #[serde(rename = "Annotations", skip_serializing_if = "crate::no_items")]
    pub annotations: Option<BTreeMap<String, String>>,
    #[serde(rename = "CapAdd", deserialize_with = "crate::str_slice")]
    pub cap_add: StrSlice,
    #[serde(rename = "CapDrop", deserialize_with = "crate::str_slice")]
    pub cap_drop: StrSlice,
    #[serde(rename = "CgroupnsMode", deserialize_with = "crate::null_default")]
    pub cgroupns_mode: String,
    #[serde(rename = "Dns")]
    pub dns: Option<Vec<String>>,
    #[serde(rename = "DnsOptions")]
    pub dns_options: Option<Vec<String>>,
    #[serde(rename = "DnsSearch")]
    pub dns_search: Option<Vec<String>>,
    #[serde(rename = "ExtraHosts")]
    pub extra_hosts: Option<Vec<String>>,
    #[serde(rename = "GroupAdd")]
    pub group_add: Option<Vec<String>>,
    #[serde(rename = "IpcMode", deserialize_with = "crate::null_default")]
    pub ipc_mode: String,
    #[serde(rename = "Cgroup", deserialize_with = "crate::null_default")]
    pub cgroup: String,
    #[serde(rename = "Links")]
    pub links: Option<Vec<String>>,
    #[serde(rename = "OomScoreAdj", deserialize_with = "crate::null_default")]
    pub oom_score_adj: i64,
    #[serde(rename = "PidMode", deserialize_with = "crate::null_default")]
    pub pid_mode: String,
    #[serde(rename = "Privileged", deserialize_with = "crate::null_default")]
    pub privileged: bool,
    #[serde(rename = "PublishAllPorts", deserialize_with = "crate::null_default")]
    pub publish_all_ports: bool,
    #[serde(rename = "ReadonlyRootfs", deserialize_with = "crate::null_default")]
    pub readonly_rootfs: bool,
    #[serde(rename = "SecurityOpt")]
    pub security_opt: Option<Vec<String>>,
    #[serde(rename = "StorageOpt", skip_serializing_if = "crate::no_items")]
    pub storage_opt: Option<BTreeMap<String, String>>,
    #[serde(rename = "Tmpfs", skip_serializing_if = "crate::no_items")]
    pub tmpfs: Option<BTreeMap<String, String>>,
    #[serde(rename = "UTSMode", deserialize_with = "crate::null_default")]
    pub uts_mode: String,
    #[serde(rename = "UsernsMode", deserialize_with = "crate::null_default")]
    pub userns_mode: String,
    #[serde(rename = "ShmSize", deserialize_with = "crate::null_default")]
    pub shm_size: i64,
    #[serde(rename = "Sysctls", skip_serializing_if = "crate::no_items")]
    pub sysctls: Option<BTreeMap<String, String>>,
    #[serde(
        rename = "Runtime",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub runtime: String,
    #[serde(rename = "Isolation", deserialize_with = "crate::null_default")]
    pub isolation: String,
    #[serde(flatten)]
    pub resources: Resources,
    #[serde(rename = "Mounts", skip_serializing_if = "crate::no_items")]
    pub mounts: Option<Vec<container::Mount>>,
    #[serde(rename = "MaskedPaths")]
    pub masked_paths: Option<Vec<String>>,
    #[serde(rename = "ReadonlyPaths")]
    pub readonly_paths: Option<Vec<String>>,
    #[serde(rename = "Init", skip_serializing_if = "crate::is_empty")]
    pub init: Option<bool>,
}

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
    pub image_manifest_descriptor: Option<container::Descriptor>,
}

/// Docker's `NetworkSettingsBase`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettingsBase {
    #[serde(rename = "Bridge", deserialize_with = "crate::null_default")]
    pub bridge: String,
    #[serde(rename = "SandboxID", deserialize_with = "crate::null_default")]
    pub sandbox_id: String,
    #[serde(rename = "SandboxKey", deserialize_with = "crate::null_default")]
    pub sandbox_key: String,
    #[serde(rename = "Ports")]
    pub ports: Option<BTreeMap<String, Option<Vec<PortBinding>>>>,
    #[serde(rename = "HairpinMode", deserialize_with = "crate::null_default")]
    pub hairpin_mode: bool,
    #[serde(
        rename = "LinkLocalIPv6Address",
        deserialize_with = "crate::null_default"
    )]
    pub link_local_ipv6_address: String,
    #[serde(
        rename = "LinkLocalIPv6PrefixLen",
        deserialize_with = "crate::null_default"
    )]
    pub link_local_ipv6_prefix_len: i64,
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<network::Address>>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<network::Address>>,
}

/// Docker's `NetworkSettingsSummary`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettingsSummary {
    #[serde(rename = "Networks", deserialize_with = "crate::null_values")]
    pub networks: Option<BTreeMap<String, network::EndpointSettings>>,
}

/// Docker's `NetworkSettings`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettings {
    #[serde(flatten)]
    pub base: NetworkSettingsBase,
    #[serde(flatten)]
    pub default_network_settings: DefaultNetworkSettings,
    #[serde(rename = "Networks", deserialize_with = "crate::null_values")]
    pub networks: Option<BTreeMap<String, network::EndpointSettings>>,
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

/// `name`: empty or `no`, `always`, `unless-stopped`, `on-failure` (at most `maximum_retry_count` times, 0 = for ever).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "MaximumRetryCount", deserialize_with = "crate::null_default")]
    pub maximum_retry_count: i64,
}

/// `status`: created, running, paused, restarting, removing, exited, dead. Times are RFC 3339, Go's zero time when unset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    #[serde(rename = "Status", deserialize_with = "crate::null_default")]
    pub status: String,
    #[serde(rename = "Running", deserialize_with = "crate::null_default")]
    pub running: bool,
    #[serde(rename = "Paused", deserialize_with = "crate::null_default")]
    pub paused: bool,
    #[serde(rename = "Restarting", deserialize_with = "crate::null_default")]
    pub restarting: bool,
    #[serde(rename = "OOMKilled", deserialize_with = "crate::null_default")]
    pub oom_killed: bool,
    #[serde(rename = "Dead", deserialize_with = "crate::null_default")]
    pub dead: bool,
    #[serde(rename = "Pid", deserialize_with = "crate::null_default")]
    pub pid: i64,
    #[serde(rename = "ExitCode", deserialize_with = "crate::null_default")]
    pub exit_code: i64,
    #[serde(rename = "Error", deserialize_with = "crate::null_default")]
    pub error: String,
    #[serde(rename = "StartedAt", deserialize_with = "crate::null_default")]
    pub started_at: String,
    #[serde(rename = "FinishedAt", deserialize_with = "crate::null_default")]
    pub finished_at: String,
    #[serde(rename = "Health", skip_serializing_if = "crate::is_empty")]
    pub health: Option<Health>,
}

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
    pub image_manifest_descriptor: Option<container::Descriptor>,
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

/// Answer to `POST /containers/{id}/wait`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitResponse {
    #[serde(rename = "Error", skip_serializing_if = "crate::is_empty")]
    pub error: Option<WaitExitError>,
    #[serde(rename = "StatusCode", deserialize_with = "crate::null_default")]
    pub status_code: i64,
}

/// Limits, in Docker's units: bytes, 10⁻⁹ CPUs (`nano_cpus`), µs (`cpu_period`, `cpu_quota`); 0 or `None` = no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    #[serde(rename = "CpuShares", deserialize_with = "crate::null_default")]
    pub cpu_shares: i64,
    #[serde(rename = "Memory", deserialize_with = "crate::null_default")]
    pub memory: i64,
    #[serde(rename = "NanoCpus", deserialize_with = "crate::null_default")]
    pub nano_cpus: i64,
    #[serde(rename = "CgroupParent", deserialize_with = "crate::null_default")]
    pub cgroup_parent: String,
    #[serde(rename = "BlkioWeight", deserialize_with = "crate::null_default")]
    pub blkio_weight: u16,
    #[serde(rename = "BlkioWeightDevice")]
    pub blkio_weight_device: Option<Vec<serde_json::Value>>,
    #[serde(rename = "BlkioDeviceReadBps")]
    pub blkio_device_read_bps: Option<Vec<serde_json::Value>>,
    #[serde(rename = "BlkioDeviceWriteBps")]
    pub blkio_device_write_bps: Option<Vec<serde_json::Value>>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_i_ops: Option<Vec<serde_json::Value>>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_i_ops: Option<Vec<serde_json::Value>>,
    #[serde(rename = "CpuPeriod", deserialize_with = "crate::null_default")]
    pub cpu_period: i64,
    #[serde(rename = "CpuQuota", deserialize_with = "crate::null_default")]
    pub cpu_quota: i64,
    #[serde(rename = "CpuRealtimePeriod", deserialize_with = "crate::null_default")]
    pub cpu_realtime_period: i64,
    #[serde(
        rename = "CpuRealtimeRuntime",
        deserialize_with = "crate::null_default"
    )]
    pub cpu_realtime_runtime: i64,
    #[serde(rename = "CpusetCpus", deserialize_with = "crate::null_default")]
    pub cpuset_cpus: String,
    #[serde(rename = "CpusetMems", deserialize_with = "crate::null_default")]
    pub cpuset_mems: String,
    #[serde(rename = "Devices")]
    pub devices: Option<Vec<DeviceMapping>>,
    #[serde(rename = "DeviceCgroupRules")]
    pub device_cgroup_rules: Option<Vec<String>>,
    #[serde(rename = "DeviceRequests")]
    pub device_requests: Option<Vec<serde_json::Value>>,
    /// Read from clients older than 1.42 and not acted upon, as Docker does since 23.0.
    #[serde(
        rename = "KernelMemory",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub kernel_memory: i64,
    #[serde(
        rename = "KernelMemoryTCP",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub kernel_memory_tcp: i64,
    #[serde(rename = "MemoryReservation", deserialize_with = "crate::null_default")]
    pub memory_reservation: i64,
    #[serde(rename = "MemorySwap", deserialize_with = "crate::null_default")]
    pub memory_swap: i64,
    #[serde(rename = "MemorySwappiness")]
    pub memory_swappiness: Option<i64>,
    #[serde(rename = "OomKillDisable")]
    pub oom_kill_disable: Option<bool>,
    #[serde(rename = "PidsLimit")]
    pub pids_limit: Option<i64>,
    #[serde(rename = "Ulimits")]
    pub ulimits: Option<Vec<Ulimit>>,
    #[serde(rename = "CpuCount", deserialize_with = "crate::null_default")]
    pub cpu_count: i64,
    #[serde(rename = "CpuPercent", deserialize_with = "crate::null_default")]
    pub cpu_percent: i64,
    #[serde(rename = "IOMaximumIOps", deserialize_with = "crate::null_default")]
    pub io_maximum_i_ops: u64,
    #[serde(
        rename = "IOMaximumBandwidth",
        deserialize_with = "crate::null_default"
    )]
    pub io_maximum_bandwidth: u64,
}

/// Docker's `DeviceMapping`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceMapping {
    #[serde(rename = "PathOnHost", deserialize_with = "crate::null_default")]
    pub path_on_host: String,
    #[serde(rename = "PathInContainer", deserialize_with = "crate::null_default")]
    pub path_in_container: String,
    #[serde(rename = "CgroupPermissions", deserialize_with = "crate::null_default")]
    pub cgroup_permissions: String,
}

/// Docker's `Ulimit`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ulimit {
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "Hard", deserialize_with = "crate::null_default")]
    pub hard: i64,
    #[serde(rename = "Soft", deserialize_with = "crate::null_default")]
    pub soft: i64,
}

/// A health check; durations in ns, 0 = inherit or default. `test[0]`: `NONE`, `CMD`, `CMD-SHELL`; an empty list inherits the image's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthConfig {
    #[serde(rename = "Test", skip_serializing_if = "crate::no_items")]
    pub test: Option<Vec<String>>,
    #[serde(
        rename = "Interval",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub interval: i64,
    #[serde(
        rename = "Timeout",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub timeout: i64,
    #[serde(
        rename = "StartPeriod",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub start_period: i64,
    #[serde(
        rename = "StartInterval",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub start_interval: i64,
    #[serde(
        rename = "Retries",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub retries: i64,
}

/// `status`: none, starting, healthy, unhealthy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    #[serde(rename = "Status", deserialize_with = "crate::null_default")]
    pub status: String,
    #[serde(rename = "FailingStreak", deserialize_with = "crate::null_default")]
    pub failing_streak: i64,
    #[serde(rename = "Log")]
    pub log: Option<Vec<HealthcheckResult>>,
}

/// Docker's `HealthcheckResult`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthcheckResult {
    #[serde(rename = "Start", deserialize_with = "crate::null_default")]
    pub start: Time,
    #[serde(rename = "End", deserialize_with = "crate::null_default")]
    pub end: Time,
    #[serde(rename = "ExitCode", deserialize_with = "crate::null_default")]
    pub exit_code: i64,
    #[serde(rename = "Output", deserialize_with = "crate::null_default")]
    pub output: String,
}

/// Docker's `LogConfig`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    #[serde(rename = "Type", deserialize_with = "crate::null_default")]
    pub r#type: String,
    #[serde(rename = "Config")]
    pub config: Option<BTreeMap<String, String>>,
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

/// Where a port is published; an empty `host_port` is an ephemeral one, `8000-8010` a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortBinding {
    #[serde(rename = "HostIp", deserialize_with = "crate::null_default")]
    pub host_ip: String,
    #[serde(rename = "HostPort", deserialize_with = "crate::null_default")]
    pub host_port: String,
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

/// Docker's `WaitExitError`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitExitError {
    #[serde(
        rename = "Message",
        deserialize_with = "crate::null_default",
        skip_serializing_if = "crate::is_empty"
    )]
    pub message: String,
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

/// `POST /containers/{id}/update`: zero values change nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerUpdate {
    #[serde(flatten)]
    pub resources: Resources,
    #[serde(rename = "RestartPolicy", deserialize_with = "crate::null_default")]
    pub restart_policy: RestartPolicy,
}

/// Docker's `ExecCreateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecCreateResponse {
    #[serde(rename = "Id", deserialize_with = "crate::null_default")]
    pub id: String,
}

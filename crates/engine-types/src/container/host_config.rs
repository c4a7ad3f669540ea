//! What a container gets of its host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Mount, StrSlice};
use crate::PortMap;

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
    pub mounts: Option<Vec<Mount>>,
    #[serde(rename = "MaskedPaths")]
    pub masked_paths: Option<Vec<String>>,
    #[serde(rename = "ReadonlyPaths")]
    pub readonly_paths: Option<Vec<String>>,
    #[serde(rename = "Init", skip_serializing_if = "crate::is_empty")]
    pub init: Option<bool>,
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

/// `name`: empty or `no`, `always`, `unless-stopped`, `on-failure` (at most `maximum_retry_count` times, 0 = for ever).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    #[serde(rename = "Name", deserialize_with = "crate::null_default")]
    pub name: String,
    #[serde(rename = "MaximumRetryCount", deserialize_with = "crate::null_default")]
    pub maximum_retry_count: i64,
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

/// Where a port is published; an empty `host_port` is an ephemeral one, `8000-8010` a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortBinding {
    #[serde(rename = "HostIp", deserialize_with = "crate::null_default")]
    pub host_ip: String,
    #[serde(rename = "HostPort", deserialize_with = "crate::null_default")]
    pub host_port: String,
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

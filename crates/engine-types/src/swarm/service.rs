//! Services: mode, endpoint, updates.

use serde::{Deserialize, Serialize};

use super::{Annotations, Meta, NetworkAttachmentConfig, TaskSpec, Version};

use crate::Time;

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

/// Docker's `GlobalJob`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GlobalJob {}

/// Docker's `GlobalService`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GlobalService {}

/// Docker's `JobStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatus {
    #[serde(rename = "JobIteration", deserialize_with = "crate::null_default")]
    pub job_iteration: Version,
    #[serde(rename = "LastExecution", deserialize_with = "crate::null_default")]
    pub last_execution: Time,
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

//! Whether a container runs, is healthy, and how it ended.

use serde::{Deserialize, Serialize};

use crate::Time;

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

/// Answer to `POST /containers/{id}/wait`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitResponse {
    #[serde(rename = "Error", skip_serializing_if = "crate::is_empty")]
    pub error: Option<WaitExitError>,
    #[serde(rename = "StatusCode", deserialize_with = "crate::null_default")]
    pub status_code: i64,
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

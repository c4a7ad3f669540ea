//! `docker exec`.

use serde::{Deserialize, Serialize};

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

/// Docker's `ExecCreateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecCreateResponse {
    #[serde(rename = "Id", deserialize_with = "crate::null_default")]
    pub id: String,
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

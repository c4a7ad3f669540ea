//! What a container is created with, apart from its host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::HostConfig;
use crate::{Empty, PortSet, network};

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

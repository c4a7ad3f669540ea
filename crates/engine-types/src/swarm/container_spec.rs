//! A service's container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Base64, container};

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

//! Secrets and configs.

use serde::{Deserialize, Serialize};

use super::{Annotations, Driver, Meta};

use crate::Base64;

/// Docker's `ConfigCreateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigCreateResponse {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
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

/// Docker's `SecretCreateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretCreateResponse {
    #[serde(rename = "ID", deserialize_with = "crate::null_default")]
    pub id: String,
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

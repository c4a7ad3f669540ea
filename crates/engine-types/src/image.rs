//! Images: listing, inspection, and the progress lines of load and import.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{container, *};

/// A row of `GET /images/json`. `created` in seconds since 1970, sizes in bytes; `containers` and `shared_size` are -1 when not counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Summary {
    pub containers: i64,
    pub created: i64,
    pub id: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub parent_id: String,
    pub repo_digests: Option<Vec<String>>,
    pub repo_tags: Option<Vec<String>>,
    pub shared_size: i64,
    pub size: i64,
}

/// `GET /images/{name}/json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Inspect {
    pub id: String,
    pub repo_tags: Option<Vec<String>>,
    pub repo_digests: Option<Vec<String>>,
    pub parent: String,
    pub comment: String,
    pub created: Time,
    pub docker_version: String,
    pub author: String,
    pub config: Option<container::Config>,
    pub architecture: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub variant: String,
    pub os: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub os_version: String,
    pub size: i64,
    pub graph_driver: container::DriverData,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    pub metadata: Metadata,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RootFs {
    pub r#type: String,
    #[serde(skip_serializing_if = "no_items")]
    pub layers: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Metadata {
    pub last_tag_time: Time,
}

/// A row of `DELETE /images/{name}`'s answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeleteItem {
    #[serde(skip_serializing_if = "is_empty")]
    pub untagged: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub deleted: String,
}

//! Images of this host: configurations by id, names that point at them, layers on disk.

pub(crate) mod attributes;
pub(crate) mod changes;
pub(crate) mod compression;
pub(crate) mod layers;
pub(crate) mod load;
pub(crate) mod manage;
pub(crate) mod overlay;
pub(crate) mod reference;
pub(crate) mod remove;
pub(crate) mod save;
pub(crate) mod tarsplit;
pub(crate) mod transfer;
pub(crate) mod unpack;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use engine_types::{Error, Result, Time, container};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Doing, lock};
use crate::store::{Loaded, Store, Table, Write};
use layers::Layers;
use reference::{Reference, is_hex, is_id};

/// The image's own file, whose digest is its id (OCI image configuration).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ImageFile {
    #[serde(deserialize_with = "engine_types::null_default")]
    pub architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    pub config: Option<container::Config>,
    pub created: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    pub history: Vec<History>,
    #[serde(deserialize_with = "engine_types::null_default")]
    pub os: String,
    pub rootfs: RootFs,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    pub created: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    #[serde(skip_serializing_if = "engine_types::is_empty")]
    pub empty_layer: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RootFs {
    pub r#type: String,
    pub diff_ids: Vec<String>,
}

/// An image as it is stored: its file's exact text, because the id is its digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Image {
    #[serde(skip)]
    pub id: String,
    pub file: String,
    /// When a name was last pointed at it.
    pub tagged: Time,
}

impl Image {
    pub fn parsed(&self) -> Result<ImageFile> {
        serde_json::from_str(&self.file).doing(format!("read image {}", self.id))
    }
}

#[derive(Default)]
struct State {
    /// By `sha256:…`.
    images: BTreeMap<String, Arc<Image>>,
    /// `repository:tag` to id.
    references: BTreeMap<String, String>,
}

pub(crate) struct Images {
    pub layers: Layers,
    state: Mutex<State>,
    store: Arc<Store>,
    /// Held while layers come and go: a sweep must not take a layer whose image is not stored yet.
    pub changing: tokio::sync::RwLock<()>,
}

impl Images {
    pub fn open(data_root: &Path, store: Arc<Store>, loaded: &Loaded) -> Result<Self> {
        let mut state = State::default();
        for (id, row) in &loaded.images {
            let mut image: Image =
                serde_json::from_slice(row).doing(format!("read image {id} from the store"))?;
            image.id.clone_from(id);
            state.images.insert(id.clone(), Arc::new(image));
        }
        for (name, id) in &loaded.references {
            let id = String::from_utf8_lossy(id).into_owned();
            state.references.insert(name.clone(), id);
        }
        Ok(Self {
            layers: Layers::open(data_root.join("layers"))?,
            state: Mutex::new(state),
            store,
            changing: tokio::sync::RwLock::new(()),
        })
    }

    pub fn count(&self) -> usize {
        lock(&self.state).images.len()
    }

    /// An image by name, id (with or without `sha256:`) or unique prefix of its id.
    pub fn find(&self, name: &str) -> Result<Arc<Image>> {
        let state = lock(&self.state);
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if is_id(hex) || (name != hex && is_hex(hex)) {
            return state.by_prefix(hex).ok_or_else(|| no_such_image(name));
        }
        let reference = Reference::parse(name)?;
        let by_name = match &reference.digest {
            Some(digest) => state.images.get(digest),
            None => state
                .references
                .get(&reference.tagged())
                .and_then(|id| state.images.get(id)),
        };
        if let Some(image) = by_name {
            return Ok(image.clone());
        }
        is_hex(name)
            .then(|| state.by_prefix(name))
            .flatten()
            .ok_or_else(|| no_such_image(&reference_text(&reference)))
    }

    /// Names that point at `id`.
    pub fn references(&self, id: &str) -> Vec<String> {
        let state = lock(&self.state);
        state
            .references
            .iter()
            .filter(|(_, target)| *target == id)
            .map(|(name, _)| name.clone())
            .collect()
    }

    pub fn all(&self) -> Vec<Arc<Image>> {
        lock(&self.state).images.values().cloned().collect()
    }

    /// Stores an image whose layers are in place; returns its id.
    pub async fn add(&self, file: String) -> Result<String> {
        let id = format!("sha256:{}", hex::encode(Sha256::digest(&file)));
        let image = Image {
            id: id.clone(),
            file,
            tagged: Time::default(),
        };
        let saved = {
            let mut state = lock(&self.state);
            if state.images.contains_key(&id) {
                return Ok(id);
            }
            let saved = self.store.write(vec![image_row(&image)?]);
            state.images.insert(id.clone(), Arc::new(image));
            saved
        };
        saved.await?;
        Ok(id)
    }

    /// Points `reference` at the image; returns the name as it is shown.
    pub async fn tag(&self, id: &str, reference: &Reference) -> Result<String> {
        if reference.digest.is_some() {
            return Err(Error::invalid(
                "refusing to create a tag with a digest reference",
            ));
        }
        let name = reference.tagged();
        let saved = {
            let mut state = lock(&self.state);
            let image = state.images.get(id).ok_or_else(|| no_such_image(id))?;
            let image = Image {
                tagged: Time::now(),
                ..Image::clone(image)
            };
            let saved = self.store.write(vec![
                image_row(&image)?,
                Write {
                    table: Table::References,
                    key: name.clone(),
                    value: Some(id.as_bytes().to_vec()),
                },
            ]);
            state.images.insert(id.to_owned(), Arc::new(image));
            state.references.insert(name.clone(), id.to_owned());
            saved
        };
        saved.await?;
        Ok(name)
    }

    /// Layers that images need.
    pub fn layers_in_use(&self) -> BTreeSet<String> {
        self.all()
            .iter()
            .filter_map(|image| image.parsed().ok())
            .flat_map(|file| file.rootfs.diff_ids)
            .collect()
    }

    pub fn size(&self, file: &ImageFile) -> i64 {
        let size: u64 = file
            .rootfs
            .diff_ids
            .iter()
            .filter_map(|diff_id| self.layers.meta(diff_id).ok())
            .map(|meta| meta.content_size)
            .sum();
        i64::try_from(size).unwrap_or(i64::MAX)
    }
}

impl State {
    fn by_prefix(&self, hex: &str) -> Option<Arc<Image>> {
        let prefix = format!("sha256:{hex}");
        let mut found = self
            .images
            .range(prefix.clone()..)
            .take_while(|(id, _)| id.starts_with(&prefix));
        let (_, image) = found.next()?;
        found.next().is_none().then(|| image.clone())
    }
}

fn image_row(image: &Image) -> Result<Write> {
    Ok(Write {
        table: Table::Images,
        key: image.id.clone(),
        value: Some(serde_json::to_vec(image).doing("encode an image")?),
    })
}

fn reference_text(reference: &Reference) -> String {
    match &reference.digest {
        Some(digest) => format!("{}@{digest}", reference.repository),
        None => reference.tagged(),
    }
}

fn no_such_image(name: &str) -> Error {
    Error::not_found(format!("No such image: {name}"))
}

/// `amd64` for `x86_64`: Go's names, which images use.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// The first 12 digits of an id.
pub(crate) fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

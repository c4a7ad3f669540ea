//! `docker import` and `docker load`: archives in, images out.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use engine_types::{Error, Result, Time, container};
use rustix::fs::OFlags;
use serde::Deserialize;

use super::layers::Layers;
use super::reference::{Reference, is_id};
use super::{History, ImageFile, RootFs, compression, unpack};
use crate::Chunks;
use crate::error::Doing;
use crate::root::Root;

/// Manifests and configurations; layers are streamed.
const JSON_LIMIT: u64 = 16 << 20;

/// A blocking reader over chunks that arrive asynchronously. Only for threads that may block.
pub(crate) struct ChunkReader {
    chunks: Chunks,
    current: Bytes,
}

impl ChunkReader {
    pub fn new(chunks: Chunks) -> Self {
        Self {
            chunks,
            current: Bytes::new(),
        }
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.current = chunk.map_err(std::io::Error::other)?,
            }
        }
        let n = buffer.len().min(self.current.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

/// An image that was found in an archive; its layers are in the store.
pub(crate) struct Found {
    pub file: String,
    pub names: Vec<Reference>,
}

/// The image file for a root file system that came as one tar.
pub(crate) fn import(
    layers: &Layers,
    stream: impl Read,
    message: &str,
    changes: &[String],
) -> Result<String> {
    let mut config = container::Config::default();
    for change in changes {
        super::changes::apply(&mut config, change)?;
    }
    let diff_id = layers.add(stream, None)?;
    let now = Time::now();
    let file = ImageFile {
        architecture: super::architecture().to_owned(),
        comment: message.to_owned(),
        config: Some(config),
        created: Some(now.clone()),
        history: vec![History {
            created: Some(now),
            comment: message.to_owned(),
            ..History::default()
        }],
        os: "linux".to_owned(),
        rootfs: RootFs {
            r#type: "layers".to_owned(),
            diff_ids: vec![diff_id],
        },
        ..ImageFile::default()
    };
    serde_json::to_string(&file).doing("describe the image")
}

/// Reads a docker-archive (`manifest.json`) or an OCI layout (`index.json`); `spool` is an empty folder for it.
pub(crate) fn load(layers: &Layers, stream: impl Read, spool: &Path) -> Result<Vec<Found>> {
    let root = Root::open(spool).doing("open the spool folder")?;
    unpack::unpack(
        compression::reader(stream)?,
        &root,
        unpack::Options {
            prefix: Path::new(""),
            whiteouts: false,
            split: None,
        },
    )
    .map_err(|error| Error::invalid(format!("error processing tar file: {error}")))?;
    let archive = Archive { layers, root };
    if archive.has("manifest.json") {
        archive.docker_archive()
    } else if archive.has("index.json") {
        archive.oci_layout()
    } else {
        Err(Error::invalid(
            "the archive holds no image: it has neither manifest.json nor index.json",
        ))
    }
}

struct Archive<'a> {
    layers: &'a Layers,
    root: Root,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestItem {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl Archive<'_> {
    fn has(&self, path: &str) -> bool {
        self.root.open_at(Path::new(path), OFlags::PATH).is_ok()
    }

    fn text(&self, path: &str) -> Result<String> {
        let text = self
            .root
            .read_text(path, JSON_LIMIT)
            .map_err(|error| Error::invalid(format!("invalid archive: {path}: {error}")))?;
        if text.is_empty() {
            return Err(Error::invalid(format!(
                "invalid archive: {path} is missing"
            )));
        }
        Ok(text)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        serde_json::from_str(&self.text(path)?)
            .map_err(|error| Error::invalid(format!("invalid archive: {path}: {error}")))
    }

    fn docker_archive(&self) -> Result<Vec<Found>> {
        let items: Vec<ManifestItem> = self.json("manifest.json")?;
        items
            .into_iter()
            .map(|item| {
                let layers = item.layers.unwrap_or_default();
                let names = item.repo_tags.unwrap_or_default();
                self.image(&item.config, &layers, &names)
            })
            .collect()
    }

    fn oci_layout(&self) -> Result<Vec<Found>> {
        let index: Index = self.json("index.json")?;
        let mut found = Vec::new();
        for descriptor in &index.manifests {
            let name = descriptor
                .annotations
                .get("io.containerd.image.name")
                .or_else(|| {
                    descriptor
                        .annotations
                        .get("org.opencontainers.image.ref.name")
                })
                .filter(|name| Reference::parse(name).is_ok());
            let manifest: Manifest = self.json(&blob(&self.for_this_platform(descriptor)?)?)?;
            let layers = manifest
                .layers
                .iter()
                .map(|layer| blob(&layer.digest))
                .collect::<Result<Vec<_>>>()?;
            let names: Vec<String> = name.into_iter().cloned().collect();
            found.push(self.image(&blob(&manifest.config.digest)?, &layers, &names)?);
        }
        Ok(found)
    }

    /// The manifest's digest, picked from a nested index when there is one.
    fn for_this_platform(&self, descriptor: &Descriptor) -> Result<String> {
        if !descriptor.media_type.contains("index") && !descriptor.media_type.contains("list") {
            return Ok(descriptor.digest.clone());
        }
        let index: Index = self.json(&blob(&descriptor.digest)?)?;
        index
            .manifests
            .iter()
            .find(|manifest| {
                manifest.platform.as_ref().is_some_and(|platform| {
                    platform.os == "linux" && platform.architecture == super::architecture()
                })
            })
            .map(|manifest| manifest.digest.clone())
            .ok_or_else(|| {
                Error::not_found(format!(
                    "no matching manifest for linux/{} in the archive",
                    super::architecture()
                ))
            })
    }

    fn image(&self, config: &str, layers: &[String], names: &[String]) -> Result<Found> {
        let file = self.text(config)?;
        let parsed: ImageFile = serde_json::from_str(&file)
            .map_err(|error| Error::invalid(format!("invalid archive: {config}: {error}")))?;
        let diff_ids = &parsed.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            return Err(Error::invalid(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                diff_ids.len(),
                layers.len()
            )));
        }
        for (diff_id, layer) in diff_ids.iter().zip(layers) {
            if !diff_id.strip_prefix("sha256:").is_some_and(is_id) {
                return Err(Error::invalid(format!("invalid diffID {diff_id:?}")));
            }
            if self.layers.has(diff_id) {
                continue;
            }
            let stream = self
                .root
                .open_file(Path::new(layer))
                .map_err(|error| Error::invalid(format!("invalid archive: {layer}: {error}")))?;
            self.layers.add(stream, Some(diff_id))?;
        }
        Ok(Found {
            file,
            names: names
                .iter()
                .map(|name| Reference::parse(name))
                .collect::<Result<_>>()?,
        })
    }
}

/// A digest's place in an OCI layout.
fn blob(digest: &str) -> Result<String> {
    match digest.strip_prefix("sha256:") {
        Some(hex) if is_id(hex) => Ok(format!("blobs/sha256/{hex}")),
        _ => Err(Error::invalid(format!(
            "invalid archive: unsupported digest {digest:?}"
        ))),
    }
}

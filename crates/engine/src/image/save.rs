//! `docker save`: a docker-archive that `docker load` takes, here and elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use engine_types::{Error, Result};
use serde_json::json;
use tokio::sync::mpsc;

use super::reference::Reference;
use super::{Image, Images};
use crate::error::Doing;

/// A blocking writer that hands chunks to an asynchronous reader. Only for threads that may block.
pub(crate) struct ChunkWriter {
    chunks: mpsc::Sender<Result<Bytes>>,
    buffer: Vec<u8>,
}

const CHUNK: usize = 64 << 10;

impl ChunkWriter {
    pub fn new(chunks: mpsc::Sender<Result<Bytes>>) -> Self {
        Self {
            chunks,
            buffer: Vec::with_capacity(CHUNK),
        }
    }

    /// Sends what is left, or the failure that ended the stream.
    pub fn finish(mut self, result: Result<()>) {
        let last = result.and_then(|()| self.flush().doing("send the archive"));
        if let Err(error) = last {
            // Nobody reads any more: nobody to tell.
            let _ = self.chunks.blocking_send(Err(error));
        }
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::replace(
            &mut self.buffer,
            Vec::with_capacity(CHUNK),
        ));
        self.chunks
            .blocking_send(Ok(chunk))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// An image and the names under which it is to be saved.
pub(crate) struct Selected {
    pub image: Arc<Image>,
    pub names: BTreeSet<String>,
}

/// What `docker save a b …` means: each image once, with the names that were asked for (all of them for a bare
/// repository).
pub(crate) fn select(images: &Images, names: &[String]) -> Result<Vec<Selected>> {
    let mut selected: BTreeMap<String, Selected> = BTreeMap::new();
    for name in names {
        let image = images.find(name)?;
        let entry = selected
            .entry(image.id.clone())
            .or_insert_with(|| Selected {
                image: image.clone(),
                names: BTreeSet::new(),
            });
        if let Ok(reference) = Reference::parse(name)
            && images.references(&image.id).contains(&reference.tagged())
        {
            entry.names.insert(reference.tagged());
        }
    }
    Ok(selected.into_values().collect())
}

pub(crate) fn write(images: &Images, selected: &[Selected], out: &mut impl Write) -> Result<()> {
    let mut tar = tar::Builder::new(out);
    let mut manifest = Vec::new();
    let mut repositories: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    let mut written = BTreeSet::new();
    for Selected { image, names } in selected {
        let file = image.parsed()?;
        let diff_ids = &file.rootfs.diff_ids;
        for diff_id in diff_ids {
            if written.insert(diff_id.clone()) {
                layer(images, diff_id, &mut tar)?;
            }
        }
        let config = format!("{}.json", hex_of(&image.id));
        append(&mut tar, &config, image.file.as_bytes())?;
        let layers: Vec<String> = diff_ids.iter().map(|id| layer_path(id)).collect();
        for (repository, tag) in names.iter().filter_map(|name| name.rsplit_once(':')) {
            let top = diff_ids.last().map_or("", |id| hex_of(id));
            repositories
                .entry(repository)
                .or_default()
                .insert(tag, top.to_owned());
        }
        manifest.push(json!({"Config": config, "RepoTags": names, "Layers": layers}));
    }
    append(
        &mut tar,
        "manifest.json",
        json!(manifest).to_string().as_bytes(),
    )?;
    if !repositories.is_empty() {
        let text = json!(repositories).to_string();
        append(&mut tar, "repositories", text.as_bytes())?;
    }
    tar.finish().doing("write the archive")
}

fn layer<W: Write>(images: &Images, diff_id: &str, tar: &mut tar::Builder<W>) -> Result<()> {
    let size = images.layers.meta(diff_id)?.tar_size;
    let mut header = header(size);
    header
        .set_path(layer_path(diff_id))
        .doing("write the archive")?;
    header.set_cksum();
    let out = tar.get_mut();
    out.write_all(header.as_bytes())
        .doing("write the archive")?;
    let mut checked = Checked {
        out,
        hasher: <sha2::Sha256 as sha2::Digest>::new(),
        size: 0,
    };
    images.layers.write_tar(diff_id, &mut checked)?;
    let got = hex::encode(sha2::Digest::finalize(checked.hasher));
    if got != hex_of(diff_id) || checked.size != size {
        return Err(Error::system(format!(
            "layer {diff_id} can't be written again: its files have changed on disk, or its tar named one file twice"
        )));
    }
    let padding = (512 - size % 512) % 512;
    let out = tar.get_mut();
    out.write_all(&[0; 512][..usize::try_from(padding).unwrap_or(0)])
        .doing("write the archive")
}

struct Checked<'a, W> {
    out: &'a mut W,
    hasher: sha2::Sha256,
    size: u64,
}

impl<W: Write> Write for Checked<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        sha2::Digest::update(&mut self.hasher, &bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn append<W: Write>(tar: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = header(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
        .doing("write the archive")
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn hex_of(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

fn layer_path(diff_id: &str) -> String {
    format!("{}/layer.tar", hex_of(diff_id))
}

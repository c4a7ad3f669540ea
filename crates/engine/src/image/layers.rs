//! Unpacked layers on disk: `layers/<diff id>/{diff,split.zst,meta.json}`, immutable once they have their name.

use std::io::Read;
use std::path::{Path, PathBuf};

use engine_types::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{tarsplit, unpack};
use crate::error::Doing;
use crate::root::Root;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Length of the uncompressed tar.
    pub tar_size: u64,
    /// Bytes of file contents (what `docker images` counts).
    pub content_size: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Layers {
    dir: PathBuf,
}

impl Layers {
    /// Opens the store and sweeps away what a crash left half unpacked.
    pub fn open(dir: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&dir).doing(format!("create {}", dir.display()))?;
        let entries = std::fs::read_dir(&dir).doing(format!("list {}", dir.display()))?;
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with("tmp-") {
                remove_dir(&entry.path());
            }
        }
        Ok(Self { dir })
    }

    /// The layer's files. `diff_id` is `sha256:…`.
    pub fn diff(&self, diff_id: &str) -> PathBuf {
        self.folder(diff_id).join("diff")
    }

    pub fn has(&self, diff_id: &str) -> bool {
        self.folder(diff_id).is_dir()
    }

    pub fn meta(&self, diff_id: &str) -> Result<Meta> {
        let path = self.folder(diff_id).join("meta.json");
        let what = || format!("read {}", path.display());
        let bytes = std::fs::read(&path).doing(what())?;
        serde_json::from_slice(&bytes).doing(what())
    }

    /// Unpacks a layer's tar (compressed or not) and returns its diff id. With `expected`, another digest is an error.
    pub fn add(&self, stream: impl Read, expected: Option<&str>) -> Result<String> {
        let temporary = tempfile::Builder::new()
            .prefix("tmp-")
            .tempdir_in(&self.dir)
            .doing("create a layer")?;
        let diff = temporary.path().join("diff");
        std::fs::create_dir(&diff).doing("create a layer")?;
        set_mode(&diff, 0o755)?;
        let split = tarsplit::Writer::create(&temporary.path().join("split.zst"))
            .doing("create a layer")?;
        let root = Root::open(&diff).doing("create a layer")?;
        let unpacked = unpack::unpack(
            super::compression::reader(stream)?,
            &root,
            unpack::Options {
                prefix: Path::new(""),
                whiteouts: true,
                split: Some(split),
            },
        )
        .map_err(|error| Error::invalid(format!("failed to process the layer's tar: {error}")))?;
        let diff_id = format!("sha256:{}", unpacked.digest);
        if expected.is_some_and(|expected| expected != diff_id) {
            return Err(Error::invalid(format!(
                "invalid diffID for layer: expected {:?}, got {diff_id:?}",
                expected.unwrap_or_default()
            )));
        }
        let meta = Meta {
            tar_size: unpacked.tar_size,
            content_size: unpacked.content_size,
        };
        let meta = serde_json::to_vec(&meta).doing("describe a layer")?;
        std::fs::write(temporary.path().join("meta.json"), meta).doing("describe a layer")?;
        // One sync for the whole tree: a layer that has its name must be complete after a power cut as well.
        let folder = rustix::fs::open(
            &self.dir,
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .doing("sync the layer")?;
        rustix::fs::syncfs(&folder).doing("sync the layer")?;
        let target = self.folder(&diff_id);
        if !target.exists() {
            let temporary = temporary.keep();
            std::fs::rename(&temporary, &target).doing("store the layer")?;
        }
        Ok(diff_id)
    }

    /// Writes the layer's tar again, exactly as it came.
    pub fn write_tar(&self, diff_id: &str, out: &mut impl std::io::Write) -> Result<()> {
        let folder = self.folder(diff_id);
        tarsplit::assemble(&folder.join("split.zst"), &folder.join("diff"), out)
            .doing(format!("write layer {diff_id}"))
    }

    /// Removes every layer that `keep` does not name.
    pub fn sweep(&self, keep: &std::collections::BTreeSet<String>) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return Vec::new();
        };
        let mut removed = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let diff_id = format!("sha256:{name}");
            if name.starts_with("tmp-") || keep.contains(&diff_id) {
                continue;
            }
            // Out of sight first: a crash in the middle leaves no half layer under its name.
            let doomed = self.dir.join(format!("tmp-{name}"));
            if std::fs::rename(entry.path(), &doomed).is_ok() {
                remove_dir(&doomed);
                removed.push(diff_id);
            }
        }
        removed
    }

    fn folder(&self, diff_id: &str) -> PathBuf {
        self.dir
            .join(diff_id.strip_prefix("sha256:").unwrap_or(diff_id))
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .doing(format!("set the mode of {}", path.display()))
}

/// Best effort: what stays is swept at the next start.
pub(crate) fn remove_dir(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove a directory");
    }
}

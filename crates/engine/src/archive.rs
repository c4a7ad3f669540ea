//! `docker cp`: trees in and out of a container, running or not, never beyond its root.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine_types::{Base64, Error, Result};
use rustix::fs::{self, AtFlags, FileType, OFlags, Stat};
use serde_json::json;
use tokio::sync::{OwnedMutexGuard, mpsc};

use crate::error::{Doing, blocking};
use crate::image::load::ChunkReader;
use crate::image::save::ChunkWriter;
use crate::image::{overlay, unpack};
use crate::inner::{Container, Inner};
use crate::root::{Root, clean};
use crate::{Chunks, Engine, tree};

impl Engine {
    /// Files out of (`archive`) a container as a tar, with the base64 JSON of Docker's path stat header.
    pub async fn archive_get(&self, id: &str, path: &str) -> Result<(String, Chunks)> {
        let container = self.inner.find(id)?;
        let view = View::open(&self.inner, &container, path).await?;
        let (name, path) = (path.to_owned(), path.to_owned());
        let called = id.to_owned();
        let (view, from, header) = blocking(move || {
            let from = Source::find(&view.root, &view.path)
                .map_err(|error| not_found(error, &path, &called))?;
            let header = from.header(&path)?;
            Ok((view, from, header))
        })
        .await?;
        let event = [("path", name.clone())];
        self.inner.event(&container, "archive-path", &event);
        Ok((header, send(view, from, name)))
    }

    /// The whole root file system as a tar, without what is mounted in it.
    pub async fn export(&self, id: &str) -> Result<Chunks> {
        let container = self.inner.find(id)?;
        let view = View::rootfs(&self.inner, &container, PathBuf::from("/")).await?;
        let what = format!("export container {}", container.id);
        let (view, from) = blocking(move || {
            let from = Source::find(&view.root, &view.path).doing(what)?;
            Ok((view, from))
        })
        .await?;
        self.inner.event(&container, "export", &[]);
        Ok(send(view, from, container.name()))
    }

    pub async fn archive_put(&self, id: &str, path: &str, body: Chunks) -> Result<()> {
        let container = self.inner.find(id)?;
        let view = View::open(&self.inner, &container, path).await?;
        if container.with(|record| record.host_config.readonly_rootfs) && view.in_rootfs {
            return Err(Error::forbidden("container rootfs is marked read-only"));
        }
        let event = [("path", path.to_owned())];
        self.inner.event(&container, "extract-to-dir", &event);
        let (path, called) = (path.to_owned(), id.to_owned());
        blocking(move || {
            let what = |error| not_found(error, &path, &called);
            let dir = view.root.open_at(&view.path, OFlags::PATH).map_err(what)?;
            let stat = fs::fstat(&dir).doing("copy into the container")?;
            if !FileType::from_raw_mode(stat.st_mode).is_dir() {
                return Err(Error::invalid("extraction point is not a directory"));
            }
            let prefix = view.root.real_path(&view.path).map_err(what)?;
            let prefix = clean(&prefix).unwrap_or_default();
            let options = unpack::Options {
                prefix: &prefix,
                whiteouts: false,
                split: None,
            };
            let stream = crate::image::compression::reader(ChunkReader::new(body))?;
            unpack::unpack(stream, &view.root, options)
                .map(drop)
                .map_err(|error| Error::invalid(format!("copy into the container: {error}")))
        })
        .await
    }
}

/// Sends a tree as a tar, in the background; `view` is given up after its last byte.
fn send(view: View, from: Source, name: String) -> Chunks {
    let (send, receive) = mpsc::channel(8);
    tokio::task::spawn_blocking(move || {
        let mut out = ChunkWriter::new(send);
        let result = from.write(&mut out).doing(format!("archive {name}"));
        out.finish(result);
        drop(view);
    });
    receive
}

fn not_found(error: std::io::Error, path: &str, container: &str) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!(
            "Could not find the file {path} in container {container}"
        )),
        _ => Error::system(format!("{path} in container {container}: {error}")),
    }
}

/// A container's file system as its processes see it; a stopped one's is mounted as long as this lives.
struct View {
    root: Root,
    /// The wanted path, inside `root`.
    path: PathBuf,
    in_rootfs: bool,
    _mounted: Option<Mounted>,
}

struct Mounted {
    target: PathBuf,
    /// No start may come between.
    _changing: OwnedMutexGuard<()>,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = overlay::unmount(&self.target) {
            tracing::warn!(path = %self.target.display(), %error, "could not unmount");
        }
    }
}

impl View {
    async fn open(inner: &Arc<Inner>, container: &Arc<Container>, path: &str) -> Result<Self> {
        if path.is_empty() {
            return Err(Error::invalid("bad parameter: the path is empty"));
        }
        let wanted = PathBuf::from("/").join(path);
        let what = "open the container's file system";
        if let Some(live) = container.live() {
            return Ok(Self {
                root: Root::open(Path::new(&format!("/proc/{}/root", live.pid))).doing(what)?,
                path: wanted,
                in_rootfs: true,
                _mounted: None,
            });
        }
        let record = container.record();
        // Volumes are not mounted now: their own folders stand in.
        let inside = record
            .mounts
            .iter()
            .filter(|m| m.point.r#type != "tmpfs")
            .filter_map(|m| Some((m, wanted.strip_prefix(&m.point.destination).ok()?)))
            .max_by_key(|(m, _)| m.point.destination.len());
        if let Some((mounted, rest)) = inside.filter(|(_, rest)| !rest.as_os_str().is_empty()) {
            return Ok(Self {
                root: Root::open(Path::new(&mounted.point.source)).doing(what)?,
                path: rest.to_owned(),
                in_rootfs: false,
                _mounted: None,
            });
        }
        Self::rootfs(inner, container, wanted).await
    }

    /// The file system without what is mounted in it.
    async fn rootfs(
        inner: &Arc<Inner>,
        container: &Arc<Container>,
        wanted: PathBuf,
    ) -> Result<Self> {
        let what = "open the container's file system";
        let changing = container.changing.clone().lock_owned().await;
        if container.live().is_some() {
            return Ok(Self {
                root: Root::open(&inner.rootfs(&container.id)).doing(what)?,
                path: wanted,
                in_rootfs: true,
                _mounted: None,
            });
        }
        let record = container.record();
        let (inner, id) = (inner.clone(), container.id.clone());
        blocking(move || {
            inner.mount_rootfs(&id, &record)?;
            let target = inner.rootfs(&id);
            let mounted = Mounted {
                target: target.clone(),
                _changing: changing,
            };
            Ok(Self {
                root: Root::open(&target).doing(what)?,
                path: wanted,
                in_rootfs: true,
                _mounted: Some(mounted),
            })
        })
        .await
    }
}

/// Something to archive: an open folder and a name in it, or the root itself (`.`).
struct Source {
    dir: rustix::fd::OwnedFd,
    name: std::ffi::OsString,
    stat: Stat,
}

impl Source {
    fn find(root: &Root, path: &Path) -> std::io::Result<Self> {
        // `dir/` and `dir/.` mean the folder behind a link, too.
        let text = path.as_os_str().as_bytes();
        let through = text.ends_with(b"/") || text.ends_with(b"/.");
        let real;
        let path = if through {
            real = root.real_path(path)?;
            &real
        } else {
            path
        };
        let (dir, name) = match path.file_name() {
            Some(_) => {
                let place = root.place(path, false)?;
                (place.dir, place.name)
            }
            None => (
                root.open_at(path, OFlags::PATH | OFlags::DIRECTORY)?,
                ".".into(),
            ),
        };
        let stat = fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Self { dir, name, stat })
    }

    /// Docker's `X-Docker-Container-Path-Stat`.
    fn header(&self, path: &str) -> Result<String> {
        let kind = FileType::from_raw_mode(self.stat.st_mode);
        let target = match kind {
            FileType::Symlink => fs::readlinkat(&self.dir, &self.name, Vec::new())
                .doing("read the link")?
                .to_string_lossy()
                .into_owned(),
            _ => String::new(),
        };
        let name = Path::new(path).file_name().map_or_else(
            || "/".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        let mtime = jiff::Timestamp::from_second(self.stat.st_mtime).unwrap_or_default();
        let stat = json!({
            "name": name,
            "size": self.stat.st_size,
            "mode": go_mode(self.stat.st_mode),
            "mtime": mtime.to_string(),
            "linkTarget": target,
        });
        match serde_json::to_value(Base64(stat.to_string().into_bytes())) {
            Ok(serde_json::Value::String(text)) => Ok(text),
            _ => Err(Error::system("the path's header can't be encoded")),
        }
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let base = if self.name == "." {
            PathBuf::from("/")
        } else {
            PathBuf::from(&self.name)
        };
        tree::write(self.dir.as_fd(), &self.name, &base, out)
    }
}

/// Go's `os.FileMode` bits.
fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => (1 << 26) | (1 << 21),
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)]
        .into_iter()
        .filter(|(bit, _)| mode & bit != 0)
        .fold(0, |all, (_, go)| all | go);
    kind | special | (mode & 0o777)
}

//! A directory that is some untrusted file tree's root: every path is resolved inside it, as after a `chroot`.
//!
//! Symbolic links in the tree point where they would point for a process that lives in it; no path, link or race leads
//! out (`openat2` with `RESOLVE_IN_ROOT`).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};

pub(crate) struct Root {
    fd: OwnedFd,
}

/// Where something is or would be: its folder, open, and its name there.
pub(crate) struct Place {
    pub dir: OwnedFd,
    pub name: OsString,
}

impl Root {
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = fs::open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self { fd })
    }

    /// Opens `path`, following links inside the root.
    pub fn open_at(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let relative = if relative.as_os_str().is_empty() {
            Path::new(".")
        } else {
            relative
        };
        // The kernel answers EAGAIN when a rename elsewhere made its walk unsure.
        for _ in 0..100 {
            match fs::openat2(
                &self.fd,
                relative,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            ) {
                Err(rustix::io::Errno::AGAIN) => {}
                other => return Ok(other?),
            }
        }
        Err(io::Error::from(io::ErrorKind::ResourceBusy))
    }

    pub fn open_file(&self, path: &Path) -> io::Result<std::fs::File> {
        // NONBLOCK: a fifo in the tree must not hang the reader.
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        Ok(std::fs::File::from(fd))
    }

    /// The text of a file of at most `limit` bytes; a missing file is empty text.
    pub fn read_text(&self, path: &str, limit: u64) -> io::Result<String> {
        use std::io::Read;
        let file = match self.open_file(Path::new(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            other => other?,
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{path} is not a regular file")));
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The folder of `path` and its last name. With `create`, missing folders on the way are made (0755).
    pub fn place(&self, path: &Path, create: bool) -> io::Result<Place> {
        let name = path.file_name().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} names no file", path.display()),
            )
        })?;
        let parent = path.parent().unwrap_or(Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let dir = match self.open_at(parent, flags) {
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => {
                self.make_dirs(parent)?;
                self.open_at(parent, flags)?
            }
            other => other?,
        };
        Ok(Place {
            dir,
            name: name.to_owned(),
        })
    }

    /// `mkdir -p`, each step resolved inside the root.
    pub fn make_dirs(&self, path: &Path) -> io::Result<()> {
        let mut done = PathBuf::new();
        for component in path.components() {
            let Component::Normal(name) = component else {
                continue;
            };
            let dir = self.open_at(&done, OFlags::PATH | OFlags::DIRECTORY)?;
            match fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            done.push(name);
        }
        Ok(())
    }

    /// The path that `path` has after all its links, as seen in the tree (`/…`).
    pub fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        let fd = self.open_at(path, OFlags::PATH)?;
        let base = std::fs::read_link(proc_path(self.fd.as_fd(), None))?;
        let full = std::fs::read_link(proc_path(fd.as_fd(), None))?;
        let inside = full.strip_prefix(&base).map_err(io::Error::other)?;
        Ok(Path::new("/").join(inside))
    }
}

/// A path that means `name` in the open folder `dir`, for system calls that take no folder.
pub(crate) fn proc_path(dir: BorrowedFd<'_>, name: Option<&OsStr>) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    if let Some(name) = name {
        path.push(name);
    }
    path
}

/// A relative path without `.` parts; `None` when a `..` would climb over its start.
pub(crate) fn clean(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(clean)
}

/// Removes `name` in `dir`, a whole tree if it is one, without following any link. A missing name is fine.
pub(crate) fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    use rustix::io::Errno;
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let inner = fs::openat(
        dir,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    for entry in fs::Dir::read_from(&inner)? {
        let entry = entry?;
        let child = OsStr::from_bytes(entry.file_name().to_bytes());
        if child != "." && child != ".." {
            remove_tree(inner.as_fd(), child)?;
        }
    }
    fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/etc")).unwrap();
        std::fs::write(dir.path().join("root/etc/passwd"), "inside").unwrap();
        std::fs::write(dir.path().join("passwd"), "outside").unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("root/absolute")).unwrap();
        std::os::unix::fs::symlink("../../../../passwd", dir.path().join("root/up")).unwrap();
        assert_eq!(root.read_text("/absolute", 100).unwrap(), "inside");
        assert_eq!(root.read_text("up", 100).unwrap(), "");
        assert_eq!(root.read_text("../passwd", 100).unwrap(), "");
        assert_eq!(
            root.real_path(Path::new("absolute")).unwrap(),
            Path::new("/etc/passwd")
        );
    }

    #[test]
    fn clean_paths() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(
                clean(Path::new(path)),
                expected.map(PathBuf::from),
                "{path}"
            );
        };
        check("./a/./b", Some("a/b"));
        check("/a/../b", Some("b"));
        check("a/../../b", None);
        check("..", None);
        check("", Some(""));
    }
}

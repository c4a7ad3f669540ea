//! A file tree as a tar: nothing is followed, and nothing outside is read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};

/// Writes `name` in `dir` and all below it, as `path`.
pub(crate) fn write(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let mut tree = Tree {
        tar: tar::Builder::new(out),
        links: BTreeMap::new(),
    };
    tree.add(dir, name, path)?;
    tree.tar.finish()
}

struct Tree<W: Write> {
    tar: tar::Builder<W>,
    /// Files with several names: where the first one went.
    links: BTreeMap<(u64, u64), PathBuf>,
}

impl<W: Write> Tree<W> {
    fn add(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> std::io::Result<()> {
        let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut header = tar::Header::new_gnu();
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(u64::from(stat.st_uid));
        header.set_gid(u64::from(stat.st_gid));
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        header.set_size(0);
        let archived = path.strip_prefix("/").unwrap_or(path);
        let archived = if archived.as_os_str().is_empty() {
            Path::new("./")
        } else {
            archived
        };
        let safe = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match kind {
            FileType::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                self.tar
                    .append_data(&mut header, archived, std::io::empty())?;
                let inner = fs::openat(
                    dir,
                    name,
                    OFlags::RDONLY | OFlags::DIRECTORY | safe,
                    Mode::empty(),
                )?;
                for entry in fs::Dir::read_from(&inner)? {
                    let entry = entry?;
                    let child = OsStr::from_bytes(entry.file_name().to_bytes());
                    if child != "." && child != ".." {
                        self.add(inner.as_fd(), child, &path.join(child))?;
                    }
                }
            }
            FileType::RegularFile => {
                let inode = (stat.st_dev, stat.st_ino);
                if let Some(first) = self.links.get(&inode) {
                    header.set_entry_type(tar::EntryType::Link);
                    return self.tar.append_link(&mut header, archived, first);
                }
                if stat.st_nlink > 1 {
                    self.links.insert(inode, archived.to_owned());
                }
                let file = fs::openat(dir, name, OFlags::RDONLY | safe, Mode::empty())?;
                header.set_entry_type(tar::EntryType::Regular);
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                header.set_size(size);
                // A file that grows meanwhile is cut, one that shrinks is filled: the header has its size already.
                let content = std::io::Read::take(
                    std::io::Read::chain(std::fs::File::from(file), std::io::repeat(0)),
                    size,
                );
                self.tar.append_data(&mut header, archived, content)?;
            }
            FileType::Symlink => {
                header.set_entry_type(tar::EntryType::Symlink);
                let target = fs::readlinkat(dir, name, Vec::new())?;
                let target = Path::new(OsStr::from_bytes(target.to_bytes()));
                self.tar.append_link(&mut header, archived, target)?;
            }
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
                header.set_entry_type(match kind {
                    FileType::CharacterDevice => tar::EntryType::Char,
                    FileType::BlockDevice => tar::EntryType::Block,
                    _ => tar::EntryType::Fifo,
                });
                header.set_device_major(fs::major(stat.st_rdev))?;
                header.set_device_minor(fs::minor(stat.st_rdev))?;
                self.tar
                    .append_data(&mut header, archived, std::io::empty())?;
            }
            // Sockets are not archived, as in Docker.
            _ => {}
        }
        Ok(())
    }
}

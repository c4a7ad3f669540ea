//! Unpacks tar streams that may be hostile into a directory, and nowhere else.
//!
//! Every path of an entry, a hard link's target and each folder on the way are resolved inside the target ([`Root`]), so
//! neither `..` nor a symbolic link planted by an earlier entry leads out. Overlay whiteouts are written in the kernel's
//! form; attributes that would steer the overlay file system are dropped.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, XattrFlags};
use sha2::{Digest, Sha256};

use super::attributes::{attributes, mode, mtime, owner, set_times};
use super::tarsplit;
use crate::root::{Place, Root, clean, proc_path, remove_tree};

/// Headers, long names and attributes of one entry; more is an attack on memory.
const METADATA_LIMIT: u64 = 4 << 20;

/// What a stream was.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// Hex SHA-256 of the whole uncompressed stream.
    pub digest: String,
    /// Length of the uncompressed stream.
    pub tar_size: u64,
    /// Bytes of file contents.
    pub content_size: u64,
}

pub(crate) struct Options<'a> {
    /// Folder inside the root that entries are relative to.
    pub prefix: &'a Path,
    /// `.wh.` entries are deletions of lower layers' files.
    pub whiteouts: bool,
    /// Records how to write the tar again.
    pub split: Option<tarsplit::Writer>,
}

pub(crate) fn unpack(stream: impl Read, root: &Root, options: Options<'_>) -> io::Result<Unpacked> {
    let distinct = options.split.is_some();
    let tape = Tape {
        inner: stream,
        state: Rc::new(RefCell::new(TapeState {
            hasher: Sha256::new(),
            total: 0,
            metadata_run: 0,
            in_content: false,
            split: options.split,
        })),
    };
    let state = tape.state.clone();
    let mut archive = tar::Archive::new(tape);
    let mut unpacker = Unpacker {
        root,
        prefix: options.prefix,
        whiteouts: options.whiteouts,
        distinct,
        directories: Vec::new(),
        content_size: 0,
    };
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path_bytes().into_owned();
        unpacker.entry(&mut entry, &state).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{}: {error}", String::from_utf8_lossy(&name)),
            )
        })?;
    }
    unpacker.finish_directories()?;
    // What follows the end mark is part of the digest as well.
    let mut tape = archive.into_inner();
    state.borrow_mut().metadata_run = 0;
    let mut buffer = vec![0; 64 << 10];
    while tape.read(&mut buffer)? > 0 {
        state.borrow_mut().metadata_run = 0;
    }
    drop(tape);
    let state = Rc::into_inner(state)
        .ok_or_else(|| io::Error::other("the stream is still in use"))?
        .into_inner();
    if let Some(split) = state.split {
        split.finish()?;
    }
    Ok(Unpacked {
        digest: hex::encode(state.hasher.finalize()),
        tar_size: state.total,
        content_size: unpacker.content_size,
    })
}

/// Passes a stream on, hashes it and records all but file contents.
struct Tape<R> {
    inner: R,
    state: Rc<RefCell<TapeState>>,
}

struct TapeState {
    hasher: Sha256,
    total: u64,
    metadata_run: u64,
    in_content: bool,
    split: Option<tarsplit::Writer>,
}

impl<R: Read> Read for Tape<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let bytes = &buffer[..n];
        let mut state = self.state.borrow_mut();
        state.hasher.update(bytes);
        state.total += n as u64;
        if !state.in_content {
            state.metadata_run += n as u64;
            if state.metadata_run > METADATA_LIMIT {
                return Err(io::Error::other("archive entry has too much metadata"));
            }
            if let Some(split) = &mut state.split {
                split.raw(bytes)?;
            }
        }
        Ok(n)
    }
}

struct Unpacker<'a> {
    root: &'a Root,
    prefix: &'a Path,
    whiteouts: bool,
    /// No entry may replace another: the tar is written again from what is unpacked.
    distinct: bool,
    /// Their times are set last: creating what they hold changes them.
    directories: Vec<(PathBuf, i64)>,
    content_size: u64,
}

impl Unpacker<'_> {
    fn path(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let relative = clean(Path::new(OsStr::from_bytes(bytes))).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "invalid path: it leads out of the archive",
            )
        })?;
        Ok(self.prefix.join(relative))
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        tape: &Rc<RefCell<TapeState>>,
    ) -> io::Result<()> {
        tape.borrow_mut().metadata_run = 0;
        let mut kind = entry.header().entry_type();
        // A folder, to writers older than the type for it.
        if kind.is_file() && entry.path_bytes().ends_with(b"/") {
            kind = tar::EntryType::Directory;
        }
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let path = self.path(&entry.path_bytes())?;
        if path == self.prefix {
            // The root's own entry: its mode and owner count, it is never replaced.
            return self.root_entry(entry);
        }
        let place = self.root.place(&path, true)?;
        if self.whiteouts && self.whiteout(&place)? {
            return Ok(());
        }
        self.make_room(&place, kind.is_dir())?;
        let name = place.name.as_os_str();
        match kind {
            tar::EntryType::Directory => {
                match fs::mkdirat(&place.dir, name, Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                self.directories.push((path.clone(), mtime(entry)));
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                self.content_size += write_file(entry, &place, &path, tape)?;
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                fs::symlinkat(OsStr::from_bytes(&target), &place.dir, name)?;
            }
            tar::EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let from = self.root.place(&self.path(&target)?, false)?;
                // The inode's owner, mode and times came with its first name.
                return Ok(fs::linkat(
                    &from.dir,
                    from.name.as_os_str(),
                    &place.dir,
                    name,
                    AtFlags::empty(),
                )?);
            }
            tar::EntryType::Char | tar::EntryType::Block | tar::EntryType::Fifo => {
                let header = entry.header();
                let device = fs::makedev(
                    header.device_major()?.unwrap_or(0),
                    header.device_minor()?.unwrap_or(0),
                );
                let file_type = match kind {
                    tar::EntryType::Char => FileType::CharacterDevice,
                    tar::EntryType::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                fs::mknodat(
                    &place.dir,
                    name,
                    file_type,
                    Mode::from_raw_mode(0o600),
                    device,
                )?;
            }
            other => {
                return Err(io::Error::other(format!(
                    "unhandled tar header type {:?}",
                    other.as_byte() as char
                )));
            }
        }
        attributes(entry, &place, kind.is_symlink())
    }

    fn root_entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        if !entry.header().entry_type().is_dir() || !self.prefix.as_os_str().is_empty() {
            return Ok(());
        }
        let dir = self.root.open_at(Path::new(""), OFlags::RDONLY)?;
        let (uid, gid) = owner(entry)?;
        fs::fchown(&dir, Some(uid), Some(gid))?;
        fs::fchmod(&dir, mode(entry)?)?;
        Ok(())
    }

    /// An OCI whiteout, as overlayfs wants it. True when the entry was one.
    fn whiteout(&self, place: &Place) -> io::Result<bool> {
        let Some(hidden) = place.name.as_bytes().strip_prefix(b".wh.") else {
            return Ok(false);
        };
        if hidden == b".wh..opq" {
            fs::setxattr(
                proc_path(place.dir.as_fd(), None),
                "trusted.overlay.opaque",
                b"y",
                XattrFlags::empty(),
            )?;
        } else if !hidden.starts_with(b".wh.") && hidden != b".." && hidden != b"." {
            match fs::mknodat(
                &place.dir,
                OsStr::from_bytes(hidden),
                FileType::CharacterDevice,
                Mode::empty(),
                fs::makedev(0, 0),
            ) {
                // The same layer also has the file: it wins.
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// A later entry replaces an earlier one of its name; only a folder onto a folder keeps what is there.
    fn make_room(&self, place: &Place, wants_dir: bool) -> io::Result<()> {
        let name = place.name.as_os_str();
        match fs::statat(&place.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(stat) if wants_dir && FileType::from_raw_mode(stat.st_mode).is_dir() => Ok(()),
            // As Docker; a whiteout's device is of our making, and whatever has its name wins.
            Ok(stat) if self.distinct && !is_whiteout(&stat) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "duplicates of file paths not supported",
            )),
            Ok(_) => remove_tree(place.dir.as_fd(), name),
        }
    }

    fn finish_directories(&mut self) -> io::Result<()> {
        for (path, mtime) in self.directories.drain(..).rev() {
            // A later entry may have replaced the folder.
            if let Ok(place) = self.root.place(&path, false) {
                set_times(&place, mtime)?;
            }
        }
        Ok(())
    }
}

fn is_whiteout(stat: &fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

fn write_file<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    place: &Place,
    path: &Path,
    tape: &Rc<RefCell<TapeState>>,
) -> io::Result<u64> {
    let fd = fs::openat(
        &place.dir,
        place.name.as_os_str(),
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o600),
    )?;
    let mut file = std::fs::File::from(fd);
    // A sparse file's stream is not its content: it is recorded whole.
    if !entry.header().entry_type().is_gnu_sparse() {
        let mut tape = tape.borrow_mut();
        let size = entry.size();
        if let Some(split) = &mut tape.split {
            split.file(path, size)?;
        }
        tape.in_content = true;
    }
    let copied = io::copy(
        entry,
        &mut Relaxed {
            file: &mut file,
            tape,
        },
    );
    tape.borrow_mut().in_content = false;
    let copied = copied?;
    if copied != entry.size() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(copied)
}

/// Writes a file and keeps the tape's bound on metadata away from its content.
struct Relaxed<'a> {
    file: &'a mut std::fs::File,
    tape: &'a Rc<RefCell<TapeState>>,
}

impl io::Write for Relaxed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tape.borrow_mut().metadata_run = 0;
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

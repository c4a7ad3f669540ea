//! Fills a new volume from the image's folder at its mount point, as Docker does.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};

use crate::root::Root;

/// Copies what `inside` holds in the container's root to the empty folder `to`. A path that is not there is fine.
pub(crate) fn fill(root: &Root, inside: &Path, to: &Path) -> io::Result<()> {
    if std::fs::read_dir(to)?.next().is_some() {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let from = match root.open_at(inside, flags) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
        other => other?,
    };
    let to = fs::open(to, flags | OFlags::CLOEXEC, Mode::empty())?;
    children(from.as_fd(), to.as_fd())?;
    let stat = fs::fstat(&from)?;
    fs::fchown(
        &to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(())
}

fn children(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    for entry in fs::Dir::read_from(from)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            one(from, to, name)?;
        }
    }
    Ok(())
}

fn one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let stat = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let safe = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match kind {
        FileType::Directory => {
            fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | safe;
            let (from, to) = (
                fs::openat(from, name, flags, Mode::empty())?,
                fs::openat(to, name, flags, Mode::empty())?,
            );
            children(from.as_fd(), to.as_fd())?;
        }
        FileType::RegularFile => {
            let mut from = std::fs::File::from(fs::openat(
                from,
                name,
                OFlags::RDONLY | safe,
                Mode::empty(),
            )?);
            let mut to = std::fs::File::from(fs::openat(
                to,
                name,
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | safe,
                Mode::from_raw_mode(0o600),
            )?);
            io::copy(&mut from, &mut to)?;
        }
        FileType::Symlink => {
            fs::symlinkat(fs::readlinkat(from, name, Vec::new())?.as_c_str(), to, name)?;
        }
        other => fs::mknodat(to, name, other, Mode::from_raw_mode(0o600), stat.st_rdev)?,
    }
    attributes(to, name, &stat, kind.is_symlink())
}

fn attributes(to: BorrowedFd<'_>, name: &OsStr, stat: &Stat, link: bool) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if !link {
        fs::chmodat(
            to,
            name,
            Mode::from_raw_mode(stat.st_mode & 0o7777),
            AtFlags::empty(),
        )?;
    }
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

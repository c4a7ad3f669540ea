//! An archive entry's owner, mode, times and extended attributes, put on what was made of it.

use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::fs::{self, AtFlags, Mode, Timespec, Timestamps, XattrFlags};

use crate::root::{Place, proc_path};

pub(super) fn attributes<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    place: &Place,
    is_link: bool,
) -> io::Result<()> {
    let name = place.name.as_os_str();
    let (uid, gid) = owner(entry)?;
    fs::chownat(
        &place.dir,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    if !is_link {
        // After the owner: changing it clears the set-uid bit. The name was made just now and is no link.
        fs::chmodat(&place.dir, name, mode(entry)?, AtFlags::empty())?;
    }
    for (key, value) in xattrs(entry)? {
        let path = proc_path(place.dir.as_fd(), Some(name));
        match fs::lsetxattr(path, key.as_str(), &value, XattrFlags::empty()) {
            // As Docker: not every file system has every attribute.
            Ok(()) | Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if entry.header().entry_type().is_dir() {
        return Ok(());
    }
    set_times(place, mtime(entry))
}

fn xattrs<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            let Some(key) = extension
                .key()
                .ok()
                .and_then(|key| key.strip_prefix("SCHILY.xattr."))
            else {
                continue;
            };
            if !key.starts_with("trusted.") && !key.starts_with("user.overlay.") {
                found.push((key.to_owned(), extension.value_bytes().to_vec()));
            }
        }
    }
    Ok(found)
}

pub(super) fn owner<R: Read>(entry: &tar::Entry<'_, R>) -> io::Result<(fs::Uid, fs::Gid)> {
    let number = |n: u64| u32::try_from(n).map_err(|_| io::Error::other("owner out of range"));
    let header = entry.header();
    let raw = header.as_old();
    Ok((
        fs::Uid::from_raw(number(or_blank(header.uid(), &raw.uid)?)?),
        fs::Gid::from_raw(number(or_blank(header.gid(), &raw.gid)?)?),
    ))
}

pub(super) fn mode<R: Read>(entry: &tar::Entry<'_, R>) -> io::Result<Mode> {
    let header = entry.header();
    let mode = or_blank(header.mode(), &header.as_old().mode)?;
    Ok(Mode::from_raw_mode(mode & 0o7777))
}

/// Some writers leave a number's field empty and mean zero.
fn or_blank<T: Default>(parsed: io::Result<T>, field: &[u8]) -> io::Result<T> {
    match parsed {
        Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(T::default()),
        other => other,
    }
}

pub(super) fn mtime<R: Read>(entry: &tar::Entry<'_, R>) -> i64 {
    let seconds = entry.header().mtime().unwrap_or(0);
    i64::try_from(seconds).unwrap_or(0)
}

pub(super) fn set_times(place: &Place, mtime: i64) -> io::Result<()> {
    let time = Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(fs::utimensat(
        &place.dir,
        place.name.as_os_str(),
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

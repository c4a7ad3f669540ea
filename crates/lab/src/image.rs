//! The image of the lab: this machine's static busybox.

use std::process::Command;

use anyhow::{Context, Result, bail};
use tar::{Builder, EntryType, Header};

use crate::run::collect;

const BUSYBOX: &str = "/bin/busybox";

/// The root file system for `docker import - busybox:latest`: every applet in `/bin`, accounts, `/tmp`.
pub fn busybox_tar() -> Result<Vec<u8>> {
    let program = std::fs::read(BUSYBOX).context("busybox is missing: install busybox-static")?;
    let applets = collect(Command::new(BUSYBOX).arg("--list"), b"")?.ok()?;
    if !applets.lines().any(|applet| applet == "ping") {
        bail!("{BUSYBOX} has no ping: install busybox-static");
    }
    let mut tar = Builder::new(Vec::new());
    for (path, mode) in [
        ("bin/", 0o755),
        ("dev/", 0o755),
        ("etc/", 0o755),
        ("home/", 0o755),
        ("proc/", 0o555),
        ("root/", 0o700),
        ("run/", 0o755),
        ("sys/", 0o555),
        ("tmp/", 0o1777),
        ("usr/bin/", 0o755),
        ("var/", 0o755),
        ("var/www/", 0o755),
    ] {
        append(&mut tar, EntryType::Directory, path, mode, b"")?;
    }
    append(&mut tar, EntryType::Regular, "bin/busybox", 0o755, &program)?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        link(&mut tar, &format!("bin/{applet}"), "busybox")?;
    }
    link(&mut tar, "usr/bin/env", "/bin/busybox")?;
    for (path, text) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
        ),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ] {
        append(&mut tar, EntryType::Regular, path, 0o644, text.as_bytes())?;
    }
    Ok(tar.into_inner()?)
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append(
    tar: &mut Builder<Vec<u8>>,
    kind: EntryType,
    path: &str,
    mode: u32,
    data: &[u8],
) -> Result<()> {
    let mut header = header(kind, mode);
    header.set_size(data.len() as u64);
    tar.append_data(&mut header, path, data)?;
    Ok(())
}

fn link(tar: &mut Builder<Vec<u8>>, path: &str, target: &str) -> Result<()> {
    let mut header = header(EntryType::Symlink, 0o777);
    header.set_size(0);
    tar.append_link(&mut header, path, target)?;
    Ok(())
}

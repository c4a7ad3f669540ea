//! What an engine keeps in memory: every process in the second host's own namespace, which the container is not in.

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, bail};

use crate::world::World;

/// Resident MiB of the daemon and its helpers on a host with one container.
pub fn resident(world: &World) -> Result<f64> {
    let netns = std::fs::metadata(world.h2.netns())?.ino();
    let mut kib = 0;
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        // What ends while we look is not counted.
        if std::fs::metadata(path.join("ns/net")).is_ok_and(|m| m.ino() == netns) {
            kib +=
                rss(&std::fs::read_to_string(path.join("status")).unwrap_or_default()).unwrap_or(0);
        }
    }
    if kib == 0 {
        bail!("no process of the engine found");
    }
    Ok(kib as f64 / 1024.0)
}

fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace()
        .nth(1)
        .context("no figure")
        .ok()?
        .parse()
        .ok()
}

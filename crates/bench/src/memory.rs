//! What an engine keeps in memory: every process in its host's own namespace, which no container is in.

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Result, bail};
use lab::Host;

use crate::world::World;

/// Resident MiB of the daemon and its helpers on a host with one container.
pub fn resident(world: &World) -> Result<f64> {
    sum(&world.h2, "status", &["VmRSS:"])
}

/// MiB that nobody else uses: programs that run many times share their code.
pub fn private(host: &Host) -> Result<f64> {
    sum(host, "smaps_rollup", &["Private_Clean:", "Private_Dirty:"])
}

/// Of lines like `VmRSS:  1234 kB` in a file of each process.
fn sum(host: &Host, file: &str, keys: &[&str]) -> Result<f64> {
    let netns = std::fs::metadata(host.netns())?.ino();
    let mut kib = 0;
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        // What ends while we look is not counted.
        if std::fs::metadata(path.join("ns/net")).is_ok_and(|m| m.ino() == netns) {
            let text = std::fs::read_to_string(path.join(file)).unwrap_or_default();
            kib += text
                .lines()
                .filter_map(|line| figure(line, keys))
                .sum::<u64>();
        }
    }
    if kib == 0 {
        bail!("no process of the engine found");
    }
    Ok(kib as f64 / 1024.0)
}

fn figure(line: &str, keys: &[&str]) -> Option<u64> {
    let mut words = line.split_whitespace();
    words.next().filter(|key| keys.contains(key))?;
    words.next()?.parse().ok()
}

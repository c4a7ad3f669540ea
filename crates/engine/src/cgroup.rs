//! What the host's cgroups are like, and the tidying of our parent group. The runtime does the rest.

use std::path::{Path, PathBuf};

/// How often, and how long between, a group is tried again while its processes die.
const CLEAR_TRIES: u32 = 100;
const CLEAR_WAIT: std::time::Duration = std::time::Duration::from_millis(10);

const ROOT: &str = "/sys/fs/cgroup";
/// Where the unified hierarchy is beside the old ones.
const BESIDE: &str = "/sys/fs/cgroup/unified";
const CGROUP2_MAGIC: i128 = 0x6367_7270;

/// Only the unified hierarchy is mounted.
pub(crate) fn is_v2() -> bool {
    is_unified(ROOT)
}

fn is_unified(path: &str) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| i128::from(stat.f_type) == CGROUP2_MAGIC)
}

/// The group in the unified hierarchy that containers are below, unless they ask for another parent. The runtime puts
/// them there where that hierarchy is beside the old ones as well.
pub fn unified(parent: &str) -> Option<PathBuf> {
    let root = [ROOT, BESIDE].into_iter().find(|root| is_unified(root))?;
    Some(Path::new(root).join(parent.trim_matches('/')))
}

pub(crate) fn limits_swap() -> bool {
    if is_v2() {
        // The root group has no limit files; any child with the memory controller has.
        return std::fs::read_dir(ROOT).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|e| e.path().join("memory.swap.max").exists()))
        });
    }
    Path::new(ROOT)
        .join("memory/memory.memsw.limit_in_bytes")
        .exists()
}

/// Removes the parent group from every hierarchy; where it still has groups in it, it stays. The unified one has programs
/// on it that balance connections: as long as this daemon runs it is to `stay`.
pub(crate) fn remove_parent(parent: &str, stay: Option<&Path>) {
    let trimmed = parent.trim_matches('/');
    if trimmed.is_empty() {
        return;
    }
    for hierarchy in hierarchies() {
        if stay.is_some_and(|stay| stay == hierarchy.join(trimmed)) {
            continue;
        }
        let mut group = hierarchy.join(trimmed);
        while group != hierarchy && std::fs::remove_dir(&group).is_ok() {
            group.pop();
        }
    }
}

/// Removes a container's group from every hierarchy, with the processes that a runtime that was killed left in it. May
/// take a while: only for a start's tidying.
pub(crate) fn clear(path: &str) {
    let path = path.trim_matches('/');
    for group in hierarchies()
        .into_iter()
        .map(|hierarchy| hierarchy.join(path))
    {
        for _ in 0..CLEAR_TRIES {
            match std::fs::remove_dir(&group) {
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {}
                _ => break,
            }
            let processes = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            for handle in processes
                .lines()
                .filter_map(|pid| crate::runtime::pidfd(pid.parse().ok()?).ok())
            {
                if let Err(error) = crate::signal::send(&handle, crate::signal::KILL) {
                    tracing::warn!(%error, path, "a stray process can't be killed");
                }
            }
            std::thread::sleep(CLEAR_WAIT);
        }
    }
}

fn hierarchies() -> Vec<PathBuf> {
    if is_v2() {
        return vec![PathBuf::from(ROOT)];
    }
    let Ok(entries) = std::fs::read_dir(ROOT) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

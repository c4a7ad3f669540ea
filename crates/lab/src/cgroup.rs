//! The lab's cgroups: below one parent in every hierarchy that is mounted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{mounts, process};

/// Name of the lab's parent cgroup.
pub(crate) fn of_lab(lab: &str) -> String {
    format!("pontoon-lab-{lab}")
}

/// Where the lab's parent exists, in every controller of version 1 and in version 2.
pub(crate) fn existing(lab: &str) -> Vec<PathBuf> {
    let mut hierarchies = mounts::all();
    hierarchies.retain(|mount| matches!(mount.fstype.as_str(), "cgroup" | "cgroup2"));
    let parents = hierarchies.iter().map(|mount| mount.at.join(of_lab(lab)));
    parents.filter(|parent| parent.is_dir()).collect()
}

/// Removes them; a process that has just died may hold its cgroup for a moment.
pub(crate) fn remove(lab: &str) {
    process::wait_until(Duration::from_secs(5), || {
        for parent in existing(lab) {
            remove_tree(&parent);
        }
        existing(lab).is_empty()
    });
}

/// A cgroup's files go with it; only directories are removed, leaves first.
fn remove_tree(dir: &Path) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for child in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&child.path());
    }
    if let Err(error) = std::fs::remove_dir(dir) {
        tracing::trace!(dir = %dir.display(), %error, "cgroup stays");
    }
}

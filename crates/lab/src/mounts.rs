//! The mount table.

use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Mount {
    /// What of the file system is mounted; for a namespace `net:[4026532177]`.
    pub root: String,
    pub at: PathBuf,
    pub fstype: String,
}

/// In the order in which they were made.
pub(crate) fn all() -> Vec<Mount> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter_map(parse).collect()
}

pub(crate) fn below(dir: &Path) -> Vec<Mount> {
    let mut mounts = all();
    mounts.retain(|mount| mount.at.starts_with(dir));
    mounts
}

/// `42 27 0:4 net:[4026532177] /run/x rw - nsfs nsfs rw`
fn parse(line: &str) -> Option<Mount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, at) = (fields.next()?, fields.next()?);
    Some(Mount {
        root: root.to_string(),
        // Blanks are written as octal numbers; no path of ours has one.
        at: PathBuf::from(at),
        fstype: filesystem.split(' ').next()?.to_string(),
    })
}

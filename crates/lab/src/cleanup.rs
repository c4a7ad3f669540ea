//! Taking a lab down, whatever state it is in, and proving that nothing is left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;

use crate::host::MARK;
use crate::run::{collect, enter};
use crate::state::{self, State};
use crate::{cgroup, dir, mounts, process};

const KILL: Duration = Duration::from_secs(10);

/// Removes the labs whose process is gone.
pub fn sweep() {
    for name in state::names() {
        if let Ok(State {
            owner: Some(owner), ..
        }) = State::load(&name)
            && !owner.is_alive()
        {
            down(&name);
        }
    }
}

/// What remains of a lab, in words; empty after it was taken down.
pub fn leftovers(lab: &str) -> Vec<String> {
    let of_lab = Scope::lab(lab);
    let processes = of_lab.processes().map(|p| format!("process {}", p.pid));
    let mounts = mounts::below(&dir(lab));
    let mounts = mounts.iter().map(|m| format!("mount {}", m.at.display()));
    let cgroups = cgroup::existing(lab);
    let cgroups = cgroups.iter().map(|c| format!("cgroup {}", c.display()));
    let files = dir(lab)
        .exists()
        .then(|| format!("directory {}", dir(lab).display()));
    processes
        .chain(mounts)
        .chain(cgroups)
        .chain(files)
        .collect()
}

/// Goes on past failures: [`leftovers`] tells what they left.
pub(crate) fn down(lab: &str) {
    let scope = Scope::lab(lab);
    if let Err(error) = scope.kill() {
        tracing::warn!(lab, %error, "lab is not quiet");
    }
    for mount in mounts::below(&dir(lab)).iter().rev() {
        if let Err(error) = unmount(&mount.at, UnmountFlags::DETACH) {
            tracing::warn!(at = %mount.at.display(), %error, "cannot unmount");
        }
    }
    cgroup::remove(lab);
    if let Err(error) = std::fs::remove_dir_all(dir(lab))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(lab, %error, "cannot remove the lab's directory");
    }
}

pub(crate) fn kill_all(mark: &str, netns: &Path, cgroup: &str) -> Result<()> {
    Scope::new(mark, netns, cgroup).kill()
}

/// What belongs together: by the mark in its environment, its cgroup, or its network namespace.
struct Scope {
    mark: String,
    cgroup: String,
    /// Where network namespaces are mounted, by their number.
    namespaces: BTreeMap<String, PathBuf>,
}

impl Scope {
    fn lab(lab: &str) -> Self {
        Self::new(lab, &dir(lab), &format!("/{}", cgroup::of_lab(lab)))
    }

    /// `namespaces`: a mounted one, or the directory of many.
    fn new(mark: &str, namespaces: &Path, cgroup: &str) -> Self {
        let mounted = mounts::below(namespaces);
        let mut namespaces: BTreeMap<_, _> = mounted
            .into_iter()
            .filter(|mount| mount.fstype == "nsfs")
            .map(|mount| (mount.root, mount.at))
            .collect();
        // Never the machine's own, whatever somebody has mounted there.
        for own in [1, std::process::id()] {
            process::netns(own).map(|own| namespaces.remove(&own));
        }
        Self {
            mark: mark.to_string(),
            cgroup: cgroup.to_string(),
            namespaces,
        }
    }

    fn processes(&self) -> impl Iterator<Item = process::Id> {
        process::all().filter(|process| {
            process::cgroups(process.pid)
                .iter()
                .any(|path| is_below(path, &self.cgroup))
                || process::netns(process.pid).is_some_and(|ns| self.namespaces.contains_key(&ns))
                || process::environment(process.pid, MARK)
                    .is_some_and(|mark| is_below(&mark, &self.mark))
        })
    }

    /// Again and again, since they may fork while we look.
    fn kill(&self) -> Result<()> {
        let sockets = self.namespaces.values().flat_map(|at| foreign_sockets(at));
        let sockets: Vec<PathBuf> = sockets.collect();
        let quiet = process::wait_until(KILL, || {
            let mut left = self.processes().peekable();
            let quiet = left.peek().is_none();
            left.for_each(|process| process.signal(Signal::KILL));
            quiet
        });
        for file in sockets {
            let _ = std::fs::remove_file(file);
        }
        match quiet {
            true => Ok(()),
            false => bail!("processes of {} do not die", self.mark),
        }
    }
}

fn is_below(path: &str, parent: &str) -> bool {
    let rest = path.strip_prefix(parent);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Sockets that daemons in this namespace keep in the machine's own directories: containerd's shims, which have no flag
/// for it.
fn foreign_sockets(netns: &Path) -> Vec<PathBuf> {
    let Ok(table) = collect(enter(netns).args(["cat", "/proc/net/unix"]), b"") else {
        return Vec::new();
    };
    let lines = table.stdout.lines();
    let paths = lines.filter_map(|line| line.split_whitespace().nth(7));
    let shims = paths.filter(|path| path.starts_with("/run/containerd/s/"));
    shims.map(PathBuf::from).collect()
}

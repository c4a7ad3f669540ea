//! Processes, found in `/proc` and told apart from later ones with the same number.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Id {
    pub pid: u32,
    /// Clock ticks since boot.
    started: u64,
}

impl Id {
    /// `None` when there is no such process, or only its remains.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may hold anything; the state follows it, the start time is 19 fields on.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { pid, started })
    }

    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    pub fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = self.rustix()
            && let Err(error) = kill_process(pid, signal)
        {
            tracing::debug!(self.pid, %error, "cannot signal");
        }
    }

    /// Removes the remains of a child of ours.
    pub fn reap(&self) {
        if let Some(pid) = self.rustix() {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }

    fn rustix(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.pid).ok()?)
    }
}

/// All processes but this one.
pub(crate) fn all() -> impl Iterator<Item = Id> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id())
        .filter_map(Id::of)
}

/// `net:[4026531840]`
pub(crate) fn netns(pid: u32) -> Option<String> {
    let link: PathBuf = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    Some(link.to_str()?.to_string())
}

/// The cgroup paths that the process is in.
pub(crate) fn cgroups(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.map(ToString::to_string).collect()
}

pub(crate) fn environment(pid: u32, key: &str) -> Option<String> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    environ.split(|byte| *byte == 0).find_map(|entry| {
        let (k, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        (k == key).then(|| value.to_string())
    })
}

/// Whether `done` came true before the time was up.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

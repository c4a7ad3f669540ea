//! Relays as processes, found by the namespace that they are in: there is no file that could say otherwise.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What a relay calls itself while it takes connections, and when it only finishes those that it has.
pub const SERVES: &CStr = c"pontoon-relay";
pub const DRAINS: &CStr = c"pontoon-drain";

/// A file that cannot be mistaken for another.
type Identity = (u64, u64);

pub fn identity(path: impl AsRef<Path>) -> io::Result<Identity> {
    path.as_ref().metadata().map(|m| (m.dev(), m.ino()))
}

pub struct Process {
    handle: AsyncFd<OwnedFd>,
    pub serves: bool,
    /// Runs the same program as we do, not one from before an upgrade.
    pub current: bool,
}

impl Process {
    pub fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.handle, signal) {
            tracing::debug!(%error, "relay is gone already");
        }
    }

    pub async fn ended(&self) {
        // An error: it cannot be waited for, so another is looked for.
        let _ = self.handle.readable().await;
    }
}

/// All relays in that namespace.
pub fn relays(namespace: Identity) -> Vec<Process> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|p| p.file_name().to_str()?.parse().ok());
    numbers.filter_map(|pid| relay(pid, namespace)).collect()
}

pub fn relay(pid: i32, namespace: Identity) -> Option<Process> {
    // Whose number it is now is looked at with the handle in hand.
    let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let file = |name: &str| format!("/proc/{pid}/{name}");
    if identity(file("ns/net")).ok()? != namespace {
        return None;
    }
    let name = std::fs::read_to_string(file("comm")).ok()?;
    let is = |known: &CStr| known.to_str() == Ok(name.trim_end());
    if !is(SERVES) && !is(DRAINS) {
        return None;
    }
    // SAFETY: an OwnedFd names the same open file until it is dropped.
    let handle = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
    Some(Process {
        handle: handle.ok()?,
        serves: is(SERVES),
        current: identity(file("exe")).ok()? == identity("/proc/self/exe").ok()?,
    })
}

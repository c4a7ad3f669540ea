//! Where the API listens: unix sockets, TCP, and sockets that a service manager opened.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::net::{TcpListener, UnixListener};

/// A daemon that was killed keeps its socket until its last thread has left the kernel.
const GOING: Duration = Duration::from_secs(2);

pub enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

pub async fn listen(host: &str, group: &str) -> Result<Vec<Listener>> {
    match host.split_once("://") {
        Some(("unix", path)) => Ok(vec![Listener::Unix(unix(Path::new(path), group).await?)]),
        Some(("tcp", address)) => {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("failed to listen on {host}"))?;
            Ok(vec![Listener::Tcp(listener)])
        }
        Some(("fd", _)) => inherited(),
        _ => bail!("unable to parse host \"{host}\": want unix:///path, tcp://ip:port or fd://"),
    }
}

/// A socket of a daemon that is gone is replaced; one that answers is not.
async fn unix(path: &Path, group: &str) -> Result<UnixListener> {
    let begin = Instant::now();
    while std::os::unix::net::UnixStream::connect(path).is_ok() {
        if begin.elapsed() > GOING {
            bail!(
                "another daemon listens on {}: stop it, or give another --host",
                path.display()
            );
        }
        tokio::time::sleep(GOING / 40).await;
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("failed to listen on {}", path.display()))?;
    // Whoever may write to it is root: the group, and nobody else.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    match group_id(group)? {
        Some(gid) => chown(path, Some(0), Some(gid))
            .with_context(|| format!("cannot give {} to group {group}", path.display()))?,
        None => tracing::debug!(group, "no such group: the socket is root's alone"),
    }
    Ok(listener)
}

fn group_id(name: &str) -> Result<Option<u32>> {
    if let Ok(gid) = name.parse() {
        return Ok(Some(gid));
    }
    let text = std::fs::read_to_string("/etc/group").context("cannot read /etc/group")?;
    let row = text.lines().find(|l| l.split(':').next() == Some(name));
    Ok(row
        .and_then(|l| l.split(':').nth(2))
        .and_then(|gid| gid.parse().ok()))
}

fn inherited() -> Result<Vec<Listener>> {
    let mut fds = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for i in 0..fds.len() {
        if let Ok(Some(listener)) = fds.take_unix_listener(i) {
            listener.set_nonblocking(true)?;
            listeners.push(Listener::Unix(UnixListener::from_std(listener)?));
        } else if let Ok(Some(listener)) = fds.take_tcp_listener(i) {
            listener.set_nonblocking(true)?;
            listeners.push(Listener::Tcp(TcpListener::from_std(listener)?));
        }
    }
    if listeners.is_empty() {
        bail!(
            "no sockets found via socket activation: make sure the service was started by systemd"
        );
    }
    Ok(listeners)
}

/// The daemon's process id in a file, as long as it runs.
pub struct PidFile(PathBuf);

impl PidFile {
    pub fn create(path: &Path) -> Result<Self> {
        if let Ok(text) = std::fs::read_to_string(path)
            && let Ok(pid) = text.trim().parse::<u32>()
            && pid != std::process::id()
            && runs_this_program(pid)
        {
            bail!(
                "failed to start daemon, ensure docker is not running or delete {}: process with PID {pid} is still running",
                path.display()
            );
        }
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make {}", dir.display()))?;
        }
        std::fs::write(path, std::process::id().to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

/// A number alone proves nothing: it may have gone to another program since.
fn runs_this_program(pid: u32) -> bool {
    let exe = |p: String| std::fs::read_link(format!("/proc/{p}/exe")).ok();
    let clean = |p: PathBuf| {
        p.to_string_lossy()
            .trim_end_matches(" (deleted)")
            .to_owned()
    };
    match (exe(pid.to_string()), exe("self".into())) {
        (Some(theirs), Some(ours)) => clean(theirs) == clean(ours),
        _ => false,
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

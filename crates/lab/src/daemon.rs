//! A host's daemon as a process.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::Host;
use crate::process::{self, wait_until};

/// An emulated machine reads the programs first.
const START: Duration = Duration::from_secs(120);
/// dockerd gives each container ten seconds.
const STOP: Duration = Duration::from_secs(20);
const GOING: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Daemon {
    pub process: process::Id,
    pub argv: Vec<String>,
}

impl Daemon {
    pub fn load(host: &Host) -> Result<Self> {
        let text = std::fs::read(host.dir().join("daemon.json"))
            .with_context(|| format!("host {} has no daemon", host.name))?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub fn stop(&self) -> Result<()> {
        self.process.signal(Signal::TERM);
        wait_until(STOP, || !self.process.is_alive());
        self.kill()
    }

    pub fn kill(&self) -> Result<()> {
        self.process.signal(Signal::KILL);
        if !wait_until(STOP, || !self.process.is_alive()) {
            bail!("process {} does not die", self.process.pid);
        }
        self.process.reap();
        Ok(())
    }
}

/// Starts it in the background and waits until its API answers.
pub(crate) fn start(host: &Host, argv: Vec<String>) -> Result<()> {
    if let Ok(Daemon { process, .. }) = Daemon::load(host) {
        if process.is_alive() {
            bail!(
                "{} has a daemon already: process {}",
                host.name,
                process.pid
            );
        }
        process.reap();
    }
    for file in ["daemon.pid", "exec/containerd/containerd.pid"] {
        remove_stale(&host.dir().join(file));
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(host.log())?;
    let mut command = host.command("unshare");
    // Each host has a name of its own, as the nodes of a swarm have.
    let mut scene = "echo \"$0\" >/proc/sys/kernel/hostname && ".to_string();
    command.arg("--uts");
    let resolv_conf = host.resolv_conf();
    if resolv_conf.exists() {
        command.arg("--mount");
        let file = resolv_conf.display();
        scene += &format!("mount --bind {file} /etc/resolv.conf && ");
    }
    let child = command
        .args(["--", "sh", "-c", &(scene + "exec \"$@\"")])
        .arg(&host.name)
        .args(&argv)
        // No registry can be reached, and both kinds of daemon are to know.
        .env("DOCKER_SERVICE_PREFER_OFFLINE_IMAGE", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // A terminal's Ctrl-C is not for the daemon.
        .process_group(0)
        .spawn()
        .context("cannot start nsenter")?;
    let process = process::Id::of(child.id()).context("the daemon is gone at once")?;
    let daemon = Daemon { process, argv };
    let record = File::create(host.dir().join("daemon.json"))?;
    serde_json::to_writer(record, &daemon)?;
    let mut answers = false;
    wait_until(START, || {
        answers = ping(host).is_ok();
        answers || !daemon.process.is_alive()
    });
    if !answers {
        daemon.kill()?;
        let log = std::fs::read_to_string(host.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        bail!("the daemon of {} does not answer:\n{tail}", host.name);
    }
    Ok(())
}

/// A pid file whose process is dead, or about to be: containerd ends with its dockerd. dockerd takes the remains of a
/// process for a living one, and they stay until its last thread has ended and somebody has asked for them.
fn remove_stale(file: &Path) {
    let Ok(text) = std::fs::read_to_string(file) else {
        return;
    };
    let process = text.trim().parse().ok().and_then(process::Id::of);
    if wait_until(GOING, || process.is_none_or(|process| !process.is_alive())) {
        let _ = std::fs::remove_file(file);
    }
}

fn ping(host: &Host) -> Result<()> {
    let mut stream = UnixStream::connect(host.socket())?;
    let timeout = Some(Duration::from_secs(2));
    stream.set_read_timeout(timeout)?;
    stream.set_write_timeout(timeout)?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    match status.ends_with(b" 200") {
        true => Ok(()),
        false => bail!("ping is not answered well"),
    }
}

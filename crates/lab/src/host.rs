//! One host of a lab.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::daemon::Daemon;
use crate::run::{Output, collect, enter};
use crate::{busybox_tar, cleanup, daemon};

/// No program of a test runs longer than this.
const EXEC_SECONDS: &str = "60";
/// Marks what runs in a lab: `<lab>/<host>`.
pub(crate) const MARK: &str = "PONTOON_LAB";

/// A handle: cheap to clone and to hand to threads.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    /// Its address on the underlay.
    pub addr: Ipv4Addr,
    lab: String,
}

impl Host {
    pub(crate) fn new(lab: &str, name: &str, addr: Ipv4Addr) -> Self {
        Self {
            name: name.into(),
            addr,
            lab: lab.into(),
        }
    }

    /// Data, socket, log and pid file of its daemon.
    pub fn dir(&self) -> PathBuf {
        crate::dir(&self.lab).join(&self.name)
    }

    /// The bind mount of its network namespace.
    pub fn netns(&self) -> PathBuf {
        crate::netns(&self.lab, &self.name)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir().join("docker.sock")
    }

    /// The `/etc/resolv.conf` of daemons that start from now on, when it exists. They get a mount table of their own with
    /// it, and its mounts end with them.
    pub fn resolv_conf(&self) -> PathBuf {
        self.dir().join("resolv.conf")
    }

    /// What the daemon has logged since the lab came up.
    pub fn log(&self) -> PathBuf {
        self.dir().join("daemon.log")
    }

    /// Parent of its containers' cgroups.
    pub fn cgroup(&self) -> String {
        format!("/{}/{}", crate::cgroup::of_lab(&self.lab), self.name)
    }

    /// `program` inside the host, with a `docker` that talks to the host's daemon. Not bounded in time: for people.
    pub fn command(&self, program: &str) -> Command {
        let mut command = enter(&self.netns());
        command
            .arg(program)
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", self.dir().join("cli"))
            .env(MARK, self.mark());
        command
    }

    pub(crate) fn mark(&self) -> String {
        format!("{}/{}", self.lab, self.name)
    }

    /// Runs a program to its end, for at most a minute.
    pub fn exec(&self, argv: &[&str]) -> Result<Output> {
        self.exec_with(argv, b"")
    }

    /// [`Self::exec`] with `input` on standard input.
    pub fn exec_with(&self, argv: &[&str], input: &[u8]) -> Result<Output> {
        let mut command = self.command("timeout");
        collect(
            command.args(["--kill-after=1", EXEC_SECONDS]).args(argv),
            input,
        )
    }

    /// The stock `docker` CLI against this host's daemon.
    pub fn docker(&self, args: &[&str]) -> Result<Output> {
        self.exec(&[&["docker"], args].concat())
    }

    /// `docker` with its arguments in one string, split at white space; fails when it fails.
    pub fn docker_ok(&self, args: &str) -> Result<String> {
        let args: Vec<&str> = args.split_whitespace().collect();
        let output = self.docker(&args)?;
        output
            .ok()
            .with_context(|| format!("{}: docker {}", self.name, args.join(" ")))
    }

    /// Makes the image `busybox:latest` from this machine's own busybox.
    pub fn import_busybox(&self) -> Result<()> {
        let import = ["docker", "import", "-", "busybox:latest"];
        self.exec_with(&import, &busybox_tar()?)?.ok()?;
        Ok(())
    }

    /// Starts `binary daemon` with dockerd's flags for a daemon of its own, and waits until it answers.
    pub fn spawn_pontoon(&self, binary: &Path, flags: &[&str]) -> Result<()> {
        let binary = binary.to_string_lossy().into_owned();
        self.spawn(vec![binary, "daemon".into()], flags)
    }

    /// Starts Docker's own daemon, with a containerd of its own.
    pub fn spawn_dockerd(&self, flags: &[&str]) -> Result<()> {
        // One cgroup driver everywhere: cgroup parents are paths then.
        let driver = ["--exec-opt", "native.cgroupdriver=cgroupfs"];
        self.spawn(vec!["dockerd".into()], &[&driver, flags].concat())
    }

    fn spawn(&self, mut argv: Vec<String>, flags: &[&str]) -> Result<()> {
        let dir = self.dir();
        std::fs::create_dir_all(&dir)?;
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        for (flag, value) in [
            ("--data-root", path("data")),
            ("--exec-root", path("exec")),
            ("--pidfile", path("daemon.pid")),
            ("--host", format!("unix://{}", path("docker.sock"))),
            ("--cgroup-parent", self.cgroup()),
        ] {
            argv.extend([flag.to_string(), value]);
        }
        argv.extend(flags.iter().map(ToString::to_string));
        daemon::start(self, argv)
    }

    /// Its daemon's process, when one runs.
    pub fn daemon_pid(&self) -> Option<u32> {
        let daemon = Daemon::load(self).ok()?;
        daemon.process.is_alive().then_some(daemon.process.pid)
    }

    /// Starts the daemon again as it was started the last time.
    pub fn restart_daemon(&self) -> Result<()> {
        self.stop_daemon()?;
        daemon::start(self, Daemon::load(self)?.argv)
    }

    /// SIGTERM, and SIGKILL when that does not end it in time.
    pub fn stop_daemon(&self) -> Result<()> {
        Daemon::load(self)?.stop()
    }

    /// SIGKILL, to the daemon alone: its containers and helpers stay.
    pub fn kill_daemon(&self) -> Result<()> {
        Daemon::load(self)?.kill()
    }

    /// The host loses its power: everything that runs there is gone. Its disk and its cable are not.
    pub fn power_off(&self) -> Result<()> {
        cleanup::kill_all(&self.mark(), &self.netns(), &self.cgroup())
    }
}

//! The programs that run containers: conmon, and an OCI runtime through its command line.
//!
//!     daemon ── conmon ── runc create ── (container's init, adopted by conmon)
//!        ▲  sync pipe │
//!        └────────────┘  {"data": pid} or {"data": -1, "message": …}
//!
//! conmon leaves the daemon's process tree at once: containers and their logs outlive the daemon.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use engine_types::{Error, Result};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Command;

use crate::Config;
use crate::error::Doing;

/// More than any message of conmon.
const MESSAGE_LIMIT: u64 = 64 << 10;

pub(crate) struct Runtimes {
    config: Config,
    /// Where the runtimes keep their state.
    root: PathBuf,
}

/// One line of conmon's sync pipe.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    /// A pid or exit code; negative when the runtime failed.
    pub data: i32,
    pub message: String,
}

/// How conmon is to run a process.
pub(crate) struct Conmon<'a> {
    pub id: &'a str,
    /// The container's id, or the exec's.
    pub unit: &'a str,
    pub name: &'a str,
    /// Folder of the attach socket, the control fifo, pid files and the exit code.
    pub bundle: &'a Path,
    pub tty: bool,
    pub stdin: bool,
    /// Keep stdin open when an attached client leaves.
    pub keep_stdin: bool,
    /// `None`: no log.
    pub log: Option<&'a Path>,
    pub log_size_max: Option<i64>,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The container itself.
    Container,
    /// A process in a running container. When attached, it starts only after [`Started::go`] was called twice, the
    /// second time with the streams connected.
    Exec { attached: bool },
}

/// conmon's ends of its pipes, as we hold them.
pub(crate) struct Started {
    sync: BufReader<pipe::Receiver>,
    go: Option<pipe::Sender>,
    /// Attached execs: says when the attach socket is there.
    attach: Option<BufReader<pipe::Receiver>>,
    stderr: tokio::process::ChildStderr,
    /// The conmon that we started; it forks the lasting one, writes its pid file and ends.
    first: tokio::process::Child,
}

impl Runtimes {
    pub fn new(config: &Config) -> Self {
        Self {
            root: config.exec_root.join("runtime"),
            config: config.clone(),
        }
    }

    /// The binary of a runtime by its name; empty is the default one.
    pub fn binary(&self, name: &str) -> Result<PathBuf> {
        let name = match name {
            "" => &self.config.default_runtime,
            name => name,
        };
        let binary =
            self.config.runtimes.get(name).ok_or_else(|| {
                Error::invalid(format!("unknown or invalid runtime name: {name}"))
            })?;
        find_program(binary).ok_or_else(|| {
            Error::system(format!("runtime {name:?}: there is no program {binary:?}"))
        })
    }

    /// A runtime's folder for one container: present from create to delete.
    pub fn state_dir(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// Runs `<runtime> <args>`; its error text on failure.
    pub async fn run(&self, runtime: &str, args: &[&str]) -> Result<String> {
        self.run_with_input(runtime, args, None).await
    }

    pub async fn run_with_input(
        &self,
        runtime: &str,
        args: &[&str],
        input: Option<&[u8]>,
    ) -> Result<String> {
        let mut command = Command::new(self.binary(runtime)?);
        command
            .args(["--root".as_ref(), self.root.as_os_str()])
            .args(["--log", "/dev/null"])
            .args(args)
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let what = format!("run the OCI runtime's {}", args[0]);
        let mut child = command.spawn().doing(&what)?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(input).await.doing(&what)?;
        }
        let output = child.wait_with_output().await.doing(&what)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        Err(Error::system(text.trim()))
    }

    /// Removes the runtime's state and the container's cgroups; what is already gone is fine.
    pub async fn delete(&self, runtime: &str, id: &str, force: bool) -> Result<()> {
        if !self.state_dir(id).exists() {
            return Ok(());
        }
        let args: &[&str] = if force {
            &["delete", "--force", id]
        } else {
            &["delete", id]
        };
        match self.run(runtime, args).await {
            Err(_) if !self.state_dir(id).exists() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Forgets a container that the runtime itself does not know, because it was killed while it made it.
    pub fn forget(&self, id: &str) {
        crate::image::layers::remove_dir(&self.state_dir(id));
    }

    /// Starts conmon, which calls the runtime's `create` or `exec`.
    pub fn conmon(&self, runtime: &str, conmon: &Conmon<'_>) -> Result<Started> {
        let what = "start conmon";
        let (sync_send, sync) = pipe::pipe().doing(what)?;
        let mut inherited = vec![("_OCI_SYNCPIPE", sync_send.into_blocking_fd().doing(what)?)];
        let (mut go, mut attach) = (None, None);
        if let Kind::Exec { attached: true } = conmon.kind {
            let (send, receive) = pipe::pipe().doing(what)?;
            inherited.push(("_OCI_STARTPIPE", receive.into_blocking_fd().doing(what)?));
            go = Some(send);
            let (send, receive) = pipe::pipe().doing(what)?;
            inherited.push(("_OCI_ATTACHPIPE", send.into_blocking_fd().doing(what)?));
            attach = Some(BufReader::new(receive));
        }
        let mut command = Command::new(&self.config.conmon);
        command
            .args(self.arguments(&self.binary(runtime)?, conmon))
            .current_dir(conmon.bundle)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        for (variable, fd) in &inherited {
            command.env(variable, fd.as_raw_fd().to_string());
        }
        inherit(&mut command, inherited);
        let mut child = command
            .spawn()
            .doing(format!("start {}", self.config.conmon.display()))?;
        drop(command);
        let stderr = child
            .stderr
            .take()
            .ok_or_else(|| Error::system("conmon has no error stream"))?;
        Ok(Started {
            sync: BufReader::new(sync),
            go,
            attach,
            stderr,
            first: child,
        })
    }

    fn arguments(&self, runtime: &Path, conmon: &Conmon<'_>) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: OsString| {
            args.push(name.into());
            args.push(value);
        };
        let bundle = conmon.bundle;
        option("--api-version", "1".into());
        option("-c", conmon.id.into());
        option("-u", conmon.unit.into());
        option("-n", conmon.name.into());
        option("-r", runtime.into());
        option("-b", bundle.into());
        option("-p", bundle.join("pid").into());
        option("--conmon-pidfile", bundle.join("conmon.pid").into());
        option("--persist-dir", bundle.into());
        let mut log = OsString::from("none");
        if let Some(path) = conmon.log {
            log = "k8s-file:".into();
            log.push(path);
        }
        option("-l", log);
        if let Some(size) = conmon.log_size_max {
            option("--log-size-max", size.to_string().into());
        }
        for argument in ["--root".into(), self.root.clone().into_os_string()] {
            option("--runtime-arg", argument);
        }
        for argument in ["--log", "/dev/null"] {
            option("--runtime-arg", argument.into());
        }
        let exec = matches!(conmon.kind, Kind::Exec { .. });
        if exec {
            option("--exec-process-spec", bundle.join("process.json").into());
        }
        let flags = [
            ("-e", exec),
            (
                "--exec-attach",
                conmon.kind == Kind::Exec { attached: true },
            ),
            ("--full-attach", true),
            ("--no-sync-log", true),
            ("-t", conmon.tty),
            ("-i", conmon.stdin),
            ("--leave-stdin-open", conmon.keep_stdin),
        ];
        args.extend(
            flags
                .into_iter()
                .filter(|(_, on)| *on)
                .map(|(flag, _)| flag.into()),
        );
        args
    }
}

impl Started {
    /// The process's pid, once the runtime has made it, or the runtime's complaint.
    pub async fn pid(&mut self) -> Result<i32> {
        // Its end also means that the pid file is complete.
        self.first.wait().await.doing("wait for conmon")?;
        match self.report().await? {
            Some(report) if report.data >= 0 => Ok(report.data),
            Some(report) => Err(Error::system(report.message.trim())),
            None => {
                let mut text = String::new();
                let mut stderr = (&mut self.stderr).take(MESSAGE_LIMIT);
                // conmon has closed the pipe, its complaint is complete.
                let _ = stderr.read_to_string(&mut text).await;
                match text.trim() {
                    "" => Err(Error::system("conmon ended without a report")),
                    text => Err(Error::system(text)),
                }
            }
        }
    }

    /// The next report; `None` when conmon has closed the pipe.
    pub async fn report(&mut self) -> Result<Option<Report>> {
        read_report(&mut self.sync).await
    }

    /// Attached execs: lets conmon go on.
    pub async fn go(&mut self) -> Result<()> {
        match &mut self.go {
            Some(go) => go.write_all(b"\n").await.doing("start the process"),
            None => Ok(()),
        }
    }

    /// Attached execs: waits for the attach socket.
    pub async fn attachable(&mut self) -> Result<()> {
        match &mut self.attach {
            Some(attach) => read_report(attach).await.map(drop),
            None => Ok(()),
        }
    }
}

async fn read_report(from: &mut BufReader<pipe::Receiver>) -> Result<Option<Report>> {
    let mut line = String::new();
    let what = "read conmon's report";
    let mut limited = from.take(MESSAGE_LIMIT);
    limited.read_line(&mut line).await.doing(what)?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&line).map(Some).doing(what)
}

/// Keeps the descriptors open in the child. Their numbers stay the same, so nothing of the child's own is overwritten.
fn inherit(command: &mut Command, fds: Vec<(&'static str, OwnedFd)>) {
    let keep = move || {
        for (_, fd) in &fds {
            rustix::io::fcntl_setfd(fd.as_fd(), rustix::io::FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec; it makes one fcntl call per descriptor, allocates nothing and
    // takes no lock.
    unsafe {
        command.pre_exec(keep);
    }
}

/// A program by path, or by name along `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.components().count() > 1 {
        return path.exists().then(|| path.to_owned());
    }
    let folders =
        std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|program| program.exists())
}

/// The pid in a pid file.
pub(crate) fn read_pid(path: &Path) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A handle on the process with this pid, if it runs.
pub(crate) fn pidfd(pid: i32) -> Result<OwnedFd> {
    let what = || format!("watch process {pid}");
    let pid = rustix::process::Pid::from_raw(pid)
        .ok_or_else(|| Error::system("there is no process 0"))?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).doing(what())
}

/// Waits until the process behind a handle has ended.
pub(crate) async fn ended(pidfd: impl AsFd) -> Result<()> {
    let own = pidfd
        .as_fd()
        .try_clone_to_owned()
        .doing("watch a process")?;
    let handle = crate::poll::register(own).doing("watch a process")?;
    handle
        .readable()
        .await
        .doing("watch a process")?
        .clear_ready();
    Ok(())
}

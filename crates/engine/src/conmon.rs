//! conmon: it makes processes through the OCI runtime, and holds their streams, logs and exit codes.
//!
//!     daemon ── conmon ── runc create ── (container's init, adopted by conmon)
//!        ▲  sync pipe │
//!        └────────────┘  {"data": pid} or {"data": -1, "message": …}
//!
//! conmon leaves the daemon's process tree at once: containers and their logs outlive the daemon.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;

use engine_types::{Error, Result};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Command;

use crate::error::Doing;
use crate::runtime::Runtimes;

/// More than any message of conmon.
const MESSAGE_LIMIT: u64 = 64 << 10;

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

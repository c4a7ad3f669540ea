//! The OCI runtime through its command line, and handles on processes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use engine_types::{Error, Result};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::Config;
use crate::error::Doing;

pub(crate) struct Runtimes {
    pub(crate) config: Config,
    /// Where the runtimes keep their state.
    pub(crate) root: PathBuf,
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

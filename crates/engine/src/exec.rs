//! `docker exec`: further processes in a running container, each with a conmon of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_types::container::ExecOptions;
use engine_types::{Error, Result};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::conmon::{Conmon, Kind, Started};
use crate::error::{Doing, blocking, lock};
use crate::inner::Container;
use crate::root::Root;
use crate::scene::resolve_user;
use crate::spec::{capabilities, merge_env, no_new_privileges, resources};
use crate::start::translate;
use crate::streams::{Attached, Connection, StdStream, pair};
use crate::{Engine, names, spec};

/// How long a finished exec can still be inspected.
const REMEMBERED: Duration = Duration::from_secs(300);

pub(crate) struct Exec {
    pub id: String,
    pub container: String,
    pub options: ExecOptions,
    state: Mutex<ExecState>,
}

#[derive(Clone, Debug, Default)]
struct ExecState {
    started: bool,
    running: bool,
    pid: i32,
    exit_code: Option<i64>,
    ended: Option<Instant>,
}

impl Exec {
    pub fn is_running(&self) -> bool {
        lock(&self.state).running
    }

    pub fn pid(&self) -> Option<i32> {
        let state = lock(&self.state);
        state.running.then_some(state.pid)
    }

    pub fn exit_code(&self) -> Option<i64> {
        lock(&self.state).exit_code
    }

    fn end(&self, code: i64) {
        let mut state = lock(&self.state);
        state.running = false;
        state.exit_code = Some(code);
        state.ended = Some(Instant::now());
    }

    fn command(&self) -> String {
        self.options.cmd.clone().unwrap_or_default().join(" ")
    }
}

impl Engine {
    pub async fn exec_create(&self, id: &str, options: ExecOptions) -> Result<String> {
        let container = self.inner.find(id)?;
        check_running(&container)?;
        if options.cmd.as_ref().is_none_or(Vec::is_empty) {
            return Err(Error::invalid("No exec command specified"));
        }
        let exec = Arc::new(Exec {
            id: names::random_id()?,
            container: container.id.clone(),
            options,
            state: Mutex::default(),
        });
        let event = format!("exec_create: {}", exec.command());
        self.inner
            .event(&container, &event, &[("execID", exec.id.clone())]);
        let mut execs = lock(&self.inner.execs);
        execs.retain(|_, exec| {
            lock(&exec.state)
                .ended
                .is_none_or(|ended| ended.elapsed() < REMEMBERED)
        });
        execs.insert(exec.id.clone(), exec.clone());
        Ok(exec.id.clone())
    }

    /// Starts it attached; the streams end with the process.
    pub async fn exec_start(
        &self,
        exec: &str,
        detach: bool,
        tty: bool,
    ) -> Result<Option<Attached>> {
        let exec = self.find_exec(exec)?;
        let container = self.inner.find(&exec.container)?;
        check_running(&container)?;
        {
            let mut state = lock(&exec.state);
            if std::mem::replace(&mut state.started, true) {
                return Err(Error::conflict(format!(
                    "exec command {} has already run",
                    exec.id
                )));
            }
        }
        let tty = tty || exec.options.tty;
        let options = &exec.options;
        let nothing = !(options.attach_stdin || options.attach_stdout || options.attach_stderr);
        if detach || nothing {
            let started = self.begin(&container, &exec, tty, None).await;
            return self.follow(&container, &exec, started, None).map(|()| None);
        }
        let (attached, wanted) = pair(
            tty,
            options.attach_stdin,
            options.attach_stdout,
            options.attach_stderr,
            false,
        );
        // Kept until the exit code is known: a client asks for it as soon as the output ends.
        let output = wanted.output.clone();
        let started = self.begin(&container, &exec, tty, Some(wanted)).await;
        if let Err(error) = self.follow(&container, &exec, started, Some(output.clone())) {
            // The connection is a stream by now: as in Docker, the error is its content.
            let _ = output.try_send((StdStream::Stdout, Bytes::from(format!("{error}\r\n"))));
        }
        Ok(Some(attached))
    }

    /// The process runs, or the runtime's complaint.
    async fn begin(
        &self,
        container: &Arc<Container>,
        exec: &Arc<Exec>,
        tty: bool,
        wanted: Option<crate::streams::Wanted>,
    ) -> Result<Started> {
        let process = self.process(container, exec, tty).await?;
        let bundle = self.exec_bundle(exec);
        std::fs::create_dir_all(&bundle).doing("create the exec's folder")?;
        let process = serde_json::to_vec(&process).doing("encode the process")?;
        std::fs::write(bundle.join("process.json"), process).doing("write the process")?;
        let runtime = container.with(|record| record.host_config.runtime.clone());
        let attached = wanted.is_some();
        let mut started = self.inner.runtimes.conmon(
            &runtime,
            &Conmon {
                id: &container.id,
                unit: &exec.id,
                name: &container.name(),
                bundle: &bundle,
                tty,
                stdin: exec.options.attach_stdin,
                keep_stdin: false,
                log: None,
                log_size_max: None,
                kind: Kind::Exec { attached },
            },
        )?;
        if let Some(wanted) = wanted {
            started.go().await?;
            started.attachable().await?;
            drop(Connection::open(&bundle)?.pump(wanted));
            started.go().await?;
        }
        let pid = started.pid().await.map_err(|error| {
            Error::system(format!(
                "OCI runtime exec failed: {}: unknown",
                error.message
            ))
        })?;
        {
            let mut state = lock(&exec.state);
            state.running = true;
            state.pid = pid;
        }
        let event = format!("exec_start: {}", exec.command());
        self.inner
            .event(container, &event, &[("execID", exec.id.clone())]);
        Ok(started)
    }

    /// Waits for the end in the background; a process that did not start ends here.
    fn follow(
        &self,
        container: &Arc<Container>,
        exec: &Arc<Exec>,
        started: Result<Started>,
        output: Option<mpsc::Sender<(StdStream, Bytes)>>,
    ) -> Result<()> {
        let bundle = self.exec_bundle(exec);
        let mut started = match started {
            Ok(started) => started,
            Err(error) => {
                crate::image::layers::remove_dir(&bundle);
                let (code, error) = translate(error);
                exec.end(code);
                return Err(error);
            }
        };
        let (engine, container, exec) = (self.clone(), container.clone(), exec.clone());
        tokio::spawn(async move {
            let code = match started.report().await {
                Ok(Some(report)) => i64::from(report.data),
                // conmon was killed.
                _ => 137,
            };
            exec.end(code);
            crate::image::layers::remove_dir(&bundle);
            let attributes = [("execID", exec.id.clone()), ("exitCode", code.to_string())];
            engine.inner.event(&container, "exec_die", &attributes);
            drop(output);
        });
        Ok(())
    }

    async fn process(&self, container: &Container, exec: &Exec, tty: bool) -> Result<Value> {
        let record = container.record();
        let live = container.running()?;
        let options = &exec.options;
        let user = match options.user.as_str() {
            "" => record.config.user.clone(),
            user => user.to_owned(),
        };
        let groups = record.host_config.group_add.clone().unwrap_or_default();
        let root = PathBuf::from(format!("/proc/{}/root", live.pid));
        let user = blocking(move || {
            let root = Root::open(&root).doing("open the container's root file system")?;
            resolve_user(&root, &user, &groups)
        })
        .await?;
        let mut host = record.host_config.clone();
        host.privileged |= options.privileged;
        let capabilities = capabilities::effective(&host)?;
        let links = self.inner.link_environment(container).unwrap_or_default();
        let mut env = spec::environment(&record, &record.config.hostname, &links);
        if tty && !record.config.tty {
            env.push("TERM=xterm".to_owned());
        }
        merge_env(&mut env, options.env.as_deref().unwrap_or_default());
        let cwd = [&options.working_dir, &record.config.working_dir]
            .into_iter()
            .find(|dir| !dir.is_empty())
            .map_or("/", String::as_str);
        let mut process = json!({
            "terminal": tty,
            "user": user.spec(),
            "args": options.cmd,
            "env": env,
            "cwd": cwd,
            "capabilities": capabilities::sets(&capabilities, user.uid),
            "noNewPrivileges": no_new_privileges(&record.host_config),
            "oomScoreAdj": record.host_config.oom_score_adj,
        });
        if let Some([height, width]) = options.console_size.as_deref()
            && tty
        {
            process["consoleSize"] = json!({"height": height, "width": width});
        }
        let limits = resources::rlimits(
            &record.host_config.resources,
            &self.inner.config.default_ulimits,
        );
        if !limits.is_empty() {
            process["rlimits"] = json!(limits);
        }
        Ok(process)
    }

    pub async fn exec_resize(&self, exec: &str, height: u16, width: u16) -> Result<()> {
        let exec = self.find_exec(exec)?;
        if !exec.is_running() {
            return Err(Error::conflict(format!("exec {} is not running", exec.id)));
        }
        crate::streams::resize(&self.exec_bundle(&exec), height, width)
    }

    /// `ExecInspect` plus `ProcessConfig` and the flags that Docker shows.
    pub async fn exec_inspect(&self, exec: &str) -> Result<Value> {
        let exec = self.find_exec(exec)?;
        self.inner.find(&exec.container)?;
        let state = lock(&exec.state).clone();
        let options = &exec.options;
        let command = options.cmd.clone().unwrap_or_default();
        let (entrypoint, arguments) = command
            .split_first()
            .map_or(("", &[][..]), |(first, rest)| (first, rest));
        let mut process = json!({
            "tty": options.tty,
            "entrypoint": entrypoint,
            "arguments": arguments,
            "privileged": options.privileged,
        });
        if !options.user.is_empty() {
            process["user"] = json!(options.user);
        }
        Ok(json!({
            "ID": exec.id,
            "Running": state.running,
            "ExitCode": state.exit_code,
            "ProcessConfig": process,
            "OpenStdin": options.attach_stdin,
            "OpenStderr": options.attach_stderr,
            "OpenStdout": options.attach_stdout,
            "CanRemove": state.exit_code.is_some(),
            "ContainerID": exec.container,
            "DetachKeys": options.detach_keys,
            "Pid": state.pid,
        }))
    }

    pub(crate) fn find_exec(&self, id: &str) -> Result<Arc<Exec>> {
        lock(&self.inner.execs)
            .get(id)
            .cloned()
            .ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    fn exec_bundle(&self, exec: &Exec) -> PathBuf {
        self.inner
            .run_dir(&exec.container)
            .join("exec")
            .join(&exec.id[..16])
    }
}

fn check_running(container: &Container) -> Result<()> {
    let state = container.with(|record| record.state.clone());
    if state.restarting {
        return Err(Error::conflict(format!(
            "container {} is restarting, wait until the container is running",
            container.id
        )));
    }
    container.running()?;
    if state.paused {
        return Err(Error::conflict(format!(
            "container {} is paused, unpause the container before exec",
            container.id
        )));
    }
    Ok(())
}

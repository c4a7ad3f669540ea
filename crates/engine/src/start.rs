//! Starting a container, step by step, each undone when a later one fails.
//!
//!     overlay mount ─┐
//!                    ├─► config.json ─► conmon, runc create ─► attach waiting clients ─► runc start ─► watch
//!     sandbox ───────┘

use std::sync::Arc;

use engine_types::{Error, Result, Time};

use crate::conmon::{Conmon, Kind};
use crate::error::{Doing, blocking, lock};
use crate::inner::{Container, Live};
use crate::record::Record;
use crate::runtime::pidfd;
use crate::spec::namespaces::Joined;
use crate::spec::{self, Facts, devices};
use crate::streams::Connection;
use crate::{Engine, cgroup, create};

/// Exit code of a container that never ran, when nothing says better.
const NOT_STARTED: i64 = 128;

impl Engine {
    pub async fn start_container(&self, id: &str) -> Result<()> {
        let container = self.inner.find(id)?;
        let _changing = container.changing.lock().await;
        let state = container.with(|record| record.state.clone());
        if state.paused {
            return Err(Error::conflict(
                "cannot start a paused container, try unpause instead",
            ));
        }
        if state.running {
            return Err(Error::not_modified("the container is already running"));
        }
        if state.removing {
            return Err(Error::conflict(
                "container is marked for removal and cannot be started",
            ));
        }
        // A start by hand ends the wait of a restart policy and begins its count anew.
        container.stop_restarting.notify_waiters();
        container.change(|record| {
            record.state.restarting = false;
            record.restart_count = 0;
        });
        container
            .backoff
            .store(0, std::sync::atomic::Ordering::Relaxed);
        self.start_locked(&container).await
    }

    /// Starts a container whose `changing` lock is held.
    pub(crate) async fn start_locked(&self, container: &Arc<Container>) -> Result<()> {
        match self.bring_up(container).await {
            Ok((live, started_at)) => {
                self.started(container, live, started_at).await;
                Ok(())
            }
            Err(error) => {
                self.inner.tear_down(container).await;
                let (code, error) = translate(error);
                container.change(|record| {
                    record.state.error.clone_from(&error.message);
                    record.state.exit_code = code;
                    record.state.restarting = false;
                });
                self.inner.save_soon(container);
                lock(&container.pending).clear();
                container.phase.send_modify(|phase| {
                    phase.running = false;
                    phase.exit_code = code;
                });
                if container.with(|record| record.host_config.auto_remove) {
                    let engine = self.clone();
                    let container = container.clone();
                    tokio::spawn(async move { engine.auto_remove(&container).await });
                }
                Err(error)
            }
        }
    }

    async fn bring_up(&self, container: &Arc<Container>) -> Result<(Live, Time)> {
        let inner = &self.inner;
        inner.find_donor(container)?;
        let record = container.record();
        let joined = self.joined(&record)?;
        let prepared = {
            let (inner, container, record) = (inner.clone(), container.clone(), record.clone());
            blocking(move || inner.prepare(&container.id, &record))
        };
        let (sandbox, user) = tokio::join!(inner.network_up(container), prepared);
        let (sandbox, user) = match (sandbox, user) {
            (Ok(sandbox), Ok(user)) => (sandbox, user),
            // `tear_down` takes the half that went well away again.
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let host = &record.host_config;
        let config = spec::generate(
            &record,
            &Facts {
                id: &container.id,
                rootfs: &inner.rootfs(&container.id),
                data_dir: &inner.data_dir(&container.id),
                user,
                netns: sandbox.netns,
                joined,
                devices: devices::collect(host)?,
                hostname: record.config.hostname.clone(),
                links: inner.link_environment(container)?,
                cgroup_v2: cgroup::is_v2(),
                cgroup_parent: &inner.config.cgroup_parent,
                default_ulimits: &inner.config.default_ulimits,
                init: match host.init {
                    Some(true) => Some(create::init_program()?),
                    _ => None,
                },
            },
        )?;
        let bundle = inner.run_dir(&container.id);
        let text = serde_json::to_vec(&config).doing("encode the runtime's configuration")?;
        std::fs::write(bundle.join("config.json"), text)
            .doing("write the runtime's configuration")?;

        let _cgroups = inner.cgroups.read().await;
        let log = record.keeps_log().then(|| inner.log_path(&container.id));
        let stdin_once = record.config.stdin_once;
        let mut conmon = inner.runtimes.conmon(
            &host.runtime,
            &Conmon {
                id: &container.id,
                unit: &container.id,
                name: &record.name,
                bundle: &bundle,
                tty: record.config.tty,
                stdin: record.config.open_stdin,
                keep_stdin: record.config.open_stdin && !stdin_once,
                log: log.as_deref(),
                log_size_max: log_size_max(&record)?,
                kind: Kind::Container,
            },
        )?;
        let pid = conmon.pid().await.map_err(|error| {
            Error::system(format!(
                "failed to create task for container: failed to create shim task: OCI runtime create failed: {}: \
                 unknown",
                error.message
            ))
        })?;
        let live = Live {
            pid,
            init: pidfd(pid)?,
        };
        for wanted in std::mem::take(&mut *lock(&container.pending)) {
            drop(Connection::open(&bundle)?.pump(wanted));
        }
        let started_at = Time::now();
        inner
            .runtimes
            .run(&host.runtime, &["start", &container.id])
            .await
            .map_err(|error| {
                Error::system(format!(
                    "failed to start container: OCI runtime start failed: {}: unknown",
                    error.message
                ))
            })?;
        Ok((live, started_at))
    }

    /// The container runs: record it, tell everybody, watch for its end.
    async fn started(&self, container: &Arc<Container>, live: Live, started_at: Time) {
        container.change(|record| {
            let state = &mut record.state;
            state.running = true;
            state.paused = false;
            state.restarting = false;
            state.oom_killed = false;
            state.pid = live.pid;
            state.exit_code = 0;
            state.error.clear();
            state.started_at = started_at;
            state.finished_at = Time::default();
            state.manually_stopped = false;
            state.health = crate::health::initial(&record.config);
        });
        *lock(&container.live) = Some(Arc::new(live));
        // The next daemon finds out by itself that it runs; only its beginning's time would be lost.
        self.inner.save_soon(container);
        container.phase.send_modify(|phase| phase.running = true);
        self.announce(container).await;
        self.inner.event(container, "start", &[]);
        self.watch(container);
        crate::health::spawn(self, container);
    }

    fn joined(&self, record: &Record) -> Result<Joined> {
        let pid = |mode: &str, what: &str| -> Result<Option<i32>> {
            let Some(id) = mode.strip_prefix("container:") else {
                return Ok(None);
            };
            let live = self.inner.find(id)?.live().ok_or_else(|| {
                Error::conflict(format!(
                    "cannot join {what} of a non running container: {id}"
                ))
            })?;
            Ok(Some(live.pid))
        };
        Ok(Joined {
            pid: pid(&record.host_config.pid_mode, "PID namespace")?,
            ipc: pid(&record.host_config.ipc_mode, "IPC namespace")?,
        })
    }
}

fn log_size_max(record: &Record) -> Result<Option<i64>> {
    let config = record.host_config.log_config.config.as_ref();
    match config.and_then(|config| config.get("max-size")) {
        None => Ok(None),
        Some(text) => Ok(Some(crate::validate::log_size(text)?).filter(|size| *size > 0)),
    }
}

/// The exit code and error that Docker gives for what the runtime said.
pub(crate) fn translate(error: Error) -> (i64, Error) {
    let lower = error.message.to_ascii_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    if !lower.contains("oci runtime") {
        return (NOT_STARTED, error);
    }
    if has(&["executable file not found", "no such file or directory"]) {
        return (127, Error::invalid(error.message));
    }
    if has(&["permission denied", "is a directory"]) {
        return (126, Error::invalid(error.message));
    }
    if has(&["not a directory"]) {
        let text = format!(
            "{}: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path \
             exists and is the expected type",
            error.message
        );
        return (126, Error::invalid(text));
    }
    (NOT_STARTED, error)
}

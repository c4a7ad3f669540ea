//! The engine's start: what runs is taken over, what ended meanwhile is recorded, what is half-made is removed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine_types::Result;
use engine_types::container::HostConfig;

use crate::error::lock;
use crate::exit::{conmon_of, end_run, read_end};
use crate::image::{layers, overlay};
use crate::inner::{Container, Inner, Live};
use crate::record::Record;
use crate::runtime::{pidfd, read_pid};
use crate::spec::mounts::SHM_DIR;
use crate::{Engine, signal};

/// Restarts at boot are tried this often: a network of the swarm may come up later than this engine.
const BOOT_TRIES: u32 = 10;

impl Engine {
    /// Compares the records with what is there; returns the containers to start again.
    pub(crate) async fn recover(
        &self,
        records: Vec<(String, Record)>,
    ) -> Result<Vec<Arc<Container>>> {
        let inner = &self.inner;
        for (id, record) in records {
            inner.insert(Arc::new(Container::new(id, record)));
        }
        self.sweep_unknown().await;
        let containers = inner.all();
        for container in &containers {
            self.take_over(container).await;
        }
        let alive: Vec<String> = containers
            .iter()
            .filter(|container| container.live().is_some())
            .map(|container| container.id.clone())
            .collect();
        inner.networks.restore(&alive).await?;
        for container in containers.iter().filter(|c| c.live().is_some()) {
            self.settle_networks(container).await;
            self.announce(container).await;
            self.watch(container);
            crate::health::spawn(self, container);
        }
        Ok(containers
            .into_iter()
            .filter(|container| container.live().is_none() && container.with(wanted_at_boot))
            .collect())
    }

    /// A crash may have come between the networks and the record: a connection that nobody was told of is undone, one that
    /// was to go is forgotten.
    async fn settle_networks(&self, container: &Arc<Container>) {
        let (networks, id) = (&self.inner.networks, &container.id);
        if networks.sandbox(id).is_none() {
            // Its store is lost: the record is all that is known.
            return;
        }
        let live = networks.endpoints(id);
        let wanted: Vec<String> = container.with(|r| r.networks.keys().cloned().collect());
        let is = |key: &String, name: &String| {
            key == name
                || live
                    .get(name)
                    .is_some_and(|s| s.network_id.starts_with(key))
        };
        for name in live.keys().filter(|n| !wanted.iter().any(|key| is(key, n))) {
            tracing::info!(
                id,
                network = name,
                "undoing a connection that was under way"
            );
            if let Err(error) = networks.disconnect(id, name, true).await {
                tracing::warn!(id, network = name, %error, "it was not undone cleanly");
            }
        }
        let gone = |key: &String| !live.keys().any(|name| is(key, name));
        if wanted.iter().any(gone) {
            container.change(|record| record.networks.retain(|key, _| !gone(key)));
            self.inner.save_soon(container);
        }
    }

    /// One container: running, or ended, or half-started.
    async fn take_over(&self, container: &Arc<Container>) {
        let inner = &self.inner;
        let bundle = inner.run_dir(&container.id);
        container.change(|record| {
            record.state.restarting = false;
            record.state.removing = false;
        });
        let was_running = container.with(|record| record.state.running);
        if let Some(live) = self.survivor(container, &bundle, was_running).await {
            tracing::info!(
                id = container.id,
                pid = live.pid,
                "took over a running container"
            );
            container.change(|record| {
                record.state.running = true;
                record.state.pid = live.pid;
                if record.state.started_at.is_zero() || !was_running {
                    record.state.started_at = engine_types::Time::now();
                    record.state.health = crate::health::initial(&record.config);
                }
            });
            *lock(&container.live) = Some(Arc::new(live));
            container.phase.send_modify(|phase| phase.running = true);
            inner.save_soon(container);
            return;
        }
        if bundle.exists() || was_running {
            if was_running {
                let end = read_end(&bundle);
                container.change(|record| end_run(record, &end, false));
                if let Err(error) = inner.save_record(&container.id, &container.record()).await {
                    tracing::error!(id = container.id, %error, "the exit code was not saved");
                }
                let attributes = [("exitCode", end.code.to_string())];
                inner.event(container, "die", &attributes);
                container
                    .phase
                    .send_modify(|phase| phase.exit_code = end.code);
            }
            inner.tear_down(container).await;
            let host = container.with(|record| record.host_config.clone());
            inner.scrub(&container.id, &host).await;
        }
        // A copy was under way when the daemon died.
        for path in [
            inner.rootfs(&container.id),
            inner.data_dir(&container.id).join(SHM_DIR),
        ] {
            if let Err(error) = overlay::unmount(&path) {
                tracing::warn!(path = %path.display(), %error, "could not unmount");
            }
        }
    }

    /// The container's process, when it and its conmon are alive and it was really started.
    async fn survivor(
        &self,
        container: &Container,
        bundle: &Path,
        was_running: bool,
    ) -> Option<Live> {
        let conmon = conmon_of(bundle)?;
        let pid = read_pid(&bundle.join("pid"));
        if let Some(pid) = pid
            && !bundle.join("exit").exists()
            && let Ok(init) = pidfd(pid)
            && (was_running || self.is_started(container).await)
        {
            return Some(Live { pid, init });
        }
        // It is on its way out: its last words come first.
        if was_running && !bundle.join("exit").exists() {
            let patience = Duration::from_secs(2);
            let _ = tokio::time::timeout(patience, crate::runtime::ended(&conmon)).await;
        }
        if let Err(error) = signal::send(&conmon, signal::KILL) {
            tracing::warn!(%error, "a stray conmon can't be killed");
        }
        None
    }

    /// The daemon died between the start and the record: the runtime knows.
    async fn is_started(&self, container: &Container) -> bool {
        let runtime = container.with(|record| record.host_config.runtime.clone());
        let state = self
            .inner
            .runtimes
            .run(&runtime, &["state", &container.id])
            .await;
        state
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
            .is_some_and(|state| state["status"] == "running" || state["status"] == "paused")
    }

    /// Folders and processes without a record: creations and removals that a crash cut short.
    async fn sweep_unknown(&self) {
        let inner = &self.inner;
        let unknown = |dir: &Path| -> Vec<String> {
            let Ok(entries) = std::fs::read_dir(dir) else {
                return Vec::new();
            };
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .filter(|id| !inner.knows(id))
                .collect()
        };
        for id in unknown(&inner.config.exec_root.join("containers")) {
            tracing::info!(id, "removing what a lost container left");
            let bundle = inner.run_dir(&id);
            if let Some(conmon) = conmon_of(&bundle) {
                let _ = signal::send(&conmon, signal::KILL);
            }
            for runtime in inner.config.runtimes.keys() {
                if inner.runtimes.delete(runtime, &id, true).await.is_ok() {
                    break;
                }
            }
            inner.scrub(&id, &Default::default()).await;
            layers::remove_dir(&bundle);
        }
        for id in unknown(&inner.config.data_root.join("containers")) {
            let dir = inner.data_dir(&id);
            for mount in [inner.rootfs(&id), dir.join(SHM_DIR)] {
                if let Err(error) = overlay::unmount(&mount) {
                    tracing::warn!(path = %mount.display(), %error, "could not unmount");
                }
            }
            layers::remove_dir(&dir);
        }
    }

    /// Starts what its policy wants to run, and removes what was to remove itself, in the background.
    pub(crate) fn start_at_boot(&self, containers: Vec<Arc<Container>>) {
        for container in self.inner.all() {
            // It ended while nobody was there to remove it.
            if container.live().is_none()
                && container.with(|r| r.host_config.auto_remove && !r.managed)
            {
                let engine = self.clone();
                tokio::spawn(async move { engine.auto_remove(&container).await });
            }
        }
        for container in containers {
            let engine = self.clone();
            tokio::spawn(async move {
                for attempt in 0..BOOT_TRIES {
                    let id = &container.id;
                    match engine.start_container(id).await {
                        Ok(()) => return,
                        Err(error) if error.kind == engine_types::ErrorKind::System => {
                            tracing::warn!(id, %error, "the container could not be started at boot");
                        }
                        Err(_) if attempt > 0 => return,
                        Err(error) => {
                            tracing::warn!(id, %error, "the container could not be started at boot")
                        }
                    }
                    let wait = Duration::from_millis(200 << attempt);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = engine.inner.closed() => return,
                    }
                    // Somebody took it into their own hands.
                    if container.with(|r| r.state.manually_stopped || r.state.removing) {
                        return;
                    }
                }
            });
        }
    }
}

impl Inner {
    /// What a runtime that was killed half-way leaves: its own notes, a group, processes in it.
    async fn scrub(&self, id: &str, host: &HostConfig) {
        self.runtimes.forget(id);
        let group = crate::spec::cgroup_path(host, &self.config.cgroup_parent, id);
        let cleared = crate::error::blocking(move || {
            crate::cgroup::clear(&group);
            Ok(())
        });
        if let Err(error) = cleared.await {
            tracing::warn!(id, %error, "groups were not cleared");
        }
    }

    pub fn knows(&self, id: &str) -> bool {
        self.all().iter().any(|container| container.id == id)
    }
}

/// Docker's rule for a daemon's start: `always` in any case, `unless-stopped` unless somebody stopped it, `on-failure`
/// after a failure.
fn wanted_at_boot(record: &Record) -> bool {
    let state = &record.state;
    if state.started_at.is_zero() || record.managed {
        return false;
    }
    match record.host_config.restart_policy.name.as_str() {
        "always" => true,
        "unless-stopped" => !state.manually_stopped,
        "on-failure" => {
            let limit = record.host_config.restart_policy.maximum_retry_count;
            !state.manually_stopped
                && state.exit_code != 0
                && (limit == 0 || record.restart_count < limit)
        }
        _ => false,
    }
}

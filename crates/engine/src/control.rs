//! Stopping, killing, pausing, changing and removing containers, and waiting for them.

use std::sync::Arc;
use std::time::Duration;

use engine_types::container::{ContainerUpdate, WaitResponse};
use engine_types::{Error, ErrorKind, Filters, Result};
use tokio::sync::oneshot;

use crate::error::{Doing, blocking, lock};
use crate::inner::Container;
use crate::spec::resources;
use crate::store::{Table, Write};
use crate::volumes::Volumes;
use crate::{Engine, WaitCondition, names, signal};

/// Docker's, when neither the call nor the container says.
const STOP_TIMEOUT: i64 = 10;
/// How long the end may take after SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(10);

impl Engine {
    /// `NotModified` when it does not run. `timeout` in seconds, `None` = the container's own, -1 = forever.
    pub async fn stop(&self, id: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let container = self.inner.find(id)?;
        if container.live().is_none() && !container.with(|r| r.state.restarting) {
            return Err(Error::not_modified("the container is already stopped"));
        }
        self.stop_container(&container, signal, timeout).await?;
        self.inner.event(&container, "stop", &[]);
        Ok(())
    }

    async fn stop_container(
        &self,
        container: &Arc<Container>,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let (own_signal, own_timeout) = container.with(|record| {
            (
                record.config.stop_signal.clone(),
                record.config.stop_timeout,
            )
        });
        let signal = match signal.filter(|signal| !signal.is_empty()) {
            Some(signal) => signal::parse(signal)?,
            None if own_signal.is_empty() => signal::TERM,
            None => signal::parse(&own_signal)?,
        };
        let timeout = timeout.or(own_timeout).unwrap_or(STOP_TIMEOUT);
        self.send_signal(container, signal).await?;
        let stopped = self.until_stopped(container);
        if timeout < 0 {
            stopped.await;
            return Ok(());
        }
        let patience = Duration::from_secs(timeout.unsigned_abs());
        if tokio::time::timeout(patience, stopped).await.is_ok() {
            return Ok(());
        }
        self.send_signal(container, signal::KILL).await?;
        self.until_dead(container).await
    }

    /// Sends a signal that is meant to end the container, and ends a restart policy's wait.
    async fn send_signal(&self, container: &Arc<Container>, number: i32) -> Result<()> {
        let live = {
            // A start that is under way comes first: its process is then the one to end. The mark must be there before
            // the end is noticed.
            let _changing = container.changing.lock().await;
            container.change(|record| record.state.manually_stopped = true);
            self.cancel_restart(container);
            self.inner.save_soon(container);
            match container.live() {
                Some(live) => live,
                None => return Ok(()),
            }
        };
        signal::send(&live.init, number)?;
        self.inner
            .event(container, "kill", &[("signal", number.to_string())]);
        // A paused container gets its signal when it goes on.
        if container.with(|record| record.state.paused) {
            self.pause(&container.id, false).await?;
        }
        Ok(())
    }

    pub(crate) fn cancel_restart(&self, container: &Container) {
        container.stop_restarting.notify_waiters();
        let was = container.change(|record| std::mem::take(&mut record.state.restarting));
        if was {
            container.phase.send_modify(|phase| phase.running = false);
        }
    }

    async fn until_stopped(&self, container: &Container) {
        let mut phase = container.phase.subscribe();
        // The sender lives in the container, which we hold.
        let _ = phase.wait_for(|phase| !phase.running).await;
    }

    async fn until_dead(&self, container: &Container) -> Result<()> {
        tokio::time::timeout(KILL_GRACE, self.until_stopped(container))
            .await
            .map_err(|_| {
                Error::system(format!(
                    "tried to kill container, but did not receive an exit event: {}",
                    container.id
                ))
            })
    }

    pub async fn restart(
        &self,
        id: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let container = self.inner.find(id)?;
        if container.live().is_some() {
            let auto_remove =
                container.change(|record| std::mem::take(&mut record.host_config.auto_remove));
            let stopped = self.stop_container(&container, signal, timeout).await;
            container.change(|record| record.host_config.auto_remove = auto_remove);
            stopped?;
            self.inner.event(&container, "stop", &[]);
        }
        match self.start_container(&container.id).await {
            Err(error) if error.kind == ErrorKind::NotModified => {}
            other => other?,
        }
        self.inner.event(&container, "restart", &[]);
        Ok(())
    }

    pub async fn kill(&self, id: &str, signal: &str) -> Result<()> {
        let container = self.inner.find(id)?;
        let number = match signal {
            "" => signal::KILL,
            signal => signal::parse(signal)?,
        };
        let live = container
            .running()
            .map_err(|error| error.context(format!("cannot kill container: {id}")))?;
        let own = container.with(|record| record.config.stop_signal.clone());
        let stops = number == signal::KILL
            || number == signal::TERM
            || signal::parse(&own).is_ok_and(|own| own == number);
        if !stops {
            signal::send(&live.init, number)?;
            self.inner
                .event(&container, "kill", &[("signal", number.to_string())]);
            return Ok(());
        }
        self.send_signal(&container, number).await?;
        if number == signal::KILL {
            self.until_dead(&container).await?;
        }
        Ok(())
    }

    pub async fn pause(&self, id: &str, pause: bool) -> Result<()> {
        let container = self.inner.find(id)?;
        let _changing = container.changing.lock().await;
        container.running()?;
        let paused = container.with(|record| record.state.paused);
        match (pause, paused) {
            (true, true) => {
                return Err(Error::conflict(format!(
                    "container {} is already paused",
                    container.id
                )));
            }
            (false, false) => {
                return Err(Error::conflict(format!(
                    "Container {} is not paused",
                    container.id
                )));
            }
            _ => {}
        }
        let runtime = container.with(|record| record.host_config.runtime.clone());
        let (command, event) = if pause {
            ("pause", "pause")
        } else {
            ("resume", "unpause")
        };
        self.inner
            .runtimes
            .run(&runtime, &[command, &container.id])
            .await
            .map_err(|error| error.context(format!("cannot {event} container {}", container.id)))?;
        container.change(|record| record.state.paused = pause);
        self.inner.save_soon(&container);
        self.inner.event(&container, event, &[]);
        Ok(())
    }

    pub async fn rename(&self, id: &str, name: &str) -> Result<()> {
        let container = self.inner.find(id)?;
        if name.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let name = names::validate(name)?;
        let _changing = container.changing.lock().await;
        let old = container.name();
        if old == name {
            return Err(Error::invalid(
                "Renaming a container with the same name as its current name",
            ));
        }
        self.inner
            .reserve(name, &container.id)
            .map_err(|error| error.context("Error when allocating new name"))?;
        if container.live().is_some()
            && let Err(error) = self.inner.networks.rename(&container.id, name).await
        {
            self.inner.release(name);
            return Err(error);
        }
        container.change(|record| name.clone_into(&mut record.name));
        self.inner.release(&old);
        self.inner.save(&container)?.await?;
        self.inner
            .event(&container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    pub async fn update(&self, id: &str, update: ContainerUpdate) -> Result<Vec<String>> {
        let container = self.inner.find(id)?;
        let _changing = container.changing.lock().await;
        let mut host = container.with(|record| record.host_config.clone());
        let new = &update.resources;
        let own = &mut host.resources;
        macro_rules! set {
            ($($field:ident),*) => { $(replace(&mut own.$field, &new.$field);)* };
        }
        set!(
            cpu_shares,
            memory,
            nano_cpus,
            blkio_weight,
            cpu_period,
            cpu_quota,
            cpu_realtime_period,
            cpu_realtime_runtime,
            cpuset_cpus,
            cpuset_mems,
            memory_reservation,
            memory_swap,
            pids_limit
        );
        if !update.restart_policy.name.is_empty() {
            if host.auto_remove && update.restart_policy.name != "no" {
                return Err(Error::invalid(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container",
                ));
            }
            host.restart_policy = update.restart_policy.clone();
            crate::create::check_restart(&host)?;
        }
        resources::validate(&host.resources)?;
        if container.live().is_some() {
            let limits = serde_json::to_vec(&resources::cgroup(&host.resources)?)
                .doing("encode the limits")?;
            self.inner
                .runtimes
                .run_with_input(
                    &host.runtime,
                    &["update", "--resources", "-", &container.id],
                    Some(&limits),
                )
                .await
                .map_err(|error| {
                    error.context(format!("Cannot update container {}", container.id))
                })?;
        }
        container.change(|record| record.host_config = host);
        self.inner.save(&container)?.await?;
        self.inner.event(&container, "update", &[]);
        Ok(Vec::new())
    }

    pub async fn remove(&self, id: &str, force: bool, volumes: bool) -> Result<()> {
        let container = self.inner.find(id)?;
        let was = container.change(|record| std::mem::replace(&mut record.state.removing, true));
        if was {
            return Err(Error::conflict(format!(
                "removal of container {id} is already in progress"
            )));
        }
        let removed = self.remove_marked(&container, force, volumes).await;
        if removed.is_err() {
            container.change(|record| record.state.removing = false);
        }
        removed
    }

    async fn remove_marked(
        &self,
        container: &Arc<Container>,
        force: bool,
        volumes: bool,
    ) -> Result<()> {
        // A start that was under way may have won the lock: then it runs, and is ended like any other.
        let _changing = loop {
            let changing = container.changing.lock().await;
            if container.live().is_none() && !container.with(|r| r.state.restarting) {
                break changing;
            }
            drop(changing);
            if !force {
                return Err(in_use(container));
            }
            self.send_signal(container, signal::KILL).await?;
            self.until_dead(container).await?;
        };
        let inner = &self.inner;
        let deleted = Write {
            table: Table::Containers,
            key: container.id.clone(),
            value: None,
        };
        inner.store.write(vec![deleted]).await?;
        inner.forget(container);
        lock(&container.pending).clear();
        lock(&inner.execs).retain(|_, exec| exec.container != container.id);
        let (dir, data_root) = (
            inner.data_dir(&container.id),
            inner.config.data_root.clone(),
        );
        let mounts = container.with(|record| record.mounts.clone());
        let auto = container.with(|record| record.host_config.auto_remove);
        blocking(move || {
            crate::image::layers::remove_dir(&dir);
            if volumes || auto {
                Volumes::new(&data_root).remove_anonymous(&mounts);
            }
            Ok(())
        })
        .await?;
        inner.event(container, "destroy", &[]);
        container.phase.send_modify(|phase| phase.removed = true);
        Ok(())
    }

    /// Resolves at once when the condition holds already. The container's existence is checked before this returns its
    /// receiver.
    pub async fn wait(
        &self,
        id: &str,
        condition: WaitCondition,
    ) -> Result<oneshot::Receiver<WaitResponse>> {
        let container = self.inner.find(id)?;
        let mut phase = container.phase.subscribe();
        let exits = phase.borrow().exits;
        let (mut send, receive) = oneshot::channel();
        tokio::spawn(async move {
            let holds = phase.wait_for(|phase| match condition {
                // A run that ended counts, whether or not a policy begins the next one.
                WaitCondition::NotRunning => !phase.running || phase.exits > exits,
                WaitCondition::NextExit => phase.exits > exits || phase.removed,
                WaitCondition::Removed => phase.removed,
            });
            let status_code = tokio::select! {
                phase = holds => phase.map_or(0, |phase| phase.exit_code),
                () = send.closed() => return,
            };
            drop(container);
            let _ = send.send(WaitResponse {
                status_code,
                ..WaitResponse::default()
            });
        });
        Ok(receive)
    }

    pub async fn prune(&self, filters: &Filters) -> Result<(Vec<String>, u64)> {
        filters.validate(&["label", "label!", "until"])?;
        let until = crate::list::until(filters)?;
        let (mut removed, mut freed) = (Vec::new(), 0);
        for container in self.inner.all() {
            let record = container.record();
            let labels = record.config.labels.clone().unwrap_or_default();
            let wanted = !record.state.running
                && !record.state.restarting
                && until.is_none_or(|limit| crate::list::seconds(&record.created) < limit)
                && filters.labels_match("label", &labels)
                && crate::list::labels_exclude(filters, &labels);
            if !wanted {
                continue;
            }
            let size = self.inner.writable_size(&container.id).await;
            // Somebody may have started it just now: it stays.
            if self.remove(&container.id, false, false).await.is_ok() {
                removed.push(container.id.clone());
                freed += size;
            }
        }
        Ok((removed, freed))
    }

    pub async fn resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let container = self.inner.find(id)?;
        container.running()?;
        crate::streams::resize(&self.inner.run_dir(&container.id), height, width)?;
        let size = [("height", height.to_string()), ("width", width.to_string())];
        self.inner.event(&container, "resize", &size);
        Ok(())
    }
}

fn in_use(container: &Container) -> Error {
    let (name, state) =
        container.with(|record| (format!("/{}", record.name), record.state.clone()));
    let text = if state.paused {
        "container is paused and must be unpaused first".to_owned()
    } else {
        let status = if state.restarting {
            "restarting"
        } else {
            "running"
        };
        format!("container is {status}: stop the container before removing or force remove")
    };
    Error::conflict(format!("cannot remove container {name:?}: {text}"))
}

/// Sets what the update gives; a zero value means "unchanged".
fn replace<T: Clone + Default + PartialEq>(value: &mut T, new: &T) {
    if *new != T::default() {
        value.clone_from(new);
    }
}

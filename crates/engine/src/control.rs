//! Stopping, killing, restarting, pausing and resizing.

use std::sync::Arc;
use std::time::Duration;

use engine_types::{Error, ErrorKind, Result};

use crate::inner::Container;
use crate::{Engine, signal};

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
    pub(crate) async fn send_signal(&self, container: &Arc<Container>, number: i32) -> Result<()> {
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

    pub(crate) async fn until_dead(&self, container: &Container) -> Result<()> {
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
        let killed = self.send_named(id, signal).await;
        killed.map_err(|error| error.context(format!("cannot kill container: {id}")))
    }

    async fn send_named(&self, id: &str, signal: &str) -> Result<()> {
        let number = match signal {
            "" => signal::KILL,
            signal => signal::parse(signal)?,
        };
        let container = self.inner.find(id)?;
        let live = container.running()?;
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

    pub async fn resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let container = self.inner.find(id)?;
        container.running()?;
        crate::streams::resize(&self.inner.run_dir(&container.id), height, width)?;
        let size = [("height", height.to_string()), ("width", width.to_string())];
        self.inner.event(&container, "resize", &size);
        Ok(())
    }
}

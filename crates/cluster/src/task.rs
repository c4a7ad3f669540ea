//! A service task's life on this node, as a container.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cnm::Controller;
use engine::{Engine, WaitCondition};
use engine_types::container::{InspectResponse, State};
use engine_types::{Error, ErrorKind, Result};
use swarm::agent::{Dependencies, TaskController, TaskError};
use swarm_wire::pb;
use swarm_wire::pb::endpoint_spec::ResolutionMode;

use crate::convert;
use crate::drain::Draining;
use crate::executor::Shared;
use crate::gossip_glue;
use crate::request::{self, NodeFacts};
use crate::secrets::TaskFiles;

pub struct ContainerTask {
    task: Arc<pb::Task>,
    dependencies: Arc<dyn Dependencies>,
    engine: Engine,
    networks: Controller,
    shared: Arc<Shared>,
    glue: gossip_glue::Slot,
    files: TaskFiles,
    name: String,
}

impl ContainerTask {
    pub fn new(
        task: Arc<pb::Task>,
        dependencies: Arc<dyn Dependencies>,
        engine: Engine,
        networks: Controller,
        shared: Arc<Shared>,
        glue: gossip_glue::Slot,
        exec_root: &Path,
    ) -> Self {
        let files = TaskFiles::new(exec_root.join("swarm").join(&task.id));
        Self {
            name: request::container_name(&task),
            task,
            dependencies,
            engine,
            networks,
            shared,
            glue,
            files,
        }
    }

    async fn create(&self) -> Result<()> {
        if self.engine.resolve(&self.name).is_ok() {
            return Ok(());
        }
        self.know_networks().await?;
        let spec = request::container_spec(&self.task)?;
        let binds = self.files.lay_out(spec, &*self.dependencies)?;
        let node = NodeFacts {
            id: &self.task.node_id,
            hostname: &self.shared.hostname,
        };
        let request = request::create_request(&self.task, &node, binds)?;
        self.engine
            .create_managed(&self.name, request, request::connections(&self.task)?)
            .await?;
        Ok(())
    }

    /// A task that is just going may have taken them away as the last that used them.
    async fn know_networks(&self) -> Result<()> {
        for (_, network) in request::swarm_networks(&self.task) {
            self.networks
                .swarm_network(convert::swarm_network(network, self.shared.vxlan_port())?)
                .await?;
        }
        Ok(())
    }

    async fn inspect(&self) -> Result<InspectResponse> {
        self.engine.inspect(&self.name, false).await
    }

    async fn state(&self) -> Result<State> {
        Ok(self.inspect().await?.base.state.unwrap_or_default())
    }

    /// Waits for `healthy`; containers without a health check are healthy by running.
    async fn healthy(&self) -> Result<(), TaskError> {
        let (_, mut events) = self.engine.events().subscribe();
        loop {
            let state = self.state().await.map_err(fatal)?;
            if !state.running {
                return Err(exited(&state));
            }
            match state.health.as_ref().map(|h| h.status.as_str()) {
                None | Some("healthy" | "none" | "") => return Ok(()),
                Some("unhealthy") => {
                    return Err(TaskError::Fatal("task: unhealthy container".into()));
                }
                Some(_) => {}
            }
            self.event(&mut events).await;
        }
    }

    /// The next event of this container (or a hint that some were missed).
    async fn event(
        &self,
        events: &mut tokio::sync::broadcast::Receiver<engine_types::system::Event>,
    ) {
        use tokio::sync::broadcast::error::RecvError;
        loop {
            match events.recv().await {
                Ok(e)
                    if e.kind == "container"
                        && e.actor
                            .attributes
                            .get("name")
                            .is_some_and(|n| *n == self.name) =>
                {
                    return;
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    fn grace(&self) -> Option<i64> {
        let spec = request::container_spec(&self.task).ok()?;
        spec.stop_grace_period
            .as_ref()
            .map(|d| d.seconds + i64::from(d.nanos > 0))
    }

    /// As the managers, or this node's own database, remember it.
    fn ran(&self) -> bool {
        let state = self.task.status.as_ref().map_or(0, |status| status.state);
        state >= i32::from(pb::TaskState::Running)
    }

    /// A container that runs.
    fn draining(&self, container: &InspectResponse) -> Option<Draining> {
        let state = container.base.state.as_ref().filter(|s| s.running)?;
        let networks = container.network_settings.as_ref()?.networks.as_ref()?;
        let endpoints = networks.values();
        let endpoint = self.task.endpoint.as_ref();
        let spec = endpoint.and_then(|endpoint| endpoint.spec.as_ref());
        Some(Draining {
            endpoints: endpoints
                .map(|e| (e.network_id.clone(), e.endpoint_id.clone()))
                .collect(),
            by_look_up: spec.is_some_and(|s| s.mode() == ResolutionMode::Dnsrr),
            pid: state.pid,
        })
    }

    fn has_names(&self) -> bool {
        request::swarm_networks(&self.task).next().is_some()
    }
}

#[async_trait]
impl TaskController for ContainerTask {
    async fn prepare(&mut self) -> Result<(), TaskError> {
        // It ran before this engine was the node's, or somebody removed it while the daemon was away.
        if self.ran() && self.engine.resolve(&self.name).is_err() {
            return Err(TaskError::Fatal("task: container was removed".into()));
        }
        self.create().await.map_err(fatal)
    }

    async fn start(&mut self) -> Result<(), TaskError> {
        if self.ran() && !self.state().await.map_err(fatal)?.running {
            // It ended while the daemon was away: `wait` has its exit code, and it must not run again.
            return Ok(());
        }
        self.know_networks().await.map_err(fatal)?;
        match self.engine.start_container(&self.name).await {
            Err(e) if e.kind != ErrorKind::NotModified => return Err(fatal(e)),
            _ => {}
        }
        self.healthy().await?;
        self.networks
            .activate(&self.engine.resolve(&self.name).map_err(fatal)?)
            .await
            .map_err(fatal)
    }

    async fn wait(&mut self) -> Result<(), TaskError> {
        let (_, mut events) = self.engine.events().subscribe();
        let mut end = self
            .engine
            .wait(&self.name, WaitCondition::NotRunning)
            .await
            .map_err(fatal)?;
        loop {
            tokio::select! {
                ended = &mut end => {
                    let state = match ended {
                        Ok(_) => self.state().await.map_err(fatal)?,
                        Err(_) => return Err(TaskError::Fatal("task: container was removed".into())),
                    };
                    return if state.exit_code == 0 { Ok(()) } else { Err(exited(&state)) };
                }
                () = self.event(&mut events) => {
                    let state = self.state().await.map_err(fatal)?;
                    if state.health.is_some_and(|h| h.status == "unhealthy") {
                        return Err(TaskError::Fatal("task: unhealthy container".into()));
                    }
                }
            }
        }
    }

    async fn shutdown(&mut self) -> Result<(), TaskError> {
        let Ok(id) = self.engine.resolve(&self.name) else {
            return Ok(());
        };
        if let Ok(container) = self.inspect().await
            && self.has_names()
            && let Some(draining) = self.draining(&container)
        {
            self.networks.deactivate(&id).await.map_err(fatal)?;
            let waited = draining.wait(&self.glue).await;
            tracing::debug!(task = self.task.id, ?waited, "task is drained");
        }
        match self.engine.stop(&id, None, self.grace()).await {
            Err(e) if !matches!(e.kind, ErrorKind::NotModified | ErrorKind::NotFound) => {
                Err(temporary(e))
            }
            _ => Ok(()),
        }
    }

    async fn remove(&mut self) -> Result<(), TaskError> {
        match self.engine.remove(&self.name, true, true).await {
            Err(e) if e.kind != ErrorKind::NotFound => return Err(temporary(e)),
            _ => {}
        }
        self.files.remove();
        for (_, network) in request::swarm_networks(&self.task) {
            self.shared.forget_unused(&self.networks, &network.id).await;
        }
        Ok(())
    }

    async fn container_status(&self) -> Option<pb::ContainerStatus> {
        let container = self.inspect().await.ok()?;
        let state = container.base.state.unwrap_or_default();
        Some(pb::ContainerStatus {
            container_id: container.base.id,
            pid: i32::try_from(state.pid).unwrap_or(0),
            exit_code: i32::try_from(state.exit_code).unwrap_or(-1),
        })
    }

    /// Host ports only, with what was really bound.
    async fn port_status(&self) -> Option<pb::PortStatus> {
        let bound = self.networks.ports(&self.engine.resolve(&self.name).ok()?);
        let asked = &self.task.endpoint.as_ref()?.ports;
        let host = asked
            .iter()
            .filter(|p| p.publish_mode == i32::from(pb::port_config::PublishMode::Host));
        let ports: Vec<_> = host
            .filter_map(|p| {
                let word = convert::ports_json(std::slice::from_ref(p))?.pop()?;
                let binding = bound
                    .get(&format!("{}/{}", word.target_port, word.protocol))?
                    .as_ref()?
                    .first()?;
                Some(pb::PortConfig {
                    published_port: binding.host_port.parse().ok()?,
                    ..p.clone()
                })
            })
            .collect();
        (!ports.is_empty()).then_some(pb::PortStatus { ports })
    }
}

fn exited(state: &State) -> TaskError {
    let message = if state.error.is_empty() {
        format!("task: non-zero exit ({})", state.exit_code)
    } else {
        format!("task: non-zero exit ({}): {}", state.exit_code, state.error)
    };
    TaskError::Exit {
        code: i32::try_from(state.exit_code).unwrap_or(-1),
        message,
    }
}

fn fatal(e: Error) -> TaskError {
    TaskError::Fatal(e.message)
}

fn temporary(e: Error) -> TaskError {
    TaskError::Temporary(e.message)
}

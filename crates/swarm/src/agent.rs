//! The agent: a session with the managers, the tasks that they assign, and the reports back.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use swarm_wire::pb;
use tokio::sync::watch;

use crate::ca::Identity;

/// What runs tasks on this node. The agent calls it; errors come back as task states.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    async fn describe(&self) -> pb::NodeDescription;
    /// The node object changed (availability, role, network attachments).
    async fn configure(&self, node: &pb::Node);
    async fn set_network_bootstrap_keys(&self, keys: Vec<pb::EncryptionKey>);
    /// A runner for `task`: a container, or a network attachment when `task.spec.attachment` is set.
    fn controller(
        &self,
        task: Arc<pb::Task>,
        dependencies: Arc<dyn Dependencies>,
    ) -> Box<dyn TaskController>;
}

/// Secrets and configs that were assigned along with the tasks.
pub trait Dependencies: Send + Sync {
    fn secret(&self, id: &str) -> Option<pb::Secret>;
    fn config(&self, id: &str) -> Option<pb::Config>;
}

/// Drives one task on this node. Calls never overlap but for `update`; each may be repeated after a restart.
#[async_trait]
pub trait TaskController: Send {
    /// PREPARING: everything up to a created container. An error is fatal for the task (REJECTED).
    async fn prepare(&mut self) -> Result<(), TaskError>;
    /// STARTING to RUNNING (running and, with a health check, healthy).
    async fn start(&mut self) -> Result<(), TaskError>;
    /// Returns when the task has ended by itself: its exit code.
    async fn wait(&mut self) -> Result<(), TaskError>;
    /// Stops it in good order (drain, signal, grace period).
    async fn shutdown(&mut self) -> Result<(), TaskError>;
    /// Removes what is left of it on this node.
    async fn remove(&mut self) -> Result<(), TaskError>;
    async fn container_status(&self) -> Option<pb::ContainerStatus>;
    async fn port_status(&self) -> Option<pb::PortStatus>;
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum TaskError {
    /// The process ended with this code.
    #[error("task: non-zero exit ({code})")]
    Exit { code: i32, message: String },
    /// Try again later.
    #[error("{0}")]
    Temporary(String),
    #[error("{0}")]
    Fatal(String),
}

#[derive(Clone, Debug)]
pub struct Config {
    /// `<data-root>/swarm`; tasks are kept in `worker/`.
    pub dir: PathBuf,
    /// `host:2377` of the managers that are known.
    pub managers: Vec<String>,
    pub availability: i32,
}

/// What the node knows of its swarm, for `docker info` and for the gossip's bootstrap.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub connected: bool,
    pub node: Option<pb::Node>,
    pub managers: Vec<pb::Peer>,
    pub error: String,
}

#[derive(Clone)]
pub struct Agent {}

impl Agent {
    /// Never fails for want of a manager: it keeps trying, and runs what it was assigned before.
    pub async fn start(
        _config: Config,
        _identity: Identity,
        _executor: Arc<dyn Executor>,
    ) -> Result<Self, crate::ca::Error> {
        todo!()
    }
    pub fn status(&self) -> watch::Receiver<Status> {
        todo!()
    }
    /// `ResourceAllocator.AttachNetwork`; the address then arrives as an attachment task.
    pub async fn attach_network(
        &self,
        _config: pb::NetworkAttachmentConfig,
        _container_id: &str,
    ) -> Result<String, tonic::Status> {
        todo!()
    }
    pub async fn detach_network(&self, _attachment_id: &str) -> Result<(), tonic::Status> {
        todo!()
    }
    /// Ends the session. `leave` also stops and removes every task.
    pub async fn stop(self, _leave: bool) {
        todo!()
    }
}

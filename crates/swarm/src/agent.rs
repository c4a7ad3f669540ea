//! The agent: a session with the managers, the tasks that they assign, and the reports back.
//!
//! ```text
//!   managers ◄── session: heartbeats, node and keys in, assignments in, states out, log subscriptions
//!                   │ assign                     ▲ states
//!                worker ── task, task, task … ───┘        (each: machine says what next, TaskController does it)
//!                   │
//!                tasks.db: tasks go on without a manager, and after a restart
//! ```

mod database;
mod dependencies;
mod logs;
mod machine;
mod remotes;
mod renewal;
mod reporter;
mod session;
mod task;
mod worker;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use swarm_wire::pb;
use swarm_wire::pb::resource_allocator_client::ResourceAllocatorClient;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use self::database::{Database, Write};
use self::remotes::Remotes;
use self::renewal::Renewal;
use self::reporter::Reporter;
use self::worker::Worker;
use crate::ca::request::limited;
use crate::ca::{Error, Identity};
use crate::status_text;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// A Docker manager demotes only what is in its Raft group already, so there is no way back but this.
const NO_MANAGER: &str = "this engine cannot become a manager of this swarm yet and stays a worker; \
     to undo the promotion, remove the node (docker node rm --force) and join it again with the worker token";

/// `host:port` of the managers that the node whose files are in `dir` knew last.
pub fn known_managers(dir: &Path) -> Vec<String> {
    let peers = Remotes::load(dir, &[]).peers();
    peers.into_iter().map(|peer| peer.addr).collect()
}

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
    /// The log lines of one of this node's tasks, for the managers' readers; the context is filled in by the agent. The
    /// stream ends with what there is, or, when following, with the receiver. `None`: this task has no logs.
    ///
    /// `options.tail` 0 is everything and -n-1 the last n lines; no `streams` are both.
    async fn logs(
        &self,
        _task_id: &str,
        _options: pb::LogSubscriptionOptions,
    ) -> Option<mpsc::Receiver<pb::LogMessage>> {
        None
    }
}

/// Secrets and configs that were assigned along with the tasks.
pub trait Dependencies: Send + Sync {
    fn secret(&self, id: &str) -> Option<pb::Secret>;
    fn config(&self, id: &str) -> Option<pb::Config>;
}

/// Drives one task on this node. Calls never overlap.
///
/// `prepare`, `start` and `wait` may be dropped when the task is no longer wanted (the first two only after 2 s of patience);
/// `shutdown` or `remove` follow. After a restart of the engine the task given to [`Executor::controller`] carries the state
/// that it had: from READY on `prepare` is called again, for RUNNING `start` too, then `wait`. They adopt what they find, and
/// do not start again what has ended meanwhile: `wait` then tells how.
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
    /// A session is open, and what its first message said was passed on to the executor.
    pub connected: bool,
    pub node: Option<pb::Node>,
    pub managers: Vec<pb::Peer>,
    pub error: String,
}

/// This node's agent. Clones share it.
#[derive(Clone)]
pub struct Agent(Arc<Inner>);

struct Inner {
    identity: Identity,
    worker: Arc<Worker>,
    database: Database,
    writer: Mutex<Option<JoinHandle<()>>>,
    status: watch::Sender<Status>,
    /// To the manager of the session that is open.
    channel: watch::Sender<Option<Channel>>,
    remotes: Mutex<Remotes>,
    /// Of the keys that the executor was given.
    key_times: tokio::sync::Mutex<BTreeSet<(String, u64)>>,
    renewal: Renewal,
    parts: TaskTracker,
    stop: CancellationToken,
}

impl Agent {
    /// Never fails for want of a manager: it keeps trying, and runs what it was assigned before.
    pub async fn start(
        config: Config,
        identity: Identity,
        executor: Arc<dyn Executor>,
    ) -> Result<Self, Error> {
        let (database, stored, writer) = Database::open(&config.dir)?;
        let remotes = Remotes::load(&config.dir, &config.managers);
        let worker = Worker::start(executor, database.clone(), stored).await;
        let status = Status {
            managers: remotes.peers(),
            ..Default::default()
        };
        let inner = Arc::new(Inner {
            identity,
            worker,
            database,
            writer: Mutex::new(Some(writer)),
            status: watch::Sender::new(status),
            channel: watch::Sender::new(None),
            remotes: Mutex::new(remotes),
            key_times: Default::default(),
            renewal: Renewal::default(),
            parts: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let (sessions, renewals) = (inner.clone(), inner.clone());
        inner.parts.spawn(async move {
            sessions
                .stop
                .run_until_cancelled(sessions.keep_in_session())
                .await
        });
        inner.parts.spawn(async move {
            renewals
                .stop
                .run_until_cancelled(renewal::run(&renewals))
                .await
        });
        Ok(Self(inner))
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.0.status.subscribe()
    }

    /// `ResourceAllocator.AttachNetwork`; the address then arrives as an attachment task.
    pub async fn attach_network(
        &self,
        config: pb::NetworkAttachmentConfig,
        container_id: &str,
    ) -> Result<String, tonic::Status> {
        let request = pb::AttachNetworkRequest {
            config: Some(config),
            container_id: container_id.to_owned(),
        };
        let response = self.0.allocator()?.attach_network(limited(request)).await?;
        Ok(response.into_inner().attachment_id)
    }

    pub async fn detach_network(&self, attachment_id: &str) -> Result<(), tonic::Status> {
        let request = pb::DetachNetworkRequest {
            attachment_id: attachment_id.to_owned(),
        };
        self.0.allocator()?.detach_network(limited(request)).await?;
        Ok(())
    }

    /// Renews the certificate now rather than in its time; waits for a session.
    pub async fn renew_certificate(&self) -> Result<(), Error> {
        renewal::renew(&self.0).await
    }

    /// Ends the session. `leave` also stops and removes every task.
    pub async fn stop(self, leave: bool) {
        self.0.stop.cancel();
        self.0.parts.close();
        self.0.parts.wait().await;
        self.0.channel.send_replace(None);
        self.0.status.send_modify(|status| status.connected = false);
        self.0.worker.stop(leave).await;
        let writer = self
            .0
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            self.0.database.write(Write::Close).await;
            if let Err(error) = writer.await {
                warn!(%error, "the node's tasks were not stored to the end");
            }
        }
    }
}

impl Inner {
    async fn keep_in_session(&self) {
        let mut backoff = Duration::ZERO;
        let mut session_id = String::new();
        // Managers that are still to be tried before the next long pause.
        let mut left = 0_usize;
        loop {
            let Some(addr) = self.remotes().select(rand::random_range(0.0..1.0)) else {
                self.failed("no manager is known".into());
                return;
            };
            let mut registered = false;
            let ended = session::run(self, &addr, &mut session_id, &mut registered).await;
            if ended.code() == Code::Ok {
                debug!(reason = ended.message(), "opening the session again");
                continue;
            }
            if registered {
                (backoff, left) = (Duration::ZERO, 0);
            }
            let (all_failed, managers) = {
                let mut remotes = self.remotes();
                remotes.observe(&addr, false);
                (remotes.all_failed(), remotes.peers().len())
            };
            // One after the other in quick succession: the next one may lead.
            let mut pause = FIRST_BACKOFF;
            if all_failed && left == 0 {
                left = managers;
                backoff = (FIRST_BACKOFF + 2 * backoff).min(MAX_BACKOFF);
                pause = backoff;
            }
            info!(
                manager = addr,
                status = status_text(&ended),
                ?pause,
                "session failed"
            );
            self.failed(status_text(&ended));
            left = left.saturating_sub(1);
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.0..1.0))).await;
        }
    }

    fn remotes(&self) -> MutexGuard<'_, Remotes> {
        self.remotes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reporter(&self) -> &Reporter {
        &self.worker.reporter
    }

    fn allocator(&self) -> Result<ResourceAllocatorClient<Channel>, tonic::Status> {
        let channel = self.channel.borrow().clone();
        let channel =
            channel.ok_or_else(|| tonic::Status::unavailable("no session with a manager"))?;
        Ok(ResourceAllocatorClient::new(channel))
    }

    /// What a session message said; true when the node is not as it was.
    fn learn(&self, managers: Vec<pb::Peer>, node: Option<&pb::Node>) -> bool {
        let mut changed = false;
        self.status.send_modify(|status| {
            status.managers = managers;
            let Some(node) = node else {
                return;
            };
            changed = session::node_changed(status.node.as_ref(), node);
            status.node = Some(node.clone());
            let promoted = node
                .spec
                .as_ref()
                .is_some_and(|spec| spec.desired_role() == pb::NodeRole::Manager);
            status.error = match promoted && !self.identity.manager {
                true => NO_MANAGER.into(),
                false => String::new(),
            };
        });
        changed
    }

    fn failed(&self, error: String) {
        self.status.send_modify(|status| {
            status.connected = false;
            status.error = error;
        });
    }
}

//! `Dispatcher`: sessions, heartbeats, assignments to nodes and their reports.

mod assignments;
mod nodes;
mod reports;
mod session;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raft_store::{State, Tx};
use swarm_wire::pb;
use swarm_wire::pb::node_status::State as NodeState;
use swarm_wire::pb::update_task_status_request::TaskStatusUpdate;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::{debug, error, info, warn};

use self::assignments::Assignments;
use self::nodes::{Event, Nodes};
use super::follow::Follow;
use super::gate::{Caller, Gate, caller, failed};
use super::objects::HEARTBEAT;
use crate::ext::NodeExt;
use crate::id::new_id;

/// Docker's agent looks a new network's address for its balancer up in what the session told, and fails the task when the
/// session's message has not been worked off yet. Docker's managers gather assignments for as long.
const SETTLE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct Dispatcher {
    gate: Gate,
    nodes: Arc<Mutex<Nodes>>,
    /// Tells streams and timer that a session came or went.
    sessions: Arc<watch::Sender<()>>,
    reports: mpsc::Sender<TaskStatusUpdate>,
    stop: CancellationToken,
}

impl Dispatcher {
    /// Nodes that the store knows become UNKNOWN until they come back; what is DOWN stays so.
    pub async fn start(
        gate: Gate,
        manager_id: &str,
        stop: CancellationToken,
    ) -> Result<Self, raft_store::Error> {
        let (sender, reports) = mpsc::channel(reports::BATCH);
        let dispatcher = Self {
            nodes: Arc::default(),
            sessions: Arc::new(watch::Sender::new(())),
            reports: sender,
            stop,
            gate,
        };
        let writer = reports::run(
            dispatcher.gate.store.clone(),
            manager_id.to_owned(),
            reports,
        );
        tokio::spawn(dispatcher.stop.clone().run_until_cancelled_owned(writer));
        let state = dispatcher.gate.store.view();
        let period = dispatcher.period(&state);
        for node in state.nodes.values() {
            let down = status_of(node) == NodeState::Down;
            dispatcher
                .nodes()
                .restored(Instant::now(), &node.id, down, period);
        }
        dispatcher.gate.store.update(mark_unknown).await?;
        tokio::spawn(dispatcher.clone().watch_deadlines());
        Ok(dispatcher)
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn period(&self, state: &State) -> Duration {
        let cluster = state.clusters.get(&self.gate.cluster_id);
        cluster
            .and_then(|cluster| cluster.spec.as_ref()?.dispatcher.as_ref()?.heartbeat_period)
            .and_then(|period| Duration::try_from(period).ok())
            .filter(|period| !period.is_zero())
            .unwrap_or(HEARTBEAT)
    }

    /// The session that the node names when it is open, or a new one; either way the node is READY.
    async fn register(
        &self,
        caller: &Caller,
        request: pb::SessionRequest,
    ) -> Result<String, Status> {
        let state = self.gate.store.view();
        if !state.nodes.contains_key(&caller.node_id) {
            return Err(Status::not_found("node not found"));
        }
        let session_id = {
            let mut nodes = self.nodes();
            match nodes.check(&caller.node_id, &request.session_id) {
                Ok(()) => request.session_id,
                Err(_) => {
                    let session_id = new_id();
                    let period = self.period(&state);
                    nodes.register(Instant::now(), &caller.node_id, session_id.clone(), period)?;
                    session_id
                }
            }
        };
        self.sessions.send_replace(());
        let ready = |tx: &mut Tx| {
            mark_ready(
                tx,
                &caller.node_id,
                caller.addr,
                request.description.as_ref(),
            )
        };
        self.gate.update(ready).await?;
        info!(node.id = caller.node_id, addr = %caller.addr, "node is in session");
        Ok(session_id)
    }

    async fn watch_deadlines(self) {
        let mut sessions = self.sessions.subscribe();
        loop {
            let next = self.nodes().poll_timeout();
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = sessions.changed() => {}
                () = due => {
                    let events = self.nodes().handle_timeout(Instant::now());
                    for event in events {
                        self.handle(event).await;
                        self.sessions.send_replace(());
                    }
                }
            }
        }
    }

    async fn handle(&self, event: Event) {
        let (node_id, done) = match &event {
            Event::Down { node_id, unknown } => {
                let message = match unknown {
                    true => "heartbeat failure for node in \"unknown\" state",
                    false => "heartbeat failure",
                };
                warn!(node.id = node_id, "{message}");
                // The node may have come back since.
                let mark = |tx: &mut Tx| match self.nodes().is_down(node_id) {
                    true => set_status(tx, node_id, NodeState::Down, message),
                    false => Ok(()),
                };
                (node_id, self.gate.store.update(mark).await)
            }
            Event::Orphaned { node_id } => {
                warn!(
                    node.id = node_id,
                    "node is down for a day, its tasks are orphaned"
                );
                let orphan = |tx: &mut Tx| orphan(tx, node_id);
                (node_id, self.gate.store.update(orphan).await)
            }
        };
        if let Err(error) = done {
            error!(node.id = node_id, %error, "the node's failure could not be stored");
        }
    }
}

type Stream<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl pb::dispatcher_server::Dispatcher for Dispatcher {
    type SessionStream = Stream<pb::SessionMessage>;
    type TasksStream = Stream<pb::TasksMessage>;
    type AssignmentsStream = Stream<pb::AssignmentsMessage>;

    async fn session(
        &self,
        request: Request<pb::SessionRequest>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let caller = caller(&request)?;
        let follow = Follow::new(&self.gate.store);
        let session_id = self.register(&caller, request.into_inner()).await?;
        let (sink, stream) = mpsc::channel(1);
        let dispatcher = self.clone();
        tokio::spawn(async move {
            let ended =
                session::run(&dispatcher, follow, &caller.node_id, &session_id, &sink).await;
            debug!(node.id = caller.node_id, ?ended, "session stream is over");
            if let Some(status) = ended {
                let _ = sink.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn heartbeat(
        &self,
        request: Request<pb::HeartbeatRequest>,
    ) -> Result<Response<pb::HeartbeatResponse>, Status> {
        let caller = caller(&request)?;
        let session_id = request.into_inner().session_id;
        // 5 s ± 500 ms, so that nodes do not beat in step.
        let period = self
            .period(&self.gate.store.view())
            .mul_f64(rand::random_range(0.9..1.1));
        self.nodes()
            .heartbeat(Instant::now(), &caller.node_id, &session_id, period)?;
        Ok(Response::new(pb::HeartbeatResponse {
            period: swarm_wire::prost_types::Duration::try_from(period).ok(),
        }))
    }

    async fn update_task_status(
        &self,
        request: Request<pb::UpdateTaskStatusRequest>,
    ) -> Result<Response<pb::UpdateTaskStatusResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        self.nodes().check(&caller.node_id, &request.session_id)?;
        let state = self.gate.store.view();
        let assigned =
            |report: &TaskStatusUpdate| state.tasks.get(&report.task_id).map(|task| &task.node_id);
        if request
            .updates
            .iter()
            .any(|report| assigned(report).is_some_and(|node_id| *node_id != caller.node_id))
        {
            return Err(Status::permission_denied(
                "cannot update a task not assigned this node",
            ));
        }
        for report in request.updates {
            let stopping = |_| Status::aborted("dispatcher is stopped");
            self.reports.send(report).await.map_err(stopping)?;
        }
        Ok(Response::new(pb::UpdateTaskStatusResponse {}))
    }

    async fn update_volume_status(
        &self,
        _: Request<pb::UpdateVolumeStatusRequest>,
    ) -> Result<Response<pb::UpdateVolumeStatusResponse>, Status> {
        Err(Status::unimplemented(
            "cluster volumes are not supported by this manager",
        ))
    }

    async fn tasks(
        &self,
        _: Request<pb::TasksRequest>,
    ) -> Result<Response<Self::TasksStream>, Status> {
        Err(Status::unimplemented(
            "Tasks was replaced by Assignments in Docker 1.13",
        ))
    }

    async fn assignments(
        &self,
        request: Request<pb::AssignmentsRequest>,
    ) -> Result<Response<Self::AssignmentsStream>, Status> {
        let caller = caller(&request)?;
        let session_id = request.into_inner().session_id;
        self.nodes().check(&caller.node_id, &session_id)?;
        let (sink, stream) = mpsc::channel(1);
        let dispatcher = self.clone();
        tokio::spawn(async move {
            let mut sessions = dispatcher.sessions.subscribe();
            let mut follow = Follow::new(&dispatcher.gate.store);
            let mut state = dispatcher.gate.store.view();
            let mut assignments = Assignments::new(&caller.node_id);
            let ended = loop {
                if let Err(over) = dispatcher.nodes().check(&caller.node_id, &session_id) {
                    break over;
                }
                if let Some(message) = assignments.message(&state)
                    && sink.send(Ok(message)).await.is_err()
                {
                    return;
                }
                tokio::select! {
                    next = follow.next() => match next {
                        Some(next) => {
                            if must_settle(&state, &next, &caller.node_id) {
                                tokio::time::sleep(SETTLE).await;
                            }
                            state = next;
                        }
                        None => break Status::aborted("dispatcher is stopped"),
                    },
                    _ = sessions.changed() => {}
                    () = dispatcher.stop.cancelled() => break Status::aborted("dispatcher is stopped"),
                    () = sink.closed() => return,
                }
            };
            let _ = sink.send(Err(ended)).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// A node of Docker's has got an address on a network that it was not on.
fn must_settle(old: &State, new: &State, node_id: &str) -> bool {
    let networks = |state: &State| -> BTreeSet<String> {
        let attachments = state.nodes.get(node_id).map(|node| node.attachments.iter());
        let networks = attachments.into_iter().flatten();
        networks
            .filter_map(|a| Some(a.network.as_ref()?.id.clone()))
            .collect()
    };
    let same = match (old.nodes.get(node_id), new.nodes.get(node_id)) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        _ => false,
    };
    !same
        && !new.nodes.get(node_id).is_some_and(|node| node.is_ours())
        && !networks(new).is_subset(&networks(old))
}

fn status_of(node: &pb::Node) -> NodeState {
    node.status
        .as_ref()
        .map_or(NodeState::Unknown, |status| status.state())
}

fn mark_unknown(tx: &mut Tx) -> Result<(), raft_store::Error> {
    let nodes = tx.state().nodes.clone();
    for node in nodes.values() {
        if !matches!(status_of(node), NodeState::Down | NodeState::Unknown) {
            let message = "Node moved to \"unknown\" state due to leadership change in cluster";
            set_status(tx, &node.id, NodeState::Unknown, message)?;
        }
    }
    Ok(())
}

fn mark_ready(
    tx: &mut Tx,
    node_id: &str,
    addr: IpAddr,
    description: Option<&pb::NodeDescription>,
) -> Result<(), Status> {
    let stored = tx.state().nodes.get(node_id).cloned();
    let mut node = Arc::unwrap_or_clone(stored.ok_or_else(|| Status::not_found("node not found"))?);
    let status = pb::NodeStatus {
        state: NodeState::Ready.into(),
        message: String::new(),
        addr: addr.to_string(),
    };
    let description = description.cloned().or_else(|| node.description.clone());
    if node.status.as_ref() == Some(&status) && node.description == description {
        return Ok(());
    }
    node.status = Some(status);
    node.description = description;
    tx.update(node).map_err(failed)
}

fn set_status(
    tx: &mut Tx,
    node_id: &str,
    state: NodeState,
    message: &str,
) -> Result<(), raft_store::Error> {
    let Some(stored) = tx.state().nodes.get(node_id) else {
        return Ok(());
    };
    let mut node = pb::Node::clone(stored);
    let status = node.status.get_or_insert_default();
    status.state = state.into();
    status.message = message.to_owned();
    tx.update(node)
}

/// Nobody knows whether they still run.
fn orphan(tx: &mut Tx, node_id: &str) -> Result<(), raft_store::Error> {
    use pb::TaskState;

    let tasks: Vec<_> = tx.state().node_tasks(node_id).cloned().collect();
    for task in tasks {
        let mut task = Arc::unwrap_or_clone(task);
        let status = task.status.get_or_insert_default();
        if (TaskState::Assigned as i32..=TaskState::Running as i32).contains(&status.state) {
            status.state = TaskState::Orphaned.into();
            tx.update(task)?;
        }
    }
    Ok(())
}

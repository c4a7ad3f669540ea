//! One session with one manager: everything that goes on until the connection or the manager ends it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use swarm_wire::pb;
use swarm_wire::pb::dispatcher_client::DispatcherClient;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tracing::{debug, info, warn};

use super::{Inner, logs};
use crate::ca::MANAGER;
use crate::ca::request::limited;
use crate::tls::dial::{MAX_MESSAGE, RPC_TIMEOUT, connect};

/// How often the node's description is looked at again.
const DESCRIBE: Duration = Duration::from_secs(20);

pub(super) struct Session<'a> {
    agent: &'a Inner,
    client: DispatcherClient<Channel>,
    id: String,
    description: pb::NodeDescription,
}

/// Never returns but for a failure.
type Forever = Result<Infallible, Status>;

/// Opens a session with the manager at `addr` and lives in it. `id` is the last session's, and becomes this one's;
/// `registered` turns true once it is open.
pub(super) async fn run(
    agent: &Inner,
    addr: &str,
    id: &mut String,
    registered: &mut bool,
) -> Status {
    match open(agent, addr, id).await {
        Ok((session, stream)) => {
            *registered = true;
            *id = session.id.clone();
            let ended = session.live(stream).await;
            agent.channel.send_replace(None);
            ended
        }
        Err(status) => status,
    }
}

async fn open<'a>(
    agent: &'a Inner,
    addr: &str,
    id: &str,
) -> Result<(Session<'a>, Streaming<pb::SessionMessage>), Status> {
    let channel = connect(addr, agent.identity.live.get().client.clone(), MANAGER).await?;
    let mut client = DispatcherClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE);
    let description = describe(agent).await;
    let request = pb::SessionRequest {
        description: Some(description.clone()),
        session_id: id.to_owned(),
    };
    let opened = timeout(RPC_TIMEOUT, async {
        let mut stream = client.session(request).await?.into_inner();
        let first = stream.message().await?.ok_or_else(|| over("session"))?;
        Ok::<_, Status>((stream, first))
    });
    let opened = opened
        .await
        .map_err(|_| Status::deadline_exceeded("session initiation timed out"))?;
    let (stream, first) = opened?;
    let session = Session {
        agent,
        client,
        id: first.session_id.clone(),
        description,
    };
    info!(manager = addr, "session with the managers is open");
    session.handle(first).await;
    agent.reporter().repeat();
    agent.channel.send_replace(Some(channel));
    agent.status.send_modify(|status| status.connected = true);
    Ok((session, stream))
}

/// The executor's description, and whom this node trusts.
async fn describe(agent: &Inner) -> pb::NodeDescription {
    let mut description = agent.worker.executor().describe().await;
    let credentials = agent.identity.live.get();
    let (subject, public_key) = credentials.issuer.clone();
    description.tls_info = Some(pb::NodeTlsInfo {
        trust_root: credentials.root_pem.clone(),
        cert_issuer_subject: subject,
        cert_issuer_public_key: public_key,
    });
    description
}

impl Session<'_> {
    async fn live(&self, stream: Streaming<pb::SessionMessage>) -> Status {
        let ended = tokio::select! {
            ended = self.heartbeat() => ended,
            ended = self.messages(stream) => ended,
            ended = self.assignments() => ended,
            ended = self.report() => ended,
            ended = self.log_subscriptions() => ended,
            ended = self.watch_description() => ended,
        };
        match ended {
            Err(status) => status,
            Ok(never) => match never {},
        }
    }

    async fn heartbeat(&self) -> Forever {
        let mut client = self.client.clone();
        loop {
            let beat = client.heartbeat(limited(pb::HeartbeatRequest {
                session_id: self.id.clone(),
            }));
            let beat = timeout(RPC_TIMEOUT, beat).await;
            let response = beat.map_err(|_| Status::deadline_exceeded("heartbeat timed out"))??;
            let period = response.into_inner().period.unwrap_or_default();
            sleep(
                Duration::try_from(period)
                    .unwrap_or_default()
                    .max(Duration::from_millis(10)),
            )
            .await;
        }
    }

    async fn messages(&self, mut stream: Streaming<pb::SessionMessage>) -> Forever {
        loop {
            let message = stream.message().await?.ok_or_else(|| over("session"))?;
            self.handle(message).await;
        }
    }

    async fn handle(&self, message: pb::SessionMessage) {
        self.agent.remotes().replace(&message.managers);
        let managers = message
            .managers
            .into_iter()
            .filter_map(|manager| manager.peer)
            .collect();
        let changed = self.agent.learn(managers, message.node.as_ref());
        if let Some(node) = &message.node {
            if changed {
                self.agent.worker.executor().configure(node).await;
            }
            let certificate = node
                .certificate
                .as_ref()
                .and_then(|certificate| certificate.status.as_ref());
            if certificate.is_some_and(|s| s.state() == pb::issuance_status::State::Rotate) {
                self.agent.renewal.rotate();
            }
        }
        if !message.root_ca.is_empty() && message.root_ca != self.agent.identity.live.get().root_pem
        {
            self.agent.renewal.root(message.root_ca);
        }
        let keys = message.network_bootstrap_keys;
        let times: BTreeSet<_> = keys
            .iter()
            .map(|key| (key.subsystem.clone(), key.lamport_time))
            .collect();
        let mut known = self.agent.key_times.lock().await;
        if !times.is_subset(&known) {
            self.agent
                .worker
                .executor()
                .set_network_bootstrap_keys(keys)
                .await;
            *known = times;
        }
    }

    async fn assignments(&self) -> Forever {
        let mut client = self.client.clone();
        loop {
            let request = Request::new(pb::AssignmentsRequest {
                session_id: self.id.clone(),
            });
            let mut stream = client.assignments(request).await?.into_inner();
            let mut last = String::new();
            loop {
                let message = stream.message().await?.ok_or_else(|| over("assignments"))?;
                let complete = message.r#type() == pb::assignments_message::Type::Complete;
                if !complete && message.applies_to != last {
                    warn!(
                        expected = last,
                        got = message.applies_to,
                        "an assignment is missing, asking for all"
                    );
                    break;
                }
                last = message.results_in;
                self.agent.worker.assign(complete, message.changes).await;
            }
        }
    }

    async fn report(&self) -> Forever {
        loop {
            let updates = self.agent.reporter().next().await;
            if let Err(status) = self.send(updates.clone()).await {
                self.agent.reporter().failed(&updates);
                return Err(status);
            }
        }
    }

    /// A manager refuses a whole batch for one task that is not this node's: then each for itself, less the refused.
    async fn send(
        &self,
        updates: Vec<pb::update_task_status_request::TaskStatusUpdate>,
    ) -> Result<(), Status> {
        let batches: Vec<_> = match self.update(updates.clone()).await {
            Err(status) if status.code() == Code::PermissionDenied && updates.len() > 1 => {
                updates.into_iter().map(|update| vec![update]).collect()
            }
            Err(status) if status.code() == Code::PermissionDenied => return self.refused(&status),
            done => return done,
        };
        for batch in batches {
            match self.update(batch).await {
                Err(status) if status.code() == Code::PermissionDenied => self.refused(&status)?,
                done => done?,
            }
        }
        Ok(())
    }

    /// "cannot update a task not assigned this node" is about the task; all other refusals are about this node.
    fn refused(&self, status: &Status) -> Result<(), Status> {
        if !status.message().contains("not assigned") {
            return Err(status.clone());
        }
        debug!(%status, "a task's state is not wanted");
        Ok(())
    }

    async fn update(
        &self,
        updates: Vec<pb::update_task_status_request::TaskStatusUpdate>,
    ) -> Result<(), Status> {
        let request = limited(pb::UpdateTaskStatusRequest {
            session_id: self.id.clone(),
            updates,
        });
        let sent = timeout(RPC_TIMEOUT, self.client.clone().update_task_status(request)).await;
        sent.map_err(|_| Status::deadline_exceeded("task states could not be reported in time"))??;
        Ok(())
    }

    async fn log_subscriptions(&self) -> Forever {
        let Some(channel) = self.agent.channel.borrow().clone() else {
            return std::future::pending().await;
        };
        match logs::listen(&self.agent.worker, &self.agent.identity.node_id, channel).await {
            Err(status) if status.code() == Code::Unimplemented => std::future::pending().await,
            ended => ended,
        }
    }

    async fn watch_description(&self) -> Forever {
        let mut credentials = self.agent.identity.live.watch();
        loop {
            tokio::select! {
                () = sleep(DESCRIBE) => {}
                _ = credentials.changed() => {}
            }
            if describe(self.agent).await != self.description {
                return Err(Status::ok("the node's description changed"));
            }
        }
    }
}

fn over(stream: &str) -> Status {
    Status::unavailable(format!("the manager closed the {stream} stream"))
}

/// Whether the executor has something to learn from `new`.
pub(super) fn node_changed(old: Option<&pb::Node>, new: &pb::Node) -> bool {
    let bare = |node: &pb::Node| pb::Node {
        meta: None,
        status: None,
        ..node.clone()
    };
    old.is_none_or(|old| bare(old) != bare(new))
}

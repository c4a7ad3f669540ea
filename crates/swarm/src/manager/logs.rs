//! `Logs` and `LogBroker`: a reader subscribes, the nodes that run the tasks publish, this passes the lines on.
//!
//! ```text
//! SubscribeLogs ─► subscription ─► ListenSubscriptions (to each node of it)
//!        ▲                                   │
//!        └──────── PublishLogs ◄─────────────┘
//! ```

mod broker;

use raft_store::State;
use swarm_wire::pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::broker::{Broker, Targets};
use super::follow::Follow;
use super::gate::{Gate, caller};

/// Messages between a publishing node and a slow reader.
const BUFFER: usize = 16;

#[derive(Clone)]
pub(super) struct Logs {
    gate: Gate,
    broker: Broker,
    stop: CancellationToken,
}

type Lines = mpsc::Receiver<Result<pb::SubscribeLogsMessage, Status>>;

impl Logs {
    pub fn new(gate: Gate, stop: CancellationToken) -> Self {
        Self {
            gate,
            broker: Broker::default(),
            stop,
        }
    }

    /// Log lines of the selected services, tasks and nodes. Ends when every node has sent what it has, or, when following,
    /// when the receiver is dropped. An error at the end names what could not be had.
    pub fn subscribe(
        &self,
        selector: pb::LogSelector,
        options: pb::LogSubscriptionOptions,
    ) -> Result<Lines, Status> {
        if selector == pb::LogSelector::default() {
            return Err(Status::invalid_argument("log selector must not be empty"));
        }
        let follow = Follow::new(&self.gate.store);
        let (sink, lines) = mpsc::channel(BUFFER);
        let targets = targets(&self.gate.store.view(), &selector, options.follow);
        let (id, over) = self
            .broker
            .open(selector.clone(), options.clone(), targets, sink.clone());
        let logs = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = logs.stop.cancelled() => {}
                () = sink.closed() => {}
                () = logs.follow_tasks(&id, follow, &selector), if options.follow => {}
            }
            logs.broker.close(&id);
        });
        Ok(lines)
    }

    /// Tasks come to new nodes while somebody watches.
    async fn follow_tasks(&self, id: &str, mut follow: Follow, selector: &pb::LogSelector) {
        while let Some(state) = follow.next().await {
            self.broker.extend(id, targets(&state, selector, true));
        }
    }
}

/// The nodes whose tasks are selected. Unless following, a service's tasks count only once they ran.
fn targets(state: &State, selector: &pb::LogSelector, follow: bool) -> Targets {
    let mut targets = Targets::default();
    targets.nodes.extend(selector.node_ids.iter().cloned());
    let ran = |task: &&std::sync::Arc<pb::Task>| {
        let state = task.status.as_ref().map_or(0, |status| status.state);
        follow || state >= pb::TaskState::Running as i32
    };
    let named = selector
        .task_ids
        .iter()
        .filter_map(|id| state.tasks.get(id));
    let of_services = selector
        .service_ids
        .iter()
        .flat_map(|id| state.service_tasks(id).filter(ran));
    for task in named.chain(of_services) {
        match task.node_id.is_empty() {
            true => targets.unscheduled.insert(task.id.clone()),
            false => targets.nodes.insert(task.node_id.clone()),
        };
    }
    targets
}

#[tonic::async_trait]
impl pb::logs_server::Logs for Logs {
    type SubscribeLogsStream = ReceiverStream<Result<pb::SubscribeLogsMessage, Status>>;

    async fn subscribe_logs(
        &self,
        request: Request<pb::SubscribeLogsRequest>,
    ) -> Result<Response<Self::SubscribeLogsStream>, Status> {
        let request = request.into_inner();
        let lines = self.subscribe(
            request.selector.unwrap_or_default(),
            request.options.unwrap_or_default(),
        )?;
        Ok(Response::new(ReceiverStream::new(lines)))
    }
}

#[tonic::async_trait]
impl pb::log_broker_server::LogBroker for Logs {
    type ListenSubscriptionsStream = ReceiverStream<Result<pb::SubscriptionMessage, Status>>;

    async fn listen_subscriptions(
        &self,
        request: Request<pb::ListenSubscriptionsRequest>,
    ) -> Result<Response<Self::ListenSubscriptionsStream>, Status> {
        let node_id = caller(&request)?.node_id;
        let (sink, stream) = mpsc::channel(BUFFER);
        let logs = self.clone();
        tokio::spawn(async move {
            let mut changed = logs.broker.connect(&node_id);
            let mut sent = Default::default();
            loop {
                changed.mark_unchanged();
                for message in logs.broker.news(&node_id, &mut sent) {
                    if sink.send(Ok(message)).await.is_err() {
                        break;
                    }
                }
                tokio::select! {
                    _ = changed.changed() => {}
                    () = logs.stop.cancelled() => break,
                    () = sink.closed() => break,
                }
            }
            logs.broker.disconnect(&node_id);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn publish_logs(
        &self,
        request: Request<Streaming<pb::PublishLogsMessage>>,
    ) -> Result<Response<pb::PublishLogsResponse>, Status> {
        let node_id = caller(&request)?.node_id;
        let mut stream = request.into_inner();
        let mut subscription = None;
        let ended = loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => break Ok(()),
                Err(status) => break Err(status),
            };
            if message.subscription_id.is_empty() {
                break Err(Status::invalid_argument("missing subscription ID"));
            }
            let id = subscription.get_or_insert_with(|| message.subscription_id.clone());
            if *id != message.subscription_id {
                break Err(Status::invalid_argument(
                    "different subscription IDs in the same session",
                ));
            }
            let Some(sink) = self.broker.sink(id) else {
                break Err(Status::not_found("unknown subscription ID"));
            };
            if message.close {
                break Ok(());
            }
            // A node speaks for itself only.
            let spoken_for = |message: &&pb::LogMessage| {
                message.context.as_ref().map(|c| &c.node_id) != Some(&node_id)
            };
            if let Some(foreign) = message.messages.iter().find(spoken_for) {
                let received = foreign
                    .context
                    .as_ref()
                    .map_or("", |context| &context.node_id);
                break Err(Status::permission_denied(format!(
                    "invalid NodeID: expected={node_id};received={received}"
                )));
            }
            let lines = pb::SubscribeLogsMessage {
                messages: message.messages,
            };
            if sink.send(Ok(lines)).await.is_err() {
                break Ok(());
            }
        };
        if let Some(id) = subscription {
            self.broker
                .done(&id, &node_id, ended.as_ref().err().map(Status::message));
        }
        ended.map(|()| Response::new(pb::PublishLogsResponse {}))
    }
}

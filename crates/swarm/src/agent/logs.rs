//! Log subscriptions of the managers: the lines of this node's tasks, published back.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use swarm_wire::pb;
use swarm_wire::pb::log_broker_client::LogBrokerClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::transport::Channel;
use tracing::debug;

use super::worker::Worker;

const BUFFER: usize = 16;
/// Lines in one message.
const BATCH: usize = 64;

/// Serves subscriptions for as long as the stream lasts.
pub(super) async fn listen(
    worker: &Arc<Worker>,
    node_id: &str,
    channel: Channel,
) -> Result<Infallible, Status> {
    let mut client = LogBrokerClient::new(channel);
    let mut stream = client
        .listen_subscriptions(pb::ListenSubscriptionsRequest {})
        .await?
        .into_inner();
    let mut open: BTreeMap<String, DropGuard> = BTreeMap::new();
    loop {
        let message = stream.message().await?;
        let message = message
            .ok_or_else(|| Status::unavailable("the manager closed the subscriptions stream"))?;
        if message.close {
            open.remove(&message.id);
            continue;
        }
        if open.contains_key(&message.id) {
            continue;
        }
        let over = CancellationToken::new();
        open.insert(message.id.clone(), over.clone().drop_guard());
        let served = publish(worker.clone(), node_id.to_owned(), client.clone(), message);
        tokio::spawn(over.run_until_cancelled_owned(served));
    }
}

async fn publish(
    worker: Arc<Worker>,
    node_id: String,
    mut client: LogBrokerClient<Channel>,
    subscription: pb::SubscriptionMessage,
) {
    let (sink, messages) = mpsc::channel(BUFFER);
    let collected = collect(&worker, &node_id, &subscription, sink);
    let published = client.publish_logs(ReceiverStream::new(messages));
    let (published, ()) = tokio::join!(published, collected);
    if let Err(status) = published {
        debug!(subscription.id = subscription.id, %status, "logs were not published");
    }
}

/// Starts a reader per selected task; while following, for new tasks too. The close message comes last.
async fn collect(
    worker: &Worker,
    node_id: &str,
    subscription: &pb::SubscriptionMessage,
    sink: mpsc::Sender<pb::PublishLogsMessage>,
) {
    let selector = subscription.selector.clone().unwrap_or_default();
    let options = subscription.options.clone().unwrap_or_default();
    let mut listing = worker.listing();
    let mut known = BTreeSet::new();
    let readers = TaskTracker::new();
    let over = CancellationToken::new();
    let _guard = over.clone().drop_guard();
    loop {
        let tasks = listing.borrow_and_update().clone();
        for task in tasks.into_values() {
            if !selects(&selector, &task) || !known.insert(task.id.clone()) {
                continue;
            }
            let Some(lines) = worker.executor().logs(&task.id, options.clone()).await else {
                continue;
            };
            let context = pb::LogContext {
                service_id: task.service_id.clone(),
                node_id: node_id.to_owned(),
                task_id: task.id.clone(),
            };
            let reader = forward(subscription.id.clone(), context, lines, sink.clone());
            readers.spawn(over.clone().run_until_cancelled_owned(reader));
        }
        if !options.follow || listing.changed().await.is_err() {
            break;
        }
    }
    readers.close();
    readers.wait().await;
    let close = pb::PublishLogsMessage {
        subscription_id: subscription.id.clone(),
        messages: Vec::new(),
        close: true,
    };
    // The manager may have lost interest first.
    let _ = sink.send(close).await;
}

fn selects(selector: &pb::LogSelector, task: &pb::Task) -> bool {
    selector.task_ids.contains(&task.id)
        || selector.service_ids.contains(&task.service_id)
        || selector.node_ids.contains(&task.node_id)
}

async fn forward(
    subscription_id: String,
    context: pb::LogContext,
    mut lines: mpsc::Receiver<pb::LogMessage>,
    sink: mpsc::Sender<pb::PublishLogsMessage>,
) {
    let mut messages = Vec::new();
    while lines.recv_many(&mut messages, BATCH).await > 0 {
        for message in &mut messages {
            message.context = Some(context.clone());
            // Docker's readers fail on a line without a time.
            message
                .timestamp
                .get_or_insert_with(|| SystemTime::now().into());
        }
        let published = pb::PublishLogsMessage {
            subscription_id: subscription_id.clone(),
            messages: std::mem::take(&mut messages),
            close: false,
        };
        if sink.send(published).await.is_err() {
            return;
        }
    }
}

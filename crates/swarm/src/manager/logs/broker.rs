//! The open subscriptions, and the nodes that listen for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarm_wire::pb;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use crate::id::new_id;

pub(super) type Sink = mpsc::Sender<Result<pb::SubscribeLogsMessage, Status>>;

/// Where the selected logs are.
#[derive(Default)]
pub(super) struct Targets {
    pub nodes: BTreeSet<String>,
    /// Tasks that are on no node yet.
    pub unscheduled: BTreeSet<String>,
}

#[derive(Clone, Default)]
pub(super) struct Broker(Arc<Shared>);

struct Shared {
    state: Mutex<Inner>,
    changed: watch::Sender<()>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

#[derive(Default)]
struct Inner {
    subscriptions: BTreeMap<String, Subscription>,
    /// Streams per node: a reconnecting node has two for a moment.
    listeners: BTreeMap<String, usize>,
}

struct Subscription {
    selector: pb::LogSelector,
    options: pb::LogSubscriptionOptions,
    /// Nodes that were asked.
    nodes: BTreeSet<String>,
    /// Those of them that have not sent everything.
    open: BTreeSet<String>,
    problems: Vec<String>,
    sink: Sink,
    _over: DropGuard,
}

impl Broker {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token is cancelled when the subscription is over.
    pub fn open(
        &self,
        selector: pb::LogSelector,
        options: pb::LogSubscriptionOptions,
        targets: Targets,
        sink: Sink,
    ) -> (String, CancellationToken) {
        let id = new_id();
        let over = CancellationToken::new();
        let mut inner = self.lock();
        let (present, absent): (BTreeSet<_>, BTreeSet<_>) = targets
            .nodes
            .iter()
            .cloned()
            .partition(|node| inner.listeners.contains_key(node));
        let mut problems: Vec<_> = absent
            .iter()
            .map(|node| format!("node {node} is not available"))
            .collect();
        let waiting = targets.unscheduled.iter();
        problems.extend(waiting.map(|task| format!("task {task} has not been scheduled")));
        let subscription = Subscription {
            selector,
            options,
            nodes: targets.nodes,
            open: present,
            problems,
            sink,
            _over: over.clone().drop_guard(),
        };
        inner.subscriptions.insert(id.clone(), subscription);
        inner.finish(&id);
        self.0.changed.send_replace(());
        (id, over)
    }

    /// Asks nodes that were not asked yet.
    pub fn extend(&self, id: &str, targets: Targets) {
        let mut inner = self.lock();
        let Some(subscription) = inner.subscriptions.get_mut(id) else {
            return;
        };
        let before = subscription.nodes.len();
        subscription.nodes.extend(targets.nodes);
        if subscription.nodes.len() > before {
            self.0.changed.send_replace(());
        }
    }

    pub fn close(&self, id: &str) {
        self.lock().subscriptions.remove(id);
        self.0.changed.send_replace(());
    }

    pub fn sink(&self, id: &str) -> Option<Sink> {
        self.lock()
            .subscriptions
            .get(id)
            .map(|subscription| subscription.sink.clone())
    }

    pub fn connect(&self, node_id: &str) -> watch::Receiver<()> {
        *self.lock().listeners.entry(node_id.to_owned()).or_default() += 1;
        self.0.changed.subscribe()
    }

    pub fn disconnect(&self, node_id: &str) {
        let mut inner = self.lock();
        let Some(streams) = inner.listeners.get_mut(node_id) else {
            return;
        };
        *streams -= 1;
        if *streams > 0 {
            return;
        }
        inner.listeners.remove(node_id);
        let ids: Vec<_> = inner.subscriptions.keys().cloned().collect();
        for id in ids {
            inner.done(&id, node_id, Some("disconnected unexpectedly"));
        }
    }

    /// What a node must learn, given what it was `sent`: new subscriptions, and the end of old ones.
    pub fn news(&self, node_id: &str, sent: &mut BTreeSet<String>) -> Vec<pb::SubscriptionMessage> {
        let inner = self.lock();
        let wanted = inner
            .subscriptions
            .iter()
            .filter(|(_, s)| s.nodes.contains(node_id));
        let wanted: BTreeMap<_, _> = wanted.collect();
        let over =
            sent.iter()
                .filter(|id| !wanted.contains_key(id))
                .map(|id| pb::SubscriptionMessage {
                    id: id.clone(),
                    close: true,
                    ..Default::default()
                });
        let new = wanted
            .iter()
            .filter(|(id, _)| !sent.contains(**id))
            .map(|(id, s)| pb::SubscriptionMessage {
                id: (*id).clone(),
                selector: Some(s.selector.clone()),
                options: Some(s.options.clone()),
                close: false,
            });
        let news = over.chain(new).collect();
        *sent = wanted.into_keys().cloned().collect();
        news
    }

    /// The node has sent everything, or failed to.
    pub fn done(&self, id: &str, node_id: &str, problem: Option<&str>) {
        self.lock().done(id, node_id, problem);
        self.0.changed.send_replace(());
    }
}

impl Inner {
    fn done(&mut self, id: &str, node_id: &str, problem: Option<&str>) {
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        if !subscription.open.remove(node_id) {
            return;
        }
        let problem = problem.map(|problem| format!("node {node_id} {problem}"));
        subscription.problems.extend(problem);
        self.finish(id);
    }

    /// A subscription that does not follow ends with its last node.
    fn finish(&mut self, id: &str) {
        let over = self
            .subscriptions
            .get(id)
            .is_some_and(|s| !s.options.follow && s.open.is_empty());
        if !over {
            return;
        }
        let Some(subscription) = self.subscriptions.remove(id) else {
            return;
        };
        if subscription.problems.is_empty() {
            return;
        }
        let warning = Status::unknown(format!(
            "warning: incomplete log stream. some logs could not be retrieved for the following reasons: {}",
            subscription.problems.join(", ")
        ));
        let sink = subscription.sink;
        // After the lines that are still in the channel; its reader may be slow.
        tokio::spawn(async move {
            let _ = sink.send(Err(warning)).await;
        });
    }
}

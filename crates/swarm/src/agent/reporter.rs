//! The states that this node's tasks have reached, and which of them the managers have not heard yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarm_wire::pb;
use swarm_wire::pb::update_task_status_request::TaskStatusUpdate;
use tokio::sync::Notify;

/// Reports in one call.
const BATCH: usize = 256;

#[derive(Clone, Default)]
pub(super) struct Reporter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    states: Mutex<States>,
    news: Notify,
}

#[derive(Default)]
struct States {
    current: BTreeMap<String, pb::TaskStatus>,
    unsent: BTreeSet<String>,
}

impl Reporter {
    fn lock(&self) -> MutexGuard<'_, States> {
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, task_id: &str, status: pb::TaskStatus) {
        let mut states = self.lock();
        states.current.insert(task_id.to_owned(), status);
        states.unsent.insert(task_id.to_owned());
        self.0.news.notify_one();
    }

    pub fn remove(&self, task_id: &str) {
        let mut states = self.lock();
        states.current.remove(task_id);
        states.unsent.remove(task_id);
    }

    /// A new session knows nothing: tell it everything.
    pub fn repeat(&self) {
        let mut states = self.lock();
        states.unsent = states.current.keys().cloned().collect();
        self.0.news.notify_one();
    }

    /// Waits until there is something to say. Of each task only its latest state is said.
    pub async fn next(&self) -> Vec<TaskStatusUpdate> {
        loop {
            let news = self.0.news.notified();
            let batch = self.take();
            if !batch.is_empty() {
                return batch;
            }
            news.await;
        }
    }

    fn take(&self) -> Vec<TaskStatusUpdate> {
        let mut states = self.lock();
        let ids: Vec<_> = states.unsent.iter().take(BATCH).cloned().collect();
        let mut batch = Vec::with_capacity(ids.len());
        for task_id in ids {
            states.unsent.remove(&task_id);
            let status = states.current.get(&task_id).cloned();
            batch.push(TaskStatusUpdate { task_id, status });
        }
        batch
    }

    /// They did not arrive; what is newer by now goes first.
    pub fn failed(&self, batch: &[TaskStatusUpdate]) {
        let mut states = self.lock();
        for report in batch {
            if states.current.contains_key(&report.task_id) {
                states.unsent.insert(report.task_id.clone());
            }
        }
        self.0.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: pb::TaskState) -> pb::TaskStatus {
        pb::TaskStatus {
            state: state.into(),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn only_the_latest_state_is_said_and_nothing_is_lost() {
        let reporter = Reporter::default();
        reporter.set("a", status(pb::TaskState::Accepted));
        reporter.set("a", status(pb::TaskState::Preparing));
        let batch = reporter.next().await;
        let expected = TaskStatusUpdate {
            task_id: "a".into(),
            status: Some(status(pb::TaskState::Preparing)),
        };
        assert_eq!(batch, [expected]);
        reporter.set("a", status(pb::TaskState::Running));
        reporter.failed(&batch);
        assert_eq!(
            reporter.next().await[0].status,
            Some(status(pb::TaskState::Running))
        );
        reporter.repeat();
        assert_eq!(reporter.next().await.len(), 1);
        reporter.remove("a");
        reporter.failed(&batch);
        assert!(reporter.take().is_empty());
    }
}

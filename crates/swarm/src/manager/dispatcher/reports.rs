//! Task states as the nodes report them, many reports in one transaction.

use std::sync::Arc;
use std::time::SystemTime;

use raft_store::{Store, Tx};
use swarm_wire::pb;
use swarm_wire::pb::update_task_status_request::TaskStatusUpdate;
use tokio::sync::mpsc;
use tracing::{debug, error};

/// Reports that wait for one transaction.
pub(super) const BATCH: usize = 1024;

/// Writes until the senders are gone. What arrives while one transaction commits is the next one.
pub(super) async fn run(
    store: Store,
    manager_id: String,
    mut reports: mpsc::Receiver<TaskStatusUpdate>,
) {
    let mut batch = Vec::new();
    while reports.recv_many(&mut batch, BATCH).await > 0 {
        let written = store
            .update(|tx: &mut Tx| {
                batch
                    .iter()
                    .try_for_each(|report| apply(tx, &manager_id, report))
            })
            .await;
        if let Err(error) = written {
            error!(%error, count = batch.len(), "task states could not be stored");
        }
        batch.clear();
    }
}

/// A state never goes back, and a task that is gone has none.
fn apply(
    tx: &mut Tx,
    manager_id: &str,
    report: &TaskStatusUpdate,
) -> Result<(), raft_store::Error> {
    let (Some(stored), Some(status)) = (tx.state().tasks.get(&report.task_id), &report.status)
    else {
        return Ok(());
    };
    let old = stored.status.clone().unwrap_or_default();
    if old.state > status.state {
        debug!(
            task.id = report.task_id,
            from = old.state,
            to = status.state,
            "state would go back"
        );
        return Ok(());
    }
    let applied = |status: &pb::TaskStatus| pb::TaskStatus {
        applied_by: old.applied_by.clone(),
        applied_at: old.applied_at,
        ..status.clone()
    };
    if old == applied(status) {
        return Ok(());
    }
    let mut task = pb::Task::clone(&Arc::clone(stored));
    task.status = Some(pb::TaskStatus {
        applied_by: manager_id.to_owned(),
        applied_at: Some(SystemTime::now().into()),
        ..status.clone()
    });
    tx.update(task)
}

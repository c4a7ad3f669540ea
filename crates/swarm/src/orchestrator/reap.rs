//! Removes tasks that nobody needs to see any more.

use std::sync::Arc;

use raft_store::{Error, Kind, State};
use swarm_wire::pb;

use super::slots;
use crate::ext::{ServiceExt, TaskExt};
use crate::turn::Turn;

/// Ended tasks that are kept for each slot, unless the cluster says otherwise.
const HISTORY: i64 = 5;

/// Of a service that has been removed nothing stays, once its nodes have stopped it. A node that is down keeps its
/// tasks (and their addresses) until it is back or removed: its containers may well be running.
pub fn service_gone(turn: &mut Turn, service: &str) -> Result<(), Error> {
    let state = turn.state().clone();
    for task in state.service_tasks(service) {
        turn.desire(&task.id, pb::TaskState::Remove)?;
        remove_if_gone(turn, &task.id)?;
    }
    Ok(())
}

/// A task without a service whose node has been removed.
pub fn orphan(turn: &mut Turn, id: &str) -> Result<(), Error> {
    let state = turn.state();
    let orphaned = |task: &Arc<pb::Task>| task.observed() >= pb::TaskState::Orphaned;
    match state.tasks.get(id).is_some_and(orphaned) {
        true => turn.tx.remove(Kind::Task, id),
        false => remove_if_gone(turn, id),
    }
}

fn remove_if_gone(turn: &mut Turn, id: &str) -> Result<(), Error> {
    let Some(task) = turn.state().tasks.get(id) else {
        return Ok(());
    };
    match task.desired_state() == pb::TaskState::Remove && task.gone() {
        true => turn.tx.remove(Kind::Task, id),
        false => Ok(()),
    }
}

/// Keeps the newest tasks of each slot, and what is still running.
pub fn history(turn: &mut Turn, service: &Arc<pb::Service>) -> Result<(), Error> {
    let state = turn.state().clone();
    let limit = limit(&state, service);
    for (_, mut tasks) in slots::all(&state, service) {
        tasks.sort_by_key(|task| slots::order(task));
        let mut surplus = match usize::try_from(limit) {
            Ok(limit) => tasks.len().saturating_sub(limit),
            Err(_) => 0,
        };
        for task in tasks {
            if task.desired_state() == pb::TaskState::Remove {
                remove_if_gone(turn, &task.id)?;
            } else if surplus > 0 && task.gone() && !task.wanted() {
                turn.tx.remove(Kind::Task, &task.id)?;
                surplus -= 1;
            }
        }
    }
    Ok(())
}

/// A restart policy with a number of attempts needs one more than that to count them. Negative: all are kept.
fn limit(state: &State, service: &pb::Service) -> i64 {
    let policy = service.task_spec().and_then(|spec| spec.restart.as_ref());
    if let Some(policy) = policy.filter(|policy| policy.max_attempts > 0) {
        return i64::try_from(policy.max_attempts.saturating_add(1)).unwrap_or(i64::MAX);
    }
    let cluster = state.clusters.values().next();
    let orchestration = cluster.and_then(|cluster| cluster.spec.as_ref()?.orchestration.as_ref());
    orchestration.map_or(HISTORY, |orchestration| {
        orchestration.task_history_retention_limit
    })
}

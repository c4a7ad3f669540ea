//! Replaces tasks that have ended, and holds the replacement back for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use raft_store::{Error, State};
use swarm_wire::pb;
use swarm_wire::pb::restart_policy::RestartCondition;

use super::slots::{Key, Tasks};
use super::{Orchestrator, slots, task};
use crate::ext::{NodeExt, TaskExt};
use crate::turn::{Turn, duration, time};

const DEFAULT_DELAY: Duration = Duration::from_secs(5);

/// How long a replacement waits for its predecessor to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Tasks that wait in READY, and the time before which they must not start.
#[derive(Default)]
pub struct Starts(BTreeMap<String, SystemTime>);

impl Starts {
    pub fn not_before(&mut self, task: &str, at: SystemTime) {
        self.0.insert(task.to_owned(), at);
    }

    pub fn forget(&mut self, task: &str) {
        self.0.remove(task);
    }

    fn holds(&self, task: &pb::Task, now: SystemTime) -> bool {
        task.desired_state() == pb::TaskState::Ready
            && self.0.get(&task.id).is_none_or(|at| *at > now)
    }

    /// Starts what may start. Returns when the next one may.
    pub fn run(
        &mut self,
        turn: &mut Turn,
        service: &Arc<pb::Service>,
    ) -> Result<Option<SystemTime>, Error> {
        let state = turn.state().clone();
        let mut alarm: Option<SystemTime> = None;
        for (_, tasks) in slots::all(&state, service) {
            for task in &tasks {
                if task.desired_state() != pb::TaskState::Ready {
                    self.0.remove(&task.id);
                    continue;
                }
                // One that an earlier leader has left behind.
                let begun = task
                    .changed_at()
                    .as_ref()
                    .and_then(time)
                    .unwrap_or(turn.now);
                let at = *self
                    .0
                    .entry(task.id.clone())
                    .or_insert_with(|| (begun + delay(task)).min(turn.now + delay(task)));
                let deadline = at + STOP_TIMEOUT;
                let next = if turn.now < at {
                    at
                } else if turn.now < deadline && stopping(&state, &tasks) {
                    deadline
                } else {
                    turn.desire(&task.id, pb::TaskState::Running)?;
                    continue;
                };
                alarm = Some(alarm.map_or(next, |alarm| alarm.min(next)));
            }
        }
        Ok(alarm)
    }
}

/// A predecessor in the slot is still being stopped on a node that can tell.
fn stopping(state: &State, tasks: &Tasks) -> bool {
    tasks.iter().any(|task| {
        let node = state.nodes.get(&task.node_id);
        let reachable = node.is_some_and(|node| node.reachable() != pb::node_status::State::Down);
        !task.wanted() && !task.gone() && reachable
    })
}

fn delay(task: &pb::Task) -> Duration {
    policy(task)
        .and_then(|policy| policy.delay.as_ref())
        .map_or(DEFAULT_DELAY, duration)
}

fn policy(task: &pb::Task) -> Option<&pb::RestartPolicy> {
    task.spec.as_ref()?.restart.as_ref()
}

/// Whether the policy wants a replacement for a task that ended. `slot` is all there is of its slot: the reaper keeps
/// as much of it as the policy needs.
pub fn should_restart(slot: &[Arc<pb::Task>], task: &pb::Task) -> bool {
    let policy = policy(task);
    match policy.map_or(RestartCondition::Any, pb::RestartPolicy::condition) {
        RestartCondition::None => return false,
        RestartCondition::OnFailure if task.observed() == pb::TaskState::Complete => return false,
        RestartCondition::OnFailure | RestartCondition::Any => {}
    }
    let Some(policy) = policy.filter(|policy| policy.max_attempts > 0) else {
        return true;
    };
    let created = |task: &pb::Task| task.meta.as_ref().and_then(|meta| meta.created_at);
    let mut same: Vec<_> = slot
        .iter()
        .filter(|t| t.spec_version == task.spec_version)
        .collect();
    same.sort_by_key(|task| created(task).map(|at| (at.seconds, at.nanos)));
    // The first one is no restart.
    let restarts = same.into_iter().skip(1);
    let window = policy.window.as_ref().map_or(Duration::ZERO, duration);
    let ended = task.changed_at().as_ref().and_then(time);
    let counted = match ended.filter(|_| !window.is_zero()) {
        None => restarts.count(),
        Some(ended) => restarts
            .filter_map(|task| time(&created(task)?))
            .filter(|at| *at + window > ended && *at <= ended)
            .count(),
    };
    (counted as u64) < policy.max_attempts
}

impl Orchestrator {
    /// Calls a task off and puts another one in its place, if the policy says so.
    pub(super) fn restart(
        &mut self,
        turn: &mut Turn,
        service: &Arc<pb::Service>,
        old: &Arc<pb::Task>,
    ) -> Result<(), Error> {
        let node = turn.state().nodes.get(&old.node_id);
        let evicted = !old.node_id.is_empty() && node.is_none_or(|node| node.invalid());
        if !evicted && self.starts.holds(old, turn.now) {
            // It failed before its own delay was over; a replacement now would make a tight loop of it.
            return Ok(());
        }
        let key: Key = slots::key(service, old);
        let slot = slots::all(turn.state(), service)
            .remove(&key)
            .unwrap_or_default();
        turn.desire(&old.id, pb::TaskState::Shutdown)?;
        if !should_restart(&slot, old) {
            return Ok(());
        }
        let id = task::create(turn, service, (key.0, &key.1), pb::TaskState::Ready)?;
        // A task that had to leave its node did not fail: nothing is gained by waiting.
        let wait = if evicted { Duration::ZERO } else { delay(old) };
        self.starts.not_before(&id, turn.now + wait);
        Ok(())
    }
}

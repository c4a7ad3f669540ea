//! Rolling updates: brings slots to the service's present spec, a few at a time, and watches the new tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use raft_store::{Error, State};
use swarm_wire::pb;
use swarm_wire::pb::update_config::{FailureAction, UpdateOrder};
use swarm_wire::pb::update_status::UpdateState;

use super::progress::{Busy, Progress};
use super::slots::{Key, Tasks};
use super::{Orchestrator, task};
use crate::ext::TaskExt;
use crate::turn::{Turn, duration};

const DEFAULT_MONITOR: Duration = Duration::from_secs(5);

/// Updates under way, by service. A new leader starts over with what is left to do, as SwarmKit's does.
#[derive(Default)]
pub struct Updates(BTreeMap<String, Progress>);

impl Updates {
    pub fn forget(&mut self, service: &str) {
        self.0.remove(service);
    }
}

impl Orchestrator {
    pub(super) fn update(
        &mut self,
        turn: &mut Turn,
        service: &Arc<pb::Service>,
        slots: &BTreeMap<Key, Tasks>,
    ) -> Result<(), Error> {
        let state = turn.state().clone();
        let status = service.update_status.as_ref().map(pb::UpdateStatus::state);
        if matches!(
            status,
            Some(UpdateState::Paused | UpdateState::RollbackPaused)
        ) {
            self.updates.forget(&service.id);
            return Ok(());
        }
        let dirty: BTreeSet<&Key> = slots
            .iter()
            .filter(|(_, tasks)| is_dirty(&state, service, tasks))
            .map(|(key, _)| key)
            .collect();
        let known = self.updates.0.get(&service.id);
        let goes_on = known.is_some_and(|progress| {
            progress.version == service.spec_version
                && !(progress.finished && dirty.iter().any(|key| !progress.done.contains(*key)))
        });
        if !goes_on {
            self.updates.forget(&service.id);
            if dirty.is_empty() {
                return complete(turn, service);
            }
            begin(turn, service)?;
            let progress = Progress::new(service, dirty.len());
            self.updates.0.insert(service.id.clone(), progress);
        }
        let rolling_back = status == Some(UpdateState::RollbackStarted);
        let spec = service.spec.as_ref();
        let config = spec.and_then(|spec| match rolling_back {
            true => spec.rollback,
            false => spec.update,
        });
        let config = config.unwrap_or(pb::UpdateConfig {
            parallelism: 1,
            ..Default::default()
        });
        self.advance(turn, service, slots, &dirty, &config)
    }

    fn advance(
        &mut self,
        turn: &mut Turn,
        service: &Arc<pb::Service>,
        slots: &BTreeMap<Key, Tasks>,
        dirty: &BTreeSet<&Key>,
        config: &pb::UpdateConfig,
    ) -> Result<(), Error> {
        let Some(progress) = self.updates.0.get_mut(&service.id) else {
            return Ok(());
        };
        let state = turn.state().clone();
        let delay = config.delay.as_ref().map_or(Duration::ZERO, duration);
        let monitor = config.monitor.as_ref().map_or(DEFAULT_MONITOR, duration);
        replace_started(turn, service, slots)?;
        let failure = progress.observe(&state, turn.now, monitor);
        if let Some(task) = failure
            && progress.too_many_failures(config)
            && config.failure_action() != FailureAction::Continue
        {
            self.updates.forget(&service.id);
            return fail(turn, service, config.failure_action(), &task);
        }
        if progress.finished {
            return Ok(());
        }
        progress.release(&state, turn.now, delay, slots);
        let parallelism = match usize::try_from(config.parallelism) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(parallelism) => parallelism,
        };
        for key in dirty {
            if progress.busy.len() >= parallelism {
                break;
            }
            let (Some(tasks), false) = (slots.get(*key), progress.taken(key)) else {
                continue;
            };
            progress.done.insert((*key).clone());
            let starting = start(turn, service, key, tasks, config.order())?;
            if let Some((task, made)) = starting {
                if made {
                    progress.made.insert(task.clone(), None);
                    self.starts.not_before(&task, turn.now);
                }
                progress.busy.insert((*key).clone(), Busy::Starting(task));
            } else if !delay.is_zero() {
                progress
                    .busy
                    .insert((*key).clone(), Busy::Resting(turn.now + delay));
            }
        }
        let mut alarm = progress.resting_until();
        if progress.busy.is_empty() {
            // The delay must not outlast the watch.
            let watch = if delay >= monitor {
                delay + Duration::from_secs(1)
            } else {
                monitor
            };
            let until = *progress.watched_until.get_or_insert(turn.now + watch);
            if until <= turn.now {
                progress.finished = true;
                complete(turn, service)?;
            } else {
                alarm = Some(until);
            }
        }
        self.wake(&service.id, alarm);
        Ok(())
    }
}

fn is_dirty(state: &State, service: &pb::Service, tasks: &Tasks) -> bool {
    tasks.len() > 1 || tasks.iter().any(|t| task::is_dirty(state, service, t))
}

/// Where a task of the present spec runs, the others of its slot go.
fn replace_started(
    turn: &mut Turn,
    service: &pb::Service,
    slots: &BTreeMap<Key, Tasks>,
) -> Result<(), Error> {
    for tasks in slots.values().filter(|tasks| tasks.len() > 1) {
        let state = turn.state();
        let runs = |t: &&Arc<pb::Task>| {
            t.observed() == pb::TaskState::Running && !task::is_dirty(state, service, t)
        };
        let Some(keep) = tasks.iter().find(runs).map(|task| task.id.clone()) else {
            continue;
        };
        for other in tasks.iter().filter(|task| task.id != keep) {
            turn.desire(&other.id, pb::TaskState::Shutdown)?;
        }
    }
    Ok(())
}

/// Starts on a slot. Returns the task that has to come up, and whether it was made for this.
fn start(
    turn: &mut Turn,
    service: &pb::Service,
    key: &Key,
    tasks: &Tasks,
    order: UpdateOrder,
) -> Result<Option<(String, bool)>, Error> {
    let state = turn.state();
    let clean = tasks
        .iter()
        .filter(|t| t.wanted() && !task::is_dirty(state, service, t));
    let existing = clean.max_by_key(|task| task.desired_state()).cloned();
    let stop_first = order == UpdateOrder::StopFirst;
    let (id, made) = match &existing {
        Some(task) => (task.id.clone(), false),
        None => {
            let slot = (key.0, key.1.as_str());
            (
                task::create(turn, service, slot, pb::TaskState::Ready)?,
                true,
            )
        }
    };
    if stop_first {
        for other in tasks.iter().filter(|task| task.id != id) {
            turn.desire(&other.id, pb::TaskState::Shutdown)?;
        }
    }
    let up = existing.is_some_and(|task| task.observed() >= pb::TaskState::Running);
    Ok((!up).then_some((id, made)))
}

fn begin(turn: &mut Turn, service: &pb::Service) -> Result<(), Error> {
    let started_at = Some(turn.now.into());
    change(turn, service, |service| {
        service.update_status.get_or_insert(pb::UpdateStatus {
            state: UpdateState::Updating.into(),
            message: "update in progress".into(),
            started_at,
            completed_at: None,
        });
    })
}

fn complete(turn: &mut Turn, service: &pb::Service) -> Result<(), Error> {
    let now = turn.now.into();
    change(turn, service, |service| {
        let Some(status) = &mut service.update_status else {
            return;
        };
        let (state, message) = match status.state() {
            UpdateState::Updating => (UpdateState::Completed, "update completed"),
            UpdateState::RollbackStarted => (UpdateState::RollbackCompleted, "rollback completed"),
            _ => return,
        };
        status.set_state(state);
        status.message = message.into();
        status.completed_at = Some(now);
    })
}

fn fail(
    turn: &mut Turn,
    service: &pb::Service,
    action: FailureAction,
    task: &str,
) -> Result<(), Error> {
    let because = format!("due to failure or early termination of task {task}");
    change(turn, service, |service| {
        let previous = service.previous_spec.take();
        let status = service.update_status.get_or_insert_default();
        match (status.state(), action, previous) {
            // Never roll back a rollback.
            (UpdateState::RollbackStarted, _, previous) => {
                status.set_state(UpdateState::RollbackPaused);
                status.message = format!("rollback paused {because}");
                service.previous_spec = previous;
            }
            (_, FailureAction::Rollback, Some(previous)) => {
                status.set_state(UpdateState::RollbackStarted);
                status.message = format!("update rolled back {because}");
                service.spec = Some(previous);
                service.spec_version = service.previous_spec_version.take();
            }
            (_, _, previous) => {
                status.set_state(UpdateState::Paused);
                status.message = format!("update paused {because}");
                service.previous_spec = previous;
            }
        }
    })
}

/// Changes the service as it is by now in this turn.
fn change(
    turn: &mut Turn,
    service: &pb::Service,
    f: impl FnOnce(&mut pb::Service),
) -> Result<(), Error> {
    let Some(current) = turn.state().services.get(&service.id) else {
        return Ok(());
    };
    let mut new = current.as_ref().clone();
    f(&mut new);
    if new == **current {
        return Ok(());
    }
    turn.update(new)
}

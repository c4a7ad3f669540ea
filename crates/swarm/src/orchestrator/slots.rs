//! The places that a service's tasks fill: a number for a replica, a node for a global task.

use std::collections::BTreeMap;
use std::sync::Arc;

use raft_store::State;
use swarm_wire::pb;

use super::{is_global, restart};
use crate::ext::TaskExt;

/// Number and node; one of them is always empty.
pub type Key = (u64, String);

pub type Tasks = Vec<Arc<pb::Task>>;

/// A service's slots.
#[derive(Default)]
pub struct Slots {
    /// Tasks that shall run, or the last one where none shall run any more: such a slot counts as filled.
    pub live: BTreeMap<Key, Tasks>,
    /// Nothing but history.
    pub dead: BTreeMap<Key, Tasks>,
}

pub fn key(service: &Arc<pb::Service>, task: &pb::Task) -> Key {
    match is_global(service) {
        true => (0, task.node_id.clone()),
        false => (task.slot, String::new()),
    }
}

/// All tasks of a service by slot.
pub fn all(state: &State, service: &Arc<pb::Service>) -> BTreeMap<Key, Tasks> {
    let mut slots: BTreeMap<Key, Tasks> = BTreeMap::new();
    for task in state.service_tasks(&service.id) {
        slots
            .entry(key(service, task))
            .or_default()
            .push(task.clone());
    }
    slots
}

pub fn sort(state: &State, service: &Arc<pb::Service>) -> Slots {
    let rolling_back = service
        .update_status
        .as_ref()
        .is_some_and(|status| status.state() == pb::update_status::UpdateState::RollbackStarted);
    let mut slots = Slots::default();
    for (key, tasks) in all(state, service) {
        let wanted: Tasks = tasks.iter().filter(|task| task.wanted()).cloned().collect();
        if !wanted.is_empty() {
            slots.live.insert(key, wanted);
            continue;
        }
        // What has ended for good is still brought up to date, but not while rolling back: that has to converge.
        let last = tasks.iter().max_by_key(|task| order(task)).cloned();
        let over = last.filter(|last| {
            !rolling_back
                && last.desired_state() != pb::TaskState::Remove
                && !restart::should_restart(&tasks, last)
        });
        match over {
            Some(last) => slots.live.insert(key, vec![last]),
            None => slots.dead.insert(key, tasks),
        };
    }
    slots
}

/// By the time of the last change of state.
pub fn order(task: &pb::Task) -> (i64, i32) {
    task.changed_at()
        .map_or((0, 0), |at| (at.seconds, at.nanos))
}

//! How far an update has come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use raft_store::State;
use swarm_wire::pb;

use super::slots::{Key, Tasks};
use crate::ext::TaskExt;

pub struct Progress {
    /// The version of the spec that it leads to.
    pub version: Option<pb::Version>,
    /// Slots that were out of date at the start.
    pub total: usize,
    /// Tasks that it made, and since when they run.
    pub made: BTreeMap<String, Option<SystemTime>>,
    pub failed: BTreeSet<String>,
    pub busy: BTreeMap<Key, Busy>,
    pub done: BTreeSet<Key>,
    /// Everything is done; failures still count until then.
    pub watched_until: Option<SystemTime>,
    pub finished: bool,
}

pub enum Busy {
    /// This task has to come up.
    Starting(String),
    /// The delay between two slots.
    Resting(SystemTime),
}

impl Progress {
    pub fn new(service: &pb::Service, total: usize) -> Self {
        Self {
            version: service.spec_version,
            total,
            made: BTreeMap::new(),
            failed: BTreeSet::new(),
            busy: BTreeMap::new(),
            done: BTreeSet::new(),
            watched_until: None,
            finished: false,
        }
    }

    pub fn taken(&self, key: &Key) -> bool {
        self.done.contains(key) || self.busy.contains_key(key)
    }

    /// Notes which of its tasks run, and returns one that newly failed.
    pub fn observe(&mut self, state: &State, now: SystemTime, monitor: Duration) -> Option<String> {
        let failures = [
            pb::TaskState::Complete,
            pb::TaskState::Failed,
            pb::TaskState::Rejected,
        ];
        let mut newest = None;
        for (id, since) in &mut self.made {
            let Some(task) = state.tasks.get(id) else {
                continue;
            };
            let in_time = since.is_none_or(|since| now <= since + monitor);
            if failures.contains(&task.observed()) && in_time && self.failed.insert(id.clone()) {
                newest = Some(id.clone());
            }
            if task.observed() >= pb::TaskState::Running && since.is_none() {
                *since = Some(now);
            }
        }
        newest
    }

    pub fn too_many_failures(&self, config: &pb::UpdateConfig) -> bool {
        self.failed.len() as f32 / self.total as f32 > config.max_failure_ratio
    }

    /// Frees the places of slots that are done.
    pub fn release(
        &mut self,
        state: &State,
        now: SystemTime,
        delay: Duration,
        slots: &BTreeMap<Key, Tasks>,
    ) {
        for (key, mut busy) in std::mem::take(&mut self.busy) {
            if !slots.contains_key(&key) {
                continue;
            }
            if let Busy::Starting(id) = &busy {
                let task = state.tasks.get(id);
                if task.is_none_or(|task| task.observed() >= pb::TaskState::Running) {
                    busy = Busy::Resting(now + delay);
                }
            }
            match busy {
                Busy::Resting(until) if until <= now => {}
                busy => {
                    self.busy.insert(key, busy);
                }
            }
        }
    }

    pub fn resting_until(&self) -> Option<SystemTime> {
        let resting = self.busy.values().filter_map(|busy| match busy {
            Busy::Resting(until) => Some(*until),
            Busy::Starting(_) => None,
        });
        resting.min()
    }
}

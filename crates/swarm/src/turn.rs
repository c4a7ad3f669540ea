//! One run of the manager's loops over a transaction: the time and the identifiers come in from outside.

use std::time::{Duration, SystemTime};

use raft_store::{Error, Object, State, Tx};
use swarm_wire::pb;
use swarm_wire::prost_types;

/// What a loop has while it runs.
pub struct Turn<'a> {
    pub tx: &'a mut Tx,
    pub now: SystemTime,
    pub new_id: &'a mut dyn FnMut() -> String,
}

impl Turn<'_> {
    /// The state with everything that this turn has written so far.
    pub fn state(&self) -> &State {
        self.tx.state()
    }

    pub fn update(&mut self, object: impl Into<Object>) -> Result<(), Error> {
        self.tx.update(object)
    }

    /// Changes a task that is there; one that has gone is left alone.
    pub fn change_task(&mut self, id: &str, f: impl FnOnce(&mut pb::Task)) -> Result<(), Error> {
        let Some(task) = self.state().tasks.get(id) else {
            return Ok(());
        };
        let mut new = task.as_ref().clone();
        f(&mut new);
        if new == **task {
            return Ok(());
        }
        self.tx.update(new)
    }

    /// Asks for a later desired state. Going back is not possible.
    pub fn desire(&mut self, id: &str, desired: pb::TaskState) -> Result<(), Error> {
        self.change_task(id, |task| {
            if task.desired_state() < desired {
                task.set_desired_state(desired);
            }
        })
    }

    pub fn status(&self, state: pb::TaskState, message: &str) -> pb::TaskStatus {
        pb::TaskStatus {
            state: state.into(),
            message: message.to_owned(),
            timestamp: Some(self.now.into()),
            ..Default::default()
        }
    }

    /// Says why a task does not get on, once.
    pub fn explain(&mut self, id: &str, reason: &str) -> Result<(), Error> {
        let now = self.now;
        self.change_task(id, |task| {
            let status = task.status.get_or_insert_default();
            if status.err != reason {
                status.err = reason.to_owned();
                status.timestamp = Some(now.into());
            }
        })
    }
}

/// A negative or absurd duration of the wire is none.
pub fn duration(wire: &prost_types::Duration) -> Duration {
    Duration::try_from(*wire).unwrap_or_default()
}

pub fn time(wire: &prost_types::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(*wire).ok()
}

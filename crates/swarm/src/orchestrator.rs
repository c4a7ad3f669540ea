//! Makes tasks for services and calls them off: replicas, one per node, restarts, rolling updates, history.
//!
//! ```text
//!   Service ─► slots ──┬─ too few, too many      (replicated, global)
//!                      ├─ ended, node gone       (restart: old SHUTDOWN, new READY, after a delay RUNNING)
//!                      ├─ other spec             (update, in groups, watched for failures)
//!                      └─ old history            (reap)
//! ```
//!
//! One service is looked at as a whole, whenever it, one of its tasks or one of their nodes has changed or a time that
//! it waits for has come. Everything but delays and the progress of updates is read off the stored objects.

mod enforce;
mod global;
mod progress;
mod reap;
mod replicated;
mod restart;
mod slots;
mod task;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use raft_store::{Change, Error, Object};
use swarm_wire::pb;
use swarm_wire::pb::service_spec::Mode;

use crate::turn::Turn;
use restart::Starts;
use update::Updates;

#[derive(Default)]
pub struct Orchestrator {
    services: BTreeSet<String>,
    nodes: BTreeSet<String>,
    /// Tasks without a service that nobody will ever run.
    orphans: BTreeSet<String>,
    starts: Starts,
    updates: Updates,
    /// When a service has to be looked at although nothing changes.
    alarms: BTreeMap<String, SystemTime>,
}

impl Orchestrator {
    pub fn absorb(&mut self, change: &Change) {
        if let Change::Removed(Object::Task(task)) = change {
            self.starts.forget(&task.id);
        }
        match change.object() {
            Object::Service(service) => {
                self.services.insert(service.id.clone());
            }
            Object::Task(task) if task.service_id.is_empty() => {
                self.orphans.insert(task.id.clone());
            }
            Object::Task(task) => {
                self.services.insert(task.service_id.clone());
            }
            Object::Node(node) => {
                self.nodes.insert(node.id.clone());
            }
            _ => {}
        }
    }

    /// When it has to run again although nothing changes.
    pub fn alarm(&self) -> Option<SystemTime> {
        self.alarms.values().min().copied()
    }

    pub fn run(&mut self, turn: &mut Turn) -> Result<(), Error> {
        for id in std::mem::take(&mut self.orphans) {
            reap::orphan(turn, &id)?;
        }
        for id in std::mem::take(&mut self.nodes) {
            enforce::constraints(turn, &id)?;
            self.wake_services_on(turn, &id);
        }
        let due = self.alarms.iter().filter(|(_, at)| **at <= turn.now);
        self.services
            .extend(due.map(|(service, _)| service.clone()));
        for id in std::mem::take(&mut self.services) {
            self.alarms.remove(&id);
            self.reconcile(turn, &id)?;
        }
        Ok(())
    }

    /// Those that have tasks on a node, and the global ones, which may have to.
    fn wake_services_on(&mut self, turn: &Turn, node: &str) {
        let state = turn.state();
        let here = state.node_tasks(node).map(|task| &task.service_id);
        self.services
            .extend(here.filter(|id| !id.is_empty()).cloned());
        let global = state.services.values().filter(|service| is_global(service));
        self.services
            .extend(global.map(|service| service.id.clone()));
    }

    fn reconcile(&mut self, turn: &mut Turn, id: &str) -> Result<(), Error> {
        let Some(service) = turn.state().services.get(id).cloned() else {
            self.updates.forget(id);
            return reap::service_gone(turn, id);
        };
        match service.spec.as_ref().and_then(|spec| spec.mode.as_ref()) {
            Some(Mode::Replicated(_)) => self.replicated(turn, &service)?,
            Some(Mode::Global(_)) => self.global(turn, &service)?,
            // Refused when a service is made.
            Some(Mode::ReplicatedJob(_) | Mode::GlobalJob(_)) | None => return Ok(()),
        }
        let alarm = self.starts.run(turn, &service)?;
        self.wake(id, alarm);
        reap::history(turn, &service)
    }

    fn wake(&mut self, service: &str, at: Option<SystemTime>) {
        if let Some(at) = at {
            let alarm = self.alarms.entry(service.to_owned()).or_insert(at);
            *alarm = at.min(*alarm);
        }
    }
}

fn is_global(service: &Arc<pb::Service>) -> bool {
    let mode = service.spec.as_ref().and_then(|spec| spec.mode.as_ref());
    matches!(mode, Some(Mode::Global(_)))
}

//! Chooses a node for every task that has its addresses: PENDING → ASSIGNED.
//!
//! Nodes that pass all [`filter`]s are spread over: first by the service's placement preferences, then by its own
//! tasks on each node, then by all tasks there. A task that fits nowhere says why in its status and is tried again
//! when a node changes or something ends.

mod filter;
mod generic;
mod load;
mod spread;

use std::collections::{BTreeMap, BTreeSet};

use raft_store::{Change, Error, Object, State};
use swarm_wire::pb;

use crate::ext::TaskExt;
use crate::turn::Turn;
use load::{Failures, Loads};
use spread::Spread;

#[derive(Default)]
pub struct Scheduler {
    loads: Loads,
    failures: Failures,
    todo: BTreeSet<String>,
    /// Tasks that fit nowhere at present.
    stuck: BTreeSet<String>,
    /// Something changed that may give a stuck task room.
    room: bool,
}

impl Scheduler {
    pub fn absorb(&mut self, change: &Change, now: std::time::SystemTime) {
        match change {
            Change::Created(Object::Task(task)) => self.add(task),
            Change::Removed(Object::Task(task)) => self.drop(task),
            Change::Updated {
                old: Object::Task(old),
                new: Object::Task(new),
            } => {
                self.drop(old);
                self.add(new);
                let failed = [pb::TaskState::Failed, pb::TaskState::Rejected];
                if failed.contains(&new.observed()) && !old.ended() {
                    self.failures.note(new, now);
                }
            }
            Change::Created(Object::Node(_))
            | Change::Updated {
                new: Object::Node(_),
                ..
            } => {
                self.room = true;
            }
            Change::Removed(Object::Node(node)) => self.failures.forget(&node.id),
            _ => {}
        }
    }

    fn add(&mut self, task: &pb::Task) {
        self.loads.add(task);
        if waits(task) {
            self.todo.insert(task.id.clone());
        }
    }

    fn drop(&mut self, task: &pb::Task) {
        self.room |= self.loads.remove(task);
        self.todo.remove(&task.id);
        self.stuck.remove(&task.id);
    }

    pub fn run(&mut self, turn: &mut Turn) -> Result<(), Error> {
        if std::mem::take(&mut self.room) {
            self.todo.append(&mut self.stuck);
        }
        if self.todo.is_empty() {
            return Ok(());
        }
        let state = turn.state().clone();
        // What this run assigns counts at once; what lasts comes back through `absorb`.
        let mut loads = self.loads.clone();
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for id in std::mem::take(&mut self.todo) {
            let Some(task) = state.tasks.get(&id).filter(|task| waits(task)) else {
                continue;
            };
            if task.node_id.is_empty() {
                let version = task.spec_version.map(|version| version.index);
                groups
                    .entry((task.service_id.clone(), version))
                    .or_default()
                    .push(task);
            } else {
                self.confirm(turn, &state, &mut loads, task)?;
            }
        }
        for mut tasks in groups.into_values() {
            tasks.sort_by_key(|task| (task.slot, &task.id));
            self.place(turn, &state, &mut loads, &tasks)?;
        }
        Ok(())
    }

    /// The node is given: a global service's, or an attachment's.
    fn confirm(
        &mut self,
        turn: &mut Turn,
        state: &State,
        loads: &mut Loads,
        task: &pb::Task,
    ) -> Result<(), Error> {
        let Some(node) = state.nodes.get(&task.node_id) else {
            return Ok(());
        };
        let filters = filter::Filters::for_task(task);
        match filters.refusal(node, loads.of(&node.id)) {
            None => {
                let message = "scheduler confirmed task can run on preassigned node";
                assign(turn, loads, task, node, message)
            }
            Some(refusal) => {
                self.stuck.insert(task.id.clone());
                turn.explain(&task.id, &filter::explain(&[refusal]))
            }
        }
    }

    /// Spreads tasks of one service and spec.
    fn place(
        &mut self,
        turn: &mut Turn,
        state: &State,
        loads: &mut Loads,
        tasks: &[&std::sync::Arc<pb::Task>],
    ) -> Result<(), Error> {
        let Some(pattern) = tasks.first() else {
            return Ok(());
        };
        let filters = filter::Filters::for_task(pattern);
        let fits =
            |node: &pb::Node, loads: &Loads| filters.refusal(node, loads.of(&node.id)).is_none();
        let mut spread = Spread::new(pattern);
        for node in state.nodes.values() {
            let rank = fits(node, loads).then(|| self.rank(turn, loads, pattern, node));
            spread.add(node, rank, loads);
        }
        for (n, task) in tasks.iter().enumerate() {
            let Some(id) = spread.take() else {
                let refusals: Vec<_> = state
                    .nodes
                    .values()
                    .filter_map(|node| filters.refusal(node, loads.of(&node.id)))
                    .collect();
                let reason = filter::no_suitable_node(&refusals);
                for task in &tasks[n..] {
                    turn.explain(&task.id, &reason)?;
                    self.stuck.insert(task.id.clone());
                }
                return Ok(());
            };
            let Some(node) = state.nodes.get(&id) else {
                continue;
            };
            assign(turn, loads, task, node, "scheduler assigned task to node")?;
            if fits(node, loads) {
                spread.put_back(node, self.rank(turn, loads, pattern, node));
            }
        }
        Ok(())
    }

    fn rank(&self, turn: &Turn, loads: &Loads, task: &pb::Task, node: &pb::Node) -> spread::Rank {
        let load = loads.of(&node.id);
        spread::Rank {
            failures: self.failures.weight(task, &node.id, turn.now),
            of_service: load.of_service(&task.service_id),
            all: load.active(),
        }
    }
}

fn waits(task: &pb::Task) -> bool {
    task.observed() == pb::TaskState::Pending && task.wanted()
}

fn assign(
    turn: &mut Turn,
    loads: &mut Loads,
    task: &pb::Task,
    node: &pb::Node,
    message: &str,
) -> Result<(), Error> {
    let mut new = task.clone();
    new.node_id = node.id.clone();
    new.assigned_generic_resources = generic::choose(
        &generic::available(node, loads.of(&node.id).generic()),
        &generic::reserved(task),
    );
    new.status = Some(turn.status(pb::TaskState::Assigned, message));
    loads.add(&new);
    turn.update(new)
}

//! Services with a number of replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

use raft_store::Error;
use swarm_wire::pb;
use swarm_wire::pb::service_spec::Mode;

use super::slots::{Key, Tasks};
use super::{Orchestrator, slots, task};
use crate::ext::{NodeExt, TaskExt};
use crate::turn::Turn;

impl Orchestrator {
    pub(super) fn replicated(
        &mut self,
        turn: &mut Turn,
        service: &Arc<pb::Service>,
    ) -> Result<(), Error> {
        let state = turn.state().clone();
        for task in state
            .service_tasks(&service.id)
            .filter(|task| task.wanted())
        {
            let node = state.nodes.get(&task.node_id);
            let evicted = !task.node_id.is_empty() && node.is_none_or(|node| node.invalid());
            if task.ended() || evicted {
                self.restart(turn, service, task)?;
            }
        }

        let replicas = match service.spec.as_ref().and_then(|spec| spec.mode.as_ref()) {
            Some(Mode::Replicated(mode)) => usize::try_from(mode.replicas).unwrap_or(usize::MAX),
            _ => return Ok(()),
        };
        let mut slots = slots::sort(turn.state(), service);
        for key in superfluous(&slots.live, replicas) {
            for task in slots.live.remove(&key).into_iter().flatten() {
                turn.desire(&task.id, pb::TaskState::Remove)?;
            }
        }
        let free = (1..).filter(|slot| !slots.live.contains_key(&(*slot, String::new())));
        for slot in free.take(replicas.saturating_sub(slots.live.len())) {
            slots.dead.remove(&(slot, String::new()));
            task::create(turn, service, (slot, ""), pb::TaskState::Running)?;
        }
        for task in slots.dead.into_values().flatten() {
            turn.desire(&task.id, pb::TaskState::Remove)?;
        }
        self.update(turn, service, &slots.live)
    }
}

/// Which slots go when there are more than wanted: those on the nodes with the most of them, and of these what does
/// not run, and of these the highest numbers.
fn superfluous(slots: &BTreeMap<Key, Tasks>, replicas: usize) -> Vec<Key> {
    let runs = |tasks: &Tasks| tasks.iter().any(|t| t.observed() == pb::TaskState::Running);
    let mut ordered: Vec<_> = slots.iter().collect();
    ordered.sort_by_key(|(key, tasks)| (!runs(tasks), *key));
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    let mut counted: Vec<_> = ordered
        .into_iter()
        .map(|(key, tasks)| match tasks.as_slice() {
            [task] if !task.node_id.is_empty() => {
                let count = on_node.entry(&task.node_id).or_default();
                *count += 1;
                (*count, key)
            }
            _ => (usize::MAX, key),
        })
        .collect();
    counted.sort_by_key(|(count, _)| *count);
    counted
        .into_iter()
        .skip(replicas)
        .map(|(_, key)| key.clone())
        .collect()
}

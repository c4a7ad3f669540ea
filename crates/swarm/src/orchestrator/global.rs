//! Services with a task on every node.

use std::sync::Arc;

use raft_store::Error;
use swarm_wire::pb;

use super::{Orchestrator, slots, task};
use crate::constraint;
use crate::ext::{NodeExt, ServiceExt, TaskExt};
use crate::turn::Turn;

impl Orchestrator {
    pub(super) fn global(
        &mut self,
        turn: &mut Turn,
        service: &Arc<pb::Service>,
    ) -> Result<(), Error> {
        let placement = service.task_spec().and_then(|spec| spec.placement.as_ref());
        let constraints = placement.map_or(&[][..], |placement| &placement.constraints);
        let constraints = constraint::parse(constraints).unwrap_or_default();
        let fits = |node: &pb::Node| {
            !node.invalid()
                && constraints
                    .iter()
                    .all(|constraint| constraint.matches(node))
        };
        let paused = |node: &pb::Node| node.available() == pb::node_spec::Availability::Pause;

        let state = turn.state().clone();
        for task in state
            .service_tasks(&service.id)
            .filter(|task| task.wanted())
        {
            match state.nodes.get(&task.node_id) {
                None => turn.desire(&task.id, pb::TaskState::Remove)?,
                Some(node) if !fits(node) || task.ended() && paused(node) => {
                    turn.desire(&task.id, pb::TaskState::Shutdown)?;
                }
                Some(_) if task.ended() => self.restart(turn, service, task)?,
                Some(_) => {}
            }
        }

        let mut slots = slots::sort(turn.state(), service);
        slots.live.retain(|(_, id), _| {
            let node = state.nodes.get(id);
            node.is_some_and(|node| fits(node) && !paused(node))
        });
        for node in state
            .nodes
            .values()
            .filter(|node| fits(node) && !paused(node))
        {
            if !slots.live.contains_key(&(0, node.id.clone())) {
                task::create(turn, service, (0, &node.id), pb::TaskState::Running)?;
            }
        }
        self.update(turn, service, &slots.live)
    }
}

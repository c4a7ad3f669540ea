//! Rejects tasks whose node no longer is what they ask for; they are then restarted elsewhere.

use raft_store::Error;
use swarm_wire::pb;

use crate::constraint;
use crate::ext::{NodeExt, ServiceExt, TaskExt};
use crate::turn::Turn;

pub fn constraints(turn: &mut Turn, node: &str) -> Result<(), Error> {
    let state = turn.state().clone();
    let Some(node) = state.nodes.get(node) else {
        return Ok(());
    };
    // A drained node's tasks are moved anyway, a paused one's are left alone.
    if node.available() != pb::node_spec::Availability::Active {
        return Ok(());
    }
    let resources = node.description.as_ref().and_then(|d| d.resources.as_ref());
    let (mut cpus, mut memory) = resources.map_or((0, 0), |r| (r.nano_cpus, r.memory_bytes));
    for task in state.node_tasks(&node.id) {
        if task.observed() < pb::TaskState::Assigned || !task.wanted() || task.ended() {
            continue;
        }
        // The service's own placement: when only that changed, its tasks were kept.
        let service = state.services.get(&task.service_id);
        let spec = service
            .and_then(|service| service.task_spec())
            .or(task.spec.as_ref());
        let placement = spec.and_then(|spec| spec.placement.as_ref());
        let constraints = placement.map_or(&[][..], |placement| &placement.constraints);
        let constraints = constraint::parse(constraints).unwrap_or_default();
        let resources = task.spec.as_ref().and_then(|spec| spec.resources.as_ref());
        let reserved = resources.and_then(|r| r.reservations.as_ref());
        let reserved = reserved.map_or((0, 0), |r| (r.nano_cpus, r.memory_bytes));
        let room =
            (reserved.0 == 0 || reserved.0 <= cpus) && (reserved.1 == 0 || reserved.1 <= memory);
        if room
            && constraints
                .iter()
                .all(|constraint| constraint.matches(node))
        {
            cpus -= reserved.0;
            memory -= reserved.1;
            continue;
        }
        let message = "task rejected by constraint enforcer";
        let mut status = turn.status(pb::TaskState::Rejected, message);
        status.err = "assigned node no longer meets constraints".into();
        turn.change_task(&task.id, |task| task.status = Some(status))?;
    }
    Ok(())
}

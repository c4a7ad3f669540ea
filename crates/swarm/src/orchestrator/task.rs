//! New tasks, and whether one still is what its service asks for.

use raft_store::{Error, State};
use swarm_wire::pb;

use crate::constraint;
use crate::ext::{ServiceExt, TaskExt};
use crate::turn::Turn;

/// Makes a task in a slot, or on a node for a global service. Returns its id.
pub fn create(
    turn: &mut Turn,
    service: &pb::Service,
    (slot, node): (u64, &str),
    desired: pb::TaskState,
) -> Result<String, Error> {
    let id = (turn.new_id)();
    let spec = service.task_spec().cloned().unwrap_or_default();
    let cluster = turn.state().clusters.values().next();
    let defaults = cluster.and_then(|cluster| cluster.spec.as_ref()?.task_defaults.as_ref());
    let log_driver = spec.log_driver.clone();
    let log_driver =
        log_driver.or_else(|| defaults.and_then(|defaults| defaults.log_driver.clone()));
    let task = pb::Task {
        id: id.clone(),
        spec: Some(spec),
        spec_version: service.spec_version,
        service_id: service.id.clone(),
        service_annotations: service
            .spec
            .as_ref()
            .and_then(|spec| spec.annotations.clone()),
        slot,
        node_id: node.to_owned(),
        status: Some(turn.status(pb::TaskState::New, "created")),
        desired_state: desired.into(),
        endpoint: Some(pb::Endpoint {
            spec: service.endpoint_spec().cloned(),
            ..Default::default()
        }),
        log_driver,
        ..Default::default()
    };
    turn.tx.create(task)?;
    Ok(id)
}

/// Whether the task has to be replaced to be what its service's spec says now.
///
/// Not so when only the placement changed and its node still fits, or when only the registry's credentials changed and
/// it has its image.
pub fn is_dirty(state: &State, service: &pb::Service, task: &pb::Task) -> bool {
    if task.spec_version.is_some() && task.spec_version == service.spec_version {
        return false;
    }
    let (Some(mut wanted), Some(actual)) = (service.task_spec().cloned(), task.spec.as_ref())
    else {
        return true;
    };
    if wanted.placement != actual.placement {
        let placement = std::mem::replace(&mut wanted.placement, actual.placement.clone());
        if wanted == *actual && fits(state, task, placement.as_ref()) {
            return false;
        }
        wanted.placement = placement;
    }
    let has_image = (pb::TaskState::Ready..=pb::TaskState::Running).contains(&task.observed());
    if let (
        true,
        Some(pb::task_spec::Runtime::Container(new)),
        Some(pb::task_spec::Runtime::Container(old)),
    ) = (
        has_image && task.wanted(),
        &mut wanted.runtime,
        &actual.runtime,
    ) {
        new.pull_options.clone_from(&old.pull_options);
    }
    let endpoint = task.endpoint.as_ref();
    wanted != *actual
        || endpoint.is_some_and(|endpoint| endpoint.spec.as_ref() != service.endpoint_spec())
}

fn fits(state: &State, task: &pb::Task, placement: Option<&pb::Placement>) -> bool {
    let constraints = placement.map_or(&[][..], |placement| &placement.constraints);
    let constraints = constraint::parse(constraints).unwrap_or_default();
    let node = state.nodes.get(&task.node_id);
    node.is_some_and(|node| {
        constraints
            .iter()
            .all(|constraint| constraint.matches(node))
    })
}

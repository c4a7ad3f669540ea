//! What a service is doing, in numbers and words.

use std::sync::Arc;

use engine_types::swarm as api;
use swarm_wire::pb;

pub fn mode(service: &pb::Service) -> &'static str {
    use pb::service_spec::Mode;
    match service.spec.as_ref().and_then(|s| s.mode.as_ref()) {
        Some(Mode::Global(_)) => "global",
        Some(Mode::ReplicatedJob(_)) => "replicated-job",
        Some(Mode::GlobalJob(_)) => "global-job",
        Some(Mode::Replicated(_)) | None => "replicated",
    }
}

pub fn runtime(task: &pb::Task) -> &'static str {
    match task.spec.as_ref().and_then(|s| s.runtime.as_ref()) {
        Some(pb::task_spec::Runtime::Attachment(_)) => "attachment",
        Some(pb::task_spec::Runtime::Generic(_)) => "plugin",
        _ => "container",
    }
}

/// What `docker service ls` counts.
pub fn service_status(service: &pb::Service, tasks: &[&Arc<pb::Task>]) -> api::ServiceStatus {
    use pb::service_spec::Mode;
    let running = i32::from(pb::TaskState::Running);
    let count = |test: &dyn Fn(&pb::Task) -> bool| tasks.iter().filter(|t| test(t)).count() as u64;
    let state = |t: &pb::Task| t.status.as_ref().map_or(0, |s| s.state);
    let running_tasks = count(&|t| t.desired_state == running && state(t) == running);
    let desired_tasks = match service.spec.as_ref().and_then(|s| s.mode.as_ref()) {
        Some(Mode::Replicated(r)) => r.replicas,
        _ => count(&|t| t.desired_state == running),
    };
    let complete = i32::from(pb::TaskState::Complete);
    let completed_tasks = count(&|t| state(t) == complete);
    api::ServiceStatus {
        running_tasks,
        desired_tasks,
        completed_tasks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_counts_what_runs_and_should() {
        let task = |id: &str, desired, state| {
            let status = Some(pb::TaskStatus {
                state,
                ..Default::default()
            });
            Arc::new(pb::Task {
                id: id.into(),
                desired_state: desired,
                status,
                ..Default::default()
            })
        };
        let s = pb::Service::default();
        let tasks = [
            task("1", 512, 512),
            task("2", 512, 448),
            task("3", 640, 512),
            task("4", 640, 576),
        ];
        let global = pb::Service {
            spec: Some(pb::ServiceSpec {
                mode: Some(pb::service_spec::Mode::Global(pb::GlobalService {})),
                ..Default::default()
            }),
            ..s
        };
        let status = service_status(&global, &tasks.iter().collect::<Vec<_>>());
        assert_eq!(
            (
                status.running_tasks,
                status.desired_tasks,
                status.completed_tasks
            ),
            (1, 2, 1)
        );
    }
}

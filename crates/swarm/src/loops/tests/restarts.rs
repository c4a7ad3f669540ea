//! Tasks that end, and what is kept of them.

use std::time::Duration;

use swarm_wire::pb;
use swarm_wire::pb::TaskState;

use super::super::sim::{World, set_image};
use super::seconds;
use crate::ext::TaskExt;

fn restart(spec: &mut pb::ServiceSpec) -> &mut pb::RestartPolicy {
    let task = spec.task.get_or_insert_default();
    task.restart.get_or_insert(pb::RestartPolicy {
        condition: pb::restart_policy::RestartCondition::Any.into(),
        ..Default::default()
    })
}

#[test]
fn a_failing_task_is_restarted_after_its_delay_as_often_as_it_may() {
    let mut world = World::new(1);
    world.broken.insert("a".into());
    world.service("web", 1, |spec| {
        let restart = restart(spec);
        restart.delay = seconds(7);
        restart.max_attempts = 3;
    });
    let begin = world.now;
    world.run();
    let tasks = world.tasks("web");
    assert_eq!(tasks.len(), 4);
    assert!(
        tasks
            .iter()
            .all(|task| task.observed() == TaskState::Failed && !task.wanted())
    );
    let created = |task: &&pb::Task| task.meta.as_ref().unwrap().created_at.unwrap().seconds;
    let mut created: Vec<_> = tasks.iter().map(created).collect();
    created.sort();
    // The first one starts at once, each other one after its delay.
    let gaps: Vec<_> = created.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[0] < 7 && gaps[1] >= 7 && gaps[2] >= 7, "{gaps:?}");
    assert!(world.now.duration_since(begin).unwrap() >= Duration::from_secs(21));
    // A new leader knows how often it was.
    world.change_leader();
    world.run();
    assert_eq!(world.tasks("web").len(), 4);
    // Another spec starts anew.
    world.update_service("web", |spec| set_image(spec, "b"));
    world.run();
    assert_eq!(world.running("web").len(), 1);
}

#[test]
fn a_completed_task_stays_so_if_only_failures_are_restarted() {
    let mut world = World::new(1);
    for (service, condition, expected) in [
        ("never", pb::restart_policy::RestartCondition::None, 1),
        (
            "failure",
            pb::restart_policy::RestartCondition::OnFailure,
            1,
        ),
        ("any", pb::restart_policy::RestartCondition::Any, 2),
    ] {
        world.service(service, 1, |spec| restart(spec).set_condition(condition));
        world.run();
        world.tx(|tx| {
            let mut task = tx
                .state()
                .service_tasks(service)
                .next()
                .unwrap()
                .as_ref()
                .clone();
            task.status.as_mut().unwrap().set_state(TaskState::Complete);
            tx.update(task)
        });
        world.run();
        assert_eq!(world.tasks(service).len(), expected, "{service}");
    }
}

#[test]
fn history_is_kept_to_its_limit() {
    let mut world = World::new(1);
    world.broken.insert("a".into());
    world.service("web", 1, |spec| restart(spec).delay = seconds(100));
    world.run();
    assert_eq!(world.tasks("web").len(), 5);
    world.tx(|tx| {
        let mut cluster = tx.state().clusters["cluster"].as_ref().clone();
        let spec = cluster.spec.get_or_insert_default();
        spec.orchestration = Some(pb::OrchestrationConfig {
            task_history_retention_limit: 2,
        });
        tx.update(cluster)
    });
    world.run();
    assert_eq!(world.tasks("web").len(), 2);
    world.check_leaks();
}

//! Rolling updates.

use std::time::Duration;

use swarm_wire::pb;
use swarm_wire::pb::TaskState;
use swarm_wire::pb::update_config::{FailureAction, UpdateOrder};
use swarm_wire::pb::update_status::UpdateState;

use super::super::sim::{World, image, join, set_image};
use super::seconds;

fn update_state(world: &World, service: &str) -> Option<UpdateState> {
    world.state.services[service]
        .update_status
        .as_ref()
        .map(|status| status.state())
}

#[test]
fn an_update_goes_slot_by_slot_and_completes() {
    let mut world = World::new(2);
    world.network("net", |_| {});
    world.service("web", 4, |spec| {
        join(spec, "net");
        spec.update = Some(pb::UpdateConfig {
            parallelism: 2,
            delay: seconds(10),
            ..Default::default()
        });
    });
    world.run();
    world.update_service("web", |spec| set_image(spec, "b"));
    let begin = world.now;
    world.settle();
    assert_eq!(update_state(&world, "web"), Some(UpdateState::Updating));
    let new = |world: &World| {
        let tasks = world.tasks("web").into_iter();
        tasks
            .filter(|task| image(task.spec.as_ref().unwrap()) == "b")
            .count()
    };
    assert_eq!(new(&world), 2);
    // Not before the old ones have stopped.
    assert!(world.tasks("web").iter().all(|task| {
        image(task.spec.as_ref().unwrap()) == "a" || task.desired_state() == TaskState::Ready
    }));
    world.run();
    assert_eq!(update_state(&world, "web"), Some(UpdateState::Completed));
    assert_eq!(new(&world), 4);
    assert_eq!(world.running("web").len(), 4);
    assert!(world.now.duration_since(begin).unwrap() >= Duration::from_secs(20));
    world.check_leaks();
}

#[test]
fn start_first_never_has_less_than_all() {
    let mut world = World::new(2);
    world.service("web", 2, |spec| {
        let mut update = pb::UpdateConfig {
            parallelism: 1,
            ..Default::default()
        };
        update.set_order(UpdateOrder::StartFirst);
        spec.update = Some(update);
    });
    world.run();
    world.update_service("web", |spec| set_image(spec, "b"));
    for _ in 0..60 {
        world.settle();
        assert!(world.running("web").len() >= 2);
        world.step_agents();
        world.advance(1);
    }
    world.run();
    assert_eq!(update_state(&world, "web"), Some(UpdateState::Completed));
    assert_eq!(world.running("web").len(), 2);
    assert!(
        world
            .running("web")
            .iter()
            .all(|task| image(task.spec.as_ref().unwrap()) == "b")
    );
}

fn failing_update(action: FailureAction) -> World {
    let mut world = World::new(2);
    world.service("web", 4, |spec| {
        let mut update = pb::UpdateConfig {
            parallelism: 1,
            ..Default::default()
        };
        update.set_failure_action(action);
        spec.update = Some(update);
    });
    world.run();
    world.broken.insert("b".into());
    world.update_service("web", |spec| set_image(spec, "b"));
    for _ in 0..200 {
        world.settle();
        world.step_agents();
        world.advance(1);
    }
    world.settle();
    world
}

#[test]
fn a_failing_update_pauses() {
    let world = failing_update(FailureAction::Pause);
    assert_eq!(update_state(&world, "web"), Some(UpdateState::Paused));
    let message = &world.state.services["web"]
        .update_status
        .as_ref()
        .unwrap()
        .message;
    assert!(
        message.starts_with("update paused due to failure or early termination of task t"),
        "{message}"
    );
    // The second slot may have begun when the first one's task ran; no further one has.
    assert!(world.running("web").len() >= 2);
}

#[test]
fn a_failing_update_rolls_back() {
    let mut world = failing_update(FailureAction::Rollback);
    world.run();
    assert_eq!(
        update_state(&world, "web"),
        Some(UpdateState::RollbackCompleted)
    );
    assert_eq!(world.running("web").len(), 4);
    assert!(
        world
            .running("web")
            .iter()
            .all(|task| image(task.spec.as_ref().unwrap()) == "a")
    );
}

#[test]
fn a_failing_update_may_go_on() {
    let world = failing_update(FailureAction::Continue);
    assert_eq!(update_state(&world, "web"), Some(UpdateState::Completed));
}

#[test]
fn a_change_of_placement_alone_moves_only_what_no_longer_fits() {
    let mut world = World::new(2);
    world.service("web", 4, |_| {});
    world.run();
    let before: Vec<_> = world
        .running("web")
        .iter()
        .map(|task| task.id.clone())
        .collect();
    world.update_service("web", |spec| {
        let placement = spec
            .task
            .get_or_insert_default()
            .placement
            .get_or_insert_default();
        placement.constraints.push("node.id == n1".into());
    });
    world.run();
    assert_eq!(world.per_node("web"), [("n1".to_owned(), 4)].into());
    let kept = world
        .running("web")
        .iter()
        .filter(|task| before.contains(&task.id))
        .count();
    assert_eq!(kept, 2);
}

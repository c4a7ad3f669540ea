//! Where tasks run, and how many.

use raft_store::Kind;
use swarm_wire::pb;
use swarm_wire::pb::TaskState;
use swarm_wire::pb::node_spec::Availability;
use swarm_wire::pb::node_status::State as Reachable;
use swarm_wire::pb::service_spec::Mode;

use super::super::sim::{World, join, publish, set_replicas};
use crate::ext::TaskExt;

#[test]
fn scaling_keeps_the_nodes_even() {
    let mut world = World::new(3);
    world.service("web", 3, |_| {});
    world.run();
    world.update_service("web", |spec| set_replicas(spec, 9));
    world.run();
    assert_eq!(
        world.per_node("web").into_values().collect::<Vec<_>>(),
        [3, 3, 3]
    );
    world.update_service("web", |spec| set_replicas(spec, 3));
    world.run();
    assert_eq!(
        world.per_node("web").into_values().collect::<Vec<_>>(),
        [1, 1, 1]
    );
    // No history of slots that are gone.
    assert_eq!(world.tasks("web").len(), 3);
    world.update_service("web", |spec| set_replicas(spec, 0));
    world.run();
    assert!(world.tasks("web").is_empty());
}

#[test]
fn tasks_leave_a_drained_and_a_dead_node() {
    let mut world = World::new(3);
    world.service("web", 6, |_| {});
    world.run();
    world.set_availability("n1", Availability::Drain);
    world.settle();
    world.set_reachable("n2", Reachable::Down);
    world.run();
    assert_eq!(world.per_node("web"), [("n3".to_owned(), 6)].into());
    world.set_availability("n1", Availability::Active);
    world.set_reachable("n2", Reachable::Ready);
    world.run();
    // Nothing is moved back, as with Docker.
    assert_eq!(world.per_node("web"), [("n3".to_owned(), 6)].into());
    assert!(
        world
            .tasks("web")
            .iter()
            .all(|task| task.wanted() || task.ended())
    );
}

#[test]
fn no_suitable_node_is_explained_and_retried() {
    let mut world = World::new(2);
    world.service("web", 1, |spec| {
        let placement = spec
            .task
            .get_or_insert_default()
            .placement
            .get_or_insert_default();
        placement.constraints.push("node.labels.disk == ssd".into());
    });
    world.set_availability("n2", Availability::Pause);
    world.run();
    assert_eq!(
        world.tasks("web")[0].status.as_ref().unwrap().err,
        "no suitable node (1 node not available for new tasks; scheduling constraints not satisfied on 1 node)"
    );
    world.change_node("n1", |node| {
        let annotations = node
            .spec
            .get_or_insert_default()
            .annotations
            .get_or_insert_default();
        annotations.labels.insert("disk".into(), "ssd".into());
    });
    world.run();
    assert_eq!(world.per_node("web"), [("n1".to_owned(), 1)].into());
    // And when the node stops being what it is, the task has to go.
    world.change_node("n1", |node| {
        node.spec.get_or_insert_default().annotations = None;
    });
    world.run();
    assert!(world.running("web").is_empty());
    assert!(
        world
            .tasks("web")
            .iter()
            .any(|task| task.observed() == TaskState::Rejected)
    );
}

#[test]
fn reservations_and_limits_are_kept() {
    let mut world = World::new(0);
    for id in ["n1", "n2"] {
        world.node(id, |node| {
            node.description = Some(pb::NodeDescription {
                resources: Some(pb::Resources {
                    nano_cpus: 4_000_000_000,
                    memory_bytes: 1 << 30,
                    ..Default::default()
                }),
                ..Default::default()
            });
        });
    }
    let reserve = |spec: &mut pb::ServiceSpec| {
        spec.task.get_or_insert_default().resources = Some(pb::ResourceRequirements {
            reservations: Some(pb::Resources {
                memory_bytes: 400 << 20,
                ..Default::default()
            }),
            ..Default::default()
        });
    };
    world.service("big", 5, reserve);
    world.run();
    assert_eq!(world.running("big").len(), 4);
    let stuck: Vec<_> = world
        .tasks("big")
        .into_iter()
        .filter(|t| t.observed() == TaskState::Pending)
        .collect();
    assert_eq!(
        stuck[0].status.as_ref().unwrap().err,
        "no suitable node (insufficient resources on 2 nodes)"
    );

    world.service("one", 3, |spec| {
        let placement = spec
            .task
            .get_or_insert_default()
            .placement
            .get_or_insert_default();
        placement.max_replicas = 1;
    });
    world.run();
    assert_eq!(
        world.per_node("one").into_values().collect::<Vec<_>>(),
        [1, 1]
    );
    world.service("port", 3, |spec| {
        publish(spec, 9000);
        let ports = &mut spec.endpoint.get_or_insert_default().ports;
        ports[0].set_publish_mode(pb::port_config::PublishMode::Host);
    });
    world.run();
    assert_eq!(
        world.per_node("port").into_values().collect::<Vec<_>>(),
        [1, 1]
    );
}

#[test]
fn preferences_spread_over_a_label() {
    let mut world = World::new(0);
    for (id, zone) in [("n1", "a"), ("n2", "a"), ("n3", "a"), ("n4", "b")] {
        world.node(id, |node| {
            let annotations = node
                .spec
                .get_or_insert_default()
                .annotations
                .get_or_insert_default();
            annotations.labels.insert("zone".into(), zone.into());
        });
    }
    world.service("web", 6, |spec| {
        let placement = spec
            .task
            .get_or_insert_default()
            .placement
            .get_or_insert_default();
        placement.preferences.push(pb::PlacementPreference {
            preference: Some(pb::placement_preference::Preference::Spread(
                pb::SpreadOver {
                    spread_descriptor: "node.labels.zone".into(),
                },
            )),
        });
    });
    world.run();
    assert_eq!(
        world.per_node("web").into_values().collect::<Vec<_>>(),
        [1, 1, 1, 3]
    );
}

#[test]
fn a_global_service_is_everywhere_it_may_be() {
    let mut world = World::new(3);
    world.network("net", |_| {});
    world.service("agent", 0, |spec| {
        spec.mode = Some(Mode::Global(pb::GlobalService {}));
        join(spec, "net");
    });
    world.run();
    assert_eq!(
        world.per_node("agent").into_values().collect::<Vec<_>>(),
        [1, 1, 1]
    );
    world.node("n4", |_| {});
    world.set_availability("n1", Availability::Drain);
    world.set_reachable("n2", Reachable::Down);
    world.run();
    let nodes = |world: &World| world.per_node("agent").into_keys().collect::<Vec<_>>();
    assert_eq!(nodes(&world), ["n3", "n4"]);
    world.set_availability("n1", Availability::Active);
    world.set_reachable("n2", Reachable::Ready);
    world.run();
    assert_eq!(nodes(&world), ["n1", "n2", "n3", "n4"]);
    world.remove(Kind::Service, "agent");
    world.run();
    assert!(world.state.tasks.is_empty());
    world.check_leaks();
}

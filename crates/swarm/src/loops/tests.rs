//! The loops in a simulated swarm.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use raft_store::Kind;
use swarm_wire::pb;
use swarm_wire::pb::node_spec::Availability;
use swarm_wire::pb::node_status::State as Reachable;
use swarm_wire::pb::service_spec::Mode;
use swarm_wire::pb::update_config::{FailureAction, UpdateOrder};
use swarm_wire::pb::update_status::UpdateState;
use swarm_wire::pb::{IpamConfig, TaskState};
use swarm_wire::prost_types;

use super::sim::{World, image, join, publish, set_image, set_replicas};
use crate::turn::TaskExt;

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn restart(spec: &mut pb::ServiceSpec) -> &mut pb::RestartPolicy {
    let task = spec.task.get_or_insert_default();
    task.restart.get_or_insert(pb::RestartPolicy {
        condition: pb::restart_policy::RestartCondition::Any.into(),
        ..Default::default()
    })
}

fn subnet(spec: &mut pb::NetworkSpec, subnet: &str) {
    spec.ipam.get_or_insert_default().configs.push(IpamConfig {
        subnet: subnet.into(),
        ..Default::default()
    });
}

fn update_state(world: &World, service: &str) -> Option<UpdateState> {
    world.state.services[service]
        .update_status
        .as_ref()
        .map(|status| status.state())
}

#[test]
fn a_service_is_made_addressed_and_placed_in_one_commit() {
    let mut world = World::new(3);
    world.network("net", |_| {});
    world.settle();
    world.service("web", 20, |spec| {
        join(spec, "net");
        publish(spec, 8080);
    });
    assert_eq!(world.settle(), 1);
    let tasks = world.tasks("web");
    assert_eq!(tasks.len(), 20);
    for task in tasks {
        assert_eq!(task.observed(), TaskState::Assigned);
        let networks: Vec<_> = task
            .networks
            .iter()
            .map(|n| n.network.as_ref().unwrap().id.as_str())
            .collect();
        assert_eq!(networks, ["ingress", "net"]);
        assert_eq!(task.endpoint, world.state.services["web"].endpoint);
    }
    world.run();
    assert_eq!(
        world.per_node("web").values().copied().collect::<Vec<_>>(),
        [7, 7, 6]
    );
    world.check_leaks();
}

#[test]
fn networks_get_the_addresses_that_docker_would_give() {
    let mut world = World::new(1);
    world.network("first", |_| {});
    world.network("named", |spec| {
        subnet(spec, "10.99.7.0/24");
        let options = [(crate::allocator::VXLAN_IDS.to_owned(), "9000".to_owned())];
        spec.driver_config = Some(pb::Driver {
            name: "overlay".into(),
            options: options.into(),
        });
    });
    world.network("host", |spec| {
        spec.driver_config = Some(pb::Driver {
            name: "host".into(),
            ..Default::default()
        });
    });
    world.settle();
    let facts = |id: &str| {
        let network = &world.state.networks[id];
        let configs = &network.ipam.as_ref().unwrap().configs;
        let state = network.driver_state.as_ref().unwrap();
        let vni = state.options.get(crate::allocator::VXLAN_IDS).cloned();
        let config = configs
            .first()
            .map(|c| (c.subnet.clone(), c.gateway.clone()));
        (state.name.clone(), config, vni)
    };
    let overlay = |subnet: &str, gateway: &str, vni: &str| {
        (
            "overlay".to_owned(),
            Some((subnet.to_owned(), gateway.to_owned())),
            Some(vni.to_owned()),
        )
    };
    assert_eq!(facts("ingress"), overlay("10.0.0.0/24", "10.0.0.1", "4096"));
    assert_eq!(facts("first"), overlay("10.0.1.0/24", "10.0.1.1", "4097"));
    assert_eq!(facts("named"), overlay("10.99.7.0/24", "10.99.7.1", "9000"));
    assert_eq!(facts("host"), ("host".to_owned(), None, None));
    let node = &world.state.nodes["n1"];
    assert_eq!(node.attachments.len(), 1);
    assert_eq!(node.attachments[0].addresses, ["10.0.0.2/24"]);
}

#[test]
fn a_node_has_an_address_in_each_network_that_it_has_tasks_in() {
    let mut world = World::new(2);
    world.network("net", |_| {});
    world.service("web", 1, |spec| join(spec, "net"));
    world.run();
    let networks = |world: &World, node: &str| -> Vec<String> {
        let attachments = &world.state.nodes[node].attachments;
        attachments
            .iter()
            .map(|a| a.network.as_ref().unwrap().id.clone())
            .collect()
    };
    assert_eq!(networks(&world, "n1"), ["ingress", "net"]);
    assert_eq!(networks(&world, "n2"), ["ingress"]);
    world.remove(Kind::Service, "web");
    world.run();
    assert_eq!(networks(&world, "n1"), ["ingress"]);
    world.check_leaks();
}

#[test]
fn an_exhausted_network_says_so_and_is_served_when_an_address_is_freed() {
    let mut world = World::new(1);
    // 16 addresses: network, broadcast, gateway, the service's; and twelve tasks, which come before the node.
    world.network("small", |spec| subnet(spec, "10.50.0.0/28"));
    world.service("web", 13, |spec| join(spec, "small"));
    world.run();
    assert_eq!(world.running("web").len(), 12);
    let waiting: Vec<_> = world
        .tasks("web")
        .into_iter()
        .filter(|t| t.observed() == TaskState::New)
        .collect();
    let [waiting] = waiting.as_slice() else {
        panic!("{waiting:?}");
    };
    assert_eq!(
        waiting.status.as_ref().unwrap().err,
        "no available IPv4 addresses on this network's address pools: small (small): \
         16 addresses of 10.50.0.0/28 in use"
    );
    let waiting = waiting.id.clone();
    let victim = world.running("web")[0].slot;
    world.tx(|tx| {
        let state = tx.state().clone();
        let task = state
            .service_tasks("web")
            .find(|task| task.slot == victim)
            .unwrap();
        let mut task = task.as_ref().clone();
        task.set_desired_state(TaskState::Remove);
        task.status.as_mut().unwrap().set_state(TaskState::Shutdown);
        tx.update(task)
    });
    world.settle();
    assert!(world.state.tasks[&waiting].observed() >= TaskState::Pending);
    assert_eq!(world.state.tasks[&waiting].status.as_ref().unwrap().err, "");
}

#[test]
fn an_attachment_gets_the_address_that_it_asks_for() {
    let mut world = World::new(2);
    world.network("att", |spec| {
        spec.attachable = true;
        subnet(spec, "10.99.7.0/24");
    });
    let attach = |id: &str, address: &str| pb::Task {
        id: id.into(),
        node_id: "n2".into(),
        spec: Some(pb::TaskSpec {
            runtime: Some(pb::task_spec::Runtime::Attachment(
                pb::NetworkAttachmentSpec {
                    container_id: "c".into(),
                },
            )),
            networks: vec![pb::NetworkAttachmentConfig {
                target: "att".into(),
                addresses: vec![address.to_owned()]
                    .into_iter()
                    .filter(|a| !a.is_empty())
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        status: Some(pb::TaskStatus::default()),
        desired_state: TaskState::Running.into(),
        ..Default::default()
    };
    // A container that somebody runs there is no matter of the node's availability.
    world.set_availability("n2", Availability::Drain);
    for (id, address) in [
        ("one", "10.99.7.77"),
        ("two", "10.99.7.77"),
        ("three", "10.1.1.1"),
        ("four", ""),
    ] {
        world.tx(|tx| tx.create(attach(id, address)));
    }
    world.settle();
    let status = |id: &str| world.state.tasks[id].status.clone().unwrap();
    assert_eq!(status("one").state(), TaskState::Assigned);
    assert_eq!(
        world.state.tasks["one"].networks[0].addresses,
        ["10.99.7.77/24"]
    );
    assert_eq!(
        status("two").err,
        "Address already in use: 10.99.7.77 on network att (att)"
    );
    assert_eq!(
        status("three").err,
        "invalid address 10.1.1.1: It does not belong to any of this network's subnets"
    );
    assert_eq!(world.state.tasks["four"].networks[0].addresses.len(), 1);
    world.remove(Kind::Task, "one");
    world.settle();
    assert_eq!(world.state.tasks["two"].observed(), TaskState::Assigned);
    world.check_leaks();
}

#[test]
fn ports_stick_and_are_freed() {
    let mut world = World::new(1);
    world.service("web", 1, |spec| {
        publish(spec, 0);
        publish(spec, 8080);
    });
    world.settle();
    let ports = |world: &World| -> Vec<u32> {
        let endpoint = world.state.services["web"].endpoint.as_ref().unwrap();
        endpoint
            .ports
            .iter()
            .map(|port| port.published_port)
            .collect()
    };
    assert_eq!(ports(&world), [30000, 8080]);
    world.update_service("web", |spec| set_replicas(spec, 2));
    world.settle();
    assert_eq!(ports(&world), [30000, 8080]);
    world.change_leader();
    world.settle();
    assert_eq!(ports(&world), [30000, 8080]);
    world.service("other", 1, |spec| publish(spec, 8080));
    world.settle();
    assert_eq!(
        world.tasks("other")[0].status.as_ref().unwrap().err,
        "service other waits: port '8080' is already in use"
    );
    world.remove(Kind::Service, "web");
    world.run();
    assert_eq!(world.running("other").len(), 1);
    world.update_service("other", |spec| spec.endpoint = None);
    world.run();
    assert_eq!(
        world.state.services["other"].endpoint,
        Some(pb::Endpoint::default())
    );
    world.check_leaks();
}

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
    let mut created: Vec<_> = tasks
        .iter()
        .map(|t| t.meta.as_ref().unwrap().created_at.unwrap().seconds)
        .collect();
    created.sort();
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
    assert_eq!(
        world.tasks("web").len(),
        5 + usize::from(world.tasks("web").iter().any(|t| !t.gone())) - 1
    );
    world.check_leaks();
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

#[derive(Clone, Debug)]
enum Op {
    Service {
        id: u8,
        replicas: u64,
        networks: u8,
        port: u32,
    },
    Global {
        id: u8,
    },
    Scale {
        id: u8,
        replicas: u64,
    },
    Image {
        id: u8,
        image: u8,
        start_first: bool,
    },
    RemoveService {
        id: u8,
    },
    Network {
        id: u8,
    },
    RemoveNetwork {
        id: u8,
    },
    Reachable {
        node: u8,
        up: bool,
    },
    Available {
        node: u8,
        drain: bool,
    },
    RemoveNode {
        node: u8,
    },
    Fail {
        nth: usize,
    },
    Agents,
    Time {
        seconds: u64,
    },
    Leader,
    LostCommit,
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..4u8;
    prop_oneof![
        3 => (id.clone(), 0..6u64, 0..8u8, prop_oneof![Just(0), Just(8080), Just(u32::MAX)])
            .prop_map(|(id, replicas, networks, port)| Op::Service { id, replicas, networks, port }),
        1 => id.clone().prop_map(|id| Op::Global { id }),
        2 => (id.clone(), 0..8u64).prop_map(|(id, replicas)| Op::Scale { id, replicas }),
        2 => (id.clone(), 0..3u8, any::<bool>())
            .prop_map(|(id, image, start_first)| Op::Image { id, image, start_first }),
        1 => id.clone().prop_map(|id| Op::RemoveService { id }),
        1 => (0..3u8).prop_map(|id| Op::Network { id }),
        1 => (0..3u8).prop_map(|id| Op::RemoveNetwork { id }),
        2 => (0..4u8, any::<bool>()).prop_map(|(node, up)| Op::Reachable { node, up }),
        1 => (0..4u8, any::<bool>()).prop_map(|(node, drain)| Op::Available { node, drain }),
        1 => (0..4u8).prop_map(|node| Op::RemoveNode { node }),
        2 => any::<usize>().prop_map(|nth| Op::Fail { nth }),
        6 => Just(Op::Agents),
        3 => (1..8u64).prop_map(|seconds| Op::Time { seconds }),
        1 => Just(Op::Leader),
        1 => Just(Op::LostCommit),
    ]
}

fn perform(world: &mut World, op: &Op) {
    match op {
        Op::Service {
            id,
            replicas,
            networks,
            port,
        } => {
            let id = format!("s{id}");
            let taken = |s: &std::sync::Arc<pb::Service>| {
                let ports = s
                    .spec
                    .iter()
                    .filter_map(|spec| spec.endpoint.as_ref())
                    .flat_map(|e| &e.ports);
                ports.into_iter().any(|p| p.published_port == 8080)
            };
            if world.state.services.contains_key(&id)
                || *port == 8080 && world.state.services.values().any(taken)
            {
                return;
            }
            let state = world.state.clone();
            world.service(&id, *replicas, |spec| {
                for n in (0..3).filter(|n| networks & (1 << n) != 0) {
                    if let Some(network) = network(&state, n) {
                        join(spec, &network);
                    }
                }
                if *port != u32::MAX {
                    publish(spec, *port);
                }
            });
        }
        Op::Global { id } => {
            let id = format!("s{id}");
            if !world.state.services.contains_key(&id) {
                world.service(&id, 0, |spec| {
                    spec.mode = Some(Mode::Global(pb::GlobalService {}))
                });
            }
        }
        Op::Scale { id, replicas } => change_service(world, *id, |spec| {
            if matches!(spec.mode, Some(Mode::Replicated(_))) {
                set_replicas(spec, *replicas);
            }
        }),
        Op::Image {
            id,
            image,
            start_first,
        } => change_service(world, *id, |spec| {
            set_image(spec, &format!("i{image}"));
            let update = spec.update.get_or_insert_default();
            update.parallelism = 2;
            update.set_failure_action(FailureAction::Continue);
            update.set_order(if *start_first {
                UpdateOrder::StartFirst
            } else {
                UpdateOrder::StopFirst
            });
        }),
        Op::RemoveService { id } => {
            if world.state.services.contains_key(&format!("s{id}")) {
                world.remove(Kind::Service, &format!("s{id}"));
            }
        }
        Op::Network { id } => {
            // An id is never used again.
            if network(&world.state, *id).is_none() {
                let id = format!("net{id}-{}", world.state.version);
                world.network(&id, |_| {});
            }
        }
        Op::RemoveNetwork { id } => {
            let Some(id) = network(&world.state, *id) else {
                return;
            };
            let used = world.state.services.values().any(|s| {
                let task = s.spec.as_ref().unwrap().task.as_ref().unwrap();
                task.networks.iter().any(|n| n.target == id)
            });
            let wanted = world.state.tasks.values().any(|t| {
                t.wanted()
                    && !t.ended()
                    && t.networks
                        .iter()
                        .any(|n| n.network.as_ref().unwrap().id == id)
            });
            if !used && !wanted {
                world.remove(Kind::Network, &id);
            }
        }
        Op::Reachable { node, up } => with_node(world, *node, |world, id| {
            world.set_reachable(
                id,
                if *up {
                    Reachable::Ready
                } else {
                    Reachable::Down
                },
            );
        }),
        Op::Available { node, drain } => with_node(world, *node, |world, id| {
            world.set_availability(
                id,
                if *drain {
                    Availability::Drain
                } else {
                    Availability::Active
                },
            );
        }),
        Op::RemoveNode { node } => with_node(world, *node, |world, id| {
            let tasks: Vec<_> = world
                .state
                .node_tasks(id)
                .filter(|t| !t.ended())
                .cloned()
                .collect();
            world.tx(|tx| {
                for task in tasks {
                    let mut task = task.as_ref().clone();
                    task.status
                        .get_or_insert_default()
                        .set_state(TaskState::Orphaned);
                    tx.update(task)?;
                }
                tx.remove(Kind::Node, id)
            });
        }),
        Op::Fail { nth } => {
            let running: Vec<_> = world
                .state
                .tasks
                .values()
                .filter(|task| task.observed() == TaskState::Running)
                .cloned()
                .collect();
            if let Some(task) = running.get(nth % running.len().max(1)) {
                let mut task = task.as_ref().clone();
                task.status
                    .get_or_insert_default()
                    .set_state(TaskState::Failed);
                world.tx(|tx| tx.update(task));
            }
        }
        Op::Agents => world.step_agents(),
        Op::Time { seconds } => world.advance(*seconds),
        Op::Leader => world.change_leader(),
        Op::LostCommit => {
            // The transaction of this turn never gets committed.
            let mut tx = raft_store::Tx::new(world.state.clone(), world.now);
            let mut n = 0;
            let turn = world.core.turn(&mut crate::turn::Turn {
                tx: &mut tx,
                now: world.now,
                new_id: &mut || {
                    n += 1;
                    format!("lost{n}")
                },
            });
            turn.unwrap();
        }
    }
}

fn network(state: &raft_store::State, n: u8) -> Option<String> {
    let mut ids = state.networks.keys();
    ids.find(|id| id.starts_with(&format!("net{n}-"))).cloned()
}

fn change_service(world: &mut World, id: u8, f: impl FnOnce(&mut pb::ServiceSpec)) {
    let id = format!("s{id}");
    if world.state.services.contains_key(&id) {
        world.update_service(&id, f);
    }
}

fn with_node(world: &mut World, node: u8, f: impl FnOnce(&mut World, &str)) {
    let id = format!("n{node}");
    if world.state.nodes.contains_key(&id) {
        f(world, &id);
    }
}

/// Everything heals, then every service has exactly what it asks for.
fn converges(ops: &[Op]) -> World {
    let mut world = World::new(4);
    for op in ops {
        perform(&mut world, op);
        world.settle();
        world.check_leaks();
    }
    let nodes: Vec<_> = world.state.nodes.keys().cloned().collect();
    for node in &nodes {
        world.set_reachable(node, Reachable::Ready);
        world.set_availability(node, Availability::Active);
    }
    world.node("spare", |_| {});
    let nodes = nodes.len() + 1;
    world.run();
    world.check_leaks();
    for service in world.state.services.values() {
        let wanted = match service.spec.as_ref().unwrap().mode.as_ref().unwrap() {
            Mode::Replicated(mode) => mode.replicas as usize,
            _ => nodes,
        };
        assert_eq!(world.running(&service.id).len(), wanted, "{}", service.id);
        let wanted_tasks = world
            .tasks(&service.id)
            .into_iter()
            .filter(|task| task.wanted());
        assert_eq!(wanted_tasks.count(), wanted, "{}", service.id);
        for task in world.running(&service.id) {
            assert_eq!(
                task.spec.as_ref().map(image),
                service.spec.as_ref().unwrap().task.as_ref().map(image)
            );
        }
    }
    for task in world.state.tasks.values() {
        assert!(
            world.state.services.contains_key(&task.service_id),
            "{} is left over",
            task.id
        );
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_converges_without_leaks_or_doubles(ops in proptest::collection::vec(op(), 1..60)) {
        converges(&ops);
    }
}

#[test]
fn the_same_history_gives_the_same_swarm() {
    let ops = [
        Op::Network { id: 0 },
        Op::Service {
            id: 0,
            replicas: 5,
            networks: 1,
            port: 0,
        },
        Op::Agents,
        Op::Reachable { node: 1, up: false },
        Op::Image {
            id: 0,
            image: 1,
            start_first: false,
        },
        Op::Agents,
        Op::Time { seconds: 3 },
        Op::Fail { nth: 2 },
    ];
    let (one, two) = (converges(&ops), converges(&ops));
    assert!(one.state.diff(&two.state).is_empty());
}

//! Random histories: services, nodes, failures, lost commits and changes of leader.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use raft_store::Kind;
use swarm_wire::pb;
use swarm_wire::pb::TaskState;
use swarm_wire::pb::node_spec::Availability;
use swarm_wire::pb::node_status::State as Reachable;
use swarm_wire::pb::service_spec::Mode;
use swarm_wire::pb::update_config::{FailureAction, UpdateOrder};

use super::super::sim::{World, image, join, publish, set_image, set_replicas};
use crate::ext::TaskExt;

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

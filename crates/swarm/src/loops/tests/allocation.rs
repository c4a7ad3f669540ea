//! Subnets, addresses and ports.

use raft_store::Kind;
use swarm_wire::pb;
use swarm_wire::pb::node_spec::Availability;
use swarm_wire::pb::{IpamConfig, TaskState};

use super::super::sim::{World, join, publish, set_replicas};
use crate::ext::TaskExt;

fn subnet(spec: &mut pb::NetworkSpec, subnet: &str) {
    spec.ipam.get_or_insert_default().configs.push(IpamConfig {
        subnet: subnet.into(),
        ..Default::default()
    });
}

/// A node that says that it is not Docker's.
fn ours(world: &mut World, id: &str) {
    world.node(id, |node| {
        let description = node.description.get_or_insert_default();
        let engine = description.engine.get_or_insert_default();
        engine.engine_version = "28.5.2+pontoon.0.1.0".into();
        engine.plugins = vec![pb::PluginDescription {
            r#type: "Network".into(),
            name: "overlay".into(),
        }];
    });
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
        ("six", "fd77::7"),
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
    assert_eq!(
        status("six").err,
        "invalid address fd77::7: It does not belong to any of this network's subnets"
    );
    assert_eq!(world.state.tasks["four"].networks[0].addresses.len(), 1);
    world.remove(Kind::Task, "one");
    world.settle();
    assert_eq!(world.state.tasks["two"].observed(), TaskState::Assigned);
    world.check_leaks();
}

#[test]
fn a_network_of_both_families_gives_addresses_of_both() {
    let mut world = World::new(1);
    world.network("both", |spec| {
        spec.ipv6_enabled = true;
        subnet(spec, "10.77.0.0/24");
        subnet(spec, "fd77::/64");
    });
    // What is left out comes from the pools; IPv6's follows from the cluster.
    world.network("any", |spec| spec.ipv6_enabled = true);
    world.network("half", |spec| {
        spec.ipv6_enabled = true;
        subnet(spec, "fd78::/64");
    });
    for service in ["one", "two"] {
        world.service(service, 1, |spec| join(spec, "both"));
    }
    world.run();
    let subnets = |id: &str| -> Vec<String> {
        let ipam = world.state.networks[id].ipam.clone().unwrap();
        ipam.configs.into_iter().map(|c| c.subnet).collect()
    };
    let any = subnets("any");
    assert_eq!(any[0], "10.0.1.0/24");
    assert!(
        any[1].starts_with("fd") && any[1].ends_with("::/64"),
        "{any:?}"
    );
    assert_eq!(subnets("half"), ["10.0.2.0/24", "fd78::/64"]);
    let options = &world.state.networks["both"]
        .driver_state
        .as_ref()
        .unwrap()
        .options;
    assert!(
        !options[crate::allocator::VXLAN_IDS].contains(','),
        "one link for both"
    );
    let addresses = |service: &str| world.running(service)[0].networks[0].addresses.clone();
    let taken = [addresses("one"), addresses("two")];
    for pair in &taken {
        assert!(
            pair[0].starts_with("10.77.0.") && pair[0].ends_with("/24"),
            "{pair:?}"
        );
        assert!(
            pair[1].starts_with("fd77::") && pair[1].ends_with("/64"),
            "{pair:?}"
        );
    }
    assert_ne!(taken[0][1], taken[1][1]);
    let own = |world: &World| {
        world.state.services["one"]
            .endpoint
            .clone()
            .unwrap()
            .virtual_ips
    };
    let before = own(&world);
    let families: Vec<bool> = before.iter().map(|vip| vip.addr.contains(':')).collect();
    assert_eq!(families, [false, true]);
    world.change_leader();
    world.update_service("one", |spec| set_replicas(spec, 2));
    world.run();
    assert_eq!(own(&world), before);
    world.remove(Kind::Service, "one");
    world.run();
    world.check_leaks();
}

#[test]
fn a_network_may_have_ipv6_alone_and_several_subnets_beside_it() {
    let mut world = World::new(1);
    ours(&mut world, "n2");
    world.network("only", |spec| {
        spec.ipv6_enabled = true;
        spec.ipv4_disabled = true;
    });
    world.network("many", |spec| {
        spec.ipv6_enabled = true;
        for each in ["10.77.0.0/30", "10.78.0.0/24", "fd77::/64", "fd78::/64"] {
            subnet(spec, each);
        }
    });
    world.service("one", 2, |spec| join(spec, "only"));
    world.service("all", 3, |spec| join(spec, "many"));
    world.run();
    let allocated = |id: &str| {
        let network = world.state.networks[id].as_ref().clone();
        let configs = network.ipam.unwrap().configs;
        let vnis = &network.driver_state.unwrap().options[crate::allocator::VXLAN_IDS];
        (configs.len(), vnis.split(',').count())
    };
    assert_eq!((allocated("only"), allocated("many")), ((1, 1), (4, 1)));
    for task in world.running("one") {
        let [own] = &task.networks[0].addresses[..] else {
            panic!("{:?}", task.networks);
        };
        assert!(own.starts_with("fd") && own.ends_with("/64"), "{own}");
    }
    let vips = &world.state.services["one"]
        .endpoint
        .as_ref()
        .unwrap()
        .virtual_ips;
    assert!(
        vips.len() == 1 && vips[0].addr.starts_with("fd"),
        "{vips:?}"
    );
    // The first subnet is soon full.
    let all = world.running("all");
    let first = |task: &&pb::Task| task.networks[0].addresses[0].clone();
    let second = all.iter().map(first).filter(|a| a.starts_with("10.78."));
    assert!(second.count() > 1);
    assert!(
        all.iter()
            .all(|task| task.networks[0].addresses[1].starts_with("fd77::"))
    );
    for (service, network) in [("one", "only"), ("all", "many")] {
        // Docker's engine, as n1's is taken to be, makes no such network.
        assert_eq!(
            world.per_node(service).into_keys().collect::<Vec<_>>(),
            ["n2"]
        );
        let on = |node: &str| {
            let attachments = world.state.nodes[node].attachments.iter();
            attachments
                .filter(|a| a.network.as_ref().unwrap().id == network)
                .count()
        };
        assert_eq!((on("n1"), on("n2")), (0, 1), "{network}");
    }
    for id in ["one", "all"] {
        world.remove(Kind::Service, id);
    }
    world.run();
    world.check_leaks();
}

#[test]
fn a_mesh_of_ipv6_alone_is_on_our_nodes() {
    let mut world = World::new(1);
    ours(&mut world, "n2");
    world.remove(Kind::Network, "ingress");
    world.network("six", |spec| {
        spec.ingress = true;
        spec.ipv6_enabled = true;
        spec.ipv4_disabled = true;
    });
    world.service("web", 4, |spec| publish(spec, 8080));
    world.service("other", 4, |_| {});
    world.run();
    assert_eq!(world.per_node("web"), [("n2".to_owned(), 4)].into());
    assert!(world.per_node("other").contains_key("n1"));
    assert!(world.state.nodes["n1"].attachments.is_empty());
    world.set_availability("n2", Availability::Drain);
    world.run();
    let tasks = world.tasks("web");
    let mut waiting = tasks.iter().filter(|t| t.observed() == TaskState::Pending);
    assert_eq!(
        waiting.next().unwrap().status.as_ref().unwrap().err,
        "no suitable node (1 node not available for new tasks; network that Docker's engine cannot make on 1 node)"
    );
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

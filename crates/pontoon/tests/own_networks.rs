//! Networks of a swarm that each node makes for itself: of drivers that know nothing of swarms, with the settings and the
//! addresses of the node.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
mod mixed_common;

use std::collections::BTreeSet;

use common::container::{address, pings, resolve, run};
use common::refusal::{check, row};
use common::swarm::{CREATE, networks, task_on};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;
use mixed_common::Kind::{Docker, Pontoon};
use mixed_common::{PATIENCE, runs, swarm};

/// Each host's own part of the lab's first segment.
fn settings(host: &Host) {
    let range = if host.name == "h1" { 128 } else { 192 };
    host.ok(&format!(
        "docker network create --config-only --subnet 198.18.1.0/24 --gateway 198.18.1.1 --ip-range 198.18.1.{range}/26 \
         -o parent=eth0 lan-part"
    ));
}

#[test]
fn one_macvlan_for_the_services_of_all_nodes() {
    let world = World::swarm(&[2]);
    one_wire("macvlan", &world.hosts());
    world.end();
}

#[test]
fn a_docker_worker_has_its_part_of_a_macvlan() {
    let (world, nodes) = swarm([Pontoon, Docker]);
    one_wire("macvlan", &nodes);
    world.end();
}

#[test]
fn a_pontoon_worker_has_its_part_of_a_macvlan() {
    let (world, nodes) = swarm([Docker, Pontoon]);
    one_wire("macvlan", &nodes);
    world.end();
}

#[test]
fn one_ipvlan_for_the_services_of_all_nodes_where_kernels_have_it() {
    let world = World::swarm(&[2]);
    let nodes = world.hosts();
    let h1 = &nodes[0];
    let probe = h1.sh("ip link add probe type ipvlan").stderr;
    if !probe.contains("Unknown device type") {
        one_wire("ipvlan", &nodes);
        return world.end();
    }
    // Managers know nothing of other nodes' kernels: a task says it, once its network is to be made.
    nodes.iter().for_each(settings);
    h1.ok("docker network create -d ipvlan --scope swarm --config-from lan-part lan");
    h1.ok(&format!(
        "{CREATE} --name web --restart-condition none --network lan busybox sleep 3600"
    ));
    let refusal =
        "this kernel has no ipvlan devices: load the module ipvlan or use a kernel built with it";
    let errors = "docker service ps --no-trunc --format '{{.Error}}' web";
    until(PATIENCE, refusal, || {
        is_docker() || h1.ok(errors).contains(refusal)
    });
    world.end();
}

fn one_wire(driver: &str, nodes: &[Host; 2]) {
    let [h1, h2] = nodes;
    nodes.iter().for_each(settings);
    h1.ok(&format!(
        "docker network create -d {driver} --scope swarm --attachable --config-from lan-part lan"
    ));
    h1.ok(&format!(
        "{CREATE} --name web --mode global --network name=lan,alias=www busybox sleep 3600"
    ));
    runs(h1, "web", "2/2");
    let tasks: Vec<String> = nodes.iter().map(|node| task_on(node, "web")).collect();
    let addresses: Vec<String> = std::iter::zip(nodes, &tasks)
        .map(|(node, task)| address(node, task, "lan"))
        .collect();
    for (address, range) in addresses.iter().zip([128_u8, 192]) {
        let last: u8 = address.rsplit_once('.').unwrap().1.parse().unwrap();
        assert!((range..=range + 63).contains(&last), "{addresses:?}");
    }
    for (node, task) in std::iter::zip(nodes, &tasks) {
        for name in ["web", "www", "tasks.web"] {
            let all: BTreeSet<_> = addresses.iter().cloned().collect();
            eventually(PATIENCE, all, || resolve(node, task, name));
        }
        for address in &addresses {
            until(PATIENCE, "every task", || pings(node, task, address));
        }
        assert!(networks(node).contains("lan"));
        // What the node has made of it.
        let shown = "docker network inspect -f '{{.Driver}} {{.Scope}} {{.ConfigFrom.Network}} {{(index .IPAM.Config 0).Subnet}}' lan";
        let expected = format!("{driver} swarm lan-part 198.18.1.0/24");
        assert_eq!(node.ok(shown), expected);
    }
    // A standalone container, on the node that has no manager.
    run(h2, "c1", "--network lan");
    let alone = address(h2, "c1", "lan");
    assert!(!addresses.contains(&alone));
    until(PATIENCE, "a task on the other node", || {
        pings(h2, "c1", &addresses[0])
    });
    eventually(PATIENCE, [alone].into(), || resolve(h1, &tasks[0], "c1"));

    check(
        h1,
        &[
            row(
                "docker network rm lan-part",
                1,
                "error while removing network: configuration network \"lan-part\" is in use",
            ),
            row(
                "docker network rm lan",
                1,
                "rpc error: code = FailedPrecondition desc = network <id> is in use by service <id>",
            ),
        ],
    );
    h2.ok("docker rm -f c1");
    h1.ok("docker service rm web");
    until(PATIENCE, "the network goes with its last task", || {
        !networks(h2).contains("lan")
    });
    until(PATIENCE, "and from the swarm", || {
        h1.sh("docker network rm lan").status == 0
    });
    for node in nodes {
        until(PATIENCE, "nothing is made of the settings", || {
            node.sh("docker network rm lan-part").status == 0
        });
    }
}

#[test]
fn a_bridge_on_every_node() {
    let world = World::swarm(&[2]);
    let [h1, h2] = world.hosts();
    h1.ok("docker network create -d bridge --scope swarm --attachable inner");
    h1.ok(&format!(
        "{CREATE} --name web --mode global --network inner --publish mode=host,published=8080,target=80 \
         busybox sh -c 'hostname >/index.html; exec httpd -f -p 80'"
    ));
    runs(&h1, "web", "2/2");
    let outside = world.outside();
    for node in [&h1, &h2] {
        let task = task_on(node, "web");
        run(node, "c1", "--network inner");
        let own = address(node, &task, "inner");
        if !is_docker() {
            // Which knows names of the swarm on networks that reach other nodes only.
            eventually(PATIENCE, [own].into(), || resolve(node, "c1", "web"));
        }
        // The way out is the bridge's own: no second interface.
        let links = node.ok("docker exec c1 ls /sys/class/net");
        assert!(!links.contains("eth1"), "{links}");
        until(PATIENCE, "its port", || {
            outside
                .sh(&format!("wget -qO- -T1 http://{}:8080/", node.addr))
                .stdout
                .trim()
                == &task[..12]
        });
        node.ok("docker rm -f c1");
    }
    // A daemon that dies finds it again.
    if !is_docker() {
        let task = task_on(&h2, "web");
        let own = address(&h2, &task, "inner");
        h2.kill_daemon().unwrap();
        common::start(&h2, &[]);
        run(&h2, "c2", "--network inner");
        assert_eq!(address(&h2, &task, "inner"), own);
        until(PATIENCE, "beside it", || pings(&h2, "c2", &own));
        h2.ok("docker rm -f c2");
    }
    h1.ok("docker service rm web");
    until(PATIENCE, "the bridge goes with its last task", || {
        !networks(&h2).contains("inner")
    });
    until(PATIENCE, "and from the swarm", || {
        h1.sh("docker network rm inner").status == 0
    });
    world.end();
}

#[test]
fn what_is_refused() {
    let world = World::swarm(&[2]);
    let [h1, h2] = world.hosts();
    let of = "docker network create --scope swarm";
    check(
        &h2,
        &[row(
            "docker network create -d macvlan --scope swarm n",
            1,
            "Cannot create a multi-host network from a worker node. Please create the network from a manager node.",
        )],
    );
    // Docker makes these networks, but for the second, and ignores what it was asked for.
    if !is_docker() {
        let shared = "the nodes of a swarm share the addresses of a macvlan network: give each node its part by a network made there with --config-only, and name that with --config-from";
        check(
            &h1,
            &[
                row(
                    "docker network create --scope swarm -d macvlan --config-from nope n",
                    1,
                    "configuration network \"nope\" does not exist",
                ),
                row(
                    "docker network create --scope swarm -d null n",
                    1,
                    "only one instance of \"null\" network is allowed",
                ),
                row(
                    "docker network create --scope swarm -d macvlan -o parent=eth0 n",
                    1,
                    shared,
                ),
                row(
                    "docker network create --scope swarm -d macvlan --subnet 198.18.1.0/24 n",
                    1,
                    shared,
                ),
                row(
                    "docker network create --scope swarm -d host n",
                    1,
                    "only one instance of \"host\" network is allowed",
                ),
            ],
        );
    }
    // A node without the settings says so.
    h1.ok("docker network create --config-only part");
    h1.ok(&format!("{of} -d bridge --config-from part n"));
    let node = common::swarm::node_id(&h2);
    h1.ok(&format!(
        "{CREATE} --name web --restart-condition none --constraint node.id=={node} --network n busybox sleep 3600"
    ));
    let errors = "docker service ps --no-trunc --format '{{.Error}}' web";
    let missing = "configuration network \"part\" does not exist";
    until(PATIENCE, missing, || h1.ok(errors).contains(missing));
    world.end();
}

//! Services of one swarm of Pontoon and of Docker's own daemon (20.10), from Docker's side too: its balancer is IPVS, which
//! not every kernel has. `make vm` runs this on one that has it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
mod mixed_common;

use std::collections::BTreeSet;

use common::container::{address, resolve, run};
use common::mesh::{SERVER, ask, only};
use common::swarm::{CREATE, replicas};
use common::{Shell as _, World, until};
use lab::Host;
use mixed_common::Kind::{Docker, Pontoon};
use mixed_common::{Kind, container_of, swarm};

/// Both daemons and their containers, under emulation.
const PATIENCE: u64 = 120;

fn kernel_has_it() -> bool {
    let ask = "test -e /proc/net/ip_vs || grep -q /ip_vs.ko /lib/modules/$(uname -r)/modules.dep";
    let asked = std::process::Command::new("sh").args(["-c", ask]).output();
    let has = asked.unwrap().status.success();
    if !has {
        println!("skipped: this kernel has no IPVS");
    }
    has
}

#[test]
fn a_docker_worker_balances_in_a_pontoon_swarm() {
    if kernel_has_it() {
        balances([Pontoon, Docker]);
    }
}

#[test]
fn a_docker_manager_balances_with_a_pontoon_worker() {
    if kernel_has_it() {
        balances([Docker, Pontoon]);
    }
}

/// `both` has a task on each node, `ours` one on our node only.
fn balances(kinds: [Kind; 2]) {
    let (world, nodes) = swarm(kinds);
    let which = |kind| kinds.iter().position(|k| *k == kind).unwrap();
    let (ours, dockers) = (&nodes[which(Pontoon)], &nodes[which(Docker)]);
    let manager = &nodes[0];
    manager.ok("docker network create -d overlay --attachable app");
    manager.ok(&format!(
        "{CREATE} --name both --mode global --network app -p 8080:80 {SERVER}"
    ));
    manager.ok(&format!(
        "{CREATE} --name ours --network app -p 8081:80 --constraint node.hostname=={} {SERVER}",
        ours.name
    ));
    for (service, all) in [("both", "2/2"), ("ours", "1/1")] {
        until(PATIENCE, "all tasks run", || {
            replicas(manager, service) == all
        });
    }
    let tasks = |service: &str, hosts: &[&Host]| -> BTreeSet<String> {
        let of_host = |host: &&Host| container_of(host, service)[..12].to_owned();
        hosts.iter().map(of_host).collect()
    };
    let (both, own) = (tasks("both", &[ours, dockers]), tasks("ours", &[ours]));
    clients(&nodes, ours, &both, &own);
    mesh(&world, ours, dockers, &both, &own);
    world.end();
}

/// A container of each node asks the services' addresses.
fn clients(nodes: &[Host], ours: &Host, both: &BTreeSet<String>, own: &BTreeSet<String>) {
    for node in nodes {
        run(node, "client", "--network app");
        let from = address(node, "client", "app");
        for (service, tasks) in [("both", both), ("ours", own)] {
            let mut vip = BTreeSet::new();
            until(PATIENCE, "the name", || {
                vip = resolve(node, "client", service);
                vip.len() == 1
            });
            let vip = vip.pop_first().unwrap();
            assert_ne!(
                resolve(node, "client", &format!("tasks.{service}")),
                only(&vip)
            );
            let asked = |count| ask(node, "docker exec client", &vip, 80, count);
            until(PATIENCE, "every task is asked", || {
                asked(8).servers == *tasks
            });
            let answers = asked(8);
            assert_eq!(answers.failed, 0, "{service} from {}", node.name);
            // Docker's balancer has the connection come from itself.
            if node.name == ours.name {
                assert_eq!(answers.clients, only(&from));
            }
        }
    }
}

/// A request to either node, with the task on either.
fn mesh(
    world: &World,
    ours: &Host,
    dockers: &Host,
    both: &BTreeSet<String>,
    own: &BTreeSet<String>,
) {
    let outside = world.outside();
    for node in [ours, dockers] {
        let at = node.addr.to_string();
        for (port, tasks) in [(8080, both), (8081, own)] {
            let asked = |count| ask(&outside, "", &at, port, count);
            until(PATIENCE, "every task is asked", || {
                asked(8).servers == *tasks
            });
            let answers = asked(8);
            assert_eq!(answers.failed, 0, "port {port} of {}", node.name);
            let seen = &answers.clients;
            match node.name == ours.name && port == 8081 {
                true => assert_eq!(*seen, only(outside.addr)),
                false => assert!(seen.iter().any(|c| c.starts_with("10.0.0.")), "{seen:?}"),
            }
        }
    }
}

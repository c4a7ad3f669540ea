//! Which task a published port leads to, where the service's labels say it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;

use common::mesh::{HEALTHY, SERVER, ask};
use common::swarm::{CREATE, replicas};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

#[test]
fn a_client_keeps_its_task_and_near_ones_are_preferred() {
    // Labels of ours.
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let (hosts, outside) = (world.all(), world.outside());
    let manager = &hosts[0];
    let create = |name: &str, label: &str, more: &str| {
        manager.ok(&format!(
            "{CREATE} {HEALTHY} --name {name} --label pontoon.balance.{label} {more} {SERVER}"
        ));
    };
    create("sticky", "sticky=true", "-p 8080:80 --replicas 6");
    create("near", "prefer=node", "-p 8081:80 --mode global");
    create(
        "far",
        "prefer=node",
        "-p 8082:80 --constraint node.hostname==h2",
    );
    let running = |service: &str, tasks: usize| {
        eventually(40, format!("{tasks}/{tasks}"), || {
            replicas(manager, service)
        });
    };
    running("sticky", 6);
    running("near", 3);
    running("far", 1);
    // The tasks' short ids: the names that servers answer with.
    let on = |host: &Host, service: &str| -> BTreeSet<String> {
        let list = format!("docker ps -q --filter label=com.docker.swarm.service.name={service}");
        host.ok(&list).lines().map(str::to_owned).collect()
    };
    let servers = |client: &Host, at: &Host, port: u16, requests: usize| {
        let mut answers = ask(client, "", &at.addr.to_string(), port, requests);
        if answers.failed > 0 {
            answers.servers.insert("nobody".to_owned());
        }
        answers.servers
    };
    for host in &hosts {
        until(
            10,
            "the node leads to its own task, or to one elsewhere",
            || {
                servers(&outside, host, 8081, 5) == on(host, "near")
                    && servers(&outside, host, 8082, 2) == on(&hosts[1], "far")
            },
        );
    }

    // Who asks from where: each through all nodes, and who asks a node from itself is somebody again.
    let clients = [&outside, &hosts[0], &hosts[1], &hosts[2]];
    let kept = || -> Vec<BTreeSet<String>> {
        let of = |client: &Host| {
            let through = hosts.iter().map(|at| servers(client, at, 8080, 6));
            through.flatten().collect()
        };
        clients.into_iter().map(of).collect()
    };
    let one_each = || {
        let one = |servers: &BTreeSet<String>| servers.len() == 1 && !servers.contains("nobody");
        kept().iter().all(one)
    };
    until(20, "every client is led to one task", one_each);
    let before = kept();
    manager.ok("docker service scale -d sticky=5");
    running("sticky", 5);
    let all = || -> BTreeSet<String> { hosts.iter().flat_map(|h| on(h, "sticky")).collect() };
    until(20, "again", || all().len() == 5 && one_each());
    let left = all();
    for (before, after) in before.iter().zip(kept()) {
        let stays = before.is_subset(&left);
        assert!(!stays || *before == after, "{before:?} became {after:?}");
        assert!(after.is_subset(&left), "{after:?}");
    }
    world.end();
}

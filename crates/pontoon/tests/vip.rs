//! A service behind an address of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::background::Background;
use common::container::{pings, resolve, run};
use common::swarm::{CREATE, replicas, update_state};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

/// Answers each connection with the container's short id.
const SERVER: &str = "busybox nc -ll -p 80 -e hostname";

/// Its own address on the network that is not the mesh's.
fn address_of(manager: &Host, service: &str) -> String {
    let list = manager.ok(&format!(
        "docker service inspect -f '{{{{range .Endpoint.VirtualIPs}}}}{{{{.Addr}}}} {{{{end}}}}' {service}"
    ));
    let address = list.split(['/', ' ']).next().unwrap();
    assert!(address.parse::<std::net::Ipv4Addr>().is_ok(), "{list}");
    address.to_owned()
}

/// Who answers so many connections from the container.
fn askers(host: &Host, container: &str, to: &str, connections: usize) -> BTreeSet<String> {
    let script = format!(
        "for i in $(seq {connections}); do nc -w 2 {to} 80 </dev/null || echo FAILED; done"
    );
    let answers = host.ok(&format!("docker exec {container} sh -c '{script}'"));
    answers.lines().map(str::to_owned).collect()
}

/// A swarm with the network `app`, a client on each host, and the service `web` with three tasks.
fn world() -> World {
    let world = World::swarm(&[2, 1]);
    let hosts = world.all();
    hosts[0].ok("docker network create -d overlay --attachable app");
    hosts[0].ok(&format!(
        "{CREATE} --name web --network name=app,alias=site --replicas 3 {SERVER}"
    ));
    for (i, host) in hosts.iter().enumerate() {
        run(host, &format!("c{i}"), "--network app");
    }
    eventually(20, "3/3".to_string(), || replicas(&hosts[0], "web"));
    world
}

#[test]
fn every_host_reaches_every_task_through_one_address() {
    // This kernel has no IPVS, so Docker's own balancer does not work here.
    if is_docker() {
        return;
    }
    let world = world();
    let hosts = world.all();
    let own = address_of(&hosts[0], "web");
    for (i, host) in hosts.iter().enumerate() {
        let client = format!("c{i}");
        for name in ["web", "site", "web.app"] {
            eventually(5, [own.clone()].into(), || resolve(host, &client, name));
        }
        until(5, "all tasks are known", || {
            resolve(host, &client, "tasks.web").len() == 3
        });
        assert!(!resolve(host, &client, "tasks.web").contains(&own));
        let seen = askers(host, &client, "web", 40);
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(pings(host, &client, "web"), "by route, from {}", host.name);
        // A task reaches its own service as well.
        let task = common::swarm::task_on(host, "web");
        assert_eq!(askers(host, &task, "web", 40).len(), 3);
    }
    // dnsrr has no such address.
    hosts[0].ok(&format!(
        "{CREATE} --name plain --network app --endpoint-mode dnsrr --replicas 2 {SERVER}"
    ));
    eventually(20, "2/2".to_string(), || replicas(&hosts[0], "plain"));
    eventually(5, 2, || resolve(&hosts[2], "c2", "plain").len());
    assert_eq!(
        resolve(&hosts[2], "c2", "plain"),
        resolve(&hosts[2], "c2", "tasks.plain")
    );
    hosts[0].ok("docker service rm web plain");
    for (i, host) in hosts.iter().enumerate() {
        eventually(10, BTreeSet::new(), || {
            resolve(host, &format!("c{i}"), "web")
        });
    }
    world.end();
}

#[test]
fn no_request_fails_while_tasks_come_and_go() {
    if is_docker() {
        return;
    }
    let world = world();
    let hosts = world.all();
    let manager = &hosts[0];
    until(5, "the client knows all tasks", || {
        resolve(&hosts[2], "c2", "tasks.web").len() == 3
    });
    let asking: Vec<Background> = hosts
        .iter()
        .enumerate()
        .map(|(i, host)| {
            let ask = "while sleep 0.05; do nc -w 3 web 80 </dev/null || echo FAILED; done";
            Background::start(host, &format!("docker exec c{i} sh -c '{ask}'"))
        })
        .collect();
    let answered = |at_least: usize| {
        for asking in &asking {
            let before = asking.output().lines().count();
            until(10, "answers", || {
                asking.output().lines().count() >= before + at_least
            });
        }
    };
    answered(20);
    manager.ok("docker service scale -d web=1");
    eventually(20, "1/1".to_string(), || replicas(manager, "web"));
    eventually(20, 1, || resolve(&hosts[2], "c2", "tasks.web").len());
    answered(20);
    manager.ok("docker service scale -d web=4");
    eventually(20, "4/4".to_string(), || replicas(manager, "web"));
    answered(20);
    manager.ok(
        "docker service update -d --force --update-parallelism 2 --update-order start-first web",
    );
    eventually(40, "completed".to_string(), || update_state(manager, "web"));
    answered(20);
    for (asking, host) in asking.iter().zip(&hosts) {
        let failed = asking.output().lines().filter(|l| *l == "FAILED").count();
        assert_eq!(failed, 0, "from {}", host.name);
    }
    drop(asking);
    world.end();
}

#[test]
fn labels_choose_among_tasks() {
    if is_docker() {
        return;
    }
    let world = world();
    let hosts = world.all();
    let manager = &hosts[0];
    let refused = manager.sh(&format!(
        "{CREATE} --name no --label pontoon.balance.prefer=rack --network app {SERVER}"
    ));
    assert_ne!(refused.status, 0);
    let text = "invalid label pontoon.balance.prefer=rack: want node, zone or any";
    assert!(refused.stderr.contains(text), "{}", refused.stderr);
    for (name, label) in [("near", "prefer=node"), ("sticky", "sticky=true")] {
        manager.ok(&format!(
            "{CREATE} --name {name} --label pontoon.balance.{label} --network app --mode global {SERVER}"
        ));
        eventually(20, "3/3".to_string(), || replicas(manager, name));
    }
    let keeps = "busybox nc -ll -p 80 -e sh -c \"hostname; cat\"";
    manager.ok(&format!(
        "{CREATE} --name least --label pontoon.balance.leastconn=true --network app --mode global {keeps}"
    ));
    eventually(20, "3/3".to_string(), || replicas(manager, "least"));
    for (i, host) in hosts.iter().enumerate() {
        let client = format!("c{i}");
        for name in ["near", "sticky"] {
            until(5, "all tasks are known", || {
                resolve(host, &client, &format!("tasks.{name}")).len() == 3
            });
        }
        let mut own = common::swarm::task_on(host, "near");
        own.truncate(12);
        eventually(5, BTreeSet::from([own]), || {
            askers(host, &client, "near", 20)
        });
        assert_eq!(askers(host, &client, "sticky", 20).len(), 1);
        // One after the other, and all are kept open.
        until(5, "all tasks are known", || {
            resolve(host, &client, "tasks.least").len() == 3
        });
        let open = "for i in $(seq 6); do (sleep 20 | nc least 80 >/tmp/$i &) >/dev/null 2>&1; \
            for n in $(seq 100); do test -s /tmp/$i && break; sleep 0.05; done; done; cat /tmp/?";
        let held = host.ok(&format!("docker exec {client} sh -c '{open}'"));
        let mut tasks = BTreeMap::<&str, usize>::new();
        for task in held.lines() {
            *tasks.entry(task).or_default() += 1;
        }
        assert_eq!(tasks.values().collect::<Vec<_>>(), [&2, &2, &2], "{held}");
        assert_eq!(askers(host, &client, "web", 40).len(), 3);
    }
    world.end();
}

#[test]
fn a_daemon_that_is_gone_takes_no_address_with_it() {
    if is_docker() {
        return;
    }
    let world = world();
    let hosts = world.all();
    until(5, "the client knows all tasks", || {
        resolve(&hosts[2], "c2", "tasks.web").len() == 3
    });
    let own = address_of(&hosts[0], "web");
    let pid = common::container::pid(&hosts[2], "c2");
    hosts[2].kill_daemon().unwrap();
    // Inside the container's own cgroup and namespace, without the daemon.
    let group = hosts[2].ok(&format!("grep ^0:: /proc/{pid}/cgroup | cut -d: -f3"));
    let ask = format!(
        "for g in /sys/fs/cgroup/unified{group} /sys/fs/cgroup{group}; do test -d $g && echo $$ >$g/cgroup.procs && break; done; \
         for i in $(seq 30); do nsenter -t {pid} -n busybox nc -w 2 {own} 80 </dev/null || echo FAILED; done"
    );
    let seen: BTreeSet<String> = hosts[2].ok(&ask).lines().map(str::to_owned).collect();
    assert!(seen.len() == 3 && !seen.contains("FAILED"), "{seen:?}");
    common::start(&hosts[2], &[]);
    assert_eq!(askers(&hosts[2], "c2", "web", 40).len(), 3);
    assert!(pings(&hosts[2], "c2", "web"));
    world.end();
}

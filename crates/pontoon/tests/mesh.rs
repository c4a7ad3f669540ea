//! A published port answers on every node, and the task sees who asks.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;

use common::background::Background;
use common::container::run;
use common::swarm::{CREATE, replicas};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

/// A web server whose page is the client's address and the container's short id.
const SERVER: &str = "busybox sh -c \"mkdir -p /www/cgi-bin; \
    printf '#!/bin/sh\\necho; echo \\$REMOTE_ADDR \\$(hostname)\\n' >/www/cgi-bin/who; \
    chmod +x /www/cgi-bin/who; exec httpd -f -p 0.0.0.0:80 -h /www\"";

/// Shell that fetches that page; nothing, when there is no answer.
fn get(at: &str, port: u16) -> String {
    let request = "printf \"GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n\"";
    format!("{request} | busybox nc -w 3 {at} {port} 2>/dev/null | tail -n 1 | grep .")
}

/// What the servers say: who asked, and who answered.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    clients: BTreeSet<String>,
    servers: BTreeSet<String>,
    failed: usize,
}

impl Answers {
    fn read(text: &str) -> Self {
        let mut answers = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some((client, server)) => {
                    answers.clients.insert(client.to_owned());
                    answers.servers.insert(server.to_owned());
                }
                None => answers.failed += 1,
            }
        }
        answers
    }
}

/// So many requests from a host, or through the prefix from one of its containers.
fn ask(host: &Host, prefix: &str, at: &str, port: u16, requests: usize) -> Answers {
    let get = get(at, port);
    let all = format!("for i in $(seq {requests}); do {get} || echo FAILED; done");
    Answers::read(&host.ok(&format!("{prefix} sh -c '{all}'")))
}

/// Three hosts and the service `web` with so many tasks, whose port 80 is the mesh's 8080; every node knows all of them.
fn world(tasks: usize) -> World {
    let world = World::swarm(&[2, 1]);
    let hosts = world.all();
    hosts[0].ok(&format!(
        "{CREATE} --name web -p 8080:80 --replicas {tasks} {SERVER}"
    ));
    eventually(20, format!("{tasks}/{tasks}"), || {
        replicas(&hosts[0], "web")
    });
    for host in &hosts {
        until(10, "the node leads to all tasks", || {
            ask(host, "", &host.addr.to_string(), 8080, 10 * tasks)
                .servers
                .len()
                == tasks
        });
    }
    world
}

fn only(text: impl ToString) -> BTreeSet<String> {
    [text.to_string()].into()
}

#[test]
fn every_node_answers_and_the_task_sees_the_client() {
    // This kernel has no IPVS, so Docker's own mesh does not work here.
    if is_docker() {
        return;
    }
    let world = world(2);
    let (hosts, outside) = (world.all(), world.outside());
    for (i, host) in hosts.iter().enumerate() {
        let own = host.addr.to_string();
        let through = |from: &Host, prefix: &str, at: &str| ask(from, prefix, at, 8080, 20);
        let answers = through(&outside, "", &own);
        assert_eq!((answers.failed, answers.servers.len()), (0, 2), "{own}");
        assert_eq!(answers.clients, only(outside.addr), "through {own}");
        // The node itself, and another one.
        let answers = through(host, "", &own);
        assert_eq!((answers.failed, answers.clients), (0, only(&own)));
        let other = &hosts[(i + 1) % hosts.len()];
        let answers = through(other, "", &own);
        assert_eq!((answers.failed, answers.clients), (0, only(other.addr)));
        // Of loopback and of containers the source is given up for the node's own on the ingress network.
        let answers = through(host, "", "127.0.0.1");
        assert_eq!((answers.failed, answers.servers.len()), (0, 2), "{own}");
        assert!(answers.clients.iter().all(|c| c.starts_with("10.0.0.")));
        run(host, "c1", "");
        let answers = through(host, "docker exec c1", &own);
        assert_eq!((answers.failed, answers.servers.len()), (0, 2), "{own}");
        assert!(answers.clients.iter().all(|c| c.starts_with("10.0.0.")));
    }
    // Nothing but the published port is reached at a task's address on the ingress network.
    hosts[0].ok("docker service rm web");
    for host in &hosts {
        until(10, "the port is closed", || {
            ask(host, "", &host.addr.to_string(), 8080, 1).failed == 1
        });
        let mut listener = Background::start(host, "busybox nc -l -p 8080");
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(listener.status(), None, "the port is free again");
    }
    world.end();
}

#[test]
fn no_request_fails_while_tasks_come_and_go() {
    if is_docker() {
        return;
    }
    let world = world(2);
    let (hosts, outside) = (world.all(), world.outside());
    let manager = &hosts[0];
    let asking: Vec<Background> = hosts
        .iter()
        .map(|host| {
            let get = get(&host.addr.to_string(), 8080);
            let ask = format!("while sleep 0.05; do {get} || echo FAILED; done");
            Background::start(&outside, &format!("sh -c '{ask}'"))
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
    let scale = |to: usize| {
        manager.ok(&format!("docker service scale -d web={to}"));
        eventually(30, format!("{to}/{to}"), || replicas(manager, "web"));
        answered(20);
    };
    answered(20);
    [10, 1, 4].into_iter().for_each(scale);
    manager.ok(
        "docker service update -d --force --update-parallelism 2 --update-order start-first web",
    );
    eventually(40, "completed".to_string(), || {
        manager.ok("docker service inspect -f '{{.UpdateStatus.State}}' web")
    });
    answered(20);
    for asking in &asking {
        let output = asking.output();
        let answers = Answers::read(&output);
        assert_eq!(answers.failed, 0, "{output}");
        assert_eq!(answers.clients, only(outside.addr));
    }
    drop(asking);
    world.end();
}

#[test]
fn a_daemon_that_is_gone_leaves_its_node_a_way_in() {
    if is_docker() {
        return;
    }
    let world = world(2);
    let (hosts, outside) = (world.all(), world.outside());
    hosts[2].kill_daemon().unwrap();
    let own = hosts[2].addr.to_string();
    let answers = ask(&outside, "", &own, 8080, 20);
    assert_eq!((answers.failed, answers.servers.len()), (0, 2));
    assert_eq!(answers.clients, only(outside.addr));
    common::start(&hosts[2], &[]);
    let answers = ask(&outside, "", &own, 8080, 20);
    assert_eq!((answers.failed, answers.servers.len()), (0, 2));
    world.end();
}

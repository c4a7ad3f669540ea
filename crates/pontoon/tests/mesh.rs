//! A published port answers on every node, and the task sees who asks.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::Duration;

use common::background::Background;
use common::container::{pid, run};
use common::mesh::{Answers, HEALTHY, SERVER, ask, get, only, udp};
use common::swarm::{CREATE, replicas, task_on, update_state};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

/// Three hosts and the service `web` with so many tasks, whose port 80 is the mesh's 8080; every node knows all of them.
fn world(tasks: usize) -> World {
    let world = World::swarm(&[2, 1]);
    let hosts = world.all();
    hosts[0].ok(&format!(
        "{CREATE} {HEALTHY} --name web -p 8080:80 --replicas {tasks} {SERVER}"
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
        std::thread::sleep(Duration::from_millis(200));
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
    eventually(40, "completed".to_string(), || update_state(manager, "web"));
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
fn a_connection_goes_on_while_its_task_drains() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let (hosts, outside) = (world.all(), world.outside());
    // Process 1 does not hear of SIGTERM.
    hosts[0].ok(&format!(
        "{CREATE} --stop-grace-period 20s --name echo -p 8080:80 --replicas 2 busybox nc -ll -p 80 -e cat"
    ));
    eventually(20, "2/2".to_string(), || replicas(&hosts[0], "echo"));
    let own = hosts[0].addr;
    let echo = |wait: u32| format!("(echo a; sleep {wait}; echo b) | busybox nc -w 5 {own} 8080");
    until(10, "the node answers", || {
        outside.sh(&echo(0)).stdout == "a\nb\n"
    });
    let line = format!("sh -c '{}'", echo(6));
    let talking: Vec<Background> = (0..8).map(|_| Background::start(&outside, &line)).collect();
    for talk in &talking {
        until(3, "both sides have begun", || talk.output() == "a\n");
    }
    hosts[0].ok("docker service scale -d echo=1");
    until(5, "one task drains", || {
        let listed = "docker service ps -f desired-state=running -q echo";
        hosts[0].ok(listed).lines().count() == 1
    });
    for talk in &talking {
        eventually(15, "a\nb\n".to_owned(), || talk.output());
    }
    assert_eq!(outside.sh(&echo(0)).stdout, "a\nb\n");
    drop(talking);
    world.end();
}

/// Milliseconds from now on until a task on the host gets a signal, after `line` on the manager.
fn signalled_after(manager: &Host, host: &Host, line: &str) -> i64 {
    let now = || manager.ok("date +%s%N").parse::<i64>().unwrap();
    let start = now();
    manager.ok(line);
    let since = format!("{}.{:09}", start / 1_000_000_000, start % 1_000_000_000);
    let mut events = String::new();
    until(10, "the signal", || {
        let until = now() as f64 / 1e9;
        events = host.ok(&format!(
            "docker events --since {since} --until {until} -f event=kill --format '{{{{.TimeNano}}}}'"
        ));
        !events.is_empty()
    });
    let first = events.lines().next().unwrap();
    (first.parse::<i64>().unwrap() - start) / 1_000_000
}

#[test]
fn a_task_is_told_to_stop_as_soon_as_no_node_leads_to_it() {
    if is_docker() {
        return;
    }
    let mut world = World::swarm(&[2, 1]);
    let hosts = world.all();
    let place = |service: &str, node: &str, more: &str| {
        hosts[0].ok(&format!(
            "{CREATE} --name {service} --constraint node.hostname=={node} {more} busybox sh -c 'nc -ll -p 80 -e cat'"
        ));
        eventually(20, "1/1".to_string(), || replicas(&hosts[0], service));
    };
    place("web", "h2", "-p 8080:80");
    place("busy", "h2", "-p 8081:80");
    place("last", "h2", "-p 8082:80");
    let talks = format!(
        "sh -c '(echo a; sleep 60) | busybox nc {} 8081'",
        hosts[2].addr
    );
    for port in [8080, 8081, 8082] {
        until(10, "every node leads to the task", || {
            let answers = |host: &Host| {
                let ask = format!("echo a | busybox nc -w 1 {} {port}", host.addr);
                hosts[0].sh(&ask).stdout == "a\n"
            };
            hosts.iter().all(answers)
        });
    }
    let talking = Background::start(&hosts[0], &talks);
    until(5, "somebody talks", || talking.output() == "a\n");
    let told = |service: &str| {
        signalled_after(
            &hosts[0],
            &hosts[1],
            &format!("docker service rm {service}"),
        )
    };
    let (quiet, busy) = (told("web"), told("busy"));
    // A node that does not answer is waited for, and for no longer than that.
    world.lab().partition(&["h3"]).unwrap();
    let alone = told("last");
    println!(
        "signalled after {quiet} ms, with a connection {busy} ms, with a node that is lost {alone} ms"
    );
    assert!(quiet < 1000, "{quiet} ms");
    assert!((500..1500).contains(&busy), "{busy} ms");
    assert!((2000..3500).contains(&alone), "{alone} ms");
    drop(talking);
    world.end();
}

/// Answers line by line on connections that are kept; told to stop it says so with the next answer on each, and ends.
const KEEPS: &str = "busybox sh -c \"printf '#!/bin/sh\\nwhile read q; do test -e /stop && echo last && exit; echo more; done\\n' >/serve; \
    chmod +x /serve; nc -ll -p 80 -e /serve & trap 'touch /stop; sleep 3; exit' TERM; wait\"";

#[test]
fn kept_connections_lose_no_request_in_an_update() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let (hosts, outside) = (world.all(), world.outside());
    let manager = &hosts[0];
    let create = CREATE.replace("--stop-grace-period 0s", "--stop-grace-period 20s");
    let healthy = "--health-cmd \"echo | nc 127.0.0.1 80 | grep -q .\" \
        --health-start-period 30s --health-start-interval 200ms --health-interval 5s";
    manager.ok(&format!(
        "{create} {healthy} --name keeps -p 8080:80 --replicas 3 {KEEPS}"
    ));
    eventually(30, "3/3".to_string(), || replicas(manager, "keeps"));
    let talks = |at: &Host| {
        let script = format!(
            "while exec 3<>/dev/tcp/{}/8080; do while echo q >&3; do read -r -t 5 a <&3 || {{ echo FAILED; break; }}; \
             echo $a; test $a = last && break; sleep 0.1; done; done; echo FAILED",
            at.addr
        );
        Background::start(&outside, &format!("bash -c '{script}'"))
    };
    for host in &hosts {
        until(10, "the node leads to a task", || {
            let ask = format!("echo q | busybox nc -w 1 {} 8080", host.addr);
            outside.sh(&ask).stdout == "more\n"
        });
    }
    let talking: Vec<Background> = hosts.iter().chain(&hosts).map(talks).collect();
    let said = |what: &str| {
        let count = |t: &Background| t.output().lines().filter(|l| *l == what).count();
        talking.iter().map(count).collect::<Vec<_>>()
    };
    until(10, "all talk", || said("more").iter().all(|n| *n > 5));
    manager.ok(
        "docker service update -d --force --update-parallelism 1 --update-order start-first keeps",
    );
    eventually(60, "completed".to_string(), || {
        update_state(manager, "keeps")
    });
    let before = said("more");
    until(10, "all talk on", || {
        said("more")
            .iter()
            .zip(&before)
            .all(|(now, n)| *now > n + 5)
    });
    assert!(
        said("last").iter().sum::<usize>() >= 6,
        "every connection had to move"
    );
    let failed: Vec<String> = talking.iter().map(|t| t.output()).collect();
    assert_eq!(said("FAILED").iter().sum::<usize>(), 0, "{failed:?}");
    drop(talking);
    world.end();
}

#[test]
fn a_node_that_is_lost_takes_no_request_with_it() {
    if is_docker() {
        return;
    }
    let mut world = world(3);
    let (hosts, outside) = (world.all(), world.outside());
    world.lab().partition(&["h2"]).unwrap();
    for host in [&hosts[0], &hosts[2]] {
        let own = host.addr.to_string();
        until(40, "its failure is noticed", || {
            ask(&outside, "", &own, 8080, 10).failed == 0
        });
        assert_eq!(ask(&outside, "", &own, 8080, 30).failed, 0);
    }
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

#[test]
fn labels_say_where_a_port_answers_and_whom_the_task_sees() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let (hosts, outside) = (world.all(), world.outside());
    let taken = Background::start(&hosts[1], "busybox nc -ll -p 8082 -e echo mine");
    let create = |label: &str| {
        hosts[0].sh(&format!(
            "{CREATE} --name web -p 8080:80 -p 8081:80 -p 8082:80 -p 7008-7010:78-80 \
             --label pontoon.publish.8080.source=nat --label {label} {SERVER}"
        ))
    };
    let refused = create("pontoon.publish.8081.bind=eth0").stderr;
    let reason =
        "invalid label pontoon.publish.8081.bind=eth0: want an IPv4 address or subnet of the nodes";
    assert!(refused.contains(reason), "{refused}");
    assert_eq!(create("pontoon.publish.8081.bind=198.18.1.0/24").status, 0);
    eventually(20, "1/1".to_string(), || replicas(&hosts[0], "web"));
    for host in &hosts {
        let own = host.addr.to_string();
        let through = |port| ask(&outside, "", &own, port, 3);
        until(10, "the node leads to the task", || {
            through(8080).failed == 0
        });
        let seen = through(8080).clients;
        assert!(seen.iter().all(|c| c.starts_with("10.0.0.")), "{seen:?}");
        // Within a range, and where a process of the host has the port: the mesh comes first, as with Docker.
        for port in [7010, 8082] {
            assert_eq!(through(port).clients, only(outside.addr), "{own}:{port}");
        }
        let bound = through(8081);
        match own.starts_with("198.18.1.") {
            true => assert_eq!(bound.clients, only(outside.addr)),
            false => assert_eq!(bound.failed, 3),
        }
        assert_eq!(ask(host, "", "127.0.0.1", 8081, 1).failed, 1);
        // A container cannot have what is the mesh's.
        let refused = host.sh("docker run -d -p 8080:80 busybox sleep 60").stderr;
        assert!(refused.contains("address already in use"), "{refused}");
    }
    drop(taken);
    world.end();
}

/// Answers with the sender's address, from whichever address the kernel takes.
const UDP_SERVER: &str = "perl -MSocket -e 'socket(S,PF_INET,SOCK_DGRAM,17); bind(S,sockaddr_in(53,INADDR_ANY)); \
    while($from=recv(S,$_,9999,0)) { ($port,$ip)=sockaddr_in($from); send(S,inet_ntoa($ip).\" \".length,0,$from) }'";

#[test]
fn datagrams_are_answered_and_follow_the_tasks() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let (hosts, outside) = (world.all(), world.outside());
    let manager = &hosts[0];
    manager.ok(&format!(
        "{CREATE} --name echo -p published=5353,target=53,protocol=udp --mode global busybox sleep 3600"
    ));
    eventually(20, "3/3".to_string(), || replicas(manager, "echo"));
    let mut servers: Vec<Background> = hosts
        .iter()
        .map(|host| {
            let pid = pid(host, &task_on(host, "echo"));
            let server = Background::start(host, &format!("nsenter -t {pid} -n {UDP_SERVER}"));
            until(10, "it listens", || {
                let bound = format!("nsenter -t {pid} -n grep -q :0035 /proc/net/udp");
                host.sh(&bound).status == 0
            });
            server
        })
        .collect();
    for host in &hosts {
        let own = host.addr.to_string();
        until(10, "the node leads to all tasks", || {
            (0..12).all(|_| !udp(&outside, &own, 1).is_empty())
        });
        // Whole, and in fragments.
        for bytes in [1, 1400, 1480, 4000] {
            for _ in 0..6 {
                let answer = format!("{} {bytes}", outside.addr);
                assert_eq!(udp(&outside, &own, bytes), answer, "through {own}");
            }
        }
        assert!(udp(host, "127.0.0.1", 1).starts_with("10.0.0."));
    }
    // One sender, from one port for all the time: where its task goes, it is answered by another.
    let line = format!(
        "bash -c 'exec 3<>/dev/udp/{}/5353; while sleep 0.1; do echo -n q >&3; \
         timeout 1 dd bs=9999 count=1 <&3 2>/dev/null && echo; done'",
        hosts[2].addr
    );
    let asking: Vec<Background> = (0..6).map(|_| Background::start(&outside, &line)).collect();
    for gone in [0, 1] {
        let name = ["h1", "h2"][gone];
        manager.ok(&format!("docker node update --availability drain {name}"));
        drop(servers.remove(0));
        until(20, "its task is gone", || {
            hosts[gone].ok("docker ps -q").is_empty()
        });
        for asking in &asking {
            let before = asking.output().lines().count();
            until(10, "answers go on", || {
                asking.output().lines().count() > before + 5
            });
        }
    }
    drop((asking, servers));
    world.end();
}

#[test]
fn a_node_has_more_ports_than_it_was_given_files() {
    if is_docker() {
        return;
    }
    // What this process may, its daemons begin with.
    let few = ["--nofile=200:", &format!("--pid={}", std::process::id())].map(str::to_owned);
    let given = std::process::Command::new("prlimit").args(few).status();
    assert!(given.unwrap().success());
    let world = World::swarm(&[1]);
    let [h1] = world.hosts();
    h1.ok(&format!(
        "{CREATE} {HEALTHY} --name web -p 8080:80 $(seq 7000 2 7600 | sed 's/.*/-p &:80/') {SERVER}"
    ));
    eventually(20, "1/1".into(), || replicas(&h1, "web"));
    let own = h1.addr.to_string();
    until(20, "the mesh answers", || {
        ask(&h1, "", &own, 8080, 1).failed == 0
    });
    let pid = h1.daemon_pid().unwrap();
    let sockets = format!("ls -l /proc/{pid}/fd | grep -c socket:");
    let open = h1.ok(&sockets).parse::<u32>().unwrap();
    assert!(open > 300, "{open}");
    // Containers have what the daemon was given.
    let limit = h1.ok("docker exec $(docker ps -q) sh -c 'ulimit -n'");
    assert_eq!(limit, "200");
    world.end();
}

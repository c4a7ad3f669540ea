//! One swarm of Pontoon and of Docker's own daemon (20.10).
//!
//! This kernel has no IPVS: a Docker node answers a service's name with an address behind which nothing is. So what is
//! shown for services are their tasks, by `tasks.<service>` and in endpoint mode dnsrr.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
mod mixed_common;

use std::collections::BTreeSet;

use common::container::{address, address_v6, answers_v6, inspect, resolve_v6, run};
use common::mesh::{SERVER, ask, only};
use common::swarm::CREATE;
use common::told;
use common::{Differences, Shell as _, eventually, init, join, until};
use lab::Host;
use mixed_common::Kind::{Docker, Pontoon};
use mixed_common::{
    Kind, PATIENCE, agree, all_reach_all, container_of, hosts, join_as, places, runs, service,
    swarm, tasks,
};

const MODES: &str =
    "docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}'";

#[test]
fn a_docker_worker_shares_a_pontoon_swarm() {
    one_overlay([Pontoon, Docker]);
}

#[test]
fn a_pontoon_worker_shares_a_docker_swarm() {
    one_overlay([Docker, Pontoon]);
}

#[test]
fn published_ports_lead_to_a_docker_worker() {
    published([Pontoon, Docker]);
}

#[test]
fn published_ports_of_a_docker_manager_lead_everywhere() {
    published([Docker, Pontoon]);
}

/// A port of the mesh, through our node: Docker's needs IPVS to be a way in.
fn published(kinds: [Kind; 2]) {
    let (world, nodes) = swarm(kinds);
    let which = |kind| kinds.iter().position(|k| *k == kind).unwrap();
    let (ours, dockers) = (&nodes[which(Pontoon)], &nodes[which(Docker)]);
    nodes[0].ok(&format!(
        "{CREATE} --name web -p 8080:80 --mode global {SERVER}"
    ));
    runs(&nodes[0], "web", "2/2");
    let (outside, own) = (world.outside(), ours.addr.to_string());
    let through = |at: &str| ask(&outside, "", at, 8080, 20);
    until(PATIENCE, "our node leads to both tasks", || {
        through(&own).servers.len() == 2
    });
    let answers = through(&own);
    assert_eq!((answers.failed, answers.servers.len()), (0, 2));
    // Our task sees the client, Docker's the node.
    let (client, node): (Vec<_>, Vec<_>) = answers
        .clients
        .into_iter()
        .partition(|c| *c == outside.addr.to_string());
    assert_eq!((client.len(), node.len()), (1, 1));
    assert!(node[0].starts_with("10.0.0."), "{node:?}");

    // What Docker's balancer would send our task: from its own address there, to the published port.
    let task = container_of(ours, "web");
    let at = address(ours, &task, "ingress");
    let balancer = dockers.ok(&format!(
        "find {} -name ingress_sbox",
        dockers.dir().display()
    ));
    let enter = format!("nsenter --net={balancer}");
    let answers = ask(dockers, &enter, &at, 8080, 3);
    assert_eq!((answers.failed, answers.servers), (0, only(&task[..12])));
    assert!(answers.clients.iter().all(|c| c.starts_with("10.0.0.")));
    assert_eq!(ask(dockers, &enter, &at, 81, 1).failed, 1, "no other port");
    world.end();
}

/// Docker's node tells of its tasks what our manager has told it.
#[test]
fn a_docker_worker_has_tasks_told_of_clients() {
    let (world, [manager, _]) = swarm([Pontoon, Docker]);
    let options = "--mode global --label pontoon.publish.8080.proxy=v2 --env WANT=v2";
    told::create(&manager, options);
    runs(&manager, "web", "2/2");
    let (outside, own) = (world.outside(), manager.addr.to_string());
    let mut servers = BTreeSet::new();
    until(PATIENCE, "our node leads to both tasks", || {
        let told = told::ask(&outside, "", &own, 8080);
        servers.extend(told.map(|told| told.server));
        servers.len() == 2
    });
    for _ in 0..20 {
        let told = told::ask(&outside, "", &own, 8080).unwrap();
        let expected = (outside.addr.to_string(), format!("{own}:8080"));
        assert_eq!((told.version.as_str(), told.client()), ("v2", expected));
    }
    world.end();
}

/// Docker's node takes part by IPv4 and is not disturbed by what we add for IPv6.
#[test]
fn ipv6_reaches_our_nodes_beside_a_docker_worker() {
    let (world, nodes) = swarm([Pontoon, Docker, Pontoon]);
    nodes[0].ok(
        "docker network create -d overlay --attachable --ipv6 --subnet 10.66.0.0/24 --subnet fd66::/64 six",
    );
    let options = "--network six --mode global --endpoint-mode dnsrr";
    service(&nodes[0], "rr", options, "sleep 1d");
    service(&nodes[0], "vip", "--network six --mode global", "sleep 1d");
    for (i, node) in nodes.iter().enumerate() {
        run(node, &format!("c{i}"), "--network six");
    }
    runs(&nodes[0], "rr", "3/3");
    runs(&nodes[0], "vip", "3/3");
    all_reach_all(&nodes, "six", &["rr", "vip"]);
    agree(&nodes, "six");
    for (from, to) in [(0, 2), (2, 0)] {
        let (name, own) = (format!("c{to}"), format!("c{from}"));
        let there = address_v6(&nodes[to], &name, "six");
        assert!(
            answers_v6(&nodes[from], &own, &there, 56),
            "{own} to {there}"
        );
        assert!(answers_v6(&nodes[from], &own, &name, 56), "{own} to {name}");
        assert_eq!(resolve_v6(&nodes[from], &own, "tasks.rr").len(), 2);
        assert_eq!(resolve_v6(&nodes[from], &own, "vip").len(), 1);
    }
    world.end();
}

/// Networks that Docker's engine cannot make are on our nodes only, and it is as it was.
#[test]
fn a_network_without_ipv4_keeps_off_a_docker_worker() {
    let (world, nodes) = swarm([Pontoon, Docker, Pontoon]);
    let [manager, dockers, ours] = &nodes;
    let create = "docker network create -d overlay --attachable";
    manager.ok(&format!("{create} net && {create} --ipv6 --ipv4=false six"));
    manager.ok(&format!(
        "{create} --ipv6 --subnet 10.66.0.0/24 --subnet 10.67.0.0/24 many"
    ));
    service(manager, "usual", "--network net --mode global", "sleep 1d");
    service(manager, "four", "--network six --replicas 4", "sleep 1d");
    service(manager, "all", "--network many --mode global", "sleep 1d");
    runs(manager, "usual", "3/3");
    runs(manager, "four", "4/4");
    runs(manager, "all", "2/3");
    assert_eq!(
        tasks(manager, "four"),
        ["h1 Running", "h1 Running", "h3 Running", "h3 Running"]
    );
    let waits = manager.ok("docker service ps --no-trunc --format '{{.Node}}{{.Error}}' all");
    let why = "network that Docker's engine cannot make on 1 node";
    assert!(waits.contains(why), "{waits}");
    // Nor does a container get there.
    for network in ["six", "many"] {
        let refused = dockers.sh(&format!("docker run --rm --network {network} busybox true"));
        let why = format!("network {network} is of a kind that Docker's engine cannot make");
        assert!(refused.stderr.contains(&why), "{}", refused.stderr);
    }
    run(manager, "c1", "--network six");
    run(ours, "c3", "--network six");
    for (from, own, name) in [(manager, "c1", "c3"), (ours, "c3", "c1")] {
        until(PATIENCE, "our nodes reach each other", || {
            answers_v6(from, own, name, 56)
        });
        eventually(PATIENCE, 4, || resolve_v6(from, own, "tasks.four").len());
    }
    all_reach_all(&nodes, "net", &["usual"]);
    agree(&nodes, "net");
    // A mesh without IPv4 is our nodes' as well.
    until(PATIENCE, "the network is removed", || {
        manager.sh("echo y | docker network rm ingress").status == 0
    });
    manager.ok("docker network create -d overlay --ingress --ipv6 --ipv4=false mesh");
    service(manager, "web", "-p 8080:80 --replicas 4", "sleep 1d");
    runs(manager, "web", "4/4");
    assert!(
        tasks(manager, "web")
            .iter()
            .all(|task| !task.contains("h2"))
    );
    let containers = dockers.ok("docker network ls --format '{{.Name}}'");
    assert!(!containers.contains("mesh"), "{containers}");
    service(manager, "last", "--network net --mode global", "sleep 1d");
    runs(manager, "last", "3/3");
    all_reach_all(&nodes, "net", &["usual", "last"]);
    world.end();
}

fn one_overlay(kinds: [Kind; 2]) {
    let (world, nodes) = swarm(kinds);
    let [manager, worker] = &nodes;
    eventually(
        PATIENCE,
        "h1 Ready Active Leader\nh2 Ready Active".to_owned(),
        || {
            manager
                .ok(&format!("{MODES} | sort"))
                .trim_end()
                .lines()
                .map(str::trim_end)
                .collect::<Vec<_>>()
                .join("\n")
        },
    );
    let node = manager.json("docker node inspect -f '{{json .}}' h2");
    let mut rows = Differences::default();
    for (field, expected) in [
        ("/Spec/Role", "worker"),
        ("/Description/Platform/OS", "linux"),
        ("/Description/Platform/Architecture", "x86_64"),
        (
            "/Description/Engine/EngineVersion",
            &worker.ok("docker version -f '{{.Server.Version}}'"),
        ),
        ("/Status/Addr", &worker.addr.to_string()),
    ] {
        rows.compare(
            field,
            expected,
            node.pointer(field)
                .and_then(|v| v.as_str())
                .unwrap_or_default(),
        );
    }
    rows.assert_none();
    assert!(
        node["Description"]["Resources"]["MemoryBytes"]
            .as_u64()
            .unwrap()
            > 1 << 20
    );
    let plugins = node["Description"]["Engine"]["Plugins"].as_array().unwrap();
    let overlay =
        |plugin: &&serde_json::Value| plugin["Type"] == "Network" && plugin["Name"] == "overlay";
    assert!(plugins.iter().any(|plugin| overlay(&plugin)), "{plugins:?}");

    manager.ok("docker network create -d overlay --attachable net");
    service(manager, "vip", "--network net --replicas 4", "sleep 1d");
    service(
        manager,
        "rr",
        "--network net --mode global --endpoint-mode dnsrr",
        "sleep 1d",
    );
    run(manager, "c1", "--network net");
    run(worker, "c2", "--network net");
    runs(manager, "vip", "4/4");
    runs(manager, "rr", "2/2");
    assert_eq!(tasks(manager, "rr"), ["h1 Running", "h2 Running"]);
    assert_eq!(
        tasks(manager, "vip"),
        ["h1 Running", "h1 Running", "h2 Running", "h2 Running"]
    );
    assert_eq!(places(&nodes, "net").len(), 8);
    all_reach_all(&nodes, "net", &["vip", "rr"]);
    agree(&nodes, "net");
    // The same answer everywhere, whoever asks.
    for (host, container) in [(manager, "c1"), (worker, "c2")] {
        let rr = common::container::resolve(host, container, "rr");
        assert_eq!(
            rr,
            common::container::resolve(host, container, "tasks.rr"),
            "{}",
            host.name
        );
    }
    let full = "docker exec c1 ping -c1 -W1 -s 1400 c2";
    manager.ok(full);

    // Away and back: nothing of the swarm is left on the worker, and nothing of the worker in the network.
    worker.ok("docker rm -f c2");
    worker.ok("docker swarm leave");
    assert_eq!(
        worker.ok("docker info -f '{{.Swarm.LocalNodeState}}'"),
        "inactive"
    );
    eventually(PATIENCE, String::new(), || worker.ok("docker ps -q"));
    assert_eq!(worker.ok("docker network ls -q -f driver=overlay"), "");
    manager.ok("docker node rm --force h2");
    runs(manager, "vip", "4/4");
    assert_eq!(tasks(manager, "vip"), ["h1 Running"; 4]);
    all_reach_all(&nodes[..1], "net", &["vip", "rr"]);
    agree(&nodes[..1], "net");
    join(worker, manager);
    runs(manager, "rr", "2/2");
    all_reach_all(&nodes, "net", &["vip", "rr"]);
    world.end();
}

#[test]
fn a_docker_worker_does_what_a_pontoon_manager_says() {
    orders([Pontoon, Docker]);
}

#[test]
fn a_pontoon_worker_does_what_a_docker_manager_says() {
    orders([Docker, Pontoon]);
}

fn orders(kinds: [Kind; 2]) {
    let (world, [manager, worker]) = swarm(kinds);
    let (manager, worker) = (&manager, &worker);
    manager.ok("docker node update --label-add zone=b h2");
    manager.ok("echo secret | docker secret create s -; echo config | docker config create k -");
    let there = "--constraint node.labels.zone==b";
    service(
        manager,
        "files",
        &format!(
            "{there} --secret source=s,target=renamed,mode=0400 --config source=k,target=/etc/k --hostname '{{{{.Node.Hostname}}}}-x' \
             --env SLOT={{{{.Task.Slot}}}} --health-cmd 'test -f /tmp/ok' --health-interval 1s --health-retries 20"
        ),
        "sh -c 'echo begins; echo wrong >&2; sleep 2; touch /tmp/ok; exec sleep 1d'",
    );
    service(
        manager,
        "web",
        &format!("{there} --publish mode=host,target=80,published=8080"),
        "sh -c 'echo hello >/tmp/index.html; exec httpd -f -h /tmp'",
    );
    service(
        manager,
        "exits",
        &format!("{there} --restart-condition none"),
        "sh -c 'exit 3'",
    );
    service(manager, "many", "--replicas 3", "sleep 1d");
    for (name, replicas) in [("files", "1/1"), ("web", "1/1"), ("many", "3/3")] {
        runs(manager, name, replicas);
    }
    assert_eq!(tasks(manager, "files"), ["h2 Running"]);

    let files = container_of(worker, "files");
    assert_eq!(
        inspect(worker, &files, "{{.State.Health.Status}}"),
        "healthy"
    );
    let exec = |command: &str| worker.ok(&format!("docker exec {files} {command}"));
    assert_eq!(exec("cat /run/secrets/renamed /etc/k"), "secret\nconfig");
    assert_eq!(exec("stat -c %a /run/secrets/renamed"), "400");
    assert_eq!(exec("sh -c 'echo $SLOT; hostname'"), "1\nh2-x");

    assert_eq!(
        manager.ok(&format!("curl -s -m 3 http://{}:8080/", worker.addr)),
        "hello"
    );
    let status = |name: &str| {
        let id = manager.ok(&format!("docker service ps -q {name}"));
        manager.json(&format!(
            "docker inspect --type task -f '{{{{json .Status}}}}' {id}"
        ))
    };
    let port = status("web")["PortStatus"]["Ports"][0].clone();
    assert_eq!(
        (port["PublishedPort"].as_u64(), port["PublishMode"].as_str()),
        (Some(8080), Some("host"))
    );
    eventually(PATIENCE, Some("failed".to_owned()), || {
        status("exits")["State"].as_str().map(str::to_owned)
    });
    let exited = status("exits");
    assert_eq!(exited["ContainerStatus"]["ExitCode"], 3);
    assert_eq!(exited["Err"], "task: non-zero exit (3)");

    // The worker's lines come through the manager.
    let logs = |options: &str| {
        let output = manager.sh(&format!(
            "timeout 10 docker service logs --raw {options} files"
        ));
        assert_eq!(output.status, 0, "{}", output.stderr);
        (output.stdout, output.stderr)
    };
    assert_eq!(logs(""), ("begins\n".to_owned(), "wrong\n".to_owned()));
    assert_eq!(logs("--tail 0"), (String::new(), String::new()));
    let named = manager.ok("timeout 10 docker service logs -t files 2>/dev/null");
    assert!(
        named.contains("files.1.") && named.contains("@h2    | begins"),
        "{named}"
    );
    let task = manager.ok("docker service ps -q files");
    assert!(
        manager
            .ok(&format!(
                "timeout 10 docker service logs {task} 2>/dev/null"
            ))
            .ends_with("| begins")
    );

    manager.ok("docker service scale -d many=6");
    runs(manager, "many", "6/6");
    assert_eq!(
        tasks(manager, "many"),
        [["h1 Running"; 3], ["h2 Running"; 3]].concat()
    );
    manager.ok("docker service update -d --env-add NEW=1 --update-parallelism 0 many");
    let new = "docker ps -q -f label=com.docker.swarm.service.name=many | xargs -n1 docker inspect -f '{{.Config.Env}}' | grep -c NEW=1";
    eventually(PATIENCE, "3".to_owned(), || {
        worker.sh(new).stdout.trim().to_owned()
    });
    manager.ok("docker service rollback -d many");
    eventually(PATIENCE, "0".to_owned(), || {
        worker.sh(new).stdout.trim().to_owned()
    });
    manager.ok("docker node update --availability drain h2");
    eventually(
        PATIENCE,
        ["h1 Running"; 6].map(str::to_owned).to_vec(),
        || tasks(manager, "many"),
    );
    eventually(PATIENCE, String::new(), || worker.ok("docker ps -q"));
    let free = format!("curl -s -m 3 http://{}:8080/", worker.addr);
    assert_ne!(manager.sh(&free).status, 0);
    manager.ok("docker node update --availability active h2");
    runs(manager, "files", "1/1");
    runs(manager, "web", "1/1");
    manager.ok("docker node ps h2");
    manager.ok("docker service rm files web exits many");
    eventually(PATIENCE, String::new(), || worker.ok("docker ps -aq"));
    world.end();
}

#[test]
fn either_daemon_dies_and_returns() {
    let (world, nodes) = swarm([Pontoon, Docker]);
    crash_and_return(&nodes, [Pontoon, Docker]);
    world.end();
}

#[test]
fn either_daemon_dies_and_returns_in_a_docker_swarm() {
    let (world, nodes) = swarm([Docker, Pontoon]);
    crash_and_return(&nodes, [Docker, Pontoon]);
    world.end();
}

fn crash_and_return(nodes: &[Host; 2], kinds: [Kind; 2]) {
    let manager = &nodes[0];
    manager.ok("docker network create -d overlay --attachable net");
    service(
        manager,
        "rr",
        "--network net --mode global --endpoint-mode dnsrr",
        "sleep 1d",
    );
    for host in nodes {
        run(host, &format!("c-{}", host.name), "--network net");
    }
    runs(manager, "rr", "2/2");
    all_reach_all(nodes, "net", &["rr"]);
    for (host, kind) in nodes.iter().zip(kinds) {
        let own = format!("c-{}", host.name);
        let before = inspect(host, &own, "{{.State.Pid}}");
        host.kill_daemon().unwrap();
        host.restart_daemon().unwrap();
        match kind {
            // In a swarm Docker's containers end with their daemon, and nobody starts this one again.
            // It needs a manager for that, and an election takes a while.
            Docker => drop(until(PATIENCE, "it starts again", || {
                host.sh(&format!("docker start {own}")).status == 0
            })),
            Pontoon => assert_eq!(inspect(host, &own, "{{.State.Pid}}"), before),
        }
        runs(manager, "rr", "2/2");
        all_reach_all(nodes, "net", &["rr"]);
        agree(nodes, "net");
    }
}

#[test]
fn an_address_that_moves_never_reaches_its_old_place() {
    let (world, nodes) = swarm([Pontoon, Docker]);
    let [h1, h2] = &nodes;
    h1.ok("docker network create -d overlay --attachable --subnet 10.99.8.0/24 net");
    run(h1, "on1", "--network net");
    run(h2, "on2", "--network net");
    all_reach_all(&nodes, "net", &[]);
    for (from, to, watcher) in [(h1, h2, "on1"), (h2, h1, "on2"), (h1, h2, "on1")] {
        let moved = format!("--network net --ip 10.99.8.77 --hostname at-{}", from.name);
        run(from, "moved", &moved);
        all_reach_all(&nodes, "net", &[]);
        from.ok("docker rm -f moved");
        let moved = format!("--network net --ip 10.99.8.77 --hostname at-{}", to.name);
        run(to, "moved", &moved);
        assert_eq!(address(to, "moved", "net"), "10.99.8.77");
        until(PATIENCE, "the new place answers", || {
            common::container::pings(from, watcher, "10.99.8.77")
        });
        all_reach_all(&nodes, "net", &[]);
        to.ok("docker rm -f moved");
        until(PATIENCE, "nothing answers", || {
            !common::container::pings(from, watcher, "10.99.8.77")
        });
    }
    world.end();
}

#[test]
fn a_network_has_its_mtu_its_subnets_and_the_swarms_data_path() {
    for kinds in [[Pontoon, Docker], [Docker, Pontoon]] {
        let (world, nodes) = hosts(kinds);
        let [manager, worker] = &nodes;
        // An address of its own for the tunnels.
        let tunnel = |host: &Host| host.addr.to_string().replace("198.18.1.", "198.18.1.1");
        for host in &nodes {
            host.ok(&format!("ip addr add {}/24 dev eth0", tunnel(host)));
        }
        manager.ok(&format!(
            "docker swarm init --advertise-addr {0} --listen-addr {0}:2377 --data-path-addr {1} --data-path-port 7789 \
             --default-addr-pool 10.77.0.0/16",
            manager.addr,
            tunnel(manager)
        ));
        let token = manager.ok("docker swarm join-token -q worker");
        worker.ok(&format!(
            "docker swarm join --advertise-addr={0} --listen-addr={0}:2377 --data-path-addr={1} --token {token} {2}:2377",
            worker.addr,
            tunnel(worker),
            manager.addr
        ));
        manager.ok(
            "docker network create -d overlay --attachable --opt com.docker.network.driver.mtu=1300 \
             --subnet 10.98.1.0/24 --subnet 10.98.2.0/24 net",
        );
        for (host, name, address) in [
            (manager, "a1", "10.98.1.10"),
            (worker, "b1", "10.98.1.11"),
            (manager, "a2", "10.98.2.10"),
            (worker, "b2", "10.98.2.11"),
        ] {
            run(host, name, &format!("--network net --ip {address}"));
            assert_eq!(
                host.ok(&format!("docker exec {name} cat /sys/class/net/eth0/mtu")),
                "1250"
            );
        }
        for (host, _) in nodes.iter().zip(kinds).filter(|(_, kind)| *kind == Docker) {
            route_between_subnets(host, "net");
        }
        all_reach_all(&nodes, "net", &[]);
        let ports = |host: &Host| host.ok("ss -Hlun | awk '{print $4}' | sed 's/.*://'");
        for host in &nodes {
            assert!(
                ports(host).lines().any(|port| port == "7789"),
                "{}",
                host.name
            );
        }
        for (host, other) in [(manager, worker), (worker, manager)] {
            let rows = format!(
                "for n in {}/exec/netns/*; do nsenter --net=$n bridge fdb show; done | grep -o 'dst [0-9.]*' | sort -u",
                host.dir().display()
            );
            assert_eq!(
                host.ok(&rows),
                format!("dst {}", tunnel(other)),
                "{}",
                host.name
            );
        }
        manager.ok("docker network create -d overlay --attachable pooled");
        run(worker, "pooled", "--network pooled");
        assert!(address(worker, "pooled", "pooled").starts_with("10.77."));
        world.end();
    }
}

/// Docker's network namespaces forward only when the machine's first namespace did when they were made, and a lab does
/// not touch that one.
fn route_between_subnets(host: &Host, network: &str) {
    let id = host.ok(&format!(
        "docker network inspect -f '{{{{.Id}}}}' {network}"
    ));
    let netns = host.dir().join("exec/netns");
    host.ok(&format!(
        "nsenter --net=$(ls -d {}/*-{}) sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'",
        netns.display(),
        &id[..10]
    ));
}

#[test]
fn a_node_that_dies_is_forgotten() {
    let (world, nodes) = swarm([Pontoon, Docker, Pontoon]);
    let [h1, h2, h3] = &nodes;
    h1.ok("docker network create -d overlay --attachable net");
    service(
        h1,
        "rr",
        "--network net --mode global --endpoint-mode dnsrr",
        "sleep 1d",
    );
    for host in &nodes {
        run(host, &format!("c-{}", host.name), "--network net");
    }
    runs(h1, "rr", "3/3");
    all_reach_all(&nodes, "net", &["rr"]);
    h3.power_off().unwrap();
    all_reach_all(&nodes[..2], "net", &["rr"]);
    for host in [h1, h2] {
        let own = format!("c-{}", host.name);
        until(PATIENCE, "its name is gone", || {
            common::container::resolve(host, &own, "c-h3").is_empty()
        });
    }
    agree(&nodes[..2], "net");
    eventually(PATIENCE, "Down".to_owned(), || {
        h1.ok("docker node ls -f name=h3 --format '{{.Status}}'")
    });
    h1.ok("docker node rm h3");
    world.end();
}

#[test]
fn a_pontoon_node_is_no_manager_of_a_docker_swarm() {
    let (world, [docker, pontoon]) = hosts([Docker, Pontoon]);
    init(&docker);
    let refused = join_as("manager", &pontoon, &docker);
    assert_ne!(refused.status, 0);
    assert!(
        refused.stderr.contains("join with the worker token"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        pontoon.ok("docker info -f '{{.Swarm.LocalNodeState}}'"),
        "inactive"
    );
    assert_eq!(docker.ok("docker node ls --format '{{.Hostname}}'"), "h1");
    assert_eq!(
        docker.ok("docker info -f '{{.Swarm.Managers}} {{.Swarm.Nodes}}'"),
        "1 1"
    );

    join(&pontoon, &docker);
    service(&docker, "s", "--replicas 2", "sleep 1d");
    runs(&docker, "s", "2/2");
    docker.ok("docker node promote h2");
    let error = || pontoon.ok("docker info -f '{{.Swarm.Error}}'");
    until(PATIENCE, "the node says why not", || {
        error().contains("cannot become a manager")
    });
    assert_eq!(tasks(&docker, "s"), ["h1 Running", "h2 Running"]);
    assert_eq!(docker.ok("docker info -f '{{.Swarm.Managers}}'"), "1");
    // The way round: out, and in again as a worker.
    pontoon.ok("docker swarm leave");
    docker.ok("docker node rm --force h2");
    join(&pontoon, &docker);
    docker.ok("docker service scale -d s=4");
    runs(&docker, "s", "4/4");
    assert!(error().is_empty());
    world.end();
}

#[test]
fn a_docker_node_is_no_second_manager_of_a_pontoon_swarm() {
    let (world, [pontoon, docker]) = swarm([Pontoon, Docker]);
    let promoted = pontoon.sh("docker node promote h2");
    assert_ne!(promoted.status, 0);
    assert!(
        promoted.stderr.contains("nodes cannot be promoted"),
        "{}",
        promoted.stderr
    );
    docker.ok("docker swarm leave");
    let refused = join_as("manager", &docker, &pontoon);
    assert_ne!(refused.status, 0);
    assert!(
        refused.stderr.contains("join with the worker token"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        docker.ok("docker info -f '{{.Swarm.LocalNodeState}}'"),
        "inactive"
    );
    assert_eq!(pontoon.ok("docker info -f '{{.Swarm.Managers}}'"), "1");
    assert_eq!(
        pontoon.ok("docker node ls -f role=manager --format '{{.Hostname}}'"),
        "h1"
    );
    join(&docker, &pontoon);
    world.end();
}

#[test]
fn workers_of_both_kinds_follow_a_pontoon_manager_to_a_new_root() {
    let (world, nodes) = swarm([Pontoon, Docker, Pontoon]);
    let [manager, docker, pontoon] = &nodes;
    service(manager, "s", "--mode global", "sleep 1d");
    runs(manager, "s", "3/3");
    let old = manager.ok("docker swarm ca");
    let token = manager.ok("docker swarm join-token -q worker");
    manager.ok("timeout 35 docker swarm ca --rotate --quiet");
    let new = manager.ok("docker swarm ca");
    assert_ne!(new, old);
    assert_ne!(manager.ok("docker swarm join-token -q worker"), token);
    for host in &nodes {
        let root = host.dir().join("data/swarm/certificates/swarm-root-ca.crt");
        eventually(PATIENCE, new.clone(), || {
            std::fs::read_to_string(&root).unwrap().trim().to_owned()
        });
    }
    let states = "docker node ls --format '{{.Hostname}} {{.Status}} {{.TLSStatus}}' | sort";
    eventually(
        PATIENCE,
        "h1 Ready Ready\nh2 Ready Ready\nh3 Ready Ready".to_owned(),
        || manager.ok(states),
    );
    // What is built on it later works: renewed connections, a node that joins.
    docker.restart_daemon().unwrap();
    let left = pontoon.ok("docker info -f '{{.Swarm.NodeID}}'");
    pontoon.ok("docker swarm leave");
    manager.ok(&format!("docker node rm --force {left}"));
    join(pontoon, manager);
    service(manager, "t", "--mode global", "sleep 1d");
    runs(manager, "t", "3/3");
    world.end();
}

#[test]
fn a_cut_heals() {
    let (mut world, nodes) = swarm([Docker, Pontoon, Pontoon, Docker]);
    let [h1, h2, ..] = &nodes;
    h1.ok("docker network create -d overlay --attachable net");
    for host in &nodes {
        run(host, &format!("c-{}", host.name), "--network net");
        run(host, &format!("goes-{}", host.name), "--network net");
    }
    all_reach_all(&nodes, "net", &[]);
    world.lab().partition(&["h3", "h4"]).unwrap();
    // Both sides change while they do not hear of each other.
    for host in &nodes {
        host.ok(&format!("docker rm -f goes-{}", host.name));
    }
    run(h2, "new", "--network net");
    for (host, lost) in [(h1, "c-h3"), (h2, "c-h4")] {
        let own = format!("c-{}", host.name);
        until(PATIENCE, "the other side is gone", || {
            common::container::resolve(host, &own, lost).is_empty()
        });
    }
    world.lab().heal().unwrap();
    all_reach_all(&nodes, "net", &[]);
    agree(&nodes, "net");
    world.end();
}

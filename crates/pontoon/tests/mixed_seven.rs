//! One swarm of three Docker managers, two Pontoon and two Docker workers, and everything that can befall it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
mod mixed_common;

use common::container::{inspect, resolve, run};
use common::{Shell as _, eventually, init, join, until};
use lab::Host;
use mixed_common::Kind::{Docker, Pontoon};
use mixed_common::{
    Kind, PATIENCE, agree, all_reach_all, container_of, hosts, join_as, runs, service,
};

const KINDS: [Kind; 7] = [Docker, Docker, Docker, Pontoon, Pontoon, Docker, Docker];

/// On every node: all containers, standalone and of services, reach each other, and all names are right.
fn check(nodes: &[Host], services: &[&str]) {
    all_reach_all(nodes, "net", services);
    agree(nodes, "net");
}

fn own(host: &Host) -> String {
    format!("c-{}", host.name)
}

/// One side of a cut forgets the other. Whoever gets no answer from most probes ever more slowly (memberlist's awareness, of both
/// kinds of engine: eight seconds for each of six), and waits long before it believes it (24 s, with nobody to confirm).
fn forgets(side: &[Host], other: &[Host]) {
    for (host, lost) in side
        .iter()
        .flat_map(|host| other.iter().map(move |lost| (host, lost)))
    {
        until(3 * PATIENCE, "the other side is gone", || {
            resolve(host, &own(host), &own(lost)).is_empty()
        });
    }
}

/// In a swarm Docker's containers end with their daemon, and nobody starts a standalone one again; a start needs a manager.
/// Pontoon's go on.
fn back(host: &Host, kind: Kind, pid: &str) {
    match kind {
        Docker => drop(until(PATIENCE, "it starts again", || {
            host.sh(&format!("docker start {}", own(host))).status == 0
        })),
        Pontoon => assert_eq!(inspect(host, &own(host), "{{.State.Pid}}"), pid),
    }
}

#[test]
fn three_docker_managers_and_four_workers_of_both_kinds_outlive_it_all() {
    let (mut world, nodes) = hosts(KINDS);
    let [h1, h2, h3, h4, h5, h6, h7] = &nodes;
    init(h1);
    for manager in [h2, h3] {
        let joined = join_as("manager", manager, h1);
        assert_eq!(joined.status, 0, "{}", joined.stderr);
    }
    for worker in [h4, h5, h6, h7] {
        join(worker, h1);
    }
    h1.ok("docker network create -d overlay --attachable net");
    service(
        h1,
        "rr",
        "--network net --mode global --endpoint-mode dnsrr",
        "sleep 1d",
    );
    for host in &nodes {
        run(host, &own(host), "--network net");
    }
    runs(h1, "rr", "7/7");
    check(&nodes, &["rr"]);
    let managers = "docker info -f '{{range .Swarm.RemoteManagers}}{{.Addr}} {{end}}'";
    for worker in [h4, h5] {
        eventually(PATIENCE, 3, || {
            worker.ok(managers).split_whitespace().count()
        });
    }

    // A worker of each kind is cut off from the rest, and both sides change.
    world.lab().partition(&["h4", "h6"]).unwrap();
    let here: Vec<Host> = [h1, h2, h3, h5, h7].map(Clone::clone).into();
    let there: Vec<Host> = [h4, h6].map(Clone::clone).into();
    forgets(&here, &there);
    run(h5, "new", "--network net");
    all_reach_all(&here, "net", &["rr"]);
    forgets(&there, &here);
    all_reach_all(&there, "net", &["rr"]);
    world.lab().heal().unwrap();
    runs(h1, "rr", "7/7");
    check(&nodes, &["rr"]);

    // kill -9 of either kind at once, then a restart in good order of either kind.
    for (hosts, kill) in [
        ([(h5, Pontoon), (h7, Docker)], true),
        ([(h4, Pontoon), (h6, Docker)], false),
    ] {
        let pids = hosts.map(|(host, _)| inspect(host, &own(host), "{{.State.Pid}}"));
        for (host, _) in hosts {
            match kill {
                true => host.kill_daemon().unwrap(),
                false => host.stop_daemon().unwrap(),
            }
        }
        for ((host, kind), pid) in hosts.into_iter().zip(&pids) {
            host.restart_daemon().unwrap();
            back(host, kind, pid);
        }
        runs(h1, "rr", "7/7");
        check(&nodes, &["rr"]);
    }

    // The leader's host loses its power.
    let task = container_of(h4, "rr");
    h1.power_off().unwrap();
    for node in ["h4", "h5"] {
        let ready = format!("docker node ls -f name={node} --format '{{{{.Status}}}}'");
        // An election takes up to twenty seconds.
        eventually(2 * PATIENCE, "Ready".to_owned(), || {
            h2.sh(&ready).stdout.trim().to_owned()
        });
    }
    assert_eq!(container_of(h4, "rr"), task, "the task has not noticed");
    service(
        h2,
        "late",
        "--constraint node.hostname==h4 --network net --endpoint-mode dnsrr --replicas 2",
        "sleep 1d",
    );
    runs(h2, "late", "2/2");
    check(&nodes[1..], &["rr", "late"]);
    h1.restart_daemon().unwrap();
    back(h1, Docker, "");
    runs(h2, "rr", "7/7");
    check(&nodes, &["rr", "late"]);

    // A new root: the Pontoon nodes follow, and go on working under it.
    let root = |host: &Host| {
        std::fs::read(host.dir().join("data/swarm/certificates/swarm-root-ca.crt")).unwrap()
    };
    let old = root(h4);
    h2.ok("timeout 35 docker swarm ca --rotate --quiet");
    for worker in [h4, h5] {
        assert_ne!(root(worker), old);
        assert_eq!(root(worker), root(h2));
        let status = format!(
            "docker node ls -f name={} --format '{{{{.Status}}}} {{{{.TLSStatus}}}}'",
            worker.name
        );
        eventually(PATIENCE, "Ready Ready".to_owned(), || h2.ok(&status));
    }
    h2.ok("docker service scale -d late=3");
    runs(h2, "late", "3/3");
    check(&nodes, &["rr", "late"]);
    world.end();
}

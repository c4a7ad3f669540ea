//! The daemon is killed in the middle of what it does, and hundreds of containers come and go at once: nothing is half
//! there afterwards, nothing leaks, no address is given twice.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::background::Background;
use common::{Shell as _, World, eventually, footprint, is_docker};
use lab::Host;
use serde_json::Value;

/// What is killed: lines that lead up to it, and the line itself.
struct Change {
    before: &'static str,
    line: &'static str,
}

const CHANGES: &[Change] = &[
    Change {
        before: "true",
        line: "docker network create --subnet 10.66.0.0/24 n1",
    },
    Change {
        before: "docker network create n1",
        line: "docker network rm n1",
    },
    Change {
        before: "docker network create n1",
        line: "docker run -d --name c1 --network n1 -p 8080:80 -p 8081:81/udp --stop-timeout 0 busybox sleep 3600",
    },
    Change {
        before: "docker network create n1; docker network create n2; docker run -d --name c1 --network n1 busybox sleep 3600",
        line: "docker network connect n2 c1",
    },
    Change {
        before: "docker network create n1; docker run -d --name c1 -p 8080:80 --network n1 busybox sleep 3600",
        line: "docker network disconnect n1 c1",
    },
    Change {
        before: "docker network create n1; docker run -d --name c1 -p 8080:80 --network n1 busybox sleep 3600",
        line: "docker rm -f c1",
    },
];

/// Kills for each change, spread over the time that it takes.
const KILLS: u32 = 4;

fn clear(host: &Host) {
    host.ok("docker ps -aq | xargs -r docker rm -f >/dev/null; docker network prune -f >/dev/null");
}

/// The kernel, the networks and the containers tell the same.
fn assert_consistent(host: &Host, what: &str) {
    let pontoon = env!("CARGO_BIN_EXE_pontoon");
    let drift = host.sh(&format!("{pontoon} drift"));
    assert_eq!(drift.status, 0, "{what}: {}{}", drift.stdout, drift.stderr);
    let lines = |line: &str| -> BTreeSet<String> {
        host.ok(line)
            .lines()
            .map(|l| l.trim().to_string())
            .collect()
    };
    let networks = host.json("docker network inspect $(docker network ls -q -f driver=bridge)");
    let mut connected = BTreeSet::new();
    for network in networks.as_array().unwrap() {
        for container in network["Containers"].as_object().unwrap().keys() {
            connected.insert(format!("{container} {}", network["Name"].as_str().unwrap()));
        }
    }
    let template =
        "{{$id := .Id}}{{range $n, $_ := .NetworkSettings.Networks}}{{$id}} {{$n}}\n{{end}}";
    let running = lines("docker ps -q --no-trunc");
    let mut told = match running.is_empty() {
        true => BTreeSet::new(),
        false => lines(&format!("docker inspect -f '{template}' $(docker ps -q)")),
    };
    told.remove("");
    assert_eq!(told, connected, "{what}: containers and networks");
    let veths = lines("ip -o link show type veth | cut -d: -f2 | grep veth || true");
    assert_eq!(veths.len(), connected.len(), "{what}: {veths:?}");
    let bridges = lines("ip -o link show type bridge | cut -d: -f2");
    assert_eq!(
        bridges.len(),
        networks.as_array().unwrap().len(),
        "{what}: {bridges:?}"
    );
    let spaces = lines(&format!("ls {}", host.dir().join("exec/netns").display()));
    assert_eq!(spaces.len(), running.len(), "{what}: {spaces:?}");
}

#[test]
fn killed_in_the_middle_of_a_change() {
    if is_docker() {
        // What it had not finished 20.10 leaves behind.
        return;
    }
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let empty = footprint(&h1);
    for Change { before, line } in CHANGES {
        h1.ok(&format!("({before}) >/dev/null"));
        let began = Instant::now();
        h1.ok(line);
        let took = began.elapsed();
        clear(&h1);
        for kill in 1..=KILLS {
            h1.ok(&format!("({before}) >/dev/null"));
            let change = Background::start(&h1, line);
            std::thread::sleep(took * kill / (KILLS + 1));
            h1.kill_daemon().unwrap();
            drop(change);
            h1.restart_daemon().unwrap();
            assert_consistent(
                &h1,
                &format!("{line}, killed after {:?}", took * kill / (KILLS + 1)),
            );
            clear(&h1);
            eventually(3, empty.clone(), || footprint(&h1));
        }
    }
    world.end();
}

/// One request; its status and its answer.
fn request(host: &Host, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let length = body.len();
    let head = format!(
        "{method} /v1.41{path} HTTP/1.0\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (
        status,
        serde_json::from_str(body.trim()).unwrap_or_default(),
    )
}

const CONTAINERS: usize = 200;
const AT_ONCE: usize = 20;

/// Does it with every number below `CONTAINERS`, many at once.
fn all_at_once(host: &Host, work: impl Fn(&Host, usize) + Sync) {
    let next = Mutex::new(0..CONTAINERS);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(number) = next.lock().unwrap().next() else {
                        return;
                    };
                    work(host, number);
                }
            });
        }
    });
}

#[test]
fn two_hundred_containers_at_once() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker network create --subnet 10.77.0.0/16 many");
    let before = footprint(&h1);
    let body = r#"{"Image":"busybox","Cmd":["sleep","3600"],"StopTimeout":0,"HostConfig":{"NetworkMode":"many"}}"#;
    let start = |host: &Host, number: usize| {
        let (status, made) = request(
            host,
            "POST",
            &format!("/containers/create?name=m{number}"),
            body,
        );
        assert_eq!(status, 201, "{made}");
        let (status, answer) = request(host, "POST", &format!("/containers/m{number}/start"), "");
        assert_eq!(status, 204, "{answer}");
    };
    let began = Instant::now();
    all_at_once(&h1, start);
    println!("{CONTAINERS} containers started in {:?}", began.elapsed());
    let (_, network) = request(&h1, "GET", "/networks/many", "");
    let endpoints = network["Containers"].as_object().unwrap();
    let addresses: BTreeSet<&str> = endpoints
        .values()
        .filter_map(|e| e["IPv4Address"].as_str())
        .collect();
    assert_eq!((endpoints.len(), addresses.len()), (CONTAINERS, CONTAINERS));
    assert_eq!(h1.ok("docker ps -q | wc -l"), CONTAINERS.to_string());
    // The first and the last reach each other.
    assert!(common::container::pings(
        &h1,
        "m0",
        &format!("m{}", CONTAINERS - 1)
    ));

    // Half of them go while others come.
    let began = Instant::now();
    all_at_once(&h1, |host, number| {
        let (status, answer) = request(
            host,
            "DELETE",
            &format!("/containers/m{number}?force=1"),
            "",
        );
        assert_eq!(status, 204, "{answer}");
        if number % 4 == 0 {
            start(host, number);
            let (status, answer) = request(
                host,
                "DELETE",
                &format!("/containers/m{number}?force=1"),
                "",
            );
            assert_eq!(status, 204, "{answer}");
        }
    });
    println!("{CONTAINERS} containers removed in {:?}", began.elapsed());
    eventually(5, before, || footprint(&h1));
    if !is_docker() {
        let drift = h1.json(&format!(
            "{} drift --format json",
            env!("CARGO_BIN_EXE_pontoon")
        ));
        assert_eq!(
            (&drift["Failed"], &drift["Differences"]),
            (&0.into(), &Value::Array(vec![]))
        );
    }
    // Every address is free again: a new container gets the first.
    h1.ok("docker run -d --name last --network many busybox sleep 3600");
    if !is_docker() {
        assert_eq!(common::container::address(&h1, "last", "many"), "10.77.0.2");
    }
    h1.ok("docker rm -f last && docker network rm many");
    world.end();
}

//! Packets between nodes are not lost for their length. Docker's engine does not look.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::container::{address, address_v6, pid, run};
use common::swarm::{CREATE, replicas};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

/// Headers of an echo request, by family.
const HEADERS: [u32; 2] = [28, 48];
/// Of the tunnel.
const OVERHEAD: u32 = 50;

/// One echo in a packet of that size that must not be fragmented: answered, refused with the reason why, or lost.
fn echo(from: &Host, pid: &str, to: &str, size: u32) -> String {
    let data = size - HEADERS[usize::from(to.contains(':'))];
    let output = from.sh(&format!(
        "nsenter -t {pid} -n ping -c 1 -W 1 -M do -s {data} {to} 2>&1"
    ));
    let said = output.stdout;
    match said.contains(" 0% packet loss") {
        true => "answered".into(),
        false => said
            .split_once("mtu")
            .map(|(_, rest)| rest.trim_matches(|c: char| !c.is_ascii_digit()))
            .map_or("lost".into(), |rest| {
                rest.chars().take_while(char::is_ascii_digit).collect()
            }),
    }
}

#[test]
fn no_packet_vanishes_for_its_length() {
    if is_docker() {
        return;
    }
    let mut world = World::swarm(&[2, 1]);
    let [h1, h2, h3] = world.hosts();
    h1.ok("docker network create -d overlay --attachable --ipv6 wide");
    h1.ok("docker network create -d overlay --attachable --opt com.docker.network.driver.mtu=1300 low");
    for (host, name) in [(&h1, "c1"), (&h2, "c2"), (&h3, "c3")] {
        run(host, name, "--network wide");
        run(host, &format!("l{name}"), "--network low");
    }
    let (p1, p3) = (pid(&h1, "c1"), pid(&h3, "c3"));
    let (a1, a2) = (address(&h1, "c1", "wide"), address(&h2, "c2", "wide"));
    let (six1, six3) = (address_v6(&h1, "c1", "wide"), address_v6(&h3, "c3", "wide"));
    let (a3, low3) = (address(&h3, "c3", "wide"), address(&h3, "lc3", "low"));
    let full = 1500 - OVERHEAD;
    until(10, "full packets pass", || {
        echo(&h1, &p1, &a3, full) == "answered" && echo(&h3, &p3, &a1, full) == "answered"
    });
    h3.ok("docker exec -d c3 nc -ll -p 80 -e sh -c 'cat >/tmp/got'");
    until(5, "it listens", || {
        h1.sh(&format!(
            "docker exec c1 sh -c 'nc -w 1 {a3} 80 </dev/null'"
        ))
        .status
            == 0
    });
    let lasts = |path: u32, told: bool| {
        let inside = path - OVERHEAD;
        let all = [
            (&h1, &p1, &a3),
            (&h3, &p3, &a1),
            (&h1, &p1, &six3),
            (&h3, &p3, &six1),
        ];
        for (host, pid, to) in &all {
            let expected = match path {
                1500 => "answered".to_owned(),
                _ => inside.to_string(),
            };
            until(60, "the path is known", || {
                let now = echo(host, pid, to, full);
                assert!(now != "lost" || !told, "without a word");
                now == expected
            });
        }
        for (host, pid, to) in all {
            assert_eq!(echo(host, pid, to, inside), "answered");
            // Whoever does not mind is fragmented, and so is the answer.
            let ping = format!("nsenter -t {pid} -n ping -c 1 -W 1 -s 3000 {to}");
            assert_eq!(host.sh(&ping).status, 0);
        }
        let send = format!("head -c 3000000 /dev/zero | nc -w 5 {a3} 80");
        h1.ok(&format!("docker exec c1 sh -c '{send}'"));
        eventually(5, "3000000".to_string(), || {
            h3.ok("docker exec c3 sh -c 'wc -c </tmp/got; rm /tmp/got'")
        });
        // The way to other nodes is as it was, and so is a network that asks for less.
        assert_eq!(echo(&h1, &p1, &a2, full), "answered");
        assert_eq!(echo(&h1, &pid(&h1, "lc1"), &low3, 1250), "answered");
    };
    let began = h1.ok("date +%s");
    // Routers that say what they can pass on, and a wire that says nothing.
    world.lab().narrow(1400).unwrap();
    lasts(1400, true);
    world.lab().heal().unwrap();
    lasts(1500, true);
    world.lab().swallow("h3", 1361).unwrap();
    lasts(1361, false);
    let events = h1.ok(&format!(
        "docker events --since {began} --until $(date +%s) -f event=path_mtu --format '{{{{.Actor.Attributes.name}}}} {{{{.Actor.Attributes.path_mtu}}}} {{{{.Actor.Attributes.node}}}}'"
    ));
    let told = |what: &str| events.lines().any(|line| line == what);
    let node = h3.addr;
    assert!(told(&format!("wide 1400 {node}")), "{events}");
    assert!(told(&format!("wide 1361 {node}")), "{events}");
    assert!(told(&format!("wide 1500 {node}")), "{events}");
    assert!(!events.contains("low 1"), "{events}");
    // The kernel remembers without the daemon.
    h1.kill_daemon().unwrap();
    assert_eq!(echo(&h1, &p1, &a3, full), "1311");
    common::start(&h1, &[]);
    world.lab().heal().unwrap();
    lasts(1500, true);
    world.end();
}

/// From a client whose own way is narrow, through a node to a task whose way is narrow as well.
#[test]
fn the_mesh_loses_no_packet_for_its_length() {
    if is_docker() {
        return;
    }
    let mut world = World::swarm(&[2, 1]);
    let (hosts, client) = (world.all(), world.outside());
    const BYTES: usize = 3_000_000;
    let there_and_back = format!("head -c {BYTES} | wc -c; head -c {BYTES} /dev/zero");
    hosts[0].ok(&format!(
        "{CREATE} --name bulk -p 8080:80 --constraint node.hostname==h3 \
         busybox nc -ll -p 80 -e sh -c \"{there_and_back}\""
    ));
    eventually(20, "1/1".to_string(), || replicas(&hosts[0], "bulk"));
    let heard = |at: &Host| {
        let send = format!(
            "head -c {BYTES} /dev/zero | timeout 20 busybox nc -w 5 {} 8080",
            at.addr
        );
        client.sh(&format!("{send} | wc -c")).stdout
    };
    let all = format!("{}", BYTES + BYTES.to_string().len() + 1);
    let through_all = || {
        for host in &hosts {
            assert_eq!(heard(host).trim(), all, "through {}", host.name);
        }
    };
    until(10, "the node leads to the task", || {
        heard(&hosts[0]).trim() == all
    });
    through_all();
    world.lab().narrow(1400).unwrap();
    through_all();
    world.lab().narrow(1300).unwrap();
    through_all();
    world.end();
}

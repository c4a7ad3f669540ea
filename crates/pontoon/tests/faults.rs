//! What goes wrong around a daemon, and what it does about it.
//!
//! Docker's own daemon takes its containers down with it in swarm mode and does not mend the kernel: those tests are
//! about Pontoon alone.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::background::{Background, Pinging};
use common::container::{address, answers, inspect, pid, pings, resolve, run};
use common::swarm::overlay_namespace;
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

const ATT: &str = "docker network create -d overlay --attachable --subnet 10.99.7.0/24 att";

/// Two hosts in a swarm with a container each on the network `att`: c1 on h1, c2 on h2.
fn pair() -> (World, Host, Host) {
    let world = World::swarm(&[1, 1]);
    let [h1, h2] = world.hosts();
    h1.ok(ATT);
    run(&h1, "c1", "--network att");
    run(&h2, "c2", "--network att");
    until(10, "names are known", || {
        pings(&h1, "c1", "c2") && pings(&h2, "c2", "c1")
    });
    (world, h1, h2)
}

/// A line of shell in the namespace of the overlay network.
fn in_overlay(host: &Host, line: &str) {
    host.ok(&format!(
        "nsenter --net={} sh -euc '{line}'",
        overlay_namespace(host)
    ));
}

#[test]
fn containers_outlive_a_killed_daemon() {
    // 20.10 keeps them when it is asked to; Pontoon always does.
    let world = World::with_flags(&[1, 1], &["--live-restore"]);
    let [h1, h2] = world.hosts();
    h1.ok("docker network create net");
    run(&h1, "c1", "--network net -p 8080:80 --restart always");
    h1.ok("docker run -d --name counts --network net busybox sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done'");
    h1.ok("docker run -d --name ends --network net busybox sleep 2");
    let shown = h1.ok("docker ps --no-trunc --format '{{.ID}} {{.Names}}' -f name=c");
    let started = inspect(&h1, "c1", "{{.State.StartedAt}} {{.State.Pid}}");
    let ping = Pinging::start(&h1, "c1", &h2.addr.to_string());
    until(5, "the ping runs", || ping.answers() > 2);
    let ends = format!("/proc/{}", pid(&h1, "ends"));
    h1.kill_daemon().unwrap();
    until(5, "a container ends while nobody looks", || {
        !std::path::Path::new(&ends).exists()
    });
    h1.restart_daemon().unwrap();
    assert_eq!(
        h1.ok("docker ps --no-trunc --format '{{.ID}} {{.Names}}' -f name=c"),
        shown
    );
    assert_eq!(
        inspect(&h1, "c1", "{{.State.StartedAt}} {{.State.Pid}}"),
        started
    );
    eventually(5, "exited 0".to_string(), || {
        inspect(&h1, "ends", "{{.State.Status}} {{.State.ExitCode}}")
    });
    assert_eq!(h1.ok("docker exec c1 echo hello"), "hello");
    assert_eq!(
        resolve(&h1, "c1", "counts"),
        BTreeSet::from([address(&h1, "counts", "net")])
    );
    assert!(pings(&h1, "c1", "counts"));
    // No line of the log is lost.
    let followed = Background::start(&h1, "docker logs -f counts");
    let last = || {
        followed
            .output()
            .lines()
            .last()
            .and_then(|line| line.parse::<usize>().ok())
            .unwrap_or(0)
    };
    let before = last();
    until(5, "the log goes on", || last() > before + 5);
    assert!(
        followed
            .output()
            .lines()
            .enumerate()
            .all(|(n, line)| line == (n + 1).to_string())
    );
    assert_eq!(ping.lost(), Vec::<String>::new());
    // Everything still works on what was there before.
    h1.ok("docker stop -t 0 counts && docker rm counts ends");
    run(&h1, "c3", "--network net");
    assert!(pings(&h1, "c1", "c3"));
    h1.ok("docker rm -f c1 c3 && docker network rm net");
    world.end();
}

#[test]
fn a_swarm_goes_on_while_its_daemons_die() {
    if is_docker() {
        return;
    }
    let (world, h1, h2) = pair();
    h1.ok("docker service create --no-resolve-image --detach --name web --network att --replicas 2 busybox sleep infinity");
    eventually(20, "2/2".to_string(), || {
        h1.ok("docker service ls --format '{{.Replicas}}'")
    });
    let tasks = h1.ok("docker service ps -q web | sort");
    let (a1, a2) = (address(&h1, "c1", "att"), address(&h2, "c2", "att"));
    let watch = |host: &Host| {
        let line = format!(
            "nsenter --net={} ip -ts monitor neigh",
            overlay_namespace(host)
        );
        Background::start(host, &line)
    };
    let watched = [(watch(&h1), &a2), (watch(&h2), &a1)];
    for (host, own, other, there) in [(&h2, "c2", "c1", &h1), (&h1, "c1", "c2", &h2)] {
        let ping = Pinging::start(&h1, "c1", &a2);
        let back = Pinging::start(&h2, "c2", &a1);
        let before = host.ok("docker ps -q --no-trunc | sort");
        until(5, "the pings run", || {
            ping.answers() > 2 && back.answers() > 2
        });
        host.kill_daemon().unwrap();
        let so_far = ping.answers();
        until(10, "they go on for two seconds", || {
            ping.answers() > so_far + 20
        });
        host.restart_daemon().unwrap();
        assert_eq!(
            host.ok("docker ps -q --no-trunc | sort"),
            before,
            "right after the restart of {}",
            host.name
        );
        assert_eq!(host.ok(&format!("docker exec {own} echo hello")), "hello");
        until(5, "names are known", || {
            resolve(host, own, other).len() == 1 && resolve(host, own, "tasks.web").len() == 2
        });
        assert!(pings(host, own, other) && pings(there, other, own));
        // What comes after it is seen on both sides.
        run(there, "late", "--network att");
        until(5, "a later container is known", || pings(host, own, "late"));
        there.ok("docker rm -f late");
        until(5, "and forgotten", || resolve(host, own, "late").is_empty());
        assert_eq!(
            [ping.lost(), back.lost()].concat(),
            Vec::<String>::new(),
            "{}",
            host.name
        );
    }
    // Not for a moment are the ways to each other's containers gone.
    for (monitor, address) in &watched {
        let output = monitor.output();
        let taken = output.lines().filter(|line| line.contains("Deleted"));
        let taken = taken.filter(|line| line.contains(&format!(" {address} dev vxlan0")));
        assert_eq!(taken.collect::<Vec<_>>(), Vec::<&str>::new());
    }
    eventually(10, "Ready Ready".to_string(), || {
        h1.ok("docker node ls --format '{{.Status}}'")
            .replace('\n', " ")
    });
    assert_eq!(h1.ok("docker service ls --format '{{.Replicas}}'"), "2/2");
    assert_eq!(h1.ok("docker service ps -q web | sort"), tasks);
    h1.ok("docker service scale -d web=4");
    eventually(20, "4/4".to_string(), || {
        h1.ok("docker service ls --format '{{.Replicas}}'")
    });
    h1.ok("docker service rm web");
    h1.ok("docker rm -f c1");
    h2.ok("docker rm -f c2");
    until(20, "the network can be removed", || {
        h1.sh("docker network rm att").status == 0
    });
    world.end();
}

#[test]
fn the_kernel_is_mended() {
    if is_docker() {
        return;
    }
    let (world, h1, h2) = pair();
    let (p1, a2) = (pid(&h1, "c1"), address(&h2, "c2", "att"));
    let outside = world.outside().addr.to_string();
    h1.ok("docker run -d --name web -p 8080:80 busybox httpd -f -p 80 -h /etc");
    let fetched = || {
        h2.sh(&format!("curl -s -m 0.2 http://{}:8080/passwd", h1.addr))
            .stdout
            .contains("root")
    };
    until(5, "the published port answers", fetched);
    for damage in [
        "bridge fdb show dev vxlan0 | grep dst | while read mac dev name rest; do bridge fdb del $mac dev vxlan0; done",
        "ip neigh flush all nud permanent; ip neigh flush all",
        "ip link set vxlan0 down",
        "ip link del vxlan0",
        "ip link set br0 down",
        "ip link del br0",
        "for port in $(ip -o link show type veth | cut -d: -f2 | cut -d@ -f1); do ip link del $port; done",
    ] {
        in_overlay(&h1, damage);
        until(1, damage, || answers(&h1, &p1, &a2));
    }
    for (damage, target) in [
        ("nft flush ruleset", &outside),
        ("ip link del docker_gwbridge", &outside),
        ("ip addr flush dev docker_gwbridge", &outside),
    ] {
        h1.ok(damage);
        until(1, damage, || answers(&h1, &p1, target));
    }
    h1.ok("nft flush ruleset");
    until(1, "the published port answers again", fetched);
    for damage in [
        "nft flush ruleset",
        "ip link del eth0",
        "ip addr flush dev eth0",
        "ip route del default",
        "ip link set eth0 down",
    ] {
        h1.ok(&format!("nsenter -t {p1} -n {damage}"));
        until(1, damage, || {
            answers(&h1, &p1, &a2) && answers(&h1, &p1, &outside)
        });
        assert_eq!(
            resolve(&h1, "c1", "c2"),
            BTreeSet::from([a2.clone()]),
            "{damage}"
        );
    }
    // What others have is left alone.
    h1.ok("ip link add theirs type bridge && ip addr add 10.123.0.1/24 dev theirs && nft add table ip theirs");
    in_overlay(&h1, "ip link del vxlan0");
    until(1, "it heals", || answers(&h1, &p1, &a2));
    h1.ok("ip addr show theirs | grep -q 10.123.0.1 && nft list table ip theirs");
    world.end();
}

/// Containers come and go on both sides of a cut.
fn cut_off(seconds: u64) {
    let mut world = World::swarm(&[2, 1]);
    let [h1, h2, h3] = world.hosts();
    h1.ok(ATT);
    run(&h1, "c1", "--network att");
    run(&h2, "old", "--network att --ip 10.99.7.50");
    run(&h3, "c3", "--network att");
    run(&h3, "goes", "--network att");
    until(10, "names are known", || {
        pings(&h3, "c3", "old") && pings(&h3, "c3", "c1") && pings(&h1, "c1", "goes")
    });
    let (p1, p3) = (pid(&h1, "c1"), pid(&h3, "c3"));
    let a3 = address(&h3, "c3", "att");
    world.lab().partition(&["h3"]).unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(seconds);
    h2.ok("docker rm -f old");
    run(&h2, "new", "--network att --ip 10.99.7.60");
    run(&h1, "again", "--network att --ip 10.99.7.50");
    h3.ok("docker rm -f goes");
    assert!(!answers(&h3, &p3, "10.99.7.60") && !answers(&h1, &p1, &a3));
    std::thread::sleep(end.saturating_duration_since(std::time::Instant::now()));
    world.lab().heal().unwrap();
    // 20.10 tries to reach lost members every ten seconds and compares tables every thirty.
    let limit = if is_docker() { 60 } else { 2 };
    let right = || {
        ["10.99.7.50", "10.99.7.60"]
            .iter()
            .all(|there| answers(&h3, &p3, there))
            && answers(&h1, &p1, &a3)
            && resolve(&h3, "c3", "new") == BTreeSet::from(["10.99.7.60".to_string()])
            && resolve(&h3, "c3", "again") == BTreeSet::from(["10.99.7.50".to_string()])
            && resolve(&h1, "c1", "c3") == BTreeSet::from([a3.clone()])
    };
    until(limit, "both sides know what has come", right);
    until(limit, "and what has gone", || {
        resolve(&h3, "c3", "old").is_empty() && resolve(&h1, "c1", "goes").is_empty()
    });
    eventually(15, "Ready Ready Ready".to_string(), || {
        h1.ok("docker node ls --format '{{.Status}}'")
            .replace('\n', " ")
    });
    world.end();
}

#[test]
fn a_host_is_cut_off_for_a_moment() {
    cut_off(12);
}

#[test]
fn a_host_is_cut_off_until_it_is_given_up() {
    cut_off(30);
}

#[test]
fn an_address_moves_to_another_host() {
    let world = World::swarm(&[3]);
    let [h1, h2, h3] = world.hosts();
    h1.ok(ATT);
    run(&h1, "c1", "--network att");
    run(&h2, "keeps", "--network att");
    run(&h3, "also", "--network att");
    let p1 = pid(&h1, "c1");
    let there = "10.99.7.50";
    for (old, new) in [(&h2, &h3), (&h3, &h2)] {
        run(old, "moves", &format!("--network att --ip {there}"));
        until(10, "it answers", || answers(&h1, &p1, there));
        let ping = Pinging::start(&h1, "c1", there);
        let seen = Background::start(old, "tcpdump -l -nn -i eth0 udp port 4789");
        let frames = || {
            seen.output()
                .matches(&format!("> {there}: ICMP echo request"))
                .count()
        };
        until(5, "frames arrive at the old place", || frames() > 2);
        old.ok("docker rm -f moves");
        run(new, "moves", &format!("--network att --ip {there}"));
        let before = ping.answers();
        until(
            if is_docker() { 10 } else { 1 },
            "the new place answers",
            || ping.answers() > before,
        );
        let late = frames();
        until(5, "it goes on", || ping.answers() > before + 10);
        assert_eq!(frames(), late, "frames still reach {}", old.name);
        new.ok("docker rm -f moves");
    }
    world.end();
}

#[test]
fn garbage_changes_nothing() {
    let (world, h1, h2) = pair();
    let memory = |host: &Host| -> usize {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", host.daemon_pid().unwrap()))
                .unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let ping = Pinging::start(&h1, "c1", &address(&h2, "c2", "att"));
    let before = (memory(&h1), memory(&h2));
    for host in [&h1, &h2] {
        let ports = format!(
            "for port in 2377 7946; do for size in 1 7 100 5000 100000; do for n in 1 2 3 4 5; do \
                             head -c $size /dev/urandom > /dev/tcp/{0}/$port || true; done; done; done",
            host.addr
        );
        let datagrams = format!(
            "for size in 1 2 7 50 500 1400; do for n in $(seq 50); do head -c $size /dev/urandom \
                                 > /dev/udp/{0}/7946; done; done",
            host.addr
        );
        // Lengths that promise more than ever comes.
        let lies = format!(
            "for n in $(seq 20); do printf '\\x06\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff' > /dev/tcp/{0}/7946; \
                            printf 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\\xff\\xff\\xff' > /dev/tcp/{0}/2377 || true; done",
            host.addr
        );
        for script in [ports, datagrams, lies] {
            let output = world
                .outside()
                .exec(&["timeout", "-s", "KILL", "20", "bash", "-c", &script])
                .unwrap();
            assert_ne!(output.status, 137, "{script}: {}", output.stderr);
        }
    }
    let grown = (
        memory(&h1).saturating_sub(before.0),
        memory(&h2).saturating_sub(before.1),
    );
    assert!(grown.0.max(grown.1) < 20_000, "{grown:?} kB");
    assert_eq!(
        h1.ok("docker node ls --format '{{.Status}}'")
            .replace('\n', " "),
        "Ready Ready"
    );
    run(&h2, "late", "--network att");
    until(5, "a new container is known", || pings(&h1, "c1", "late"));
    assert_eq!(ping.lost(), Vec::<String>::new());
    world.end();
}

/// Payloads of the UDP datagrams in a capture of an Ethernet device.
fn datagrams(capture: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = capture.get(24..).unwrap_or_default();
    let mut payloads = Vec::new();
    while let Some((header, tail)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let Some((frame, tail)) = tail.split_at_checked(length) else {
            break;
        };
        let headers = 14 + 4 * usize::from(frame[14] & 15) + 8;
        payloads.extend(frame.get(headers..).map(<[u8]>::to_vec));
        rest = tail;
    }
    payloads
}

#[test]
fn replayed_packets_change_nothing() {
    let world = World::swarm(&[3]);
    let [h1, h2, h3] = world.hosts();
    h1.ok(ATT);
    let file = h1.dir().join("gossip.pcap");
    let capture = format!(
        "tcpdump -U -i eth0 -w {} udp dst port 7946 and dst host {}",
        file.display(),
        h1.addr
    );
    let tcpdump = Background::start(&h1, &capture);
    until(5, "the capture runs", || {
        tcpdump.output().contains("listening")
    });
    run(&h1, "c1", "--network att");
    run(&h2, "c2", "--network att");
    run(&h3, "c3", "--network att");
    until(10, "names are known", || {
        pings(&h1, "c1", "c2") && pings(&h1, "c1", "c3")
    });
    h2.ok("docker rm -f c2");
    h3.ok("docker rm -f c3");
    run(&h3, "c2", "--network att --ip 10.99.7.70");
    let expected = BTreeSet::from(["10.99.7.70".to_string()]);
    eventually(10, expected.clone(), || resolve(&h1, "c1", "c2"));
    until(10, "c3 is forgotten", || {
        resolve(&h1, "c1", "c3").is_empty()
    });
    drop(tcpdump);
    let payloads = datagrams(&std::fs::read(&file).unwrap());
    assert!(payloads.len() > 20, "{} packets", payloads.len());
    let dir = h1.dir().join("packets");
    std::fs::create_dir(&dir).unwrap();
    for (number, payload) in payloads.iter().enumerate() {
        std::fs::write(dir.join(format!("{number:05}")), payload).unwrap();
        std::fs::write(
            dir.join(format!("{number:05}-cut")),
            &payload[..payload.len() / 2],
        )
        .unwrap();
    }
    for from in [h2.clone(), world.outside()] {
        let replay = format!(
            "for f in {}/*; do cat $f > /dev/udp/{}/7946; done",
            dir.display(),
            h1.addr
        );
        from.exec(&["bash", "-c", &replay]).unwrap().ok().unwrap();
    }
    for _ in 0..3 {
        assert_eq!(resolve(&h1, "c1", "c2"), expected);
        assert!(resolve(&h1, "c1", "c3").is_empty());
        assert!(pings(&h1, "c1", "c2"));
    }
    assert_eq!(
        h1.ok("docker node ls --format '{{.Status}}'")
            .replace('\n', " "),
        "Ready Ready Ready"
    );
    world.end();
}

#[test]
fn a_dead_hosts_containers_are_forgotten() {
    let world = World::swarm(&[2, 1]);
    let [h1, h2, h3] = world.hosts();
    h1.ok(ATT);
    run(&h1, "c1", "--network att");
    run(&h3, "c3", "--network att --network-alias web");
    h1.ok("docker service create --no-resolve-image --detach --name svc --network att --replicas 3 busybox sleep infinity");
    eventually(20, "3/3".to_string(), || {
        h1.ok("docker service ls --format '{{.Replicas}}'")
    });
    until(5, "names are known", || {
        pings(&h1, "c1", "c3") && resolve(&h1, "c1", "tasks.svc").len() == 3
    });
    h3.power_off().unwrap();
    until(20, "its names are gone", || {
        ["c3", "web"]
            .iter()
            .all(|name| resolve(&h1, "c1", name).is_empty())
    });
    let down = || {
        h1.ok("docker node ls --format '{{.Status}}' | sort")
            .replace('\n', " ")
    };
    eventually(40, "Down Ready Ready".to_string(), down);
    until(20, "its task runs elsewhere", || {
        h2.ok("docker ps -q -f name=svc | wc -l") + &h1.ok("docker ps -q -f name=svc | wc -l")
            == "21"
    });
    eventually(10, 3, || resolve(&h1, "c1", "tasks.svc").len());
    // It comes back without containers.
    h3.restart_daemon().unwrap();
    eventually(20, "Ready Ready Ready".to_string(), || {
        h1.ok("docker node ls --format '{{.Status}}'")
            .replace('\n', " ")
    });
    assert_eq!(inspect(&h3, "c3", "{{.State.Running}}"), "false");
    h3.ok("docker start c3");
    until(10, "its container is back", || pings(&h1, "c1", "c3"));
    world.end();
}

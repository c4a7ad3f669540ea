//! Published ports: ranges, who may reach them, whom they show, who else has them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::background::Background;
use common::container::{address, inspect, run};
use common::refusal::{check, row};
use common::{Shell as _, World, eventually, is_docker};
use lab::Host;

/// A container whose port 80 tells who asks.
fn caller(host: &Host, name: &str, options: &str) {
    let script = "mkdir -p /www/cgi-bin; printf \"#!/bin/sh\\necho; echo \\$REMOTE_ADDR\" > /www/cgi-bin/who; \
                  chmod +x /www/cgi-bin/who; exec httpd -f -p 80 -h /www";
    host.ok(&format!(
        "docker run -d --name {name} --stop-timeout 0 {options} busybox sh -c '{script}'"
    ));
}

/// Whom the server takes the asking host for; empty when nothing answers.
fn who(host: &Host, at: &str) -> String {
    let asked = host.sh(&format!("curl -s -g -m 1 http://{at}/cgi-bin/who"));
    asked
        .stdout
        .trim()
        .trim_start_matches("[::ffff:")
        .trim_end_matches(']')
        .to_string()
}

/// The same from inside a container.
fn who_from(host: &Host, container: &str, ip: &str, port: u16) -> String {
    let line = format!(
        "printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | docker exec -i {container} nc -w1 {ip} {port} | tail -1"
    );
    let asked = host.sh(&line).stdout;
    asked
        .trim()
        .trim_start_matches("[::ffff:")
        .trim_end_matches(']')
        .to_string()
}

#[test]
fn a_server_sees_who_asks_wherever_he_is() {
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    h1.ok("docker network create --subnet 10.71.0.0/24 one && docker network create --subnet 10.72.0.0/24 two");
    caller(&h1, "web", "--network one -p 8080:80");
    run(&h1, "near", "--network one");
    run(&h1, "far", "--network two");
    let published = format!("{}:8080", h1.addr);
    eventually(5, h2.addr.to_string(), || who(&h2, &published));
    let outside = world.outside();
    assert_eq!(who(&outside, &published), outside.addr.to_string());
    // The host itself; from its loopback it has to be another address of the host.
    let gateway = "10.71.0.1";
    assert_eq!(who(&h1, "127.0.0.1:8080"), gateway);
    let own = h1.addr.to_string();
    let local = who(&h1, &published);
    assert!(local == own || is_docker(), "{local}");
    // A container of the same network comes back through the host; of another one, as itself.
    assert_eq!(who_from(&h1, "near", &own, 8080), gateway);
    assert_eq!(who_from(&h1, "web", &own, 8080), gateway);
    if !is_docker() {
        let far = address(&h1, "far", "two");
        assert_eq!(who_from(&h1, "far", &own, 8080), far);
    }
    // Only through what is published.
    let web = address(&h1, "web", "one");
    assert_eq!(who_from(&h1, "far", &web, 80), "");
    assert_eq!(who_from(&h1, "near", &web, 80), address(&h1, "near", "one"));
    world.end();
}

#[test]
fn a_range_of_16000_ports_is_one_element() {
    if is_docker() {
        // 20.10 starts a proxy for each of them, which takes longer than a command may take here.
        return;
    }
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    run(&h1, "first", "-p 7000:80");
    let elements = |what: &str| {
        let line = format!("nft list {what} | tr ',' '\\n' | grep -c ' \\. '");
        h1.sh(&line).stdout.trim().to_string()
    };
    let resident = || -> i64 {
        let pid = h1.daemon_pid().unwrap();
        let line = h1.ok(&format!("grep VmRSS /proc/{pid}/status"));
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = resident();
    run(
        &h1,
        "wide",
        "-p 20000-35999:20000-35999 -p 8000-8099:9000-9099 -p 40000-40099:30000-30099/udp",
    );
    println!("16,000 ports and two ranges: {} KiB", resident() - before);
    // Next to the types of each there are the elements.
    assert_eq!(elements("map ip pontoon ranges"), "2");
    assert_eq!(elements("map ip pontoon shifted"), "3");
    assert_eq!(elements("set ip pontoon published_ranges"), "4");
    let answers = |port: u16| format!("nc -ll -p {port} -e echo {port}");
    for port in [20000, 27182, 35999, 9000, 9042, 9099] {
        h1.ok(&format!("docker exec -d wide {}", answers(port)));
    }
    let ask = |port: u16| {
        h2.sh(&format!("busybox nc -w1 {} {port} </dev/null", h1.addr))
            .stdout
    };
    for (port, inside) in [
        (20000, 20000),
        (27182, 27182),
        (35999, 35999),
        (8000, 9000),
        (8042, 9042),
        (8099, 9099),
    ] {
        eventually(3, format!("{inside}\n"), || ask(port));
    }
    assert_eq!(ask(36000), "");
    // UDP, downwards: nobody listens, and the container's kernel counts what it got for nobody.
    let arrived =
        || h1.ok("docker exec wide sh -c 'grep Udp: /proc/net/snmp' | tail -1 | cut -d' ' -f3");
    assert_eq!(arrived(), "0");
    h2.ok(&format!("bash -c 'echo hi > /dev/udp/{}/40077'", h1.addr));
    eventually(2, "1".to_string(), arrived);
    assert!(h1.ok("docker port wide 27182").starts_with("0.0.0.0:27182"));
    assert!(h1.ok("docker port wide 9042").starts_with("0.0.0.0:8042"));
    assert_eq!(h1.ok("docker port wide | grep -c 0.0.0.0"), "16200");
    check(
        &h1,
        &[row(
            "docker run --rm -p 30000:80 busybox true 2>&1 | grep -o 'Bind for .*' >&2",
            0,
            "Bind for 0.0.0.0:30000 failed: port is already allocated",
        )],
    );
    // A range leaves nothing, and a host's port in it is noticed.
    h1.ok("docker rm -f wide");
    assert_eq!(elements("map ip pontoon ranges"), "1");
    let _holder = Background::start(&h1, "busybox nc -ll -p 21000 -e true");
    eventually(3, 0, || {
        h1.sh("busybox nc -w1 127.0.0.1 21000 </dev/null").status
    });
    let refused = h1.sh("docker run --rm -p 20000-35999:20000-35999 busybox true");
    let text =
        "failed to bind host port for 0.0.0.0:21000:172.17.0.3:21000/tcp: address already in use";
    assert!(refused.stderr.contains(text), "{}", refused.stderr);
    assert_eq!(elements("map ip pontoon ranges"), "1");
    world.end();
}

#[test]
fn ports_of_the_engines_choice_and_of_chosen_ranges() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    run(&h1, "all", "-P --expose 80 --expose 81-83 --expose 53/udp");
    let ports = h1.ok("docker port all | grep -c 0.0.0.0");
    assert_eq!(ports, "5");
    let named = h1.ok("docker port all | grep -v '::' | cut -d' ' -f1 | sort | tr '\\n' ' '");
    assert_eq!(named, "53/udp 80/tcp 81/tcp 82/tcp 83/tcp");
    // One of a range for each; the range is exhausted after that.
    for (name, port) in [("p1", "9000"), ("p2", "9001")] {
        run(&h1, name, "-p 127.0.0.1:9000-9001:80");
        assert_eq!(
            h1.ok(&format!("docker port {name} 80")),
            format!("127.0.0.1:{port}")
        );
    }
    check(
        &h1,
        &[
            row(
                "docker run --rm -p 127.0.0.1:9000-9001:80 busybox true 2>&1 | grep -o 'all ports are allocated' >&2",
                0,
                "all ports are allocated",
            ),
            row(
                "docker run --rm -p 127.0.0.1:9001:80/icmp busybox true",
                125,
                "invalid proto: icmp…",
            ),
        ],
    );
    // Another address, another protocol.
    run(
        &h1,
        "p3",
        &format!("-p {}:9000:80 -p 127.0.0.1:9000:80/udp", h1.addr),
    );
    // What a process of the host has.
    let _holder = Background::start(&h1, "busybox nc -ll -p 9500 -e true");
    eventually(3, 0, || {
        h1.sh("busybox nc -w1 127.0.0.1 9500 </dev/null").status
    });
    let refused = h1.sh("docker run --rm -p 9500:80 busybox true").stderr;
    assert!(refused.contains("address already in use"), "{refused}");
    // SCTP needs no socket of the host to be translated.
    if !is_docker() {
        run(&h1, "sctp", "-p 9600:80/sctp");
        assert!(
            h1.ok("nft list map ip pontoon ports")
                .contains("sctp . 9600 :")
        );
        assert_eq!(h1.ok("docker port sctp"), "80/sctp -> 0.0.0.0:9600");
    }
    // It shows in lists.
    assert_eq!(
        h1.ok("docker ps --format '{{.Ports}}' -f name=^p2$"),
        "127.0.0.1:9001->80/tcp"
    );
    assert_eq!(
        inspect(&h1, "p2", "{{json .NetworkSettings.Ports}}"),
        r#"{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"9001"}]}"#
    );
    world.end();
}

//! macvlan and ipvlan: containers as stations on the hosts' own segment.
//!
//! A kernel without ipvlan or 802.1Q must say so; `make vm` runs the same tests on one that has both.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::background::Pinging;
use common::container::{address, inspect, pid, pings, resolve, run};
use common::refusal::{check, row};
use common::{Shell as _, World, footprint, is_docker, until};
use lab::Host;

/// The lab's first segment, with a range for each host.
fn lan(host: &Host, options: &str) -> String {
    let range = if host.name == "h1" { 128 } else { 192 };
    host.ok(&format!(
        "docker network create --subnet 198.18.1.0/24 --gateway 198.18.1.1 --ip-range 198.18.1.{range}/26 \
         --aux-address first=198.18.1.{range} {options} lan"
    ))
}

fn kernel_has(host: &Host, kind: &str) -> bool {
    let output = host.sh(&format!("ip link add probe type {kind}"));
    !output.stderr.contains("Unknown device type")
}

#[test]
fn macvlans_of_two_hosts_share_the_segment() {
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    let before = footprint(&h1);
    for host in [&h1, &h2] {
        let v6 = "--ipv6 --subnet fd00:18::/64 --gateway fd00:18::1";
        lan(host, &format!("-d macvlan -o parent=eth0 {v6}"));
    }
    run(&h1, "c1", "--network lan --ip6 fd00:18::11 -p 8080:80");
    run(&h1, "c2", "--network lan --ip6 fd00:18::12");
    run(&h2, "c3", "--network lan --ip6 fd00:18::21");
    assert_eq!(address(&h1, "c1", "lan"), "198.18.1.129");
    let (a2, a3) = (address(&h1, "c2", "lan"), address(&h2, "c3", "lan"));
    for (target, whose) in [
        (a2.as_str(), "beside it"),
        (&a3, "on the other host"),
        (&h2.addr.to_string(), "the other host"),
        (&world.outside().addr.to_string(), "behind the router"),
        ("fd00:18::12", "beside it, by IPv6"),
        ("fd00:18::21", "on the other host, by IPv6"),
    ] {
        until(5, whose, || pings(&h1, "c1", target));
    }
    // The kernel keeps a host and its own stations apart.
    assert!(!pings(&h1, "c1", &h1.addr.to_string()));
    assert_eq!(resolve(&h1, "c1", "c2"), [a2].into());
    let mac = inspect(&h1, "c1", "{{.NetworkSettings.Networks.lan.MacAddress}}");
    assert_eq!(h1.ok("docker exec c1 cat /sys/class/net/eth0/address"), mac);
    let routes = h1.ok("docker exec c1 ip route; docker exec c1 ip -6 route");
    assert!(
        routes.contains("default via 198.18.1.1 dev eth0"),
        "{routes}"
    );
    assert!(
        routes.contains("default via fd00:18::1 dev eth0"),
        "{routes}"
    );
    // Nothing is published: the station has ports of its own.
    assert_eq!(h1.ok("docker port c1"), "");
    let shown = "docker network inspect -f '{{.Driver}} {{.Scope}} {{json .Options}} {{(index .IPAM.Config 0).AuxiliaryAddresses.first}}' lan";
    assert_eq!(
        h1.ok(shown),
        r#"macvlan local {"parent":"eth0"} 198.18.1.128"#
    );
    check(
        &h1,
        &[row(
            "docker network rm lan",
            1,
            "error while removing network: network lan has active endpoints (…",
        )
        .old("error while removing network: network lan id <id> has active endpoints")],
    );
    h1.ok("docker rm -f c1 c2 && docker network rm lan");
    assert_eq!(footprint(&h1), before);
    world.end();
}

#[test]
fn modes_and_parents_of_macvlan() {
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    lan(&h1, "-d macvlan -o parent=eth0 -o macvlan_mode=private");
    run(&h1, "c1", "--network lan");
    run(&h1, "c2", "--network lan");
    assert!(!pings(&h1, "c1", &address(&h1, "c2", "lan")), "private");
    until(5, "the other host", || {
        pings(&h1, "c1", &h2.addr.to_string())
    });
    h1.ok(
        "ip link add eth7 type veth peer name wire7 && ip link set eth7 up && ip link set wire7 up",
    );
    let before = footprint(&h1);
    check(
        &h1,
        &[
            row("docker network create -d macvlan -o parent=lo n", 1, "loopback interface is not a valid macvlan parent link"),
            row("docker network create -d macvlan -o parent=eth7 -o macvlan_mode=x n", 1,
                "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default"),
            row("docker network create -d macvlan -o parent=eth9 n", 1, "-o parent interface was not found on the host: eth9")
                .old("invalid subinterface vlan name eth9, example formatting is eth0.10"),
            row("docker network create -d macvlan -o parent=eth9.7 n", 1, "-o parent interface was not found on the host: eth9")
                .old("-o parent interface does was not found on the host: eth9"),
            row("docker network create -d macvlan -o parent=eth7.0 n", 1, "vlan id must be between 1-4094, received: 0"),
            row("docker network create -d macvlan -o parent=eth7.x n", 1,
                "unable to parse a valid vlan id from: eth7.x (ex. eth0.10 for vlan 10)")
                .old("unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)"),
            row("docker network create -d macvlan -o parent=eth0 -o macvlan_mode=passthru n", 1,
                "cannot use mode passthru, macvlan network <id> is already using parent interface eth0")
                .old("is already using parent interface eth0…"),
        ],
    );
    assert_eq!(footprint(&h1), before);
    // All that arrives at the parent is for the one station.
    h1.ok("docker network create -d macvlan -o parent=eth7 -o macvlan_mode=passthru --subnet 10.7.0.0/24 only");
    h1.ok("ip addr add 10.7.0.1/24 dev wire7");
    run(&h1, "c3", "--network only");
    until(5, "the wire", || pings(&h1, "c3", "10.7.0.1"));
    let second = h1.sh("docker run --rm --network only busybox true");
    assert_ne!(second.status, 0);
    assert!(pings(&h1, "c3", "10.7.0.1"), "{}", second.stderr);
    h1.ok("docker rm -f c1 c2 c3 && docker network rm lan only");
    world.end();
}

#[test]
fn a_network_without_a_parent_is_closed() {
    // Docker needs a dummy device here, which not every kernel has.
    if is_docker() {
        return;
    }
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let before = footprint(&h1);
    h1.ok("docker network create -d macvlan closed");
    run(&h1, "c1", "--network closed");
    run(&h1, "c2", "--network closed");
    assert!(pings(&h1, "c1", "c2"));
    assert!(!h1.ok("docker exec c1 ip route").contains("default"));
    assert!(!pings(&h1, "c1", &h1.addr.to_string()));
    assert_eq!(
        inspect(&h1, "c1", "{{.NetworkSettings.Networks.closed.Gateway}}"),
        ""
    );
    h1.ok("docker rm -f c1 c2 && docker network rm closed");
    assert_eq!(footprint(&h1), before);
    world.end();
}

#[test]
fn stations_outlive_the_daemon_and_are_mended() {
    // Docker's daemon takes its containers down with it, and mends nothing.
    if is_docker() {
        return;
    }
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    lan(&h1, "-d macvlan -o parent=eth0");
    run(&h1, "c1", "--network lan");
    run(&h1, "c2", "--network lan");
    let (one, h2) = (pid(&h1, "c1"), h2.addr.to_string());
    let link = || h1.ok(&format!("nsenter -t {one} -n ip -o link show eth0"));
    until(5, "the other host", || pings(&h1, "c1", &h2));
    let before = link();
    let ping = Pinging::start(&h1, "c1", &h2);
    until(5, "the ping runs", || ping.answers() > 2);
    h1.kill_daemon().unwrap();
    h1.restart_daemon().unwrap();
    assert_eq!(ping.lost(), Vec::<String>::new());
    assert_eq!(link(), before);
    assert!(pings(&h1, "c1", "c2"));
    h1.ok(&format!("nsenter -t {one} -n ip link del eth0"));
    let outside = world.outside().addr.to_string();
    until(2, "the link and its routes are back", || {
        pings(&h1, "c1", &outside)
    });
    h1.ok("docker rm -f c1 c2 && docker network rm lan");
    world.end();
}

#[test]
fn ipvlan_where_the_kernel_has_it() {
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    if !kernel_has(&h1, "ipvlan") {
        let before = footprint(&h1);
        let refusal = "this kernel has no ipvlan devices: load the module ipvlan or use a kernel built with it";
        if !is_docker() {
            let create = h1.sh("docker network create -d ipvlan -o parent=eth0 n");
            assert!(
                create.status == 1 && create.stderr.contains(refusal),
                "{}",
                create.stderr
            );
        }
        assert_eq!(footprint(&h1), before);
        return world.end();
    }
    for host in [&h1, &h2] {
        lan(host, "-d ipvlan -o parent=eth0");
    }
    run(&h1, "c1", "--network lan");
    run(&h1, "c2", "--network lan");
    run(&h2, "c3", "--network lan");
    for target in [
        address(&h1, "c2", "lan"),
        address(&h2, "c3", "lan"),
        world.outside().addr.to_string(),
    ] {
        until(10, &target, || pings(&h1, "c1", &target));
    }
    let mac = "docker inspect -f '{{.NetworkSettings.Networks.lan.MacAddress}}' c1";
    assert_eq!(h1.ok(mac), "");
    check(
        &h1,
        &[
            row(
                "docker network create -d ipvlan -o parent=eth0 n",
                1,
                "is already using parent interface eth0…",
            ),
            row(
                "docker run --rm --network lan --mac-address 02:00:00:00:00:01 busybox true",
                125,
                "ipvlan interfaces do not support custom mac address assignment…",
            ),
        ],
    );
    h1.ok("docker rm -f c1 c2 && docker network rm lan");
    // Routed by the host's link: no gateway, the interface is the way.
    h1.ok("docker network create -d ipvlan -o parent=eth0 -o ipvlan_mode=l3 --subnet 10.8.0.0/24 --subnet 10.9.0.0/24 routed");
    run(&h1, "r1", "--network routed --ip 10.8.0.7");
    run(&h1, "r2", "--network routed --ip 10.9.0.7");
    assert!(
        h1.ok("docker exec r1 ip route")
            .contains("default dev eth0")
    );
    until(5, "across subnets", || pings(&h1, "r1", "10.9.0.7"));
    h1.ok("docker rm -f r1 r2 && docker network rm routed");
    world.end();
}

#[test]
fn a_vlan_as_parent_where_the_kernel_has_it() {
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    let before = footprint(&h1);
    let create = |host: &Host, range| {
        host.sh(&format!(
            "docker network create -d macvlan -o parent=eth0.50 --subnet 10.50.0.0/24 --ip-range 10.50.0.{range}/26 tagged"
        ))
    };
    if !kernel_has(&h1, "vlan") {
        let error = create(&h1, 64).stderr;
        let refusal =
            "this kernel has no vlan devices: load the module 8021q or use a kernel built with it";
        assert!(error.contains(refusal) || is_docker(), "{error}");
        assert_eq!(footprint(&h1), before);
        return world.end();
    }
    for (host, range) in [(&h1, 64), (&h2, 128)] {
        assert_eq!(create(host, range).status, 0);
        run(host, "c1", "--network tagged");
    }
    let there = address(&h2, "c1", "tagged");
    until(10, "the tagged segment", || pings(&h1, "c1", &there));
    h1.ok("docker rm -f c1 && docker network rm tagged");
    assert_eq!(footprint(&h1), before, "eth0.50 was ours");
    world.end();
}

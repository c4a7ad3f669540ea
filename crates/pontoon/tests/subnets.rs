//! Which subnets networks get, and what small and large ones hold.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::container::{inspect, pings, run};
use common::refusal::unframed;
use common::{Shell as _, World, is_docker};
use lab::Host;

fn subnet(host: &Host, network: &str) -> String {
    host.ok(&format!(
        "docker network inspect -f '{{{{(index .IPAM.Config 0).Subnet}}}}' {network}"
    ))
}

#[test]
fn default_pools_keep_off_what_is_in_use() {
    let pools = ["--default-address-pool", "base=10.90.0.0/16,size=24"];
    let exclude: &[&str] = match is_docker() {
        // It has no such flag.
        true => &[],
        false => &[
            "--exclude-subnet",
            "10.90.3.128/25",
            "--exclude-subnet",
            "fd00::/8",
        ],
    };
    let world = World::with_flags(&[1], &[&pools[..], exclude].concat());
    let [h1] = world.hosts();
    assert_eq!(subnet(&h1, "bridge"), "10.90.0.0/24");
    h1.ok("docker network create n1");
    assert_eq!(subnet(&h1, "n1"), "10.90.1.0/24");
    // The host has a way there already.
    h1.ok("ip link add theirs type bridge && ip addr add 10.90.2.77/28 dev theirs && ip link set theirs up");
    h1.ok("docker network create n2 && docker network create n3");
    let expected = match is_docker() {
        true => ["10.90.3.0/24", "10.90.4.0/24"],
        false => ["10.90.4.0/24", "10.90.5.0/24"],
    };
    assert_eq!([subnet(&h1, "n2"), subnet(&h1, "n3")], expected);
    // Who names a subnet gets it.
    let named = if is_docker() {
        "10.90.9.128/25"
    } else {
        "10.90.3.128/25"
    };
    h1.ok(&format!("docker network create --subnet {named} n4"));
    h1.ok("docker network rm n1");
    h1.ok("docker network create n5");
    // 20.10 goes on behind what it gave last.
    let free = if is_docker() {
        "10.90.5.0/24"
    } else {
        "10.90.1.0/24"
    };
    assert_eq!(subnet(&h1, "n5"), free);
    h1.ok("docker network rm n2 n3 n4 n5 && ip link del theirs");
    world.end();
}

#[test]
fn a_subnet_holds_what_fits() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    if is_docker() {
        // 20.10 reserves two addresses even where there are no more.
        return world.end();
    }
    h1.ok("docker network create --subnet 10.91.0.0/31 two && docker network create --subnet 10.91.1.1/32 one");
    run(&h1, "first", "--network two");
    let template =
        "{{.NetworkSettings.Networks.two.IPAddress}} {{.NetworkSettings.Networks.two.Gateway}}";
    assert_eq!(inspect(&h1, "first", template), "10.91.0.1 10.91.0.0");
    for network in ["two", "one"] {
        let output = h1.sh(&format!("docker run --rm --network {network} busybox true"));
        let text = unframed(&output.stderr);
        let full = format!(
            "no available IPv4 addresses on this network's address pools: {network} (<id>)"
        );
        assert!(text.contains(&full), "{text}");
    }
    h1.ok("docker network create --ipv6 --subnet fd00:91::/64 --subnet 10.91.2.0/29 six");
    run(&h1, "s1", "--network six");
    run(
        &h1,
        "s2",
        "--network six --ip6 fd00:91::ffff:ffff:ffff:ffff",
    );
    let six = |name: &str| {
        inspect(
            &h1,
            name,
            "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}",
        )
    };
    assert_eq!(
        (six("s1"), six("s2")),
        ("fd00:91::2".into(), "fd00:91::ffff:ffff:ffff:ffff".into())
    );
    assert!(pings(&h1, "s1", "fd00:91::ffff:ffff:ffff:ffff"));
    h1.ok("docker rm -f first s1 s2 && docker network rm one two six");
    world.end();
}

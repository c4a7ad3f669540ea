//! A network card that does its part wrong for packets in tunnels is noticed, and worked round.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::net::Ipv4Addr;

use common::container::{address, run};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

const UDP: u32 = 17;
const TCP: u32 = 6;

/// What stands in a packet's place for the sum as long as nobody has made it: that of the pseudo-header (RFC 768, RFC 9293).
fn unmade(from: Ipv4Addr, to: Ipv4Addr, protocol: u32, length: u32) -> u32 {
    let halves = |ip: Ipv4Addr| (ip.to_bits() >> 16) + (ip.to_bits() & 0xffff);
    let sum = halves(from) + halves(to) + protocol + length;
    (sum & 0xffff) + (sum >> 16)
}

/// The card: packets of VXLAN whose inner packet has that in its sum's place (so many bytes into its transport header) do not
/// arrive anywhere.
fn breaks(host: &Host, protocol: u32, sum_at: u32, sum: u32) {
    // UDP, VXLAN, Ethernet and IPv4 headers.
    let (kind, place) = ((8 + 8 + 14 + 9) * 8, (8 + 8 + 14 + 20 + sum_at) * 8);
    host.ok(&format!(
        "nft 'add table ip card; add chain ip card out {{ type filter hook output priority 0; }}; add rule ip card out udp dport 4789 @th,{kind},8 {protocol} @th,{place},16 {sum} counter drop'"
    ));
}

fn entry(host: &Host) -> Ipv4Addr {
    let list = "{{range $id, $c := .Containers}}{{$id}} {{$c.IPv4Address}} {{end}}";
    let list = host.ok(&format!("docker network inspect -f '{list}' ingress"));
    let own = list.split_once("ingress-sbox ").unwrap().1;
    own.split('/').next().unwrap().parse().unwrap()
}

const SUMS: &str = "tx-checksumming";
const CUTS: &str = "tx-tcp-segmentation";

/// Of each tunnel device on the host: whether that is done below it.
fn offloads(host: &Host, what: &str) -> Vec<String> {
    let spaces = host.dir().join("exec/netns/ov-*").display().to_string();
    let all = host.ok(&format!(
        "for n in {spaces}; do nsenter --net=$n ethtool -k vxlan0 | grep {what}:; done"
    ));
    all.lines()
        .map(|l| l.trim().replace(&format!("{what}: "), ""))
        .collect()
}

/// The event since then: of which network, found at which node's entry.
fn told(host: &Host, event: &str, began: &str) -> String {
    let format = "{{.Actor.Attributes.name}} {{.Actor.Attributes.node}}";
    host.ok(&format!(
        "docker events --since {began} --until $(date +%s) -f event={event} --format '{format}'"
    ))
}

/// A connection, whether somebody listens or not.
fn connects(host: &Host, container: &str, to: &str) -> bool {
    let nc = format!("docker exec {container} nc -w 2 {to} 80 </dev/null 2>&1");
    host.sh(&nc).stdout.contains("refused")
}

/// Two hosts, each with a container (`c1`, `c2`) on `net`, and the address of the second; hardware does all of `what` there.
fn pair(what: &str) -> (World, [Host; 2], String) {
    let world = World::swarm(&[2]);
    let [h1, h2] = world.hosts();
    h1.ok("docker network create -d overlay --attachable net");
    run(&h1, "c1", "--network net");
    run(&h2, "c2", "--network net");
    let peer = address(&h2, "c2", "net");
    until(10, "they know each other", || connects(&h1, "c1", &peer));
    assert_eq!(offloads(&h1, what), ["on", "on"]);
    (world, [h1, h2], peer)
}

#[test]
fn sums_that_the_card_leaves_out_are_made_by_the_tunnel() {
    if is_docker() {
        return;
    }
    let (world, [h1, h2], peer) = pair(SUMS);

    let began = h1.ok("date +%s");
    breaks(&h1, UDP, 6, unmade(entry(&h1), entry(&h2), UDP, 8 + 1));
    until(30, "the tunnels make sums", || {
        offloads(&h1, SUMS) == ["off", "off"]
    });
    // It was of use.
    eventually(10, format!("ingress {}", entry(&h2)), || {
        told(&h1, "checksum_offload_off", &began)
    });
    // The card does to others what it did to the look; it does no harm any more. (A SYN of Linux has 40 bytes.)
    let own: Ipv4Addr = address(&h1, "c1", "net").parse().unwrap();
    h1.ok("nft delete table ip card");
    breaks(&h1, TCP, 16, unmade(own, peer.parse().unwrap(), TCP, 40));
    assert!(connects(&h1, "c1", &peer));
    // Other hosts are as they were, and so is the underlay's device.
    assert_eq!(offloads(&h2, SUMS), ["on", "on"]);
    assert!(h1.ok("ethtool -k eth0").contains("tx-checksumming: on"));
    // New networks have it too, and a daemon that comes later knows.
    h1.kill_daemon().unwrap();
    common::start(&h1, &[]);
    assert_eq!(offloads(&h1, SUMS), ["off", "off"]);
    h1.ok("docker network create -d overlay --attachable later");
    run(&h1, "c3", "--network later");
    until(15, "of all networks", || {
        offloads(&h1, SUMS) == ["off", "off", "off"]
    });
    world.end();
}

#[test]
fn a_node_that_answers_no_datagrams_changes_nothing() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2]);
    let [h1, h2] = world.hosts();
    let places = (8 + 8 + 14 + 9) * 8;
    h2.ok(&format!(
        "nft 'add table ip wall; add chain ip wall in {{ type filter hook prerouting priority -400; }}; add rule ip wall in udp dport 4789 @th,{places},8 {UDP} counter drop'"
    ));
    until(40, "h1 has looked in vain, twice", || {
        let dropped = h2.ok("nft list table ip wall");
        let count = dropped.split("packets ").nth(1).unwrap();
        count.split(' ').next().unwrap().parse::<u32>().unwrap() >= 6
    });
    until(15, "all is as it was", || offloads(&h1, SUMS) == ["on"]);
    world.end();
}

#[test]
fn long_packets_that_the_card_loses_are_cut_by_the_kernel() {
    if is_docker() {
        return;
    }
    let (world, [h1, h2], peer) = pair(CUTS);

    let began = h1.ok("date +%s");
    // What is longer than a packet of the wire is meant to be cut by the card.
    h1.ok("nft 'add table ip card; add chain ip card out { type filter hook output priority 0; }; add rule ip card out udp dport 4789 meta length > 2000 counter drop'");
    until(30, "the kernel cuts", || {
        offloads(&h1, CUTS) == ["off", "off"]
    });
    eventually(10, format!("ingress {}", entry(&h2)), || {
        told(&h1, "segmentation_offload_off", &began)
    });
    let lost = "nft list chain ip card out | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'";
    let before = h1.ok(lost);
    let bytes = "docker exec -d c2 sh -c 'sleep 60 | nc -l -p 90 | wc -c >/bytes'";
    h2.ok(bytes);
    until(10, "a server", || {
        h2.sh("docker exec c2 netstat -ltn").stdout.contains(":90 ")
    });
    h1.ok(&format!(
        "docker exec c1 sh -c 'head -c 3000000 /dev/zero | nc -w 5 {peer} 90'"
    ));
    eventually(10, "3000000".into(), || h2.ok("docker exec c2 cat /bytes"));
    assert_eq!(h1.ok(lost), before, "nothing is lost any more");
    // No more than that is changed, nor elsewhere.
    assert_eq!(offloads(&h1, SUMS), ["on", "on"]);
    assert_eq!(offloads(&h2, CUTS), ["on", "on"]);
    assert!(h1.ok("ethtool -k eth0").contains(&format!("{CUTS}: on")));
    h1.kill_daemon().unwrap();
    common::start(&h1, &[]);
    h1.ok("docker network create -d overlay --attachable later");
    run(&h1, "c3", "--network later");
    until(15, "of all networks", || {
        offloads(&h1, CUTS) == ["off", "off", "off"]
    });
    world.end();
}

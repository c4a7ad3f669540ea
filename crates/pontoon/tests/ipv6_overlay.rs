//! IPv6 on networks of the swarm.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;

use common::container::{address_v6, answers_v6, pid, resolve_v6, run};
use common::refusal::{check, row};
use common::swarm::{CREATE, replicas};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

/// Neighbour solicitations that came to a namespace.
fn solicited(host: &Host, pid: &str) -> String {
    host.ok(&format!(
        "nsenter -t {pid} -n cat /proc/net/snmp6 | grep Icmp6InNeighborSolicits"
    ))
}

#[test]
fn containers_of_all_hosts_reach_each_other() {
    // Docker gives the addresses, and tells no other node of them.
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let hosts = world.all();
    let create = "docker network create -d overlay --attachable --ipv6";
    hosts[0].ok(&format!("{create} any"));
    hosts[0].ok(&format!(
        "{create} --subnet 10.61.0.0/24 --subnet fd61::/64 --gateway fd61::99 both"
    ));
    let shown = |network: &str| {
        let format = "{{.EnableIPv6}}{{range .IPAM.Config}} {{.Subnet}} {{.Gateway}}{{end}}";
        hosts[0].ok(&format!("docker network inspect -f '{format}' {network}"))
    };
    assert_eq!(
        shown("both"),
        "true 10.61.0.0/24 10.61.0.1 fd61::/64 fd61::99"
    );
    let any = shown("any");
    let subnet = any.split(' ').nth(3).unwrap();
    assert!(
        subnet.starts_with("fd") && subnet.ends_with("::/64"),
        "{any}"
    );
    for (i, host) in hosts.iter().enumerate() {
        run(host, &format!("a{i}"), "--network any");
        let chosen = if i == 1 { "--ip6 fd61::77" } else { "" };
        run(host, &format!("b{i}"), &format!("--network both {chosen}"));
    }
    assert_eq!(address_v6(&hosts[1], "b1", "both"), "fd61::77");
    assert_eq!(
        hosts[0].ok("docker exec b0 tail -2 /etc/hosts | cut -f1 | head -c 6"),
        "10.61."
    );
    for (network, letter) in [("any", "a"), ("both", "b")] {
        let addresses: Vec<_> = hosts
            .iter()
            .enumerate()
            .map(|(i, host)| address_v6(host, &format!("{letter}{i}"), network))
            .collect();
        for (i, host) in hosts.iter().enumerate() {
            let from = format!("{letter}{i}");
            for (j, to) in addresses.iter().enumerate() {
                let name = format!("{letter}{j}");
                eventually(10, [to.clone()].into(), || resolve_v6(host, &from, &name));
                // 1,400 bytes with their headers.
                until(10, &format!("{from} reaches {to}"), || {
                    answers_v6(host, &from, to, 1352)
                });
                assert!(answers_v6(host, &from, &name, 56), "{from} to {name}");
            }
        }
    }
    // A new container is heard at once, and nobody elsewhere is asked where anybody is.
    let quiet = pid(&hosts[2], "b2");
    let before = solicited(&hosts[2], &quiet);
    hosts[0].ok("docker run --rm --network both busybox ping -6 -q -c1 -W1 fd61::77");
    assert_eq!(solicited(&hosts[2], &quiet), before);

    // A daemon that comes back knows it all.
    hosts[2].kill_daemon().unwrap();
    common::start(&hosts[2], &[]);
    let to = address_v6(&hosts[0], "b0", "both");
    assert!(answers_v6(&hosts[2], "b2", &to, 56));
    // And what goes is nowhere any more.
    hosts[0].ok("docker rm -f b0");
    eventually(10, BTreeSet::new(), || resolve_v6(&hosts[2], "b2", "b0"));
    assert!(!answers_v6(&hosts[2], "b2", &to, 56));

    let tasks = format!("{CREATE} --network both --replicas 3 --endpoint-mode dnsrr --name rr");
    hosts[0].ok(&format!("{tasks} busybox sleep 1d"));
    eventually(20, "3/3".to_string(), || replicas(&hosts[0], "rr"));
    for name in ["rr", "tasks.rr"] {
        eventually(10, 3, || resolve_v6(&hosts[2], "b2", name).len());
    }
    for task in resolve_v6(&hosts[2], "b2", "rr") {
        assert!(answers_v6(&hosts[2], "b2", &task, 56), "{task}");
    }
    check(
        &hosts[0],
        &[
            row(
                "docker network create -d overlay --ipv6 --ipv4=false x",
                1,
                "IPv4 cannot be disabled in a Swarm scoped network",
            ),
            row(
                "docker network create -d overlay --ipv6 --subnet fd63::/64 --subnet fd64::/64 x",
                1,
                "rpc error: code = InvalidArgument desc = a network of the swarm with IPv6 has one subnet of each family",
            ),
            row(
                "docker network create -d overlay --ipv6 --opt com.docker.network.driver.mtu=1300 x",
                1,
                "network x: an MTU of 1300 leaves 1250 bytes inside the tunnel, and IPv6 needs 1280",
            ),
        ],
    );
    world.end();
}

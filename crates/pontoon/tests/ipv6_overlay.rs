//! IPv6 on networks of the swarm.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;

use common::container::{address, address_v6, answers_v6, pid, pings_with, resolve_v6, run};
use common::mesh::ask;
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
        &[row(
            "docker network create -d overlay --ipv6 --opt com.docker.network.driver.mtu=1300 x",
            1,
            "network x: an MTU of 1300 leaves 1250 bytes inside the tunnel, and IPv6 needs 1280",
        )],
    );
    world.end();
}

#[test]
fn a_service_has_an_address_of_each_family() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let hosts = world.all();
    hosts[0].ok("docker network create -d overlay --attachable --ipv6 --subnet fd61::/64 both");
    hosts[0].ok(&format!(
        "{CREATE} --name web --network both --replicas 3 busybox nc -ll -p 80 -e hostname"
    ));
    for (i, host) in hosts.iter().enumerate() {
        let client = format!("c{i}");
        run(host, &client, "--network both");
        // Neighbours are asked for from the start.
        let pid = pid(host, &client);
        let waiting = host.ok(&format!("nsenter -t {pid} -n ip -6 addr show tentative"));
        assert_eq!(waiting, "", "{}", host.name);
    }
    eventually(20, "3/3".to_string(), || replicas(&hosts[0], "web"));
    let list = hosts[0]
        .ok("docker service inspect -f '{{range .Endpoint.VirtualIPs}}{{.Addr}} {{end}}' web");
    let own = list.split(' ').nth(1).unwrap();
    let own = own.strip_suffix("/64").unwrap().to_owned();
    assert!(own.starts_with("fd61::"), "{list}");
    let asked = |host: &Host, prefix: &str| -> BTreeSet<String> {
        let script = format!(
            "for i in $(seq 40); do busybox nc -w 2 {own} 80 </dev/null || echo FAILED; done"
        );
        let answers = host.ok(&format!("{prefix} sh -c '{script}'"));
        answers.lines().map(str::to_owned).collect()
    };
    for (i, host) in hosts.iter().enumerate() {
        let client = format!("c{i}");
        eventually(10, [own.clone()].into(), || {
            resolve_v6(host, &client, "web")
        });
        until(10, "all tasks are known", || {
            resolve_v6(host, &client, "tasks.web").len() == 3
        });
        let seen = asked(host, &format!("docker exec {client}"));
        assert!(seen.len() == 3 && !seen.contains("FAILED"), "{seen:?}");
        assert!(
            answers_v6(host, &client, "web", 1352),
            "by route, {}",
            host.name
        );
        // A program that is in the container's namespace and not in its group goes by route as well.
        let pid = pid(host, &client);
        let seen = asked(host, &format!("nsenter -t {pid} -n"));
        assert!(seen.len() == 3 && !seen.contains("FAILED"), "{seen:?}");
        // A task reaches its own service.
        let task = common::swarm::task_on(host, "web");
        assert_eq!(asked(host, &format!("docker exec {task}")).len(), 3);
    }
    hosts[0].ok("docker service scale -d web=1");
    eventually(20, 1, || resolve_v6(&hosts[2], "c2", "tasks.web").len());
    let seen = asked(&hosts[2], "docker exec c2");
    assert!(seen.len() == 1 && !seen.contains("FAILED"), "{seen:?}");
    assert!(answers_v6(&hosts[2], "c2", "web", 56));
    world.end();
}

#[test]
fn hosts_may_speak_ipv6_to_each_other() {
    if is_docker() {
        return;
    }
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    for (host, at) in [(&h1, "fd99::1"), (&h2, "fd99::2")] {
        host.ok(&format!("ip -6 addr add {at}/64 dev eth0 nodad"));
    }
    h1.ok("docker swarm init --advertise-addr fd99::1");
    let token = h1.ok("docker swarm join-token -q worker");
    h2.ok(&format!(
        "docker swarm join --advertise-addr fd99::2 --token {token} [fd99::1]:2377"
    ));
    h1.ok("docker network create -d overlay --attachable --ipv6 both");
    run(&h1, "c1", "--network both");
    run(&h2, "c2", "--network both");
    assert_eq!(
        h2.ok("docker exec c2 cat /sys/class/net/eth0/mtu"),
        "1430",
        "the tunnel's headers are longer"
    );
    let (four, six) = (address(&h2, "c2", "both"), address_v6(&h2, "c2", "both"));
    // As many bytes as fit, headers of IP and ICMP apart.
    until(10, "IPv4 over IPv6", || pings_with(&h1, "c1", &four, 1402));
    until(10, "IPv6 over IPv6", || answers_v6(&h1, "c1", &six, 1382));
    let peers = h1.ok("docker network inspect -f '{{range .Peers}}{{.IP}} {{end}}' both");
    let peers: BTreeSet<&str> = peers.split_whitespace().collect();
    assert_eq!(peers, ["fd99::1", "fd99::2"].into());
    h1.ok(&format!(
        "{CREATE} --name web --network both -p 8080:80 --replicas 2 {}",
        common::mesh::SERVER
    ));
    eventually(30, "2/2".to_string(), || replicas(&h1, "web"));
    for host in [&h1, &h2] {
        until(10, "the node leads to both tasks", || {
            let answers = ask(&h1, "", &host.addr.to_string(), 8080, 20);
            (answers.failed, answers.servers.len()) == (0, 2)
        });
    }
    // What it was told to be is what it is again.
    h1.kill_daemon().unwrap();
    common::start(&h1, &[]);
    until(20, "the manager is back", || {
        h1.sh("docker node ls").status == 0
    });
    assert!(pings_with(&h1, "c1", &four, 1402));
    world.end();
}

/// What the managers and gossip use is one thing, and what tunnels use another.
#[test]
fn tunnels_may_be_of_the_other_family() {
    if is_docker() {
        return;
    }
    let world = World::new(&[2]);
    let hosts = world.all();
    let both = |i: usize| (hosts[i].addr.to_string(), format!("fd99::{}", i + 1));
    for (i, host) in hosts.iter().enumerate() {
        host.ok(&format!("ip -6 addr add {}/64 dev eth0 nodad", both(i).1));
    }
    for v6 in [true, false] {
        let ways = |i: usize| match (both(i), v6) {
            ((four, six), true) => (four, six),
            ((four, six), false) => (six, four),
        };
        let addressed = |i: usize| {
            let (own, data) = ways(i);
            format!("--advertise-addr {own} --data-path-addr {data}")
        };
        hosts[0].ok(&format!("docker swarm init {}", addressed(0)));
        let token = hosts[0].ok("docker swarm join-token -q worker");
        let manager = match v6 {
            true => ways(0).0,
            false => format!("[{}]", ways(0).0),
        };
        hosts[1].ok(&format!(
            "docker swarm join {} --token {token} {manager}:2377",
            addressed(1)
        ));
        hosts[0].ok("docker network create -d overlay --attachable --ipv6 both");
        run(&hosts[0], "c1", "--network both");
        run(&hosts[1], "c2", "--network both");
        let inside = if v6 { 1430 } else { 1450 };
        let mtu = hosts[1].ok("docker exec c2 cat /sys/class/net/eth0/mtu");
        assert_eq!(mtu, inside.to_string());
        let (four, six) = (
            address(&hosts[1], "c2", "both"),
            address_v6(&hosts[1], "c2", "both"),
        );
        until(10, "IPv4", || {
            pings_with(&hosts[0], "c1", &four, inside - 28)
        });
        until(10, "IPv6", || {
            answers_v6(&hosts[0], "c1", &six, inside - 48)
        });
        hosts[0].ok(&format!(
            "{CREATE} --name web --network both -p 8080:80 --replicas 2 {}",
            common::mesh::SERVER
        ));
        eventually(30, "2/2".to_string(), || replicas(&hosts[0], "web"));
        for host in &hosts {
            until(10, "the node leads to both tasks", || {
                let answers = ask(&hosts[0], "", &host.addr.to_string(), 8080, 20);
                (answers.failed, answers.servers.len()) == (0, 2)
            });
        }
        // What they were told to be is what they are again.
        for host in &hosts {
            host.kill_daemon().unwrap();
            common::start(host, &[]);
        }
        until(20, "the manager is back", || {
            hosts[0].sh("docker node ls").status == 0
        });
        assert!(pings_with(&hosts[0], "c1", &four, inside - 28));
        for (host, name) in hosts.iter().zip(["c1", "c2"]).rev() {
            host.ok(&format!(
                "docker rm -f {name} && docker swarm leave --force"
            ));
        }
    }
    world.end();
}

//! IPv6 on networks of the swarm.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::time::Instant;

use common::container::{address, address_v6, answers_v6, pid, pings_with, resolve_v6, run};
use common::mesh::{Answers, ask, only};
use common::refusal::{check, row};
use common::swarm::{CREATE, replicas};
use common::{Shell as _, World, eventually, init, is_docker, join, until};
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

/// As the mesh's, for both families.
fn server() -> String {
    common::mesh::SERVER.replace("0.0.0.0:80", "[::]:80")
}

/// With addresses as everybody writes them.
fn asked(host: &Host, at: &str) -> Answers {
    let bare = |text: String| text.replace(['[', ']'], "").replace("::ffff:", "");
    let answers = ask(host, "", at, 8080, 20);
    Answers {
        clients: answers.clients.into_iter().map(bare).collect(),
        ..answers
    }
}

/// Nobody listens there, and says so.
fn refuses(host: &Host, at: &str) {
    let start = Instant::now();
    assert_ne!(
        host.sh(&format!("busybox nc -w 5 {at} 8080 </dev/null"))
            .status,
        0
    );
    assert!(start.elapsed().as_secs() < 4, "{at} is silent");
}

#[test]
fn published_ports_answer_by_ipv6_and_the_task_sees_the_client() {
    if is_docker() {
        return;
    }
    let world = World::new(&[3]);
    let [h1, h2, client] = world.hosts();
    let at = |number: usize| format!("fd99::{number}");
    for (i, host) in (1..).zip([&h1, &h2, &client]) {
        host.ok(&format!("ip -6 addr add {}/64 dev eth0 nodad", at(i)));
    }
    init(&h1);
    join(&h2, &h1);
    let nodes = [h1.clone(), h2.clone()];
    let serve = |replicas_wanted: &str| {
        let server = server();
        h1.ok(&format!(
            "{CREATE} --name web -p 8080:80 --replicas {replicas_wanted} {server}"
        ));
        let all = format!("{replicas_wanted}/{replicas_wanted}");
        eventually(30, all, || replicas(&h1, "web"));
    };
    // The usual ingress network is of IPv4, and IPv6 is refused.
    serve("1");
    until(10, "IPv4 answers", || {
        asked(&client, &h2.addr.to_string()).failed == 0
    });
    refuses(&client, &at(2));
    h1.ok("docker service rm web");
    until(20, "the network is removed", || {
        h1.sh("echo y | docker network rm ingress").status == 0
    });
    h1.ok(
        "docker network create -d overlay --ingress --ipv6 --subnet 10.12.0.0/16 --subnet fd12::/64 six",
    );
    serve("2");
    for (i, node) in (1..).zip(&nodes) {
        let own = at(i);
        until(20, "the node leads to both tasks", || {
            asked(&client, &own).servers.len() == 2
        });
        let answers = asked(&client, &own);
        assert_eq!((answers.failed, answers.servers.len()), (0, 2), "{own}");
        assert_eq!(answers.clients, only(at(3)), "through {own}");
        let answers = asked(node, &own);
        assert_eq!((answers.failed, answers.clients), (0, only(&own)));
        let answers = asked(&client, &node.addr.to_string());
        assert_eq!((answers.failed, answers.clients), (0, only(client.addr)));
        // Of loopback the source is given up for the node's own on the ingress network. Where bridges call the firewall, no
        // answer would come back to ::1.
        node.sh("echo 0 > /proc/sys/net/bridge/bridge-nf-call-ip6tables");
        let answers = asked(node, "::1");
        assert_eq!((answers.failed, answers.servers.len()), (0, 2), "{own}");
        assert!(answers.clients.iter().all(|c| c.starts_with("fd12::")));
    }
    // A daemon that comes back finds it as it was.
    h2.kill_daemon().unwrap();
    assert_eq!(asked(&client, &at(2)).failed, 0);
    common::start(&h2, &[]);
    assert_eq!(asked(&client, &at(2)).failed, 0);
    h1.ok("docker service rm web");
    for i in [1, 2] {
        until(10, "the port is closed", || {
            asked(&client, &at(i)).failed == 20
        });
        refuses(&client, &at(i));
    }
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
            let answers = asked(&h1, &host.addr.to_string());
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

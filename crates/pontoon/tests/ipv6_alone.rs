//! Networks of the swarm without IPv4, and with several subnets beside IPv6. Docker's managers make neither.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;

use common::container::{
    address, address_v6, answers, answers_v6, inspect, pid, pings, resolve_v6, run,
};
use common::refusal::{check, row};
use common::swarm::{CREATE, replicas, task_on};
use common::upstream::outcome;
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

/// All that the containers have on one network, as it is answered everywhere.
fn all_reach_all(hosts: &[Host], network: &str, names: &[&str]) {
    let addresses: Vec<_> = hosts
        .iter()
        .zip(names)
        .map(|(host, name)| address_v6(host, name, network))
        .collect();
    for (host, from) in hosts.iter().zip(names) {
        for (name, to) in names.iter().zip(&addresses) {
            eventually(10, [to.clone()].into(), || resolve_v6(host, from, name));
            until(10, &format!("{from} reaches {to}"), || {
                answers_v6(host, from, to, 1352)
            });
            assert!(answers_v6(host, from, name, 56), "{from} to {name}");
        }
    }
}

/// Who answers, connection by connection, to a client behind `prefix`.
fn asked(host: &Host, prefix: &str, own: &str) -> BTreeSet<String> {
    let script =
        format!("for i in $(seq 40); do busybox nc -w 2 {own} 80 </dev/null || echo FAILED; done");
    let answers = host.ok(&format!("{prefix} sh -c '{script}'"));
    answers.lines().map(str::to_owned).collect()
}

#[test]
fn containers_and_services_do_without_ipv4() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let hosts = world.all();
    let create = "docker network create -d overlay --attachable";
    hosts[0].ok(&format!(
        "{create} --ipv6 --ipv4=false --subnet fd61::/64 six && {create} four"
    ));
    let format =
        "{{.EnableIPv4}} {{.EnableIPv6}}{{range .IPAM.Config}} {{.Subnet}} {{.Gateway}}{{end}}";
    let shown = |host: &Host| host.ok(&format!("docker network inspect -f '{format}' six"));
    assert_eq!(shown(&hosts[0]), "false true fd61::/64 fd61::1");
    for (i, host) in hosts.iter().enumerate() {
        let chosen = if i == 1 { "--ip6 fd61::77" } else { "" };
        run(host, &format!("c{i}"), &format!("--network six {chosen}"));
    }
    // A worker has it only with a container.
    assert_eq!(shown(&hosts[2]), "false true fd61::/64 fd61::1");
    assert_eq!(address_v6(&hosts[1], "c1", "six"), "fd61::77");
    assert_eq!(
        inspect(
            &hosts[1],
            "c1",
            "{{.NetworkSettings.Networks.six.IPAddress}}"
        ),
        ""
    );
    assert_eq!(hosts[1].ok("docker exec c1 ip -4 -o addr show eth0"), "");
    let names = hosts[1].ok("docker exec c1 tail -1 /etc/hosts | cut -f1");
    assert_eq!(names, "fd61::77");
    all_reach_all(&hosts, "six", &["c0", "c1", "c2"]);
    // That there is no IPv4 is no reason to take the name for one that nobody has.
    let own = pid(&hosts[0], "c0");
    assert_eq!(outcome(&hosts[0], &own, "c2 A"), "NOERROR 0");
    assert_eq!(outcome(&hosts[0], &own, "c2 AAAA"), "NOERROR 1");

    // With a leg on a usual network as well.
    run(&hosts[0], "d0", "--network four");
    run(&hosts[2], "d2", "--network six");
    hosts[2].ok("docker network connect four d2");
    for name in ["d0", "c0", "c1"] {
        until(10, &format!("{name} is reached"), || {
            pings(&hosts[2], "d2", name)
        });
    }

    let servers = format!("{CREATE} --network six --replicas 3");
    let serve = "busybox nc -ll -p 80 -e hostname";
    hosts[0].ok(&format!("{servers} --name web {serve}"));
    hosts[0].ok(&format!(
        "{servers} --name rr --endpoint-mode dnsrr {serve}"
    ));
    for service in ["web", "rr"] {
        eventually(30, "3/3".to_string(), || replicas(&hosts[0], service));
    }
    let vips = "{{range .Endpoint.VirtualIPs}}{{.Addr}} {{end}}";
    let vip = hosts[0].ok(&format!("docker service inspect -f '{vips}' web"));
    let vip = vip.trim().strip_suffix("/64").unwrap().to_owned();
    assert!(vip.starts_with("fd61::"), "{vip}");
    for (i, host) in hosts.iter().enumerate() {
        let client = format!("c{i}");
        eventually(10, [vip.clone()].into(), || {
            resolve_v6(host, &client, "web")
        });
        for name in ["tasks.web", "rr", "tasks.rr"] {
            eventually(10, 3, || resolve_v6(host, &client, name).len());
        }
        let own = pid(host, &client);
        assert_eq!(outcome(host, &own, "web A"), "NOERROR 0");
        // As it connects, and by route: one who is in the namespace and not in the group.
        for prefix in [
            format!("docker exec {client}"),
            format!("nsenter -t {own} -n"),
        ] {
            let seen = asked(host, &prefix, &vip);
            assert!(seen.len() == 3 && !seen.contains("FAILED"), "{seen:?}");
        }
        assert!(
            answers_v6(host, &client, "web", 1352),
            "by route, {}",
            host.name
        );
        let task = task_on(host, "web");
        assert_eq!(asked(host, &format!("docker exec {task}"), &vip).len(), 3);
    }

    // A daemon that comes back knows it all, and what goes is nowhere any more.
    let own = pid(&hosts[2], "c2");
    hosts[2].kill_daemon().unwrap();
    assert!(answers(&hosts[2], &own, &vip));
    common::start(&hosts[2], &[]);
    all_reach_all(&hosts, "six", &["c0", "c1", "c2"]);
    hosts[0].ok("docker rm -f c0 && docker service scale -d web=1");
    eventually(10, BTreeSet::new(), || resolve_v6(&hosts[2], "c2", "c0"));
    eventually(20, 1, || resolve_v6(&hosts[2], "c2", "tasks.web").len());
    let seen = asked(&hosts[2], "docker exec c2", &vip);
    assert!(seen.len() == 1 && !seen.contains("FAILED"), "{seen:?}");
    check(
        &hosts[0],
        &[
            row(
                "docker network create -d overlay --ipv4=false x",
                1,
                "IPv4 or IPv6 must be enabled",
            ),
            row(
                "docker network create -d overlay --ipv6 --ipv4=false --subnet 10.61.0.0/24 x",
                1,
                "rpc error: code = InvalidArgument desc = ipam configuration: IPv4 is disabled, and 10.61.0.0/24 is a subnet of it",
            ),
            row(
                "docker network create -d macvlan --scope swarm --ipv6 --ipv4=false x",
                1,
                "IPv4 cannot be disabled in a Swarm scoped network",
            ),
        ],
    );
    world.end();
}

#[test]
fn subnets_of_a_family_live_beside_ipv6() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let hosts = world.all();
    hosts[0].ok(
        "docker network create -d overlay --attachable --ipv6 --subnet 10.61.0.0/24 --subnet 10.62.0.0/24 \
         --gateway 10.62.0.9 --subnet fd61::/64 --subnet fd62::/64 many",
    );
    // The CLI gives them in any order.
    let format = "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}},{{end}}";
    let shown = hosts[0].ok(&format!("docker network inspect -f '{format}' many"));
    let shown: BTreeSet<&str> = shown.trim().split_terminator(',').collect();
    let expected = [
        "10.61.0.0/24 10.61.0.1",
        "10.62.0.0/24 10.62.0.9",
        "fd61::/64 fd61::1",
        "fd62::/64 fd62::1",
    ];
    assert_eq!(shown, expected.into());
    let names = ["c0", "c1", "c2"];
    for (host, (name, chosen)) in
        hosts.iter().zip(
            names
                .iter()
                .zip(["", "--ip 10.62.0.7", "--ip 10.61.0.8 --ip6 fd62::8"]),
        )
    {
        run(host, name, &format!("--network many {chosen}"));
    }
    assert_eq!(address(&hosts[1], "c1", "many"), "10.62.0.7");
    all_reach_all(&hosts, "many", &names);
    let fours: Vec<_> = hosts
        .iter()
        .zip(&names)
        .map(|(host, name)| address(host, name, "many"))
        .collect();
    for (host, from) in hosts.iter().zip(&names) {
        for to in &fours {
            until(5, &format!("{from} reaches {to}"), || pings(host, from, to));
        }
    }
    // A service is reached from each of the subnets.
    hosts[0].ok(&format!(
        "{CREATE} --network many --name web --replicas 3 busybox nc -ll -p 80 -e hostname"
    ));
    eventually(30, "3/3".to_string(), || replicas(&hosts[0], "web"));
    let vips = "{{range .Endpoint.VirtualIPs}}{{.Addr}} {{end}}";
    let vips = hosts[0].ok(&format!("docker service inspect -f '{vips}' web"));
    for (host, name) in hosts.iter().zip(&names) {
        until(10, "all tasks are known", || {
            resolve_v6(host, name, "tasks.web").len() == 3
        });
        let own = pid(host, name);
        for vip in vips.split_whitespace() {
            let vip = vip.split('/').next().unwrap();
            for prefix in [
                format!("docker exec {name}"),
                format!("nsenter -t {own} -n"),
            ] {
                let seen = asked(host, &prefix, vip);
                assert!(
                    seen.len() == 3 && !seen.contains("FAILED"),
                    "{vip} {seen:?}"
                );
            }
            assert!(pings(host, name, vip), "{vip} from {name}");
        }
    }
    // A daemon that comes back finds it as it was.
    hosts[2].kill_daemon().unwrap();
    common::start(&hosts[2], &[]);
    all_reach_all(&hosts, "many", &names);
    assert!(pings(&hosts[2], "c2", &fours[0]));
    world.end();
}

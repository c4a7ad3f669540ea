//! A swarm of several hosts: its nodes, its overlay networks, and the containers that join them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;

use common::container::{address, pings, pings_with, resolve, run};
use common::swarm::{CREATE, networks, node_id};
use common::{Differences, Shell as _, World, eventually, is_docker, until};
use lab::Host;

#[test]
fn nodes_join_are_listed_and_leave() {
    let world = World::new(&[2, 1]);
    let [h1, h2, h3] = world.hosts();
    let said = h1.ok(&format!(
        "docker swarm init --advertise-addr={0} --listen-addr={0}:2377",
        h1.addr
    ));
    let id = node_id(&h1);
    let token = h1.ok("docker swarm join-token -q worker");
    assert!(
        said.starts_with(&format!(
            "Swarm initialized: current node ({id}) is now a manager."
        )),
        "{said}"
    );
    let join = format!("docker swarm join --token {token} {}:2377", h1.addr);
    assert!(said.contains(&join), "{said}");
    assert!(h1.ok("docker swarm join-token worker").contains(&join));
    assert_eq!(h2.ok(&join), "This node joined a swarm as a worker.");
    // A token can be withdrawn; what has joined stays.
    let rotated = h1.ok("docker swarm join-token -q --rotate worker");
    assert_ne!(rotated, token);
    assert_eq!(
        rotated.rsplit_once('-').unwrap().0,
        token.rsplit_once('-').unwrap().0
    );
    let manager_token = h1.ok("docker swarm join-token -q manager");
    assert_ne!(manager_token, rotated);
    assert_eq!(h3.sh(&join).status, 1);
    h3.ok(&format!(
        "docker swarm join --token {rotated} {}:2377",
        h1.addr
    ));

    let ls = "docker node ls --format '{{.ID}} {{.Self}} {{.Status}} {{.Availability}} {{.ManagerStatus}}'";
    let rows: BTreeSet<String> = h1
        .ok(ls)
        .lines()
        .map(|row| row.trim().to_string())
        .collect();
    let (id2, id3) = (node_id(&h2), node_id(&h3));
    let expected = [
        format!("{id} true Ready Active Leader"),
        format!("{id2} false Ready Active"),
        format!("{id3} false Ready Active"),
    ];
    assert_eq!(rows, BTreeSet::from(expected));
    let node = h1.json(&format!("docker node inspect -f '{{{{json .}}}}' {id3}"));
    let mut differences = Differences::default();
    for (pointer, expected) in [
        ("/ID", format!("{id3:?}")),
        ("/Spec/Role", r#""worker""#.into()),
        ("/Spec/Availability", r#""active""#.into()),
        ("/Status/State", r#""ready""#.into()),
        ("/Status/Addr", format!("\"{}\"", h3.addr)),
        (
            "/Description/Platform",
            r#"{"Architecture":"x86_64","OS":"linux"}"#.into(),
        ),
    ] {
        differences.compare(
            pointer,
            &expected,
            &node
                .pointer(pointer)
                .map(ToString::to_string)
                .unwrap_or_default(),
        );
    }
    let pretty = h1.ok("docker node inspect --pretty self");
    for line in [
        "Leader:\t\tYes",
        "State:\t\t\tReady",
        "Raft Status:\t\tReachable",
    ] {
        differences.compare(
            line,
            "shown",
            if pretty.contains(line) {
                "shown"
            } else {
                &pretty
            },
        );
    }
    let info = h2.json("docker info -f '{{json .Swarm}}'");
    differences.compare(
        "NodeAddr",
        &h2.addr.to_string(),
        info["NodeAddr"].as_str().unwrap(),
    );
    differences.compare(
        "LocalNodeState",
        "active",
        info["LocalNodeState"].as_str().unwrap(),
    );
    differences.compare(
        "ControlAvailable",
        "false",
        &info["ControlAvailable"].to_string(),
    );
    differences.compare(
        "RemoteManagers",
        &format!("{}:2377", h1.addr),
        info["RemoteManagers"][0]["Addr"].as_str().unwrap(),
    );
    differences.compare(
        "info",
        "3 1",
        &h1.ok("docker info -f '{{.Swarm.Nodes}} {{.Swarm.Managers}}'"),
    );
    differences.assert_none();
    h1.ok(&format!(
        "docker node update --label-add rack=a --availability drain {id2}"
    ));
    assert_eq!(
        h1.ok(&format!(
            "docker node inspect -f '{{{{.Spec.Labels.rack}}}} {{{{.Spec.Availability}}}}' {id2}"
        )),
        "a drain"
    );

    assert_eq!(h2.ok("docker swarm leave"), "Node left the swarm.");
    assert_eq!(
        h2.ok("docker info -f '{{.Swarm.LocalNodeState}}'"),
        "inactive"
    );
    let status = |id: &str| {
        h1.ok(&format!(
            "docker node inspect -f '{{{{.Status.State}}}}' {id}"
        ))
    };
    eventually(20, "down".to_string(), || status(&id2));
    assert_eq!(h1.ok(&format!("docker node rm {id2}")), id2);
    assert_eq!(h1.sh(&format!("docker node rm {id3}")).status, 1);
    assert_eq!(h1.ok("docker swarm leave --force"), "Node left the swarm.");
    assert!(!networks(&h1).contains("ingress"));
    // It may begin anew.
    common::init(&h1);
    assert_eq!(h1.ok("docker node ls -q | wc -l"), "1");
    world.end();
}

#[test]
fn attachable_containers_reach_each_other_across_hosts() {
    let world = World::swarm(&[2, 1]);
    let hosts: [Host; 3] = world.hosts();
    let h1 = &hosts[0];
    let id = h1.ok("docker network create -d overlay --attachable --subnet 10.99.7.0/24 att");
    let all = BTreeSet::from(
        [
            "att",
            "ingress",
            "docker_gwbridge",
            "bridge",
            "host",
            "none",
        ]
        .map(str::to_string),
    );
    eventually(5, all, || networks(h1));
    for (number, host) in (1..).zip(&hosts) {
        assert_eq!(
            networks(host).contains("att"),
            number == 1,
            "a worker learns of a network when it needs it"
        );
        run(
            host,
            &format!("c{number}"),
            "--network att --network-alias any",
        );
    }
    let addresses: Vec<String> = (1..)
        .zip(&hosts)
        .map(|(n, host)| address(host, &format!("c{n}"), "att"))
        .collect();
    assert_eq!(
        addresses
            .iter()
            .filter(|a| a.starts_with("10.99.7."))
            .collect::<BTreeSet<_>>()
            .len(),
        3
    );
    for (n, host) in (1..).zip(&hosts) {
        let me = format!("c{n}");
        for (m, there) in (1..).zip(&addresses) {
            let name = format!("c{m}");
            until(5, "the name is known", || {
                resolve(host, &me, &name) == BTreeSet::from([there.clone()])
            });
            assert!(pings(host, &me, &name), "{me} to {name}");
            assert!(
                pings_with(host, &me, there, 1400),
                "{me} to {there}, 1400 bytes"
            );
        }
        assert_eq!(
            resolve(host, &me, "any"),
            addresses.iter().cloned().collect()
        );
        // And the outside, through docker_gwbridge.
        assert!(
            pings(host, &me, &world.outside().addr.to_string()),
            "{me} to the outside"
        );
        assert_eq!(
            host.ok(&format!("docker exec {me} cat /sys/class/net/eth0/mtu")),
            "1450"
        );
    }
    for (n, host) in (1..).zip(&hosts) {
        let network = host.json("docker network inspect -f '{{json .}}' att");
        let mut differences = Differences::default();
        for (pointer, expected) in [
            ("/Id", format!("{id:?}")),
            ("/Driver", r#""overlay""#.into()),
            ("/Scope", r#""swarm""#.into()),
            ("/Attachable", "true".into()),
            ("/Ingress", "false".into()),
            (
                "/IPAM/Config",
                r#"[{"Gateway":"10.99.7.1","Subnet":"10.99.7.0/24"}]"#.into(),
            ),
            (
                "/Options/com.docker.network.driver.overlay.vxlanid_list",
                r#""4097""#.into(),
            ),
        ] {
            differences.compare(
                pointer,
                &expected,
                &network
                    .pointer(pointer)
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            );
        }
        differences.assert_none();
        let here = network["Containers"].as_object().unwrap();
        let names: BTreeSet<&str> = here.values().map(|c| c["Name"].as_str().unwrap()).collect();
        // Docker's load balancer has an endpoint of its own.
        let me = format!("c{n}");
        let balancer = is_docker().then_some("att-endpoint");
        assert_eq!(names, balancer.into_iter().chain([me.as_str()]).collect());
        let mine = here
            .values()
            .find(|c| c["Name"] == format!("c{n}"))
            .unwrap();
        assert_eq!(mine["IPv4Address"], format!("{}/24", addresses[n - 1]));
        let peers = || -> BTreeSet<String> {
            let peers = host.json("docker network inspect -f '{{json .Peers}}' att");
            peers
                .as_array()
                .unwrap()
                .iter()
                .map(|p| p["IP"].as_str().unwrap().to_string())
                .collect()
        };
        eventually(5, hosts.iter().map(|h| h.addr.to_string()).collect(), peers);
    }
    // What goes is forgotten everywhere.
    hosts[2].ok("docker rm -f c3");
    until(5, "the name is gone", || resolve(h1, "c1", "c3").is_empty());
    until(5, "the network has left the worker", || {
        !networks(&hosts[2]).contains("att")
    });
    hosts[1].ok("docker rm -f c2");
    h1.ok("docker rm -f c1");
    until(10, "the network can be removed", || {
        h1.sh("docker network rm att").status == 0
    });
    world.end();
}

#[test]
fn a_manager_tells_what_happens_in_the_swarm() {
    let world = World::swarm(&[1, 1]);
    let [h1, h2] = world.hosts();
    h1.ok("docker network create -d overlay net");
    h1.ok(&format!(
        "{CREATE} --name web --network net busybox sleep infinity"
    ));
    h1.ok("docker service rm web");
    h1.ok(&format!(
        "docker node update --availability drain {}",
        node_id(&h2)
    ));
    until(20, "the network can be removed", || {
        h1.sh("docker network rm net").status == 0
    });
    let told = |kind: &str| {
        h1.ok(&format!(
            "docker events --since 10m --until $(($(date +%s) + 1)) --filter scope=swarm --filter type={kind} \
             --format '{{{{.Action}}}} {{{{.Actor.Attributes.name}}}}'"
        ))
    };
    let services = told("service");
    assert!(
        services.starts_with("create web") && services.ends_with("remove web"),
        "{services}"
    );
    let networks = told("network");
    assert!(
        networks.contains("create net") && networks.contains("remove net"),
        "{networks}"
    );
    let nodes = told("node");
    assert!(
        nodes.contains("create") && nodes.contains("update"),
        "{nodes}"
    );
    world.end();
}

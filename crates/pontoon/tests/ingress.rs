//! The networks that the routing mesh stands on, when the administrator makes them himself.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::mesh::{SERVER, ask, only};
use common::swarm::{CREATE, networks, replicas, task_on};
use common::{Shell as _, World, eventually, init, is_docker, join, until};

/// The client says it, when the network is of the kind.
const WARNING: &str = "WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm run the same \
    docker engine version.";

#[test]
fn a_swarm_on_networks_of_ones_own() {
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    for host in [&h1, &h2] {
        host.ok(
            "docker network create --subnet 10.11.0.0/16 --opt com.docker.network.bridge.name=docker_gwbridge \
             --opt com.docker.network.bridge.enable_icc=false --opt com.docker.network.bridge.enable_ip_masquerade=true \
             --opt com.docker.network.driver.mtu=1300 docker_gwbridge",
        );
    }
    init(&h1);
    join(&h2, &h1);

    // Nobody takes the mesh away from a service.
    h1.ok(&format!("{CREATE} --name web -p 8080:80 {SERVER}"));
    let id = h1.ok("docker service inspect -f '{{.ID}}' web");
    let refused = h1.sh("echo y | docker network rm ingress");
    let reason = format!("ingress network cannot be removed because service {id} depends on it");
    assert!(refused.stderr.contains(&reason), "{}", refused.stderr);
    assert!(refused.stdout.contains(WARNING), "{}", refused.stdout);
    h1.ok("docker service rm web");
    h1.sh("echo n | docker network rm ingress");
    assert!(networks(&h1).contains("ingress"));
    until(20, "the network is removed", || {
        h1.sh("echo y | docker network rm ingress").status == 0
    });
    let refused = h1
        .sh(&format!("{CREATE} --name web -p 8080:80 {SERVER}"))
        .stderr;
    assert!(
        refused.contains("service needs ingress network, but no ingress network is present"),
        "{refused}"
    );

    h1.ok(
        "docker network create --driver overlay --ingress --subnet=10.12.0.0/16 --gateway=10.12.0.2 \
         --opt com.docker.network.driver.mtu=1200 my-ingress",
    );
    let config = "{{.Ingress}} {{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}";
    assert_eq!(
        h1.ok(&format!("docker network inspect -f '{config}' my-ingress")),
        "true 10.12.0.0/16 10.12.0.2"
    );
    h1.ok(&format!(
        "{CREATE} --name web -p 8080:80 --replicas 2 {SERVER}"
    ));
    eventually(30, "2/2".to_string(), || replicas(&h1, "web"));
    for host in [&h1, &h2] {
        let task = task_on(host, "web");
        let addresses = host.ok(&format!("docker exec {task} ip -4 -o addr"));
        assert!(addresses.contains("inet 10.12.0."), "{addresses}");
        assert!(addresses.contains("inet 10.11.0."), "{addresses}");
        let sizes = host.ok(&format!(
            "docker exec {task} sh -c 'cat /sys/class/net/eth*/mtu'"
        ));
        let mut sizes: Vec<&str> = sizes.lines().collect();
        sizes.sort_unstable();
        assert_eq!(sizes, ["1150", "1300"]);
    }
    // This kernel has no IPVS, which Docker's own mesh needs.
    if !is_docker() {
        let outside = world.outside();
        for host in [&h1, &h2] {
            let own = host.addr.to_string();
            until(10, "the node leads to both tasks", || {
                ask(&outside, "", &own, 8080, 20).servers.len() == 2
            });
            let answers = ask(&outside, "", &own, 8080, 20);
            assert_eq!((answers.failed, answers.clients), (0, only(outside.addr)));
            let seen = ask(host, "", "127.0.0.1", 8080, 1).clients;
            assert!(seen.iter().all(|c| c.starts_with("10.12.0.")), "{seen:?}");
        }
    }
    world.end();
}

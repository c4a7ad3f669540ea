//! The default bridge: the daemon's flags for it, legacy links on it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::container::{address, inspect, pings, resolve, run};
use common::refusal::{check, row};
use common::{Shell as _, World, eventually, is_docker, start};
use lab::Host;

fn answers(host: &Host, from: &str, at: &str) -> bool {
    !host
        .sh(&format!("docker exec {from} nc -w1 {at} </dev/null"))
        .stdout
        .is_empty()
}

#[test]
fn linked_containers_know_and_reach_each_other() {
    let world = World::with_flags(&[1], &["--icc=false"]);
    let [h1] = world.hosts();
    let serve = || {
        for port in [80, 81] {
            h1.ok(&format!("docker exec -d db nc -ll -p {port} -e echo db"));
        }
    };
    run(&h1, "db", "-h dbhost --expose 80 -e COLOUR=blue");
    run(&h1, "web", "--link db:store");
    run(&h1, "other", "");
    serve();
    let ip = address(&h1, "db", "bridge");
    let env = h1.ok("docker exec web env");
    for line in [
        format!("STORE_PORT=tcp://{ip}:80"),
        format!("STORE_PORT_80_TCP_ADDR={ip}"),
        "STORE_PORT_80_TCP_PROTO=tcp".into(),
        "STORE_NAME=/web/store".into(),
        "STORE_ENV_COLOUR=blue".into(),
    ] {
        assert!(env.lines().any(|l| l == line), "{line} in\n{env}");
    }
    let hosts = || h1.ok("docker exec web cat /etc/hosts");
    assert!(
        hosts().contains(&format!("{ip}\tstore dbhost")),
        "{}",
        hosts()
    );
    // Containers may not talk to each other here, but for what a link names.
    eventually(3, true, || answers(&h1, "web", "store 80"));
    assert!(!answers(&h1, "web", "store 81"));
    assert!(!answers(&h1, "other", &format!("{ip} 80")) && !pings(&h1, "web", &ip));
    assert!(!answers(
        &h1,
        "db",
        &format!("{} 80", address(&h1, "web", "bridge"))
    ));
    // The link follows the container to another address.
    h1.ok("docker stop db");
    run(&h1, "squatter", "");
    h1.ok("docker start db");
    serve();
    let moved = address(&h1, "db", "bridge");
    assert_ne!(ip, moved);
    eventually(3, true, || {
        hosts().contains(&format!("{moved}\tstore dbhost"))
    });
    if !is_docker() {
        // Of 20.10 only the name follows, not what the firewall lets pass.
        eventually(3, true, || answers(&h1, "web", "store 80"));
    }
    h1.ok("docker stop db");
    check(
        &h1,
        &[
            row(
                "docker run --rm --link nope busybox true",
                125,
                "could not get container for nope",
            )
            .old("could not get container for nope: No such container: nope"),
            row(
                "docker run --rm --name late --link db busybox true",
                125,
                "Cannot link to a non running container: /db AS /late/db",
            ),
            row(
                "docker run --rm --network host --link db busybox true",
                125,
                "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
            ),
            row(
                "docker run --rm --network container:web --link db busybox true",
                125,
                "conflicting options: container type network can't be used with links. This would result in undefined behavior",
            ),
        ],
    );
    // On a network of one's own a link is a name.
    h1.ok("docker network create net && docker start db && docker network connect net db");
    run(&h1, "named", "--network net --link db:alias");
    let there = address(&h1, "db", "net");
    assert_eq!(resolve(&h1, "named", "alias"), [there].into());
    assert!(pings(&h1, "named", "alias"));
    assert_eq!(resolve(&h1, "db", "alias"), [].into());
    world.end();
}

#[test]
fn flags_shape_it() {
    let mut flags = vec![
        "--bip=10.50.0.1/24",
        "--fixed-cidr=10.50.0.128/25",
        "--ip-masq=false",
        "--mtu=1400",
        "--ip=127.0.0.1",
    ];
    if !is_docker() {
        flags.extend([
            "--ipv6",
            "--bip6=fd50::1/64",
            "--host-gateway-ip=192.0.2.7",
            "--default-network-opt=bridge=com.docker.network.driver.mtu=1350",
        ]);
    }
    let world = World::bare(&[2]);
    let [h1, h2] = world.hosts();
    start(&h1, &flags);
    h1.import_busybox().unwrap();
    assert!(h1.ok("ip -o addr show docker0").contains("10.50.0.1/24"));
    run(&h1, "c1", "-p 8080:80 --add-host up:host-gateway");
    let ip = address(&h1, "c1", "bridge");
    assert_eq!(
        ip.rsplit_once('.').unwrap().1.parse::<u8>().unwrap() & 128,
        128,
        "{ip}"
    );
    assert_eq!(h1.ok("docker port c1"), "80/tcp -> 127.0.0.1:8080");
    assert_eq!(h1.ok("docker exec c1 cat /sys/class/net/eth0/mtu"), "1400");
    // It leaves with its own address, to which there is no way back as yet.
    assert!(!pings(&h1, "c1", &h2.addr.to_string()));
    h2.ok(&format!("ip route add 10.50.0.0/24 via {}", h1.addr));
    assert!(pings(&h1, "c1", &h2.addr.to_string()));
    if !is_docker() {
        assert!(
            h1.ok("docker exec c1 cat /etc/hosts")
                .contains("192.0.2.7\tup")
        );
        let six = inspect(&h1, "c1", "{{.NetworkSettings.GlobalIPv6Address}}");
        assert_eq!(six, "fd50::2");
        run(&h1, "c2", "");
        assert!(pings(&h1, "c2", &six) && pings(&h1, "c2", "fd50::1"));
        h1.ok("docker network create n1 && docker network create -o com.docker.network.driver.mtu=1300 n2");
        let mtu = |network: &str| {
            h1.ok(&format!(
                "docker run --rm --network {network} busybox cat /sys/class/net/eth0/mtu"
            ))
        };
        assert_eq!((mtu("n1").as_str(), mtu("n2").as_str()), ("1350", "1300"));
    }
    world.end();
}

#[test]
fn it_is_a_bridge_of_the_hosts_or_none() {
    let world = World::bare(&[1, 1]);
    let [h1, h2] = world.hosts();
    h1.ok("ip link add br9 type bridge && ip addr add 10.51.0.9/24 dev br9 && ip link set br9 up");
    for (host, flags) in [
        (&h1, &["-b", "br9", "--default-gateway=10.51.0.200"]),
        (&h2, &["-b", "none", "--icc=true"]),
    ] {
        start(host, flags);
        host.import_busybox().unwrap();
    }
    run(&h1, "c1", "");
    assert!(address(&h1, "c1", "bridge").starts_with("10.51.0."));
    assert!(pings(&h1, "c1", "10.51.0.9"));
    assert!(
        h1.ok("docker exec c1 ip route show default")
            .starts_with("default via 10.51.0.200 ")
    );
    assert_ne!(h1.sh("ip link show docker0").status, 0);
    // It was there before and stays.
    h1.ok("docker rm -f c1");
    assert_eq!(
        h2.ok("docker network ls --format '{{.Name}}' | sort | tr '\\n' ' '"),
        "host none"
    );
    if !is_docker() {
        assert_eq!(h2.ok("docker run --rm busybox ls /sys/class/net"), "lo");
    }
    h1.stop_daemon().unwrap();
    assert!(h1.ok("ip -4 -o addr show br9").contains("10.51.0.9/24"));
    world.end();
}

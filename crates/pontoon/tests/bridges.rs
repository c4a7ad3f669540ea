//! Networks of one host: the default bridge, bridges of one's own, names, published ports.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;

use common::background::Background;
use common::container::{address, inspect, pings, resolve, run};
use common::{Differences, Shell as _, World, eventually, footprint, is_docker};

fn set(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn a_container_reaches_other_hosts_through_docker0() {
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    run(&h1, "c1", "");
    for there in [h2.addr, world.outside().addr, h1.addr] {
        assert!(pings(&h1, "c1", &there.to_string()), "{there}");
    }
    // What leaves the host has the host's address.
    let www = h2.dir().join("www").display().to_string();
    h2.ok(&format!("mkdir -p {www}/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR' > {www}/cgi-bin/caller; chmod +x {www}/cgi-bin/caller"));
    let _server = Background::start(&h2, &format!("busybox httpd -f -p 7000 -h {www}"));
    let request = "printf 'GET /cgi-bin/caller HTTP/1.0\\r\\n\\r\\n'";
    let caller = || {
        h1.sh(&format!(
            "{request} | docker exec -i c1 nc -w2 {} 7000 | tail -1",
            h2.addr
        ))
        .stdout
    };
    // Its socket is of IPv6.
    eventually(5, format!("[::ffff:{}]\n", h1.addr), caller);
    assert!(
        h1.ok("ip -4 -o addr show docker0")
            .contains("172.17.0.1/16")
    );
    // Nothing but a published port leads in.
    let inside = address(&h1, "c1", "bridge");
    h2.ok(&format!("ip route add {inside}/32 via {}", h1.addr));
    assert_ne!(h2.sh(&format!("ping -c1 -W1 {inside}")).status, 0);
    world.end();
}

#[test]
fn names_of_a_user_defined_bridge() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker network create net");
    let id = run(&h1, "c1", "--network net --network-alias web");
    run(
        &h1,
        "c2",
        "--network net --network-alias web --network-alias other -h host2",
    );
    let (a1, a2) = (address(&h1, "c1", "net"), address(&h1, "c2", "net"));
    for (name, expected) in [
        ("c1", set(&[&a1])),
        ("c1.net", set(&[&a1])),
        (&id[..12], set(&[&a1])),
        ("C2", set(&[&a2])),
        ("other", set(&[&a2])),
        ("web", set(&[&a1, &a2])),
        ("nobody", set(&[])),
    ] {
        assert_eq!(resolve(&h1, "c2", name), expected, "{name}");
    }
    // Only since 25 is a container's own hostname a name of the network.
    if !is_docker() {
        assert_eq!(resolve(&h1, "c1", "host2"), set(&[&a2]));
    }
    assert!(pings(&h1, "c1", "c2") && pings(&h1, "c2", "web"));
    let reverse = h1
        .sh(&format!("docker exec c1 timeout 2 nslookup {a2}"))
        .stdout;
    assert!(reverse.contains("name = c2.net"), "{reverse}");
    let resolver = h1.ok("docker exec c1 cat /etc/resolv.conf");
    assert!(
        resolver.contains("nameserver 127.0.0.11") && resolver.contains("options ndots:0"),
        "{resolver}"
    );
    // Names come and go with their containers.
    h1.ok("docker stop c1");
    assert_eq!(resolve(&h1, "c2", "web"), set(&[&a2]));
    assert_eq!(resolve(&h1, "c2", "c1"), set(&[]));
    h1.ok("docker start c1 && docker rename c1 renamed");
    let a1 = address(&h1, "renamed", "net");
    assert_eq!(resolve(&h1, "c2", "renamed"), set(&[&a1]));
    assert_eq!(resolve(&h1, "c2", "c1"), set(&[]));
    // The default bridge has no names.
    run(&h1, "c3", "");
    assert_eq!(resolve(&h1, "c3", "c2"), set(&[]));
    world.end();
}

#[test]
fn published_ports_are_reached_from_other_hosts() {
    let world = World::new(&[1, 1]);
    let [h1, h2] = world.hosts();
    let web = "--entrypoint sh busybox -c 'mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www'";
    h1.ok(&format!(
        "docker run -d --name web -h web -p 8080:80 -p 127.0.0.1:8081:80 {web}"
    ));
    let get = |host: &lab::Host, url: &str| {
        host.sh(&format!("curl -s -m 2 http://{url}"))
            .stdout
            .trim()
            .to_string()
    };
    eventually(5, "web".to_string(), || {
        get(&h2, &format!("{}:8080", h1.addr))
    });
    assert_eq!(get(&world.outside(), &format!("{}:8080", h1.addr)), "web");
    assert_eq!(get(&h1, "127.0.0.1:8080"), "web");
    assert_eq!(get(&h1, "127.0.0.1:8081"), "web");
    assert_eq!(get(&h1, &format!("{}:8080", h1.addr)), "web");
    assert_eq!(get(&h2, &format!("{}:8081", h1.addr)), "");
    // A container reaches the port through its host as well, the server itself too.
    run(&h1, "c1", "");
    for container in ["c1", "web"] {
        let request = "printf 'GET / HTTP/1.0\\r\\n\\r\\n'";
        let line = format!(
            "{request} | docker exec -i {container} nc -w2 {} 8080 | tail -1",
            h1.addr
        );
        assert_eq!(h1.ok(&line), "web", "{container}");
    }
    // Docker's proxy process takes connections of IPv6 as well.
    let ipv6 = if is_docker() {
        "\n80/tcp -> [::]:8080"
    } else {
        ""
    };
    let ports = format!("80/tcp -> 0.0.0.0:8080\n80/tcp -> 127.0.0.1:8081{ipv6}");
    assert_eq!(h1.ok("docker port web | sort"), ports);
    // UDP, a port of the engine's choice, and both gone with the container.
    run(&h1, "udp", "-p 5000:5000/udp -p 9000");
    let port = h1
        .ok("docker port udp 9000 | head -1")
        .rsplit(':')
        .next()
        .unwrap()
        .to_string();
    assert!(port.parse::<u16>().unwrap() >= 32768, "{port}");
    // Nobody listens, and the container's kernel counts what it got for nobody.
    let arrived =
        || h1.ok("docker exec udp sh -c 'grep Udp: /proc/net/snmp' | tail -1 | cut -d' ' -f3");
    assert_eq!(arrived(), "0");
    h2.ok(&format!("bash -c 'echo hi > /dev/udp/{}/5000'", h1.addr));
    eventually(2, "1".to_string(), arrived);
    h1.ok("docker rm -f web udp");
    assert_eq!(get(&h2, &format!("{}:8080", h1.addr)), "");
    h1.ok(&format!(
        "docker run -d --name again -h again -p 8080:80 {web}"
    ));
    eventually(5, "again".to_string(), || {
        get(&h2, &format!("{}:8080", h1.addr))
    });
    world.end();
}

#[test]
fn networks_are_made_shown_and_removed() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let before = footprint(&h1);
    let id = h1.ok("docker network create --subnet 10.88.0.0/16 --ip-range 10.88.5.0/24 --gateway 10.88.0.9 --label a=b \
                    -o com.docker.network.driver.mtu=1400 -o com.docker.network.bridge.name=br-mine net");
    assert_eq!(id.len(), 64);
    let n = h1.json("docker network inspect -f '{{json .}}' net");
    let mut rows = Differences::default();
    for (pointer, expected) in [
        ("/Name", r#""net""#),
        ("/Scope", r#""local""#),
        ("/Driver", r#""bridge""#),
        ("/EnableIPv6", "false"),
        ("/IPAM/Driver", r#""default""#),
        (
            "/IPAM/Config",
            r#"[{"Gateway":"10.88.0.9","IPRange":"10.88.5.0/24","Subnet":"10.88.0.0/16"}]"#,
        ),
        ("/Internal", "false"),
        ("/Attachable", "false"),
        ("/Ingress", "false"),
        ("/ConfigOnly", "false"),
        ("/Containers", "{}"),
        ("/Labels", r#"{"a":"b"}"#),
        (
            "/Options",
            r#"{"com.docker.network.bridge.name":"br-mine","com.docker.network.driver.mtu":"1400"}"#,
        ),
    ] {
        rows.compare(
            pointer,
            expected,
            &n.pointer(pointer)
                .map(ToString::to_string)
                .unwrap_or_default(),
        );
    }
    rows.assert_none();
    run(&h1, "c1", "--network net");
    // The CLI asks for a MAC address in a way that 20.10 does not know.
    let mac = "02:42:0a:58:07:07";
    let option = if is_docker() {
        String::new()
    } else {
        format!("--mac-address {mac}")
    };
    run(&h1, "c2", &format!("--network net --ip 10.88.7.7 {option}"));
    assert_eq!(address(&h1, "c1", "net"), "10.88.5.0");
    assert_eq!(address(&h1, "c2", "net"), "10.88.7.7");
    assert_eq!(
        h1.ok("docker exec c2 cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu"),
        format!("{mac}\n1400")
    );
    assert!(h1.ok("ip -4 -o addr show br-mine").contains("10.88.0.9/16"));
    assert!(
        h1.ok("docker exec c1 ip route")
            .starts_with("default via 10.88.0.9 ")
    );
    for (filter, expected) in [
        ("-f driver=bridge", "bridge net"),
        ("-f name=ne", "net none"),
        ("-f label=a=b", "net"),
        ("-f type=custom", "net"),
        ("-f type=builtin", "bridge host none"),
        ("-f scope=swarm", ""),
        (&format!("-f id={}", &id[..8]), "net"),
    ] {
        let names = h1.ok(&format!(
            "docker network ls {filter} --format '{{{{.Name}}}}' | sort"
        ));
        assert_eq!(names.replace('\n', " "), expected, "{filter}");
    }
    let short = h1.ok("docker network ls -q -f name=net");
    assert_eq!(
        h1.ok(&format!(
            "docker network inspect -f '{{{{.Name}}}}' {short}"
        )),
        "net"
    );
    h1.ok("docker rm -f c1 c2");
    assert_eq!(h1.ok("docker network rm net"), "net");
    // Default pools: the first that is free, and again when it was given back.
    let subnet = |name: &str| {
        h1.ok(&format!(
            "docker network inspect -f '{{{{(index .IPAM.Config 0).Subnet}}}}' {name}"
        ))
    };
    h1.ok("docker network create n1 && docker network create n2");
    assert_eq!(
        (subnet("n1").as_str(), subnet("n2").as_str()),
        ("172.18.0.0/16", "172.19.0.0/16")
    );
    h1.ok("docker network rm n1 n2");
    assert_eq!(footprint(&h1), before);
    world.end();
}

#[test]
fn containers_move_between_networks_that_are_apart() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker network create red && docker network create blue && docker network create --internal inner");
    run(&h1, "r1", "--network red");
    run(&h1, "b1", "--network blue");
    run(&h1, "i1", "--network inner");
    let (red, blue) = (address(&h1, "r1", "red"), address(&h1, "b1", "blue"));
    assert!(!pings(&h1, "r1", &blue) && !pings(&h1, "b1", &red));
    assert_eq!(resolve(&h1, "r1", "b1"), set(&[]));
    assert!(
        pings(&h1, "r1", &h1.addr.to_string())
            && !pings(&h1, "i1", &world.outside().addr.to_string())
    );

    h1.ok("docker network connect --alias both blue r1");
    assert_eq!(
        h1.ok("docker exec r1 ls /sys/class/net").replace('\n', " "),
        "eth0 eth1 lo"
    );
    assert!(pings(&h1, "r1", &blue) && pings(&h1, "b1", "r1") && pings(&h1, "b1", "both"));
    assert_eq!(inspect(&h1, "r1", "{{len .NetworkSettings.Networks}}"), "2");
    h1.ok("docker network disconnect blue r1");
    assert_eq!(
        h1.ok("docker exec r1 ls /sys/class/net").replace('\n', " "),
        "eth0 lo"
    );
    assert!(!pings(&h1, "r1", &blue));
    // The way out goes through what is left.
    h1.ok("docker network connect blue r1 && docker network disconnect red r1");
    assert!(pings(&h1, "r1", &world.outside().addr.to_string()));
    // Connections of a stopped container count when it starts.
    h1.ok("docker stop r1 && docker network connect red r1");
    h1.ok("docker start r1");
    assert_eq!(
        inspect(
            &h1,
            "r1",
            "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}"
        ),
        "blue red"
    );
    // Two containers in one namespace.
    h1.ok("docker run -d --name beside --network container:b1 busybox sleep 60");
    assert_eq!(
        h1.ok("docker exec beside ip -4 -o addr show eth0"),
        h1.ok("docker exec b1 ip -4 -o addr show eth0")
    );
    world.end();
}

#[test]
fn networks_are_listed_pruned_and_heard_of() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let from = h1.ok("date +%s");
    h1.ok("docker network create --label keep=1 kept && docker network create --label old=1 gone && docker network create --internal used");
    run(&h1, "c1", "--network used");
    h1.ok("docker network connect kept c1 && docker network disconnect kept c1");
    let list = |options: &str| h1.ok(&format!("docker network ls {options}"));
    let row = list(
        "-f name=used --format '{{.Name}}|{{.Driver}}|{{.Scope}}|{{.IPv6}}|{{.Internal}}|{{.Labels}}'",
    );
    assert_eq!(row, "used|bridge|local|false|true|");
    assert_eq!(list("-f label=keep --format '{{.Label \"keep\"}}'"), "1");
    assert_eq!(
        list("-f dangling=true --format '{{.Name}}' | sort | tr '\\n' ' '"),
        // 20.10 does not look who is on a network.
        if is_docker() {
            "gone kept used"
        } else {
            "gone kept"
        }
    );
    assert_eq!(list("-f name=gone --no-trunc -q").len(), 64);
    assert!(list("-f name=gone --format json").contains("\"Name\":\"gone\"") || is_docker());
    // What is in use, labelled otherwise or too young stays.
    let prune = |filter: &str| h1.ok(&format!("docker network prune -f {filter} | tail -n +2"));
    assert_eq!(prune("--filter until=1h"), "");
    assert_eq!(prune("--filter label!=old --filter label=nope"), "");
    assert_eq!(prune("--filter label!=keep"), "gone");
    assert_eq!(prune(""), "kept");
    h1.ok("docker rm -f c1 && docker network rm used");
    let events = h1.ok(&format!(
        "docker events --since {from} --until $(($(date +%s) + 1)) --filter type=network \
         --format '{{{{.Action}}}} {{{{.Actor.Attributes.name}}}}' | sort | uniq -c | tr -s ' ' | tr '\\n' ','"
    ));
    for event in [
        "1 create kept",
        "1 create gone",
        "1 create used",
        "1 connect used",
        "1 connect kept",
        "1 disconnect used",
        // 20.10 tells it once more when the container goes.
        if is_docker() {
            "2 disconnect kept"
        } else {
            "1 disconnect kept"
        },
        "1 destroy used",
        "1 destroy gone",
    ] {
        assert!(events.contains(event), "{event} in {events}");
    }
    world.end();
}

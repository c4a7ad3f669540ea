//! Options of bridge networks: gateway modes, trusted interfaces, source addresses, interfaces' settings.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::background::Background;
use common::container::{address, inspect, pings, run};
use common::refusal::{check, row};
use common::{Shell as _, World, eventually, is_docker};
use lab::Host;

const MODE: &str = "-o com.docker.network.bridge.gateway_mode_ipv4";

/// A container that answers on ports 80 and 81.
fn serve(host: &Host, name: &str, options: &str) {
    run(host, name, options);
    for port in [80, 81] {
        host.ok(&format!(
            "docker exec -d {name} nc -ll -p {port} -e echo {name}"
        ));
    }
}

fn answers(from: &Host, at: &str) -> bool {
    !from
        .sh(&format!("busybox nc -w1 {at} </dev/null"))
        .stdout
        .is_empty()
}

/// Whom a server on another host takes the container for.
fn seen_as(from: &Host, container: &str, server: &Host) -> String {
    let line = format!(
        "printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | docker exec -i {container} nc -w1 {} 7000 | tail -1",
        server.addr
    );
    let seen = from.sh(&line).stdout;
    seen.trim()
        .trim_start_matches("[::ffff:")
        .trim_end_matches(']')
        .to_string()
}

fn who_server(host: &Host) -> Background {
    let www = host.dir().join("www").display().to_string();
    host.ok(&format!("mkdir -p {www}/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR' > {www}/cgi-bin/who; chmod +x {www}/cgi-bin/who"));
    Background::start(host, &format!("busybox httpd -f -p 7000 -h {www}"))
}

#[test]
fn each_mode_lets_in_and_out_what_it_says() {
    if is_docker() {
        // 20.10 has none of them.
        return;
    }
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    let _who = who_server(&h2);
    let trusted = "-o com.docker.network.bridge.trusted_host_interfaces=lo:eth0";
    for (i, (name, options)) in [
        ("nat", ""),
        ("routed", &format!("{MODE}=routed") as &str),
        ("open", &format!("{MODE}=nat-unprotected")),
        ("trusting", trusted),
        (
            "closed",
            "-o com.docker.network.bridge.enable_ip_masquerade=false",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let subnet = format!("10.8{i}.0.0/24");
        h1.ok(&format!(
            "docker network create --subnet {subnet} {options} {name}"
        ));
        h2.ok(&format!("ip route add {subnet} via {}", h1.addr));
        serve(
            &h1,
            &format!("c-{name}"),
            &format!("--network {name} -p 808{i}:80"),
        );
    }
    let at = |name: &str| address(&h1, &format!("c-{name}"), name);
    // From another host, which has a route: the published port, another port, an echo.
    eventually(3, true, || answers(&h2, &format!("{} 80", at("routed"))));
    let direct = |name: &str| {
        let ip = at(name);
        let echo = h2.sh(&format!("ping -q -c1 -W0.5 {ip}")).status == 0;
        [
            answers(&h2, &format!("{ip} 80")),
            answers(&h2, &format!("{ip} 81")),
            echo,
        ]
    };
    assert_eq!(direct("nat"), [false, false, false]);
    assert_eq!(direct("routed"), [true, false, true]);
    assert_eq!(direct("open"), [true, true, true]);
    assert_eq!(direct("trusting"), [true, false, false]);
    // Through the host's port; there is none where nothing is translated.
    let through = |i: u16| answers(&h2, &format!("{} {}", h1.addr, 8080 + i));
    assert_eq!([0, 1, 2, 3].map(through), [true, false, true, true]);
    // Networks stay apart, but for what a routed one publishes.
    let between = |to: &str| {
        let line = format!("docker exec c-nat nc -w1 {} 80 </dev/null", at(to));
        !h1.sh(&line).stdout.is_empty()
    };
    assert_eq!(
        ["routed", "open", "trusting"].map(between),
        [true, false, false]
    );
    // On the way out.
    eventually(3, h1.addr.to_string(), || seen_as(&h1, "c-nat", &h2));
    assert_eq!(seen_as(&h1, "c-open", &h2), h1.addr.to_string());
    assert_eq!(seen_as(&h1, "c-routed", &h2), at("routed"));
    assert_eq!(seen_as(&h1, "c-closed", &h2), at("closed"));
    assert_eq!(
        inspect(&h1, "c-routed", "{{json .NetworkSettings.Ports}}"),
        r#"{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":""}]}"#
    );
    world.end();
}

#[test]
fn addresses_of_the_bridge_and_of_its_packets() {
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    let _who = who_server(&h2);
    let second = "198.18.1.77";
    h1.ok(&format!("ip addr add {second}/32 dev eth0"));
    if !is_docker() {
        h1.ok(&format!("docker network create --subnet 10.81.0.0/24 -o com.docker.network.host_ipv4={second} source"));
        run(&h1, "source", "--network source");
        h2.ok(&format!("ip route add {second}/32 via {}", h1.addr));
        eventually(3, second.to_string(), || seen_as(&h1, "source", &h2));
        h1.ok(&format!("docker network create --internal --subnet 10.82.0.0/24 {MODE}=isolated -o com.docker.network.bridge.name=br-iso iso"));
        run(&h1, "iso1", "--network iso");
        run(&h1, "iso2", "--network iso");
        assert_eq!(h1.ok("ip -o addr show dev br-iso"), "");
        // Its lowest address is nobody's gateway.
        assert_eq!(address(&h1, "iso1", "iso"), "10.82.0.1");
        assert!(pings(&h1, "iso1", "iso2"));
        assert_eq!(
            h1.ok("docker exec iso1 ip route"),
            "10.82.0.0/24 dev eth0 scope link  src 10.82.0.1"
        );
    }
    h1.ok("docker network create --subnet 10.83.0.0/24 -o com.docker.network.bridge.inhibit_ipv4=true -o com.docker.network.bridge.name=br-none none4");
    assert_eq!(h1.ok("ip -4 -o addr show dev br-none"), "");
    // Interfaces in containers.
    h1.ok("docker network create --subnet 10.84.0.0/24 -o com.docker.network.container_iface_prefix=lan pre");
    run(&h1, "c1", "--network pre");
    assert_eq!(
        h1.ok("docker exec c1 ls /sys/class/net | tr '\\n' ' '"),
        "lan0 lo"
    );
    if !is_docker() {
        let sysctl = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1";
        h1.ok(&format!("docker network create --subnet 10.85.0.0/24 own && docker network connect --driver-opt {sysctl} --driver-opt com.docker.network.endpoint.ifname=up9 --link-local-ip 169.254.7.7 own c1"));
        assert_eq!(
            h1.ok("docker exec c1 cat /proc/sys/net/ipv4/conf/up9/log_martians"),
            "1"
        );
        let addresses = h1.ok("docker exec c1 ip -4 -o addr show up9");
        assert!(
            addresses.contains("169.254.7.7/16") && addresses.contains("10.85.0.2/24"),
            "{addresses}"
        );
        check(
            &h1,
            &[
                row(
                    "docker network create -o com.docker.network.bridge.gateway_mode_ipv4=isolated x",
                    1,
                    "gateway mode 'isolated' can only be used for an internal network",
                ),
                row(
                    "docker network create -o com.docker.network.bridge.gateway_mode_ipv4=x x",
                    1,
                    "failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: x (unknown gateway mode x)",
                ),
                row(
                    "docker network create -o com.docker.network.driver.mtu=x x",
                    1,
                    "failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing \"x\": invalid syntax)",
                ),
                row(
                    "docker network create -o com.docker.network.bridge.name=br-iso x",
                    1,
                    "cannot create network <id> (br-iso): conflicts with network <id> (br-iso): networks have same bridge name",
                ),
                row(
                    "docker network create --subnet 10.86.0.0/24 --subnet 10.87.0.0/24 x",
                    1,
                    "bridge driver doesn't support multiple subnets",
                ),
                row(
                    "docker network connect --driver-opt com.docker.network.endpoint.sysctls=net.ipv4.conf.eth0.x=1 none4 c1",
                    1,
                    "invalid endpoint settings:\ninvalid sysctl \"net.ipv4.conf.eth0.x=1\" in com.docker.network.endpoint.sysctls: want net.<family>.<table>.IFNAME.<key>=<value>",
                ),
                row(
                    "docker network connect --link-local-ip 1.2.3 none4 c1",
                    1,
                    "invalid endpoint settings:\ninvalid link-local IP address: 1.2.3",
                ),
            ],
        );
    }
    world.end();
}

#[test]
fn the_gateway_is_the_network_with_the_highest_priority() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    for (i, name) in ["a", "b", "c"].iter().enumerate() {
        h1.ok(&format!(
            "docker network create --subnet 10.9{i}.0.0/24 {name}"
        ));
    }
    run(&h1, "c1", "--network b");
    let gateway = || {
        let route = h1.ok("docker exec c1 ip route show default");
        route.split(' ').nth(2).unwrap_or_default().to_string()
    };
    assert_eq!(gateway(), "10.91.0.1");
    if !is_docker() {
        h1.ok("docker network connect --gw-priority 1 c c1");
        assert_eq!(gateway(), "10.92.0.1");
        h1.ok("docker network connect a c1");
        assert_eq!(gateway(), "10.92.0.1");
        h1.ok("docker network disconnect c c1");
        run(
            &h1,
            "c2",
            "--network a --network name=c,gw-priority=5 --network b",
        );
        let route = h1.ok("docker exec c2 ip route show default");
        assert!(route.starts_with("default via 10.92.0.1 "), "{route}");
    } else {
        h1.ok("docker network connect a c1");
    }
    // Without a priority the name decides.
    assert_eq!(gateway(), "10.90.0.1");
    world.end();
}

/// The example of the container network model.
#[test]
fn con2_reaches_both_sides_and_they_never_each_other() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker network create frontend && docker network create backend");
    run(&h1, "con1", "--network frontend");
    run(&h1, "con2", "--network frontend");
    run(&h1, "con3", "--network backend");
    h1.ok("docker network connect backend con2");
    let (one, three) = (
        address(&h1, "con1", "frontend"),
        address(&h1, "con3", "backend"),
    );
    let (front, back) = (
        address(&h1, "con2", "frontend"),
        address(&h1, "con2", "backend"),
    );
    for there in ["con1", "con3"] {
        assert!(
            pings(&h1, "con2", there) && pings(&h1, there, "con2"),
            "{there}"
        );
    }
    for (from, to) in [
        ("con1", &three),
        ("con3", &one),
        ("con1", &back),
        ("con3", &front),
    ] {
        assert!(!pings(&h1, from, to), "{from} to {to}");
    }
    h1.ok("docker network disconnect backend con2");
    assert!(!pings(&h1, "con2", &three) && pings(&h1, "con2", "con1"));
    world.end();
}

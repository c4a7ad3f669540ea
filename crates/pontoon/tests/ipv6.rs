//! IPv6 on bridges: alone and beside IPv4, published, routed, in names and files.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::container::{inspect, pings, run};
use common::refusal::{check, row};
use common::{Shell as _, World, eventually, is_docker};
use lab::Host;

fn six(host: &Host, container: &str, network: &str) -> String {
    let template =
        format!("{{{{(index .NetworkSettings.Networks \"{network}\").GlobalIPv6Address}}}}");
    inspect(host, container, &template)
}

/// Both hosts have an address of IPv6 on their segment.
fn underlay(h1: &Host, h2: &Host) {
    for (host, address) in [(h1, "fd99::1/64"), (h2, "fd99::2/64")] {
        host.ok(&format!("ip -6 addr add {address} dev eth0 nodad"));
    }
}

fn answers(from: &Host, at: &str) -> String {
    let answer = from.sh(&format!("busybox nc -w1 {at} </dev/null")).stdout;
    answer.trim().to_string()
}

#[test]
fn a_bridge_has_both_families_or_ipv6_alone() {
    if is_docker() {
        // Without a pool of its own, and never without IPv4, in 20.10.
        return;
    }
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    underlay(&h1, &h2);
    h1.ok("docker network create --ipv6 dual && docker network create --ipv6 --ipv4=false only");
    let pool =
        h1.ok("docker network inspect -f '{{(index .IPAM.Config 1).Subnet}} {{.EnableIPv6}}' dual");
    assert!(
        pool.starts_with("fd") && pool.ends_with("::/64 true"),
        "{pool}"
    );
    for (name, network) in [
        ("d1", "dual"),
        ("d2", "dual"),
        ("o1", "only"),
        ("o2", "only"),
    ] {
        run(&h1, name, &format!("--network {network}"));
    }
    let (d2, o2) = (six(&h1, "d2", "dual"), six(&h1, "o2", "only"));
    for (from, to) in [("d1", d2.as_str()), ("d1", "d2"), ("o1", &o2), ("o1", "o2")] {
        assert!(pings(&h1, from, to), "{from} to {to}");
    }
    assert_eq!(
        inspect(&h1, "o1", "{{.NetworkSettings.Networks.only.IPAddress}}"),
        ""
    );
    assert_eq!(h1.ok("docker exec o1 ip -4 -o addr show eth0"), "");
    let hosts = h1.ok("docker exec d2 tail -2 /etc/hosts");
    assert!(hosts.contains(&d2) && hosts.lines().count() == 2, "{hosts}");
    assert!(h1.ok("docker exec o2 tail -1 /etc/hosts").starts_with(&o2));
    // Networks of IPv6 are apart as well.
    assert!(!pings(&h1, "d1", &o2) && !pings(&h1, "o1", &d2));
    // Out with the host's address, through the bridge's.
    assert!(pings(&h1, "o1", "fd99::2") && pings(&h1, "d1", "fd99::2"));
    let gateway = inspect(&h1, "o1", "{{.NetworkSettings.Networks.only.IPv6Gateway}}");
    assert_eq!(
        h1.ok("docker exec o1 ip -6 route show default"),
        format!("default via {gateway} dev eth0  metric 1024")
    );
    // Chosen addresses.
    h1.ok("docker network create --ipv6 --subnet 10.61.0.0/24 --subnet fd61::/64 --gateway fd61::9 --aux-address host1=fd61::1 chosen");
    run(&h1, "c1", "--network chosen");
    run(&h1, "c2", "--network chosen --ip 10.61.0.77 --ip6 fd61::77");
    assert_eq!(
        (
            six(&h1, "c1", "chosen").as_str(),
            six(&h1, "c2", "chosen").as_str()
        ),
        ("fd61::2", "fd61::77")
    );
    assert!(pings(&h1, "c1", "fd61::77") && pings(&h1, "c1", "fd61::9"));
    check(
        &h1,
        &[
            row(
                "docker run --rm --network chosen --ip6 fd61::77 busybox true",
                125,
                "failed to set up container networking: Address already in use",
            ),
            row(
                "docker run --rm --network chosen --ip6 fd62::77 busybox true",
                125,
                "invalid config for network chosen: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address fd62::77",
            ),
            row(
                "docker network create --ipv6 --subnet fd61::1/64 x",
                1,
                "invalid network config:\ninvalid subnet fd61::1/64: it should be fd61::/64",
            ),
            row(
                "docker network create --ipv6 --subnet fd61::/48 x",
                1,
                "Pool overlaps with other one on this address space",
            ),
            row(
                "docker network create --ipv4=false x",
                1,
                "IPv4 or IPv6 must be enabled",
            ),
        ],
    );
    world.end();
}

#[test]
fn ports_are_published_for_both_families() {
    if is_docker() {
        return;
    }
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    underlay(&h1, &h2);
    h1.ok("docker network create --ipv6 --subnet fd62::/64 dual");
    h1.ok("docker network create --ipv6 --subnet fd63::/64 -o com.docker.network.bridge.gateway_mode_ipv6=routed routed");
    for (name, options) in [
        (
            "web",
            "--network dual -p 8080:80 -p 20000-20999:20000-20999",
        ),
        ("open", "--network routed -p 8090:80"),
    ] {
        run(&h1, name, options);
        for port in [80, 20777] {
            h1.ok(&format!("docker exec -d {name} nc -ll -p {port} -e sh -c 'echo {name}; netstat -tn | grep -o \"fd99::2\" | head -1'"));
        }
    }
    eventually(3, "web\nfd99::2".to_string(), || {
        answers(&h2, "fd99::1 8080")
    });
    assert!(answers(&h2, &format!("{} 8080", h1.addr)).starts_with("web"));
    for at in ["127.0.0.1 8080", "fd99::1 8080"] {
        assert!(answers(&h1, at).starts_with("web"), "{at}");
    }
    // Where bridges call the firewall, no answer would come back to ::1.
    let calls = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
    if h1.sh(&format!("echo 1 > {calls}")).status == 0 {
        check(
            &h1,
            &[row(
                "docker run --rm --network dual -p [::1]:8083:80 busybox true 2>&1 | grep -o 'ports cannot be .*' >&2",
                0,
                "ports cannot be published on [::1] while net.bridge.bridge-nf-call-ip6tables is on: the kernel drops the answers; switch it off, or use 127…",
            )],
        );
        h1.ok(&format!("echo 0 > {calls}"));
    }
    for at in ["::1 8080", "::1 20777"] {
        assert!(answers(&h1, at).starts_with("web"), "{at}");
    }
    // On the loopback alone, of one bridge and of another; and nobody else gets there.
    h1.ok("docker network create --ipv6 --subnet fd66::/64 local");
    for (name, network) in [("near", "dual"), ("nigh", "local")] {
        let port = if name == "near" { 8081 } else { 8082 };
        run(
            &h1,
            name,
            &format!("--network {network} -p [::1]:{port}:80"),
        );
        h1.ok(&format!(
            "docker exec -d {name} nc -ll -p 80 -e echo {name}"
        ));
        assert_eq!(
            h1.ok(&format!("docker port {name}")),
            format!("80/tcp -> [::1]:{port}")
        );
        eventually(3, name.to_string(), || answers(&h1, &format!("::1 {port}")));
        assert_eq!(answers(&h2, &format!("fd99::1 {port}")), "");
    }
    h1.ok("docker rm -f near nigh && docker network rm local");
    assert!(answers(&h2, "fd99::1 20777").starts_with("web"));
    assert_eq!(
        h1.ok("docker port web 80 | sort"),
        "0.0.0.0:8080\n[::]:8080"
    );
    assert!(
        h1.ok("docker ps -f name=web --format '{{.Ports}}'")
            .contains("[::]:8080->80/tcp")
    );
    // Hairpin: from the server itself.
    let own = h1
        .sh("docker exec web nc -w1 fd99::1 8080 </dev/null")
        .stdout;
    assert!(own.starts_with("web"), "{own}");
    // A routed network has its port at the container's address, translated only for IPv4.
    h2.ok("ip -6 route add fd63::/64 via fd99::1; ip -6 route add fd62::/64 via fd99::1");
    let open = six(&h1, "open", "routed");
    eventually(3, "open\nfd99::2".to_string(), || {
        answers(&h2, &format!("{open} 80"))
    });
    assert_eq!(answers(&h2, &format!("{open} 20777")), "");
    assert_eq!(answers(&h2, "fd99::1 8090"), "");
    assert!(answers(&h2, &format!("{} 8090", h1.addr)).starts_with("open"));
    // Of the other network nothing is reached but what is published.
    let web = six(&h1, "web", "dual");
    assert_eq!(answers(&h2, &format!("{web} 80")), "");
    check(
        &h1,
        &[row(
            "docker run --rm --network dual -p [fd99::1]:8080:80 busybox true 2>&1 | grep -o 'Bind for .*' >&2",
            0,
            "Bind for [fd99::1]:8080 failed: port is already allocated",
        )],
    );
    // IPv6 that comes with a second network brings its own way and its own ports.
    h1.ok("docker network create --subnet 10.64.0.0/24 four && docker network create --ipv6 --ipv4=false --subnet fd65::/64 sixth");
    run(&h1, "both", "--network four -p 8100:80");
    assert_eq!(h1.ok("docker port both"), "80/tcp -> 0.0.0.0:8100");
    h1.ok("docker network connect sixth both");
    assert_eq!(
        h1.ok("docker port both | sort"),
        "80/tcp -> 0.0.0.0:8100\n80/tcp -> [::]:8100"
    );
    assert!(
        h1.ok("docker exec both ip -6 route show default")
            .contains("via fd65::1")
    );
    assert!(pings(&h1, "both", "fd99::2") && pings(&h1, "both", &h2.addr.to_string()));
    h1.ok("docker network disconnect sixth both");
    assert_eq!(h1.ok("docker port both"), "80/tcp -> 0.0.0.0:8100");
    world.end();
}

//! Rows of each driver as snapshots: no root, no kernel.

mod stations;

use std::collections::BTreeMap;
use std::net::IpAddr;

use cnm::driver::{Driver, Firewall, Host};
use cnm::model::{Endpoint, Mapping, Network, Pool, Scope};
use cnm::{Peer, Proxy};
use engine_types::ErrorKind;
use netstate::{Mac, Ns, Row};

use crate::{Bridge, HostDriver, Null, Overlay};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(driver: &str, options: &[(&str, &str)]) -> Network {
    let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    Network {
        id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
        name: "net".into(),
        driver: driver.into(),
        enable_ipv4: true,
        options: options.collect(),
        ..Network::default()
    }
}

fn pool(subnet: &str, gateway: &str, vni: Option<u32>) -> Pool {
    Pool {
        subnet: subnet.parse().unwrap(),
        range: None,
        gateway: Some(ip(gateway)),
        aux: BTreeMap::new(),
        vni,
        chosen: true,
        id: None,
    }
}

fn endpoint(ipv4: &str, ipv6: Option<&str>) -> Endpoint {
    Endpoint {
        id: "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210".into(),
        network: "net".into(),
        ifname: "eth0".into(),
        mac: Mac([0x02, 0x42, 10, 0, 0, 2]),
        ipv4: Some(ipv4.parse().unwrap()),
        ipv6: ipv6.map(|a| a.parse().unwrap()),
        settings: Default::default(),
        service: None,
        names: vec![],
        is_gateway: false,
        attached: false,
        joined: None,
    }
}

fn host() -> Host {
    Host {
        firewall: Firewall::default(),
        vtep: Some(ip("192.0.2.1")),
        balances: true,
        steers: true,
        default_binding: ip("0.0.0.0"),
    }
}

/// A row a line.
fn show(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| row.to_string());
    lines.collect::<Vec<_>>().join("\n")
}

fn sandbox() -> Ns {
    Ns::Named("sandbox".into())
}

#[test]
fn bridge_network() {
    let mut net = network("bridge", &[]);
    net.pools = vec![pool("10.0.0.0/24", "10.0.0.1", None)];
    Bridge.validate(&net, &[]).unwrap();
    insta::assert_snapshot!(show(&Bridge.network_rows(&net, &host())));
}

#[test]
fn bridge_network_with_ipv6_closed_inside_and_outside() {
    let options = [
        ("com.docker.network.bridge.name", "lan0"),
        ("com.docker.network.bridge.enable_icc", "false"),
        ("com.docker.network.driver.mtu", "1400"),
    ];
    let mut net = network("bridge", &options);
    net.internal = true;
    net.pools = vec![
        pool("10.0.0.0/24", "10.0.0.1", None),
        pool("fd00::/64", "fd00::1", None),
    ];
    Bridge.validate(&net, &[]).unwrap();
    let rows = Bridge.network_rows(&net, &host());
    // The shared rules are in the other snapshot.
    let own: Vec<_> = rows
        .into_iter()
        .filter(|r| {
            !matches!(
                r,
                Row::NftTable(_) | Row::NftChain(_) | Row::NftSet(_) | Row::NftRule(_)
            )
        })
        .chain(Bridge.endpoint_rows(
            &net,
            &endpoint("10.0.0.2/24", Some("fd00::2/64")),
            &sandbox(),
        ))
        .collect();
    insta::assert_snapshot!(show(&own));
}

#[test]
fn bridge_endpoint_and_ports() {
    let mut net = network("bridge", &[]);
    net.pools = vec![pool("10.0.0.0/24", "10.0.0.1", None)];
    let endpoint = endpoint("10.0.0.2/24", None);
    let port = |protocol: &str, host_ip: &str, host_port| Mapping {
        protocol: protocol.into(),
        target: 80,
        host_ip: ip(host_ip),
        host_port: Some(host_port),
        count: 1,
    };
    let ports = [
        port("tcp", "0.0.0.0", 8080),
        port("tcp", "0.0.0.0", 8081),
        port("udp", "127.0.0.1", 8080),
        port("tcp", "::", 8080),
    ];
    let mut rows = Bridge.endpoint_rows(&net, &endpoint, &sandbox());
    rows.extend(Bridge.publish_rows(&net, &endpoint, &ports));
    insta::assert_snapshot!(show(&rows));
}

/// Rows that differ from network to network: the shared rules are in a snapshot of their own.
fn own(rows: Vec<Row>) -> String {
    let shared = |row: &Row| {
        let table = matches!(row, Row::NftTable(_) | Row::NftChain(_));
        table || matches!(row, Row::NftSet(_) | Row::NftRule(_))
    };
    let rows: Vec<_> = rows.into_iter().filter(|r| !shared(r)).collect();
    show(&rows)
}

#[test]
fn gateway_modes_are_elements() {
    let mut all = String::new();
    for (name, internal, options) in [
        (
            "unprotected",
            false,
            &[(
                "com.docker.network.bridge.gateway_mode_ipv4",
                "nat-unprotected",
            )][..],
        ),
        (
            "routed, the other family with an address of its choice",
            false,
            &[
                ("com.docker.network.bridge.gateway_mode_ipv4", "routed"),
                ("com.docker.network.host_ipv6", "2001:db8::7"),
            ],
        ),
        (
            "trusting, without the host's address",
            false,
            &[
                (
                    "com.docker.network.bridge.trusted_host_interfaces",
                    "eth0:eth1",
                ),
                ("com.docker.network.bridge.inhibit_ipv4", "true"),
                ("com.docker.network.bridge.enable_ip_masquerade", "false"),
            ],
        ),
        (
            "isolated",
            true,
            &[
                ("com.docker.network.bridge.gateway_mode_ipv4", "isolated"),
                ("com.docker.network.bridge.gateway_mode_ipv6", "isolated"),
            ],
        ),
        (
            "default bridge without traffic between containers",
            false,
            &[
                ("com.docker.network.bridge.default_bridge", "true"),
                ("com.docker.network.bridge.enable_icc", "false"),
                ("com.docker.network.bridge.name", "docker0"),
            ],
        ),
    ] {
        let mut net = network("bridge", options);
        net.internal = internal;
        net.pools = vec![
            pool("10.0.0.0/24", "10.0.0.1", None),
            pool("fd00::/64", "fd00::1", None),
        ];
        Bridge.validate(&net, &[]).unwrap();
        let rows = own(Bridge.network_rows(&net, &host()));
        all += &format!("# {name}\n{rows}\n");
        let (from, to) = (endpoint("10.0.0.2/24", None), endpoint("10.0.0.3/24", None));
        let links = Bridge.link_rows(&net, &from, &to, &[("tcp".into(), 80)]);
        all += &own(links);
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_range_of_ports_is_two_elements() {
    let mut net = network("bridge", &[]);
    net.pools = vec![pool("10.0.0.0/24", "10.0.0.1", None)];
    let range = |target, host_ip: &str, host_port, count| Mapping {
        protocol: "tcp".into(),
        target,
        host_ip: ip(host_ip),
        host_port,
        count,
    };
    let ports = [
        range(10_000, "0.0.0.0", Some(10_000), 16_000),
        range(10_000, "::", Some(10_000), 16_000),
        range(80, "192.0.2.7", Some(8000), 10),
        range(85, "192.0.2.8", Some(8000), 10),
        range(9000, "0.0.0.0", Some(90), 10),
        range(443, "0.0.0.0", None, 2),
    ];
    let to = endpoint("10.0.0.2/24", Some("fd00::2/64"));
    insta::assert_snapshot!(show(&Bridge.publish_rows(&net, &to, &ports)));
}

#[test]
fn the_hosts_own_policy_has_a_gate() {
    let mut net = network("bridge", &[]);
    net.pools = vec![pool("10.0.0.0/24", "10.0.0.1", None)];
    let host = Host {
        firewall: Firewall {
            host_policy: true,
            direct: true,
            accept_mark: Some((1, 0xff)),
            forward: false,
            ..Firewall::default()
        },
        ..host()
    };
    let rows = Bridge.network_rows(&net, &host);
    let (with, without) = (show(&rows), show(&Bridge.network_rows(&net, &self::host())));
    let new: Vec<_> = with.lines().filter(|l| !without.contains(l)).collect();
    insta::assert_snapshot!(new.join("\n"));
}

#[test]
fn without_firewall_there_are_no_rules() {
    let mut net = network("bridge", &[]);
    net.pools = vec![pool("10.0.0.0/24", "10.0.0.1", None)];
    let host = Host {
        firewall: Firewall {
            ipv4: false,
            ..Firewall::default()
        },
        ..host()
    };
    let rows = Bridge.network_rows(&net, &host);
    assert!(!show(&rows).contains("pontoon"), "{}", show(&rows));
}

#[test]
fn bridge_options_that_cannot_be() {
    for (key, value, expected) in [
        (
            "com.docker.network.bridge.enable_icc",
            "maybe",
            "failed to parse com.docker.network.bridge.enable_icc value: maybe (strconv.ParseBool: parsing \"maybe\": invalid syntax)",
        ),
        (
            "com.docker.network.driver.mtu",
            "x",
            "failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing \"x\": invalid syntax)",
        ),
        (
            "com.docker.network.driver.mtu",
            "-1",
            "invalid MTU number: -1",
        ),
        (
            "com.docker.network.bridge.host_binding_ipv4",
            "x",
            "failed to parse com.docker.network.bridge.host_binding_ipv4 value: x (nil ip)",
        ),
        (
            "com.docker.network.bridge.gateway_mode_ipv4",
            "x",
            "failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: x (unknown gateway mode x)",
        ),
        (
            "com.docker.network.bridge.inhibit_ipv4",
            "maybe",
            "failed to parse com.docker.network.bridge.inhibit_ipv4 value: maybe (strconv.ParseBool: parsing \"maybe\": invalid syntax)",
        ),
        (
            "com.docker.network.host_ipv4",
            "x",
            "failed to parse com.docker.network.host_ipv4 value: x (nil ip)",
        ),
        (
            "com.docker.network.bridge.nonsense",
            "x",
            "bridge driver option com.docker.network.bridge.nonsense is not supported",
        ),
        (
            "com.docker.network.bridge.name",
            "a/b",
            "failed to parse com.docker.network.bridge.name value: a/b (not the name of a network interface: 1 to 15 printable characters without / and :)",
        ),
    ] {
        let error = Bridge
            .validate(&network("bridge", &[(key, value)]), &[])
            .unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::InvalidParameter, expected)
        );
    }
    let named = network("bridge", &[("com.docker.network.bridge.name", "lan0")]);
    let error = Bridge.validate(&named, &[&named]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(
        error.message.ends_with("networks have same bridge name"),
        "{error}"
    );
    let mut two = network("bridge", &[]);
    two.pools = vec![
        pool("10.0.0.0/24", "10.0.0.1", None),
        pool("10.0.1.0/24", "10.0.1.1", None),
    ];
    assert_eq!(
        Bridge.validate(&two, &[]).unwrap_err().message,
        "bridge driver doesn't support multiple subnets"
    );
}

#[test]
fn overlay_with_two_subnets() {
    let mut net = network("overlay", &[("com.docker.network.driver.mtu", "9000")]);
    net.scope = Scope::Swarm;
    net.vxlan_port = 4789;
    net.pools = vec![
        pool("10.0.1.0/24", "10.0.1.1", Some(4097)),
        pool("10.0.2.0/24", "10.0.2.1", Some(4098)),
    ];
    Overlay.validate(&net, &[]).unwrap();
    let peer = Peer {
        address: "10.0.2.9/24".parse().unwrap(),
        address_v6: None,
        mac: Mac([0x02, 0x42, 10, 0, 2, 9]),
        vtep: ip("192.0.2.2"),
    };
    let mut rows = Overlay.network_rows(&net, &host());
    rows.extend(Overlay.endpoint_rows(&net, &endpoint("10.0.1.5/24", None), &sandbox()));
    rows.extend(Overlay.peer_rows(&net, &peer, ip("10.0.2.9")));
    insta::assert_snapshot!(show(&rows));
}

/// Both families share the links of the IPv4 subnet.
#[test]
fn overlay_with_both_families() {
    let mut net = network("overlay", &[]);
    net.enable_ipv6 = true;
    net.pools = vec![
        pool("fd61::/64", "fd61::1", None),
        pool("10.0.1.0/24", "10.0.1.1", Some(4097)),
    ];
    Overlay.validate(&net, &[]).unwrap();
    let peer = Peer {
        address: "10.0.1.9/24".parse().unwrap(),
        address_v6: "fd61::9/64".parse().ok(),
        mac: Mac([0x02, 0x42, 10, 0, 1, 9]),
        vtep: ip("192.0.2.2"),
    };
    let mut rows = Overlay.network_rows(&net, &host());
    rows.extend(Overlay.endpoint_rows(
        &net,
        &endpoint("10.0.1.5/24", Some("fd61::5/64")),
        &sandbox(),
    ));
    for address in peer.addresses() {
        rows.extend(Overlay.peer_rows(&net, &peer, address.addr()));
    }
    let mut task = endpoint("10.0.1.5/24", Some("fd61::5/64"));
    task.service = Some(cnm::ServiceBinding {
        virtual_ip: "10.0.1.2".into(),
        virtual_ip_v6: "fd61::2".into(),
        ..Default::default()
    });
    let service = cnm::driver::Service {
        address: ip("fd61::2"),
        choice: netstate::Choice::Any,
        backends: [(ip("fd61::5"), true), (ip("fd61::6"), true)].into(),
    };
    let parts = [
        rows,
        Overlay.endpoint_rows(&net, &task, &sandbox()),
        Overlay.client_rows(&net, &sandbox()),
        Overlay.service_rows(&net, &service, &host()),
    ];
    insta::assert_snapshot!(parts.map(|rows| show(&rows)).join("\n\n"));
    net.options
        .insert("com.docker.network.driver.mtu".into(), "1329".into());
    assert_eq!(
        Overlay.validate(&net, &[]).unwrap_err().message,
        "network net: an MTU of 1329 leaves 1279 bytes inside the tunnel, and IPv6 needs 1280"
    );
}

fn six_endpoint(address: &str, mac: Mac) -> Endpoint {
    Endpoint {
        mac,
        ipv4: None,
        ..endpoint("0.0.0.0/0", Some(address))
    }
}

/// IPv6 has links of its own where there is nothing else.
#[test]
fn overlay_with_ipv6_alone() {
    let mut net = network("overlay", &[]);
    (net.enable_ipv4, net.enable_ipv6) = (false, true);
    net.pools = vec![pool("fd61::/64", "fd61::1", Some(4097))];
    Overlay.validate(&net, &[]).unwrap();
    let peer = Peer {
        address: "fd61::9/64".parse().unwrap(),
        address_v6: None,
        mac: cnm::endpoint_mac(Some(ip("fd61::9")), ""),
        vtep: ip("192.0.2.2"),
    };
    let mac = cnm::endpoint_mac(Some(ip("fd61::5")), "");
    let mut task = six_endpoint("fd61::5/64", mac);
    task.service = Some(cnm::ServiceBinding {
        virtual_ip_v6: "fd61::2".into(),
        ..Default::default()
    });
    let service = cnm::driver::Service {
        address: ip("fd61::2"),
        choice: netstate::Choice::Any,
        backends: [(ip("fd61::5"), true)].into(),
    };
    let parts = [
        Overlay.network_rows(&net, &host()),
        Overlay.endpoint_rows(&net, &task, &sandbox()),
        Overlay.peer_rows(&net, &peer, ip("fd61::9")),
        Overlay.client_rows(&net, &sandbox()),
        Overlay.service_rows(&net, &service, &host()),
    ];
    insta::assert_snapshot!(parts.map(|rows| show(&rows)).join("\n\n"));
}

/// All subnets share the links of the first.
#[test]
fn overlay_with_subnets_beside_ipv6() {
    let mut net = network("overlay", &[]);
    net.enable_ipv6 = true;
    net.pools = vec![
        pool("10.0.1.0/24", "10.0.1.1", Some(4097)),
        pool("10.0.2.0/24", "10.0.2.1", None),
        pool("fd61::/64", "fd61::1", None),
        pool("fd62::/64", "fd62::1", None),
    ];
    Overlay.validate(&net, &[]).unwrap();
    let peer = Peer {
        address: "10.0.1.9/24".parse().unwrap(),
        address_v6: "fd62::9/64".parse().ok(),
        mac: Mac([0x02, 0x42, 10, 0, 1, 9]),
        vtep: ip("192.0.2.2"),
    };
    let mut rows = Overlay.network_rows(&net, &host());
    rows.retain(|row| matches!(row, Row::Link(_) | Row::Address { .. } | Row::Sysctl { .. }));
    rows.extend(Overlay.endpoint_rows(
        &net,
        &endpoint("10.0.2.5/24", Some("fd61::5/64")),
        &sandbox(),
    ));
    for address in peer.addresses() {
        rows.extend(Overlay.peer_rows(&net, &peer, address.addr()));
    }
    insta::assert_snapshot!(show(&rows));
}

/// A task of a service with an address of its own, and the ways to that address with and without balancing at connect time.
#[test]
fn overlay_service() {
    let mut net = network("overlay", &[]);
    net.pools = vec![pool("10.0.1.0/24", "10.0.1.1", Some(4097))];
    let mut task = endpoint("10.0.1.5/24", None);
    task.service = Some(cnm::ServiceBinding {
        virtual_ip: "10.0.1.2".into(),
        ..Default::default()
    });
    let service = cnm::driver::Service {
        address: ip("10.0.1.2"),
        choice: netstate::Choice::Any,
        backends: [(ip("10.0.1.5"), true), (ip("10.0.1.6"), false)].into(),
    };
    let by_route = Host {
        balances: false,
        ..host()
    };
    let parts = [
        Overlay.endpoint_rows(&net, &task, &sandbox()),
        Overlay.client_rows(&net, &sandbox()),
        Overlay.service_rows(&net, &service, &host()),
        Overlay.service_rows(&net, &service, &by_route),
    ];
    insta::assert_snapshot!(parts.map(|rows| show(&rows)).join("\n\n"));
    // An address that is in none of the subnets leads nowhere.
    let stray = cnm::driver::Service {
        address: ip("10.9.9.9"),
        ..service
    };
    assert_eq!(Overlay.service_rows(&net, &stray, &host()), []);
}

/// A node's entry to the mesh, a published port there, and a task behind it.
#[test]
fn overlay_mesh() {
    let mut net = network("overlay", &[]);
    net.ingress = true;
    net.pools = vec![pool("10.0.0.0/24", "10.0.0.1", Some(4096))];
    let outside = Endpoint {
        ifname: "eth1".into(),
        ..endpoint("172.18.0.2/16", None)
    };
    let port = |first, last| cnm::driver::MeshPort {
        protocol: "tcp".into(),
        first,
        last,
        backends: [(ip("10.0.0.5"), true), (ip("10.0.0.6"), false)].into(),
        concealed: first != last,
        sticky: false,
        within: None,
        relayed: Default::default(),
    };
    let relayed = cnm::driver::MeshPort {
        relayed: [(ip("10.0.0.5"), Proxy::V1), (ip("10.0.0.7"), Proxy::V2)].into(),
        backends: [5, 6, 7]
            .map(|n| (IpAddr::from([10, 0, 0, n]), n == 5))
            .into(),
        ..port(8081, 8081)
    };
    let mut task = endpoint("10.0.0.5/24", None);
    task.service = Some(cnm::ServiceBinding {
        virtual_ip: "10.0.0.4".into(),
        ..Default::default()
    });
    let mapping = |host_port, target, count| Mapping {
        protocol: "tcp".into(),
        target,
        host_ip: ip("10.0.0.5"),
        host_port: Some(host_port),
        count,
    };
    let ports = [mapping(8080, 80, 1), mapping(8000, 9000, 11)];
    let own = "10.0.0.5/24".parse().unwrap();
    let parts = [
        Overlay.entry_rows(&net, &endpoint("10.0.0.2/24", None), &outside, &sandbox()),
        Bridge.concealed_rows(&net, &outside, &["10.0.0.0/24".parse().unwrap()]),
        Bridge.publish_within_rows(
            &net,
            &outside,
            &mapping(8080, 8080, 1),
            &"192.0.2.0/28".parse().unwrap(),
        ),
        whole(Overlay.mesh_rows(&net, &port(8080, 8080), &outside, &sandbox())),
        whole(Overlay.mesh_rows(&net, &port(8000, 8010), &outside, &sandbox())),
        whole(Overlay.mesh_rows(&net, &relayed, &outside, &sandbox())),
        Overlay.endpoint_rows(&net, &task, &sandbox()),
        Overlay.task_rows(&net, &task, own, &ports, Some(ip("172.18.0.3")), &sandbox()),
        Overlay.task_rows(&net, &task, own, &ports[..1], None, &sandbox()),
    ];
    insta::assert_snapshot!(parts.map(|rows| show(&rows)).join("\n\n"));
}

fn whole(rows: cnm::driver::MeshRows) -> Vec<Row> {
    let shared = rows.shared.into_values().flatten();
    rows.own.into_iter().chain(shared).collect()
}

/// Places are the tasks' by rendezvous hashing: one that goes leaves the others theirs.
#[test]
fn a_sticky_port_of_the_mesh_keeps_its_places() {
    let places = |tasks: &[&str]| {
        let port = cnm::driver::MeshPort {
            protocol: "tcp".into(),
            first: 8080,
            last: 8080,
            backends: tasks.iter().map(|task| (ip(task), true)).collect(),
            concealed: false,
            sticky: true,
            within: None,
            relayed: Default::default(),
        };
        let outside = endpoint("172.18.0.2/16", None);
        let rows = Overlay.mesh_rows(&network("overlay", &[]), &port, &outside, &sandbox());
        let rows = whole(rows);
        let text: Vec<String> = rows.iter().map(ToString::to_string).collect();
        let draw = "sticky-256 1: dnat to meta l4proto . th dport . jhash ip saddr mod 256";
        assert!(text.iter().any(|row| row.contains(draw)), "{text:?}");
        let places = text.into_iter().filter(|row| row.contains(" tasks {"));
        places.collect::<Vec<_>>()
    };
    let all = places(&["10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8"]);
    let fewer = places(&["10.0.0.5", "10.0.0.7", "10.0.0.8"]);
    assert_eq!((all.len(), fewer.len()), (256, 256));
    for (before, after) in all.iter().zip(&fewer) {
        assert!(
            before == after || before.contains("10.0.0.6"),
            "{before}, {after}"
        );
    }
    let of_one = all.iter().filter(|row| row.contains("10.0.0.6")).count();
    assert!((32..=96).contains(&of_one), "{of_one} of 256");
}

/// The same for IPv6, beside it.
#[test]
fn overlay_mesh_with_both_families() {
    let mut net = network("overlay", &[]);
    net.ingress = true;
    net.pools = vec![
        pool("10.0.0.0/24", "10.0.0.1", Some(4096)),
        pool("fd10::/64", "fd10::1", None),
    ];
    let outside = Endpoint {
        ifname: "eth1".into(),
        ..endpoint("172.18.0.2/16", Some("fd18::2/64"))
    };
    let inside = endpoint("10.0.0.2/24", Some("fd10::2/64"));
    let port = cnm::driver::MeshPort {
        protocol: "tcp".into(),
        first: 8080,
        last: 8080,
        backends: [(ip("10.0.0.5"), true), (ip("fd10::5"), true)].into(),
        concealed: false,
        sticky: false,
        within: None,
        relayed: [(ip("fd10::5"), Proxy::V2)].into(),
    };
    let mut task = endpoint("10.0.0.5/24", Some("fd10::5/64"));
    task.service = Some(cnm::ServiceBinding {
        virtual_ip: "10.0.0.4".into(),
        virtual_ip_v6: "fd10::4".into(),
        ..Default::default()
    });
    let mapping = |host_ip, target| Mapping {
        protocol: "tcp".into(),
        target,
        host_ip: ip(host_ip),
        host_port: Some(8080),
        count: 1,
    };
    let own = "fd10::5/64".parse().unwrap();
    let to = [mapping("fd10::5", 80)];
    let parts = [
        Overlay.entry_rows(&net, &inside, &outside, &sandbox()),
        Bridge.concealed_rows(&net, &outside, &["fd10::/64".parse().unwrap()]),
        Bridge.publish_within_rows(
            &net,
            &outside,
            &mapping("0.0.0.0", 8080),
            &"fc00::/7".parse().unwrap(),
        ),
        whole(Overlay.mesh_rows(&net, &port, &outside, &sandbox())),
        Overlay.task_rows(&net, &task, own, &to, Some(ip("fd18::3")), &sandbox()),
    ];
    insta::assert_snapshot!(parts.map(|rows| show(&rows)).join("\n\n"));
}

/// Without IPv4, MACs end otherwise.
#[test]
fn overlay_mesh_with_ipv6_alone() {
    let mut net = network("overlay", &[]);
    net.ingress = true;
    net.pools = vec![pool("fd10::/64", "fd10::1", Some(4096))];
    let mac = cnm::endpoint_mac(Some(ip("fd10::5")), "");
    assert_eq!(mac, Mac([0x02, 0x42, 0xe0, 0, 0, 5]));
    let mut task = six_endpoint("fd10::5/64", mac);
    task.service = Some(cnm::ServiceBinding {
        virtual_ip_v6: "fd10::4".into(),
        ..Default::default()
    });
    let own = "fd10::5/64".parse().unwrap();
    let rows = Overlay.task_rows(&net, &task, own, &[], Some(ip("fd18::3")), &sandbox());
    let steering = rows
        .into_iter()
        .filter(|row| matches!(row, Row::MarkRule { .. } | Row::Neighbour { .. }));
    insta::assert_snapshot!(show(&steering.collect::<Vec<_>>()), @r"
    rule -6 fwmark 0xe0/0xe0 lookup 112 netns sandbox
    neighbour fd10::4 lladdr 02:42:e0:00:00:04 dev eth0 netns sandbox
    ");
}

#[test]
fn overlay_options_that_cannot_be() {
    let mut net = network("overlay", &[]);
    net.scope = Scope::Swarm;
    net.pools = vec![pool("10.0.1.0/24", "10.0.1.1", None)];
    assert_eq!(
        Overlay.validate(&net, &[]).unwrap_err().message,
        "no VNI provided"
    );
    let encrypted = network("overlay", &[("encrypted", "")]);
    let error = Overlay.validate(&encrypted, &[]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotImplemented);
    let tiny = network("overlay", &[("com.docker.network.driver.mtu", "100")]);
    assert_eq!(
        Overlay.validate(&tiny, &[]).unwrap_err().message,
        "invalid MTU number: 100"
    );
}

#[test]
fn host_and_null_want_nothing_and_there_is_one_of_each() {
    let net = network("host", &[]);
    let drivers: [&dyn Driver; 2] = [&HostDriver, &Null];
    for driver in drivers {
        assert!(driver.network_rows(&net, &host()).is_empty());
        let rows = driver.endpoint_rows(&net, &endpoint("10.0.0.2/24", None), &sandbox());
        assert!(rows.is_empty());
        driver.validate(&net, &[]).unwrap();
        let error = driver.validate(&net, &[&net]).unwrap_err();
        let expected = format!(
            "only one instance of {:?} network is allowed",
            driver.name()
        );
        assert_eq!(
            (error.kind, error.message),
            (ErrorKind::Forbidden, expected)
        );
    }
}

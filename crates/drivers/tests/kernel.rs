//! The drivers under the controller in a real kernel.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

mod common;

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use cnm::{ConnectRequest, Peer, Subnet, SwarmNetwork};
use common::{Background, Node, census, isolated, run, soon, to, try_run, with_subnet};
use engine_types::network::CreateOptions;
use netstate::Ns;

#[test]
fn a_bridge_joins_names_and_isolates() {
    isolated(async || {
        let node = Node::here().await;
        let c = &node.controller;
        c.create("front", with_subnet("10.1.0.0/24")).await.unwrap();
        c.create("back", with_subnet("10.2.0.0/24")).await.unwrap();
        let a = node.run("a", &[to("front")], &[]).await;
        let b = node.run("b", &[to("front"), to("back")], &[]).await;
        let d = node.run("d", &[to("back")], &[]).await;
        assert!(node.pings(&a, "10.1.0.3"), "same bridge");
        assert!(node.pings(&b, &node.ip(&d, "back")), "second interface");
        assert!(node.pings(&a, "10.1.0.1"), "gateway");
        assert!(!node.pings(&a, &node.ip(&d, "back")), "bridges are apart");

        let nslookup = |from: &str, name: &str| {
            try_run(&node.inside(from, &format!("busybox nslookup {name} 127.0.0.11")))
        };
        let (found, text) = nslookup(&a, "b");
        assert!(found && text.contains("10.1.0.3"), "{text}");
        let (found, text) = nslookup(&b, "d.back");
        assert!(found && text.contains("10.2.0.3"), "{text}");
        let (found, text) = nslookup(&a, "10.1.0.3");
        assert!(found && text.contains("b.front"), "{text}");
        assert!(!nslookup(&a, "d").0, "another network's names");

        // Without traffic between containers there is still the way out.
        let closed = CreateOptions {
            options: Some(
                [(
                    "com.docker.network.bridge.enable_icc".to_string(),
                    "false".to_string(),
                )]
                .into(),
            ),
            ..with_subnet("10.3.0.0/24")
        };
        c.create("closed", closed).await.unwrap();
        let e = node.run("e", &[to("closed")], &[]).await;
        let f = node.run("f", &[to("closed")], &[]).await;
        assert!(!node.pings(&e, &node.ip(&f, "closed")));
        assert!(node.pings(&e, "10.3.0.1"));
        // IPv6 beside IPv4.
        let mut dual = with_subnet("10.4.0.0/24");
        dual.enable_ipv6 = Some(true);
        let v6 = with_subnet("fd00:4::/64").ipam.unwrap().config.unwrap();
        dual.ipam
            .as_mut()
            .unwrap()
            .config
            .as_mut()
            .unwrap()
            .extend(v6);
        c.create("dual", dual).await.unwrap();
        let g = node.run("g", &[to("dual")], &[]).await;
        let h = node.run("h", &[to("dual")], &[]).await;
        let six = c.endpoints(&h)["dual"].global_ipv6_address.clone();
        let ping = node.inside(&g, &format!("busybox ping -6 -c 1 -W 1 {six}"));
        soon("IPv6 between containers", || try_run(&ping).0).await;
        let (found, text) = nslookup(&g, "h");
        assert!(found && text.contains(&six), "{text}");
        for id in [a, b, d, e, f, g, h] {
            assert!(c.sandbox_remove(&id).await.is_empty());
        }
        assert_eq!(run("ls /mnt/here/netns"), "");
        assert!(!run("ip -o link").contains("veth"));
    });
}

const OUTSIDE: &str = "ip link add uplink type veth peer name out netns TID; ip addr add 192.0.2.1/24 dev uplink; ip link set uplink up; nsenter --net=/mnt/outside.net ip addr add 192.0.2.2/24 dev out; nsenter --net=/mnt/outside.net ip link set out up; nsenter --net=/mnt/outside.net ip route add default via 192.0.2.1";

#[test]
fn published_ports_are_reached_and_others_are_not() {
    isolated(async || {
        let _outside = Node::elsewhere("outside", OUTSIDE).await;
        let node = Node::here().await;
        let c = &node.controller;
        c.create("n", with_subnet("10.1.0.0/24")).await.unwrap();
        let a = node
            .run("a", &[to("n")], &["8080:80/tcp", "127.0.0.1:8081:80/tcp"])
            .await;
        let b = node.run("b", &[to("n")], &[]).await;
        let serve = |port: u16| {
            Background::start(
                &node.inside(&a, &format!("busybox nc -ll -p {port} -e /bin/echo hello")),
            )
        };
        let _server = (serve(80), serve(81));
        let get = |at: &str| {
            try_run(&format!("echo | busybox nc -w 1 {at}"))
                .1
                .contains("hello")
        };
        let from = |ns: &str, at: &str| {
            let command = format!("nsenter --net={ns} busybox nc -w 1 {at} </dev/null");
            try_run(&command).1.contains("hello")
        };
        soon("the server is up", || get("10.1.0.2 80")).await;
        assert!(get("127.0.0.1 8080"), "loopback");
        assert!(get("192.0.2.1 8080"), "the host's address");
        assert!(get("127.0.0.1 8081"), "published on loopback");
        assert!(!get("192.0.2.1 8081"), "published on loopback only");
        let outside = "/mnt/outside.net";
        assert!(from(outside, "192.0.2.1 8080"), "from outside");
        assert!(!from(outside, "10.1.0.2 80"), "past the published port");
        assert!(!from(outside, "10.1.0.2 81"), "unpublished");
        for container in [&a, &b] {
            let ns = c.sandbox(container).unwrap().netns.unwrap();
            assert!(from(&ns.to_string_lossy(), "192.0.2.1 8080"), "hairpin");
        }
        let ns = c.sandbox(&b).unwrap().netns.unwrap();
        run(&node.inside(&b, "ip route add 127.0.0.2 via 10.1.0.1"));
        assert!(
            !from(&ns.to_string_lossy(), "127.0.0.2 8081"),
            "a container on the host's loopback"
        );
        // Out, with the host's address: outside has no way back to 10.1.0.0/24 but through it.
        run("nsenter --net=/mnt/outside.net ip route del default");
        assert!(node.pings(&b, "192.0.2.2"), "masquerade");
        assert!(c.sandbox_remove(&a).await.is_empty());
        assert!(!run("nft list ruleset").contains("8080"));
    });
}

/// Who goes on sending must reach what is there now, although the kernel remembers where it sent to before.
#[test]
fn packets_of_old_connections_find_the_new_container() {
    isolated(async || {
        let outside = Node::elsewhere("outside", OUTSIDE).await;
        let node = Node::here().await;
        let c = &node.controller;
        c.create("n", with_subnet("10.1.0.0/24")).await.unwrap();
        // Always the same: one connection for the kernel.
        let client = udp_in(&outside, Ns::Host, 4000).await;
        let send = || client.send_to(b"hi", "192.0.2.1:5353").unwrap();
        let tracked = |what: &str| run("conntrack -L 2>/dev/null || true").contains(what);
        node.run("first", &[to("n")], &[]).await;
        send();
        assert!(
            tracked("dport=5353"),
            "nobody was there, but it is remembered"
        );
        for name in ["second", "third"] {
            let id = node.run(name, &[to("n")], &["5353:53/udp"]).await;
            let netns = c.sandbox(&id).unwrap().netns.unwrap();
            let netns = netns.file_name().unwrap().to_string_lossy().into_owned();
            let server = udp_in(&node, Ns::Named(netns), 53).await;
            let mut text = [0; 9];
            send();
            let (length, from) = server.recv_from(&mut text).unwrap();
            assert_eq!(&text[..length], b"hi", "{name}");
            server.send_to(name.as_bytes(), from).unwrap();
            let (length, from) = client.recv_from(&mut text).unwrap();
            assert_eq!(&text[..length], name.as_bytes());
            assert_eq!(from.to_string(), "192.0.2.1:5353");
            let ip = node.ip(&id, "n");
            assert!(tracked(&ip));
            assert!(c.sandbox_remove(&id).await.is_empty());
            assert!(!tracked(&ip), "nothing is left of {name}");
            // The next one has another address.
            node.run(&format!("after-{name}"), &[to("n")], &[]).await;
        }
    });
}

/// A socket in the namespace, which waits a second at most.
async fn udp_in(node: &Node, ns: Ns, port: u16) -> UdpSocket {
    let open = move || UdpSocket::bind(("0.0.0.0", port)).unwrap();
    let socket = node.netstate.run_in(&ns, open).await.unwrap();
    let patience = Some(Duration::from_secs(1));
    socket.set_read_timeout(patience).unwrap();
    socket
}

fn overlay(internal: bool) -> SwarmNetwork {
    let subnet = |third: u8, vni| Subnet {
        subnet: format!("10.0.{third}.0/24").parse().unwrap(),
        gateway: Some([10, 0, third, 1].into()),
        vni,
    };
    SwarmNetwork {
        id: "overlay0123456789".into(),
        name: "net".into(),
        driver: "overlay".into(),
        internal,
        attachable: true,
        subnets: vec![subnet(1, 4097), subnet(2, 4098)],
        vxlan_port: 4789,
        ..SwarmNetwork::default()
    }
}

fn at(ip: &str) -> ConnectRequest {
    let mut request = to("net");
    request.preallocated = true;
    request
        .settings
        .ipam_config
        .get_or_insert_default()
        .ipv4_address = ip.into();
    request
}

/// What gossip would tell `to` of the endpoints of `from`.
async fn tell(from: &Node, vtep: &str, to: &Node) {
    let view = from.controller.overlay_view().borrow().clone();
    for (network, endpoints) in &view.networks {
        for (id, endpoint) in endpoints {
            let peer = Peer {
                address: endpoint.address,
                address_v6: endpoint.address_v6,
                mac: endpoint.mac,
                vtep: vtep.parse().unwrap(),
            };
            to.controller.set_peer(network, id, Some(peer)).await;
            to.controller
                .set_record(network, id, endpoint.record.clone())
                .await;
        }
    }
}

const UNDERLAY: &str = "ip link add ul type veth peer name ul netns TID; ip addr add 192.0.2.1/24 dev ul; ip link set ul up; nsenter --net=/mnt/there.net ip addr add 192.0.2.2/24 dev ul; nsenter --net=/mnt/there.net ip link set ul up";

async fn two_hosts() -> (Node, Node) {
    let there = Node::elsewhere("there", UNDERLAY).await;
    let here = Node::here().await;
    for (node, vtep) in [(&here, [192, 0, 2, 1]), (&there, [192, 0, 2, 2])] {
        node.controller.set_vtep(Some(IpAddr::from(vtep))).await;
        node.controller.swarm_network(overlay(false)).await.unwrap();
    }
    (here, there)
}

#[test]
fn an_overlay_joins_two_hosts() {
    isolated(async || {
        let (here, there) = two_hosts().await;
        let before = census();
        let a = here.run("a", &[at("10.0.1.5")], &[]).await;
        let b = there.run("b", &[at("10.0.1.6")], &[]).await;
        let d = there.run("d", &[at("10.0.2.6")], &[]).await;
        assert!(!here.pings(&a, "10.0.1.6"), "nobody told yet");
        tell(&here, "192.0.2.1", &there).await;
        tell(&there, "192.0.2.2", &here).await;
        // The kernel asks again within a second for what it could not resolve before.
        soon("across hosts", || here.pings(&a, "10.0.1.6")).await;
        assert!(there.pings(&b, "10.0.1.5"), "and back");
        assert!(here.pings(&a, "10.0.2.6"), "the other subnet");
        let big = here.inside(&a, "busybox ping -c 1 -W 1 -s 1400 10.0.1.6");
        assert!(try_run(&big).0, "1,400 bytes");
        let tracked = try_run("conntrack -L -p udp --dport 4789").1;
        assert!(
            !tracked.contains("dport=4789"),
            "the tunnel is not tracked: {tracked}"
        );
        let nslookup = here.inside(&a, "busybox nslookup b 127.0.0.11");
        soon("the name is known", || {
            try_run(&nslookup).1.contains("10.0.1.6")
        })
        .await;
        // The way out is another interface.
        assert!(
            here.pings(&a, "192.0.2.2"),
            "outside through docker_gwbridge"
        );

        // The address moves here: nothing goes to the old place any more, and the container there is not asked.
        assert!(there.controller.sandbox_remove(&b).await.is_empty());
        let e = here.run("e", &[at("10.0.1.6")], &[]).await;
        assert!(here.pings(&a, "10.0.1.6"), "moved");
        let _ = d;
        for id in [&a, &e] {
            assert!(here.controller.sandbox_remove(id).await.is_empty());
        }
        assert_eq!(census(), before, "what was made is gone");
    });
}

#[test]
fn a_restart_loses_no_packet() {
    isolated(async || {
        let (here, there) = two_hosts().await;
        here.controller
            .create("n", with_subnet("10.9.0.0/24"))
            .await
            .unwrap();
        let a = here.run("a", &[at("10.0.1.5")], &[]).await;
        let b = there.run("b", &[at("10.0.1.6")], &[]).await;
        let d = here.run("d", &[to("n")], &["8080:80/tcp"]).await;
        let e = here.run("e", &[to("n")], &[]).await;
        tell(&here, "192.0.2.1", &there).await;
        tell(&there, "192.0.2.2", &here).await;
        let ping = |from: &str, target: &str| {
            let command = here.inside(from, &format!("busybox ping -c 100 -i 0.01 {target}"));
            Background::start(&command)
        };
        let pings = [ping(&a, "10.0.1.6"), ping(&d, "10.9.0.3")];
        tokio::time::sleep(Duration::from_millis(200)).await;
        let here = here.restart(&[a.clone(), d.clone(), e.clone()]).await;
        let drift = here.netstate.audit().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        for ping in pings {
            let text = ping.finish();
            assert!(text.contains(" 0% packet loss"), "{text}");
        }
        assert_eq!(drift, Vec::<String>::new());
        let (found, text) = try_run(&here.inside(&d, "busybox nslookup e 127.0.0.11"));
        assert!(found && text.contains("10.9.0.3"), "{text}");
        let nslookup = here.inside(&a, "busybox nslookup b 127.0.0.11");
        soon("remote names are back", || {
            try_run(&nslookup).1.contains("10.0.1.6")
        })
        .await;
        // The one that died meanwhile leaves nothing.
        let here = here.restart(&[a.clone(), d.clone()]).await;
        assert!(here.controller.sandbox(&e).is_none());
        assert_eq!(
            run("ls /mnt/here/netns | wc -l").trim(),
            "3",
            "two sandboxes and the overlay"
        );
        let _ = b;
    });
}

#[test]
fn a_failure_leaves_nothing() {
    isolated(async || {
        let node = Node::here().await;
        let c = &node.controller;
        c.create("n", with_subnet("10.1.0.0/24")).await.unwrap();
        let a = node.run("a", &[], &["8080:80/tcp"]).await;
        let before = census();
        // No interface can have this address, which only the kernel knows.
        let mut request = to("n");
        request.settings.mac_address = "00:00:00:00:00:00".into();
        let error = c.connect(&a, request).await.unwrap_err();
        assert_eq!(census(), before, "{error}");
        let mut spec = node.spec("b", &[]);
        spec.sysctls = [("net.ipv4.nonsense".to_string(), "1".to_string())].into();
        let error = c.sandbox_create(spec).await.unwrap_err();
        assert_eq!(census(), before, "{error}");
        assert!(c.endpoints(&a).is_empty());
        assert!(c.ports(&a).is_empty());
        // Address and port are free again.
        c.connect(&a, to("n")).await.unwrap();
        assert_eq!(node.ip(&a, "n"), "10.1.0.2");
        assert_eq!(c.ports(&a).len(), 1);
    });
}

#[test]
fn two_hundred_containers_join_side_by_side() {
    isolated(async || {
        let node = Node::here().await;
        node.controller
            .create("n", with_subnet("10.1.0.0/16"))
            .await
            .unwrap();
        for name in ["one", "two", "three"] {
            let start = Instant::now();
            node.controller
                .sandbox_create(node.spec(name, &[]))
                .await
                .unwrap();
            let made = start.elapsed();
            let id = node.spec(name, &[]).container_id;
            node.controller.connect(&id, to("n")).await.unwrap();
            println!("sandbox {made:?}, connected after {:?}", start.elapsed());
        }
        let start = Instant::now();
        let mut joins = tokio::task::JoinSet::new();
        for i in 0..200 {
            let (c, spec) = (node.controller.clone(), node.spec(&format!("c{i}x"), &[]));
            joins.spawn(async move {
                let id = spec.container_id.clone();
                c.sandbox_create(spec).await.unwrap();
                c.connect(&id, to("n")).await.unwrap();
            });
        }
        while let Some(joined) = joins.join_next().await {
            joined.unwrap();
        }
        println!("200 containers: {:?}", start.elapsed());
        let containers = node
            .controller
            .inspect("n", false, "")
            .await
            .unwrap()
            .containers;
        assert_eq!(containers.unwrap().len(), 203);
        assert_eq!(run("ip -o link show master $(ip -o link | grep -o br-[0-9a-f]*: | tr -d : | head -1) | wc -l").trim(), "203");
    });
}

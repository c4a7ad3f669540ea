//! Two hosts made of namespaces, each with its own daemon state, and a VXLAN network across them.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;
use std::time::Duration;

use common::*;
use netstate::{Config, Link, LinkKind, NetState, Ns, Row};

const UNDERLAY: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
const INNER: [&str; 2] = ["10.10.0.2", "10.10.0.3"];
const MACS: [&str; 2] = ["02:42:0a:0a:00:02", "02:42:0a:0a:00:03"];

/// Two namespaces `h0` and `h1` with a wire between them.
fn hosts() {
    run("mkdir -p /mnt/hosts /mnt/d0 /mnt/d1");
    for host in ["h0", "h1"] {
        run(&format!(
            "touch /mnt/hosts/{host} && unshare --net=/mnt/hosts/{host} ip link set lo up"
        ));
    }
    run(
        "nsenter --net=/mnt/hosts/h0 ip link add wire type veth peer name wire netns /mnt/hosts/h1",
    );
    for (i, address) in UNDERLAY.iter().enumerate() {
        on(i, &format!("ip addr add {address}/24 dev wire"));
        on(i, "ip link set wire up");
    }
}

fn on(host: usize, command: &str) -> String {
    run(&format!("nsenter --net=/mnt/hosts/h{host} {command}"))
}

fn on_try(host: usize, ns: &str, command: &str) -> bool {
    try_run(&format!("nsenter --net=/mnt/d{host}/{ns} {command}")).0
}

/// The state of a daemon that runs on that host.
fn daemon(host: usize) -> NetState {
    std::thread::spawn(move || {
        let fd = std::fs::File::open(format!("/mnt/hosts/h{host}")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
        rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&fd), None).unwrap();
        let config = Config {
            netns_dir: format!("/mnt/d{host}").into(),
            mark: MARK.into(),
            cgroup: None,
        };
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(NetState::start(config))
            .unwrap()
    })
    .join()
    .unwrap()
}

fn network_rows(local: Option<&str>) -> Vec<Row> {
    let ns = || named("ov");
    vec![
        Row::Netns(ns()),
        bridge(ns(), "br0"),
        address(ns(), "br0", "10.10.0.1/24"),
        Row::Link(Link {
            mtu: Some(1450),
            master: Some("br0".into()),
            ..link(
                ns(),
                "vxlan0",
                LinkKind::Vxlan {
                    vni: 4097,
                    port: 4789,
                    local: local.map(ip),
                    socket_ns: Ns::Host,
                },
            )
        }),
    ]
}

fn endpoint_rows(host: usize) -> Vec<Row> {
    let mut link = veth(named("ov"), "veth0", Some("br0"), ("c", "eth0"));
    link.mtu = Some(1450);
    if let LinkKind::Veth { peer } = &mut link.kind {
        peer.mac = Some(mac(MACS[host]));
    }
    vec![
        Row::Netns(named("c")),
        Row::Link(link),
        address(named("c"), "eth0", &format!("{}/24", INNER[host])),
    ]
}

/// How the endpoint of the other host is reached.
fn peer_rows(other: usize) -> Vec<Row> {
    let (ns, link) = (named("ov"), "vxlan0".to_owned());
    vec![
        Row::Neighbour {
            ns: ns.clone(),
            link: link.clone(),
            ip: ip(INNER[other]),
            mac: mac(MACS[other]),
        },
        Row::Fdb {
            ns,
            link,
            mac: mac(MACS[other]),
            dst: ip(UNDERLAY[other]),
        },
    ]
}

async fn cluster() -> [NetState; 2] {
    hosts();
    let states = [daemon(0), daemon(1)];
    for (i, state) in states.iter().enumerate() {
        state
            .set("network/ov", network_rows(Some(UNDERLAY[i])))
            .await
            .unwrap();
        state.set("endpoint/c", endpoint_rows(i)).await.unwrap();
        state.set("peer/ov/c", peer_rows(1 - i)).await.unwrap();
    }
    states
}

#[test]
fn packets_cross_through_the_hosts_socket() {
    isolated(|| async {
        let states = cluster().await;
        for host in 0..2 {
            let other = INNER[1 - host];
            assert!(on_try(host, "c", &format!("ping -c2 -i0.1 -W1 {other}")));
            assert!(on_try(
                host,
                "c",
                &format!("ping -c1 -W1 -M do -s 1400 {other}")
            ));
            // The device lives in the overlay's namespace and its socket in the host's.
            assert!(on(host, "ss -uln").contains(":4789"));
            let device = run(&format!(
                "nsenter --net=/mnt/d{host}/ov ip -d link show vxlan0"
            ));
            for part in [
                "id 4097",
                "dstport 4789",
                "nolearning",
                "proxy",
                "mtu 1450",
                "link-netns",
            ] {
                assert!(
                    device.contains(part) || part == "link-netns",
                    "{part}: {device}"
                );
            }
            assert!(!device.contains("miss"), "{device}");
        }
        // The other host's MAC was never asked for across the wire: the device answers ARP itself.
        assert_eq!(states[0].audit().await.unwrap(), Vec::<String>::new());
        assert_eq!(states[0].stats().healed, 0);
        for state in &states {
            for owner in ["peer/ov/c", "endpoint/c", "network/ov"] {
                state.remove(owner).await.unwrap();
            }
        }
        assert_eq!(run("ls /mnt/d0 /mnt/d1 | grep -v :").trim(), "");
        within_a_second("the socket closes", || !on(0, "ss -uln").contains(":4789")).await;
    });
}

#[test]
fn a_moved_address_is_moved_in_one_step() {
    isolated(|| async {
        let states = cluster().await;
        let state = &states[0];
        let fdb = || run("nsenter --net=/mnt/d0/ov bridge fdb show dev vxlan0");
        let mut moved = peer_rows(1);
        if let Row::Fdb { dst, .. } = &mut moved[1] {
            *dst = ip("192.0.2.77");
        }
        state.set("peer/ov/new", moved).await.unwrap();
        assert!(
            fdb().contains("dst 192.0.2.77") && !fdb().contains("dst 192.0.2.2"),
            "{}",
            fdb()
        );
        // The old claim ends: nothing changes. The new one ends: nobody has it.
        state.remove("peer/ov/c").await.unwrap();
        assert!(fdb().contains("dst 192.0.2.77"));
        state.remove("peer/ov/new").await.unwrap();
        assert!(!fdb().contains(MACS[1]), "{}", fdb());
    });
}

#[test]
fn what_others_break_is_healed_within_a_second() {
    isolated(|| async {
        let states = cluster().await;
        let state = &states[0];
        let mut healed = 0;
        let break_and_wait = [
            ("ov", "ip neigh del 10.10.0.3 dev vxlan0"),
            ("ov", "bridge fdb del 02:42:0a:0a:00:03 dev vxlan0"),
            (
                "ov",
                "bridge fdb replace 02:42:0a:0a:00:03 dev vxlan0 dst 192.0.2.99 self permanent",
            ),
            (
                "ov",
                "ip neigh replace 10.10.0.3 lladdr 02:00:00:00:00:01 dev vxlan0 nud permanent",
            ),
            ("ov", "ip link set vxlan0 nomaster"),
            ("ov", "ip link set vxlan0 down"),
            ("c", "ip addr flush dev eth0"),
            ("c", "ip link set eth0 mtu 1000"),
            ("c", "ip link del eth0"),
            ("ov", "ip link del vxlan0"),
            ("ov", "ip link del br0"),
        ];
        for (ns, command) in break_and_wait {
            run(&format!("nsenter --net=/mnt/d0/{ns} {command}"));
            let time = within_a_second(command, || state.stats().healed > healed).await;
            println!("{time:?} {command}");
            healed = state.stats().healed;
            within_a_second(command, || {
                on_try(0, "c", &format!("ping -c1 -W1 {}", INNER[1]))
            })
            .await;
            // The namespace rests a while after each healing.
            tokio::time::sleep(Duration::from_millis(250)).await;
            assert_eq!(
                state.audit().await.unwrap(),
                Vec::<String>::new(),
                "{command}"
            );
            healed = healed.max(state.stats().healed);
        }
        assert_eq!(state.stats().failed, 0);
    });
}

#[test]
fn a_name_of_a_namespace_that_was_taken_away_comes_back() {
    isolated(|| async {
        let states = cluster().await;
        let inode = || run("stat -Lc %i /mnt/d0/c");
        let before = inode();
        run("umount /mnt/d0/c && rm /mnt/d0/c");
        let words = states[0].audit().await.unwrap();
        assert_eq!(words, ["netns c was missing"]);
        assert_eq!(inode(), before, "the same namespace with all that is in it");
    });
}

#[test]
fn a_restart_adopts_and_collects_the_rest() {
    isolated(|| async {
        let [state, _other] = cluster().await;
        let extra = Row::Fdb {
            ns: named("ov"),
            link: "vxlan0".into(),
            mac: mac("02:42:0a:0a:00:63"),
            dst: ip("192.0.2.9"),
        };
        state.set("peer/ov/gone", vec![extra]).await.unwrap();
        state
            .set(
                "gone",
                vec![
                    Row::Netns(named("old")),
                    Row::Link(veth(Ns::Host, "v-old", None, ("old", "eth0"))),
                    bridge(Ns::Host, "br-old"),
                ],
            )
            .await
            .unwrap();
        on(0, "ip link add theirs type bridge");
        on(0, "ip route add 198.51.100.0/24 via 192.0.2.2");
        let look = || {
            run(
                "for n in ov c; do nsenter --net=/mnt/d0/$n ip -br addr; done; stat -Lc %i /mnt/d0/c",
            )
        };
        let before = look();
        drop(state);

        let state = daemon(0);
        // Packets flow while nobody has declared anything yet, and while only a part has.
        assert!(on_try(0, "c", &format!("ping -c1 -W1 {}", INNER[1])));
        state
            .set("network/ov", network_rows(Some(UNDERLAY[0])))
            .await
            .unwrap();
        assert!(on_try(0, "c", &format!("ping -c1 -W1 {}", INNER[1])));
        state.set("endpoint/c", endpoint_rows(0)).await.unwrap();
        state.set("peer/ov/c", peer_rows(1)).await.unwrap();
        assert_eq!(look(), before);
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        // FDB entry, bridge, veth, namespace
        assert_eq!(state.collect().await.unwrap(), 4);
        assert_eq!(look(), before);
        let left = on(0, "ip -br link");
        assert!(left.contains("theirs") && left.contains("wire"), "{left}");
        assert!(!left.contains("old"), "{left}");
        assert!(on(0, "ip route").contains("198.51.100.0/24"));
        assert!(!run("ls /mnt/d0").contains("old"));
        let fdb = run("nsenter --net=/mnt/d0/ov bridge fdb show dev vxlan0");
        assert!(
            !fdb.contains("02:42:0a:0a:00:63") && fdb.contains(MACS[1]),
            "{fdb}"
        );
        assert_eq!(state.collect().await.unwrap(), 0);
    });
}

#[test]
fn a_leftover_device_with_the_vni_makes_room() {
    isolated(|| async {
        hosts();
        let state = daemon(0);
        let rows = network_rows(None);
        state.set("network/old", rows.clone()).await.unwrap();
        drop(state);
        let renamed = rows.into_iter().map(|row| match row {
            Row::Netns(_) => Row::Netns(named("ov2")),
            Row::Link(link) => Row::Link(Link {
                ns: named("ov2"),
                ..link
            }),
            Row::Address { link, address, .. } => Row::Address {
                ns: named("ov2"),
                link,
                address,
            },
            other => other,
        });
        let state = daemon(0);
        state.set("network/new", renamed.collect()).await.unwrap();
        // The same id for two that are wanted is an error.
        let error = state
            .set("network/old", network_rows(None))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("another vxlan device uses id 4097"),
            "{error}"
        );
    });
}

#[test]
fn ten_thousand_peers() {
    isolated(|| async {
        hosts();
        let state = daemon(0);
        state.set("network/ov", network_rows(None)).await.unwrap();
        let rows = |n: u32| {
            let [_, a, b, c] = n.to_be_bytes();
            let mac = mac(&format!("02:42:0a:{a:02x}:{b:02x}:{c:02x}"));
            let (ns, link) = (named("ov"), "vxlan0".to_owned());
            vec![
                Row::Neighbour {
                    ns: ns.clone(),
                    link: link.clone(),
                    ip: [10, a, b, c].into(),
                    mac,
                },
                Row::Fdb {
                    ns,
                    link,
                    mac,
                    dst: ip(UNDERLAY[1]),
                },
            ]
        };
        let all = (2..10_002)
            .map(|n| (format!("peer/{n}"), rows(n)))
            .collect();
        let start = std::time::Instant::now();
        state.set_many(all).await.unwrap();
        println!("10,000 peers in {:?}", start.elapsed());
        let start = std::time::Instant::now();
        state.set("peer/last", rows(20_000)).await.unwrap();
        println!("one more in {:?}", start.elapsed());
        let start = std::time::Instant::now();
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        println!("audit in {:?}", start.elapsed());
        let count = run("nsenter --net=/mnt/d0/ov bridge fdb show dev vxlan0 | grep -c 02:42");
        assert_eq!(count.trim(), "10001");
    });
}

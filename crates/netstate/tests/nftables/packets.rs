//! What packets meet.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use netstate::nft::*;
use netstate::{NetState, Ns, Row};

use crate::common::*;
use crate::rows::*;

async fn world() -> NetState {
    let state = start().await;
    run("sysctl -qw net.ipv4.ip_forward=1");
    state
        .set("network/a", network("10.9.0.1/24"))
        .await
        .unwrap();
    for (i, name) in ["c1", "c2"].iter().enumerate() {
        let mut rows = endpoint(name, &format!("10.9.0.{}/24", i + 2));
        rows.push(route(named(name), "0.0.0.0/0", Some("10.9.0.1"), "eth0"));
        state.set(&format!("endpoint/{name}"), rows).await.unwrap();
    }
    // Somebody outside.
    state
        .set(
            "outside",
            vec![
                Row::Netns(named("out")),
                Row::Link(veth(Ns::Host, "uplink", None, ("out", "eth0"))),
                address(Ns::Host, "uplink", "192.0.2.1/24"),
                address(named("out"), "eth0", "192.0.2.100/24"),
            ],
        )
        .await
        .unwrap();
    state
}

/// Connects from the namespace `client` to `to`, where a server in `server` answers on `port`. Returns whom the server saw.
async fn ask(state: &NetState, server: &str, port: u16, client: &str, to: &str) -> String {
    let listener = state
        .run_in(&named(server), move || {
            TcpListener::bind(("0.0.0.0", port)).unwrap()
        })
        .await
        .unwrap();
    let to = to.parse().unwrap();
    let connect = move || TcpStream::connect_timeout(&to, Duration::from_secs(1)).map(drop);
    state
        .run_in(&named(client), connect)
        .await
        .unwrap()
        .unwrap();
    listener.accept().unwrap().1.ip().to_string()
}

#[test]
fn published_ports_are_translated_and_outgoing_packets_masqueraded() {
    isolated(|| async {
        let state = world().await;
        let t = table(Family::Ip);
        let rows = vec![
            Row::NftTable(t.clone()),
            base(&t, "pre", BaseKind::Nat, Hook::Prerouting, -100),
            base(&t, "post", BaseKind::Nat, Hook::Postrouting, 100),
            set(
                &t,
                "published",
                &[Type::Protocol, Type::Port],
                Some(&[Type::Ipv4, Type::Port]),
                false,
            ),
            element(
                &t,
                "published",
                &[TCP, Value::Port(8080)],
                Some(&[addr("10.9.0.2"), Value::Port(80)]),
            ),
            rule(
                &t,
                "pre",
                1,
                &[
                    Statement::FibLocal {
                        saddr: false,
                        not: false,
                    },
                    Statement::DnatMap {
                        key: vec![Field::L4Proto, Field::ThDport],
                        map: "published".into(),
                    },
                ],
            ),
            rule(
                &t,
                "post",
                1,
                &[
                    net(Field::IpSaddr, false, "10.9.0.0/24"),
                    isnt(Field::OifName, name("br0")),
                    Statement::Masquerade,
                ],
            ),
        ];
        // Nobody outside knows the way to the containers, so without NAT nothing comes back.
        assert!(!try_in("c1", "ping -c1 -W0.2 192.0.2.100"));
        state.set("nat", rows).await.unwrap();
        assert!(try_in("c1", "ping -c1 -W1 192.0.2.100"));
        let seen = ask(&state, "c1", 80, "out", "192.0.2.1:8080").await;
        assert_eq!(seen, "192.0.2.100");
        // The element moves the port to the other container in one step.
        let moved = vec![element(
            &t,
            "published",
            &[TCP, Value::Port(8080)],
            Some(&[addr("10.9.0.3"), Value::Port(81)]),
        )];
        state.set("port", moved).await.unwrap();
        let seen = ask(&state, "c2", 81, "out", "192.0.2.1:8080").await;
        assert_eq!(seen, "192.0.2.100");
        state.remove("port").await.unwrap();
        let seen = ask(&state, "c1", 80, "out", "192.0.2.1:8080").await;
        assert_eq!(seen, "192.0.2.100");
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}

/// One element sends a whole range on, the port staying what it is, or moved by the same number for each.
#[test]
fn a_range_of_ports_is_one_element() {
    isolated(|| async {
        let state = world().await;
        let t = table(Family::Ip);
        let key = [Type::Protocol, Type::Port];
        let ports = |map: &str, from, to, data: &[Value]| {
            Row::NftElement(Element {
                table: t.clone(),
                set: map.into(),
                key: vec![TCP, Value::Port(from)],
                key_end: Some(vec![TCP, Value::Port(to)]),
                data: Some(data.to_vec()),
            })
        };
        let dnat = |order, map: &str| {
            let key = vec![Field::L4Proto, Field::ThDport];
            let map = map.into();
            rule(&t, "pre", order, &[Statement::DnatMap { key, map }])
        };
        let c1 = addr("10.9.0.2");
        let moved = [Type::Ipv4, Type::Port, Type::Port];
        let rows = vec![
            Row::NftTable(t.clone()),
            base(&t, "pre", BaseKind::Nat, Hook::Prerouting, -100),
            set(&t, "same", &key, Some(&[Type::Ipv4]), true),
            set(&t, "moved", &key, Some(&moved), true),
            ports("same", 20_000, 35_999, std::slice::from_ref(&c1)),
            // Up by 1,000: 8000 to 8099 become 9000 to 9099.
            ports(
                "moved",
                8000,
                8099,
                &[c1.clone(), Value::Port(1000), Value::Port(65535)],
            ),
            // Down by 7,920: 8200 to 8299 become 280 to 379, once around 8,200.
            ports(
                "moved",
                8200,
                8299,
                &[c1, Value::Port(280), Value::Port(280 + 8199)],
            ),
            dnat(1, "same"),
            dnat(2, "moved"),
        ];
        state.set("nat", rows).await.unwrap();
        run("nsenter --net=/mnt/netns/out ip route add 10.9.0.0/24 via 192.0.2.1");
        for (port, inside) in [
            (20_000, 20_000),
            (27_182, 27_182),
            (35_999, 35_999),
            (8000, 9000),
            (8042, 9042),
            (8099, 9099),
            (8200, 280),
            (8299, 379),
        ] {
            let seen = ask(&state, "c1", inside, "out", &format!("192.0.2.1:{port}")).await;
            assert_eq!(seen, "192.0.2.100", "{port}");
        }
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn sets_maps_and_prefixes_decide_over_packets() {
    isolated(|| async {
        let state = world().await;
        let t = table(Family::Inet);
        let frame = vec![
            Row::NftTable(t.clone()),
            base(&t, "forward", BaseKind::Filter, Hook::Forward, 0),
            chain(&t, "out-c"),
            set(&t, "jumps", &[Type::Ifname], Some(&[Type::Verdict]), false),
            element(&t, "jumps", &[name("br0")], Some(&[jump("out-c")])),
            set(&t, "pairs", &[Type::Ipv4, Type::Ipv4], None, true),
            rule(
                &t,
                "forward",
                1,
                &[Statement::Vmap {
                    key: vec![Field::IifName],
                    map: "jumps".into(),
                }],
            ),
        ];
        // The way back.
        run_in("out", "ip route add 10.9.0.0/24 via 192.0.2.1");
        let reaches = |from: &str| try_in(from, "ping -c1 -W0.3 192.0.2.100");
        state.set("frame", frame).await.unwrap();
        assert!(reaches("c1") && reaches("c2"));

        let key = vec![Field::IpSaddr, Field::IpDaddr];
        let in_pairs = |not| Statement::InSet {
            key: key.clone(),
            not,
            set: "pairs".into(),
        };
        let pairs = range(
            &t,
            "pairs",
            &[addr("10.9.0.2"), addr("192.0.2.64")],
            &[addr("10.9.0.2"), addr("192.0.2.127")],
        );
        state
            .set(
                "deny",
                vec![pairs, rule(&t, "out-c", 1, &[in_pairs(false), DROP])],
            )
            .await
            .unwrap();
        assert!(!reaches("c1") && reaches("c2"));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        state
            .set("deny", vec![rule(&t, "out-c", 1, &[in_pairs(true), DROP])])
            .await
            .unwrap();
        assert!(!reaches("c1") && !reaches("c2"));

        state
            .set(
                "deny",
                vec![rule(
                    &t,
                    "out-c",
                    1,
                    &[
                        net(Field::IpSaddr, false, "10.9.0.2/31"),
                        net(Field::IpDaddr, false, "192.0.2.0/25"),
                        DROP,
                    ],
                )],
            )
            .await
            .unwrap();
        assert!(!reaches("c1") && !reaches("c2"));
        state
            .set(
                "deny",
                vec![rule(
                    &t,
                    "out-c",
                    1,
                    &[net(Field::IpSaddr, true, "10.9.0.2/32"), DROP],
                )],
            )
            .await
            .unwrap();
        assert!(reaches("c1") && !reaches("c2"));
        // Order: the accept stands before the drop, whoever came first.
        state
            .set("deny", vec![rule(&t, "out-c", 9, &[DROP])])
            .await
            .unwrap();
        assert!(!reaches("c1"));
        state
            .set(
                "allow",
                vec![rule(
                    &t,
                    "out-c",
                    1,
                    &[is(Field::IpSaddr, addr("10.9.0.2")), ACCEPT],
                )],
            )
            .await
            .unwrap();
        assert!(reaches("c1") && !reaches("c2"));
        // Marks, and state of connections.
        let marked = vec![
            rule(
                &t,
                "out-c",
                1,
                &[
                    is(Field::IpSaddr, addr("10.9.0.3")),
                    Statement::SetMetaMark(5),
                    Statement::SetCtMark(6),
                ],
            ),
            rule(
                &t,
                "out-c",
                2,
                &[
                    is(Field::MetaMark, Value::Mark(5)),
                    is(Field::CtMark, Value::Mark(6)),
                    is(Field::L4Proto, Value::Protocol(1)),
                    ACCEPT,
                ],
            ),
        ];
        state.set("allow", marked).await.unwrap();
        assert!(!reaches("c1") && reaches("c2"));
        state.remove("allow").await.unwrap();
        let back = vec![rule(
            &t,
            "out-c",
            1,
            &[Statement::CtEstablishedRelated, ACCEPT],
        )];
        state.set("allow", back).await.unwrap();
        assert!(
            try_in("out", "ping -c1 -W1 10.9.0.2"),
            "replies pass, requests do not"
        );
        assert!(!reaches("c1"));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn fixed_nat_works_both_ways() {
    isolated(|| async {
        let state = world().await;
        let t = table(Family::Inet);
        let rows = vec![
            Row::NftTable(t.clone()),
            base(&t, "pre", BaseKind::Nat, Hook::Prerouting, -100),
            base(&t, "post", BaseKind::Nat, Hook::Postrouting, 100),
            rule(
                &t,
                "pre",
                1,
                &[
                    is(Field::L4Proto, TCP),
                    is(Field::IpDaddr, addr("192.0.2.1")),
                    is(Field::ThDport, Value::Port(9000)),
                    Statement::Dnat {
                        to: ip("10.9.0.2"),
                        port: Some(80),
                    },
                ],
            ),
            rule(
                &t,
                "post",
                1,
                &[
                    net(Field::IpSaddr, false, "10.9.0.0/24"),
                    Statement::Snat {
                        to: ip("192.0.2.1"),
                        port: None,
                    },
                ],
            ),
        ];
        state.set("nat", rows).await.unwrap();
        let seen = ask(&state, "c1", 80, "out", "192.0.2.1:9000").await;
        assert_eq!(seen, "192.0.2.100");
        assert!(try_in("c2", "ping -c1 -W1 192.0.2.100"));
    });
}

//! nftables: what `nft` reads back, what packets meet, and what is left when others interfere.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::*;
use netstate::nft::*;
use netstate::{Mac, NetState, Ns, Row};

fn table(family: Family) -> Table {
    Table {
        ns: Ns::Host,
        family,
        name: "pontoon".into(),
    }
}

fn base(table: &Table, name: &str, kind: BaseKind, hook: Hook, priority: i32) -> Row {
    Row::NftChain(Chain {
        table: table.clone(),
        name: name.into(),
        base: Some(Base {
            kind,
            hook,
            priority,
            drop_by_default: false,
            device: None,
        }),
    })
}

fn chain(table: &Table, name: &str) -> Row {
    Row::NftChain(Chain {
        table: table.clone(),
        name: name.into(),
        base: None,
    })
}

fn set(table: &Table, name: &str, key: &[Type], data: Option<&[Type]>, interval: bool) -> Row {
    Row::NftSet(Set {
        table: table.clone(),
        name: name.into(),
        key: key.to_vec(),
        data: data.map(<[_]>::to_vec),
        interval,
    })
}

fn element(table: &Table, set: &str, key: &[Value], data: Option<&[Value]>) -> Row {
    Row::NftElement(Element {
        table: table.clone(),
        set: set.into(),
        key: key.to_vec(),
        key_end: None,
        data: data.map(<[_]>::to_vec),
    })
}

fn range(table: &Table, set: &str, from: &[Value], to: &[Value]) -> Row {
    Row::NftElement(Element {
        table: table.clone(),
        set: set.into(),
        key: from.to_vec(),
        key_end: Some(to.to_vec()),
        data: None,
    })
}

fn rule(table: &Table, chain: &str, order: u32, body: &[Statement]) -> Row {
    Row::NftRule(Rule {
        table: table.clone(),
        chain: chain.into(),
        order,
        body: body.to_vec(),
    })
}

fn addr(text: &str) -> Value {
    Value::Ip(ip(text))
}

fn name(text: &str) -> Value {
    Value::Ifname(text.into())
}

fn is(field: Field, value: Value) -> Statement {
    Statement::Match {
        field,
        not: false,
        value,
    }
}

fn isnt(field: Field, value: Value) -> Statement {
    Statement::Match {
        field,
        not: true,
        value,
    }
}

fn net(field: Field, not: bool, prefix: &str) -> Statement {
    Statement::MatchPrefix {
        field,
        not,
        prefix: prefix.parse().unwrap(),
    }
}

const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);
const DROP: Statement = Statement::Verdict(Verdict::Drop);
const TCP: Value = Value::Protocol(6);

fn jump(chain: &str) -> Value {
    Value::Verdict(Verdict::Jump(chain.into()))
}

/// Every kind of object, statement and field.
fn everything() -> Vec<Row> {
    let t = table(Family::Inet);
    let v4 = table(Family::Ip);
    let v6 = table(Family::Ip6);
    let l2 = table(Family::Bridge);
    vec![
        Row::NftTable(t.clone()),
        base(&t, "forward", BaseKind::Filter, Hook::Forward, 0),
        base(&t, "output", BaseKind::Route, Hook::Output, -150),
        chain(&t, "from-br0"),
        set(&t, "jumps", &[Type::Ifname], Some(&[Type::Verdict]), false),
        element(&t, "jumps", &[name("br0")], Some(&[jump("from-br0")])),
        element(
            &t,
            "jumps",
            &[name("br1")],
            Some(&[Value::Verdict(Verdict::Goto("from-br0".into()))]),
        ),
        element(
            &t,
            "jumps",
            &[name("lo")],
            Some(&[Value::Verdict(Verdict::Return)]),
        ),
        set(&t, "ports", &[Type::Port], None, true),
        range(&t, "ports", &[Value::Port(8000)], &[Value::Port(8099)]),
        element(&t, "ports", &[Value::Port(443)], None),
        range(&t, "ports", &[Value::Port(60000)], &[Value::Port(65535)]),
        set(&t, "nets", &[Type::Ipv4, Type::Port], None, true),
        range(
            &t,
            "nets",
            &[addr("10.0.0.0"), Value::Port(80)],
            &[addr("10.0.255.255"), Value::Port(90)],
        ),
        element(&t, "nets", &[addr("10.1.0.1"), Value::Port(53)], None),
        rule(
            &t,
            "forward",
            10,
            &[Statement::CtEstablishedRelated, Statement::Counter, ACCEPT],
        ),
        rule(
            &t,
            "forward",
            20,
            &[Statement::Vmap {
                key: vec![Field::IifName],
                map: "jumps".into(),
            }],
        ),
        rule(
            &t,
            "forward",
            30,
            &[
                isnt(Field::OifName, name("eth0")),
                Statement::Verdict(Verdict::Return),
            ],
        ),
        rule(
            &t,
            "forward",
            40,
            &[
                is(Field::IpSaddr, addr("10.0.0.7")),
                is(Field::IpDaddr, addr("10.0.0.8")),
                DROP,
            ],
        ),
        rule(
            &t,
            "forward",
            50,
            &[
                net(Field::Ip6Saddr, false, "fd00::/48"),
                is(Field::Ip6Daddr, addr("fd01::1")),
                DROP,
            ],
        ),
        rule(
            &t,
            "forward",
            60,
            &[is(Field::MetaMark, Value::Mark(0x1001)), ACCEPT],
        ),
        rule(
            &t,
            "from-br0",
            1,
            &[
                is(Field::L4Proto, TCP),
                Statement::InSet {
                    key: vec![Field::ThDport],
                    not: false,
                    set: "ports".into(),
                },
                ACCEPT,
            ],
        ),
        rule(
            &t,
            "from-br0",
            2,
            &[
                is(Field::L4Proto, Value::Protocol(17)),
                is(Field::ThSport, Value::Port(53)),
                ACCEPT,
            ],
        ),
        rule(
            &t,
            "from-br0",
            3,
            &[
                Statement::InSet {
                    key: vec![Field::IpDaddr, Field::ThDport],
                    not: true,
                    set: "nets".into(),
                },
                DROP,
            ],
        ),
        rule(
            &t,
            "output",
            1,
            &[
                is(Field::CtMark, Value::Mark(7)),
                Statement::SetMetaMark(0xd0c4e3),
            ],
        ),
        rule(&t, "output", 2, &[Statement::SetCtMark(9)]),
        rule(
            &t,
            "output",
            3,
            &[
                is(Field::L4Proto, Value::Protocol(17)),
                Statement::SetPort {
                    protocol: 17,
                    field: Field::ThDport,
                    to: 5300,
                },
            ],
        ),
        rule(
            &t,
            "output",
            4,
            &[
                is(Field::L4Proto, TCP),
                Statement::SetPort {
                    protocol: 6,
                    field: Field::ThSport,
                    to: 53,
                },
            ],
        ),
        Row::NftTable(v4.clone()),
        base(&v4, "prerouting", BaseKind::Nat, Hook::Prerouting, -100),
        base(&v4, "postrouting", BaseKind::Nat, Hook::Postrouting, 100),
        set(
            &v4,
            "published",
            &[Type::Protocol, Type::Port],
            Some(&[Type::Ipv4, Type::Port]),
            false,
        ),
        element(
            &v4,
            "published",
            &[TCP, Value::Port(8080)],
            Some(&[addr("10.9.0.2"), Value::Port(80)]),
        ),
        element(
            &v4,
            "published",
            &[Value::Protocol(17), Value::Port(53)],
            Some(&[addr("10.9.0.3"), Value::Port(5353)]),
        ),
        rule(
            &v4,
            "prerouting",
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
            &v4,
            "prerouting",
            2,
            &[
                is(Field::L4Proto, TCP),
                is(Field::ThDport, Value::Port(81)),
                Statement::Dnat {
                    to: ip("10.9.0.2"),
                    port: Some(8081),
                },
            ],
        ),
        rule(
            &v4,
            "postrouting",
            1,
            &[
                net(Field::IpSaddr, false, "10.9.0.0/16"),
                isnt(Field::OifName, name("br0")),
                Statement::Masquerade,
            ],
        ),
        rule(
            &v4,
            "postrouting",
            2,
            &[
                Statement::FibLocal {
                    saddr: true,
                    not: true,
                },
                net(Field::IpDaddr, true, "10.8.0.0/15"),
                Statement::Snat {
                    to: ip("192.0.2.1"),
                    port: None,
                },
            ],
        ),
        Row::NftTable(v6.clone()),
        base(&v6, "prerouting", BaseKind::Nat, Hook::Prerouting, -100),
        set(
            &v6,
            "published",
            &[Type::Port],
            Some(&[Type::Ipv6, Type::Port]),
            false,
        ),
        element(
            &v6,
            "published",
            &[Value::Port(80)],
            Some(&[addr("fd00::2"), Value::Port(8080)]),
        ),
        rule(
            &v6,
            "prerouting",
            1,
            &[
                is(Field::L4Proto, TCP),
                Statement::DnatMap {
                    key: vec![Field::ThDport],
                    map: "published".into(),
                },
            ],
        ),
        Row::NftTable(l2.clone()),
        base(&l2, "forward", BaseKind::Filter, Hook::Forward, -200),
        set(&l2, "macs", &[Type::Mac, Type::Mark], None, false),
        element(
            &l2,
            "macs",
            &[Value::Mac(Mac([2, 0x42, 10, 0, 0, 2])), Value::Mark(3)],
            None,
        ),
        rule(
            &l2,
            "forward",
            1,
            &[
                Statement::InSet {
                    key: vec![Field::EtherSaddr, Field::MetaMark],
                    not: false,
                    set: "macs".into(),
                },
                DROP,
            ],
        ),
        rule(
            &l2,
            "forward",
            2,
            &[net(Field::IpSaddr, false, "10.0.0.0/9"), DROP],
        ),
    ]
}

fn ruleset() -> String {
    run("nft list ruleset")
}

/// The kernel hands the elements of a hash out in any order.
fn elements_sorted(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split("elements = { ").enumerate() {
        if i == 0 {
            out.push_str(part);
            continue;
        }
        let (list, rest) = part.split_once(" }").unwrap();
        let mut list: Vec<&str> = list.split(',').map(str::trim).collect();
        list.sort_unstable();
        out.push_str(&format!("elements = {{ {} }}{rest}", list.join(", ")));
    }
    out
}

/// The same without counters and without the order in which tables came to be.
fn sorted() -> Vec<String> {
    let text = ruleset().replace(|c: char| c.is_ascii_digit(), "");
    let mut tables: Vec<String> = text.split("\n}\n").map(Into::into).collect();
    tables.sort();
    tables
}

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

#[test]
fn nft_reads_what_was_meant() {
    isolated(|| async {
        let state = start().await;
        state.set("all", everything()).await.unwrap();
        insta::assert_snapshot!("ruleset", elements_sorted(&ruleset()));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        let before = ruleset();
        state.set("all", everything()).await.unwrap();
        assert_eq!(ruleset(), before);

        // A new run knows its own again, and takes away what is no longer wanted.
        drop(state);
        let state = start().await;
        let mut fewer = everything();
        fewer.retain(|row| !matches!(row, Row::NftElement(_)) || row.to_string().contains("jumps"));
        state.set("all", fewer.clone()).await.unwrap();
        assert_eq!(ruleset(), before, "adopted as it is");
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        run("nft add table ip theirs");
        assert_eq!(state.collect().await.unwrap(), 9);
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        assert!(!ruleset().contains("8080") && ruleset().contains("table ip theirs"));
        state.remove("all").await.unwrap();
        assert_eq!(ruleset(), "table ip theirs {\n}\n");
    });
}

#[test]
fn rows_read_as_text() {
    let text: Vec<String> = everything().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("rows", text.join("\n"));
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

#[test]
fn a_flushed_ruleset_heals_itself() {
    isolated(|| async {
        let state = start().await;
        state.set("all", everything()).await.unwrap();
        let whole = sorted();
        for (i, command) in [
            "nft flush ruleset",
            "nft flush table inet pontoon",
            "nft delete rule ip pontoon prerouting handle $(nft -a list chain ip pontoon prerouting | sed -n 's/.*th dport map.*handle //p')",
            "nft delete element ip pontoon published { tcp . 8080 }",
            "nft delete table ip6 pontoon",
            "nft flush map ip pontoon published",
        ]
        .iter()
        .enumerate()
        {
            run(command);
            let time = within_a_second(command, || sorted() == whole).await;
            println!("{time:?} {command}");
            assert!(state.stats().healed > i as u64, "{command}");
            tokio::time::sleep(Duration::from_millis(220)).await;
        }
        // What others add to our tables goes once everything of ours is declared.
        state.collect().await.unwrap();
        run("nft insert rule inet pontoon forward drop");
        within_a_second("foreign rule", || sorted() == whole).await;
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        assert_eq!(state.stats().failed, 0);
    });
}

#[test]
fn a_bad_row_changes_nothing_and_is_named() {
    isolated(|| async {
        let state = start().await;
        state.set("all", everything()).await.unwrap();
        let before = ruleset();
        let t = table(Family::Inet);
        let cases = [
            (
                rule(
                    &t,
                    "from-br0",
                    9,
                    &[Statement::Verdict(Verdict::Jump("nowhere".into()))],
                ),
                "rule inet pontoon from-br0 9: jump nowhere",
            ),
            (
                rule(&t, "nowhere", 9, &[ACCEPT]),
                "rule inet pontoon nowhere 9: accept",
            ),
            (
                rule(&t, "forward", 9, &[is(Field::IpSaddr, TCP)]),
                "ip saddr cannot be compared with tcp",
            ),
            (
                element(&t, "ports", &[addr("10.0.0.1")], None),
                "it is not of the types of set inet pontoon ports",
            ),
            (
                element(&t, "absent", &[addr("10.0.0.1")], None),
                "its set is not declared",
            ),
            (
                rule(
                    &t,
                    "forward",
                    9,
                    &[Statement::InSet {
                        key: vec![Field::ThDport],
                        not: false,
                        set: "nets".into(),
                    }],
                ),
                "the fields are not of the types",
            ),
        ];
        for (row, text) in cases {
            let good = chain(&t, "good");
            let error = state
                .set("bad", vec![good, row])
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains(text), "{error}");
            assert_eq!(ruleset(), before);
        }
        // A link that cannot be made takes its rules with it.
        let rows = vec![chain(&t, "good"), address(Ns::Host, "absent", "10.0.0.1/8")];
        state.set("bad", rows).await.unwrap_err();
        assert_eq!(ruleset(), before);
        // What refers to the chain that goes is in the way.
        let mut rows = everything();
        rows.retain(|row| row.to_string() != "chain inet pontoon from-br0");
        state.set("all", rows).await.unwrap_err();
        assert_eq!(ruleset(), before);
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn one_change_costs_the_same_among_ten_thousand() {
    isolated(|| async {
        let state = start().await;
        let t = table(Family::Ip);
        let frame = vec![
            Row::NftTable(t.clone()),
            set(
                &t,
                "published",
                &[Type::Protocol, Type::Port],
                Some(&[Type::Ipv4, Type::Port]),
                false,
            ),
            chain(&t, "c"),
        ];
        state.set("frame", frame).await.unwrap();
        let port = |n: u16| {
            let to = [addr("10.9.0.2"), Value::Port(n)];
            element(&t, "published", &[TCP, Value::Port(n)], Some(&to))
        };
        // The kernel lays out a chain anew with every change in it, so many things belong in a map and rules stay few.
        let with_rule = |n: u16| {
            let body = [is(Field::MetaMark, Value::Mark(n.into())), ACCEPT];
            vec![port(n), rule(&t, "c", n.into(), &body)]
        };
        let measure = async |from: u16| {
            let mut times = Vec::new();
            for n in from..from + 40 {
                let start = Instant::now();
                state.set(&format!("port/{n}"), with_rule(n)).await.unwrap();
                times.push(start.elapsed());
            }
            times.sort();
            times[20]
        };
        let few = measure(1).await;
        let all = (1000..11_000)
            .map(|n| (format!("port/{n}"), vec![port(n)]))
            .collect();
        let start = Instant::now();
        state.set_many(all).await.unwrap();
        println!("10,000 ports in {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let many = measure(500).await;
        println!("one port among few: {few:?}, among 10,000: {many:?}");
        assert!(many < few * 10 + Duration::from_millis(5));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn neighbouring_intervals_come_and_go_one_by_one() {
    isolated(|| async {
        let state = start().await;
        let t = table(Family::Ip);
        let frame = vec![
            Row::NftTable(t.clone()),
            set(&t, "subnets", &[Type::Ipv4], None, true),
        ];
        state.set("frame", frame).await.unwrap();
        let subnet = |n: u8| {
            let at = |last: u8| Value::Ip([172, n, last, last].into());
            vec![range(&t, "subnets", &[at(0)], &[at(255)])]
        };
        for n in [18, 17, 19, 255] {
            state.set(&format!("network/{n}"), subnet(n)).await.unwrap();
        }
        let list = || run("nft list set ip pontoon subnets");
        assert!(
            list().contains("172.17.0.0/16, 172.18.0.0/16,"),
            "{}",
            list()
        );
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        state.remove("network/18").await.unwrap();
        assert!(!list().contains("172.18"), "{}", list());
        assert!(list().contains("172.17.0.0/16") && list().contains("172.19.0.0/16"));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}

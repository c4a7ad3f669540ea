//! A ruleset with one of each.

use netstate::nft::*;
use netstate::{Mac, Row};

use crate::common::*;
use crate::rows::*;

/// Every kind of object, statement and field.
pub fn everything() -> Vec<Row> {
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
        set(&v4, "kinds", &[Type::Port], Some(&[Type::Mark]), true),
        set(&v4, "by", &[Type::Mark], Some(&[Type::Verdict]), false),
        set(
            &v4,
            "tasks",
            &[Type::Protocol, Type::Port, Type::Mark],
            Some(&[Type::Ipv4]),
            true,
        ),
        rule(
            &v4,
            "prerouting",
            3,
            &[
                Statement::SetMetaMarkBy {
                    key: vec![Field::ThDport],
                    map: "kinds".into(),
                },
                Statement::Vmap {
                    key: vec![Field::MetaMark],
                    map: "by".into(),
                },
            ],
        ),
        rule(
            &v4,
            "prerouting",
            4,
            &[Statement::DnatToOne {
                key: vec![Field::L4Proto, Field::ThDport],
                draw: Draw::Random,
                of: 3,
                map: "tasks".into(),
            }],
        ),
        rule(
            &v4,
            "prerouting",
            5,
            &[Statement::DnatToOne {
                key: vec![Field::L4Proto, Field::ThDport],
                draw: Draw::Hash(Field::IpSaddr),
                of: 256,
                map: "tasks".into(),
            }],
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

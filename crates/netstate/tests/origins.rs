//! Who began a connection that was translated on its way.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream};

use common::*;
use netstate::nft::{
    Base, BaseKind, Chain, Draw, Element, Family, Field, Hook, Rule, Set, Statement, Table, Type,
    Value,
};
use netstate::{Ns, Origins, Row};

/// What is sent to `asked` goes to one of these instead.
fn spread(asked: SocketAddr, to: &[SocketAddr]) -> Vec<Row> {
    let v6 = asked.is_ipv6();
    let (family, daddr, kind) = match v6 {
        false => (Family::Ip, Field::IpDaddr, Type::Ipv4),
        true => (Family::Ip6, Field::Ip6Daddr, Type::Ipv6),
    };
    let table = Table {
        ns: Ns::Host,
        family,
        name: MARK.into(),
    };
    let only = |field, value| Statement::Match {
        field,
        not: false,
        value,
    };
    let mut rows = vec![
        Row::NftTable(table.clone()),
        Row::NftSet(Set {
            table: table.clone(),
            name: "servers".into(),
            key: vec![Type::Mark],
            data: Some(vec![kind, Type::Port]),
            interval: false,
        }),
        Row::NftChain(Chain {
            table: table.clone(),
            name: "out".into(),
            base: Some(Base {
                kind: BaseKind::Nat,
                hook: Hook::Output,
                priority: -100,
                drop_by_default: false,
                device: None,
            }),
        }),
        Row::NftRule(Rule {
            table: table.clone(),
            chain: "out".into(),
            order: 1,
            body: vec![
                only(daddr, Value::Ip(asked.ip())),
                only(Field::ThDport, Value::Port(asked.port())),
                Statement::DnatToOne {
                    key: Vec::new(),
                    draw: Draw::Random,
                    of: to.len() as u32,
                    map: "servers".into(),
                },
            ],
        }),
    ];
    rows.extend((0..).zip(to).map(|(i, to)| {
        Row::NftElement(Element {
            table: table.clone(),
            set: "servers".into(),
            key: vec![Value::Mark(i)],
            key_end: None,
            data: Some(vec![Value::Ip(to.ip()), Value::Port(to.port())]),
        })
    }));
    rows
}

#[test]
fn a_translated_connection_has_an_origin() {
    isolated(|| async {
        let state = start().await;
        for (at, asked) in [("127.0.0.1:0", "127.0.0.9:80"), ("[::1]:0", "[fd00::9]:80")] {
            run("ip addr replace fd00::9/128 dev lo nodad");
            let asked: SocketAddr = asked.parse().unwrap();
            let listeners = [(), ()].map(|()| TcpListener::bind(at).unwrap());
            let to = listeners.each_ref().map(|l| l.local_addr().unwrap());
            state.set(at, spread(asked, &to)).await.unwrap();
            assert_eq!(state.audit().await.unwrap(), [""; 0]);
            let mut origins = Origins::open().unwrap();
            let mut reached = BTreeSet::new();
            for _ in 0..40 {
                let client = TcpStream::connect(asked).unwrap();
                // Whichever it was: the other has nobody waiting.
                let peer = client.local_addr().unwrap();
                let served = to.iter().find_map(|to| {
                    let origin = origins.of(*to, peer).unwrap()?;
                    assert_eq!(origin, (peer, asked));
                    Some(*to)
                });
                reached.insert(served.unwrap());
            }
            assert_eq!(reached, to.into(), "ports are translated, too");
            let client = TcpStream::connect(to[0]).unwrap();
            let peer = client.local_addr().unwrap();
            let plain = origins.of(to[0], peer).unwrap();
            assert_eq!(plain, Some((peer, to[0])), "not translated");
            assert_eq!(origins.of(asked, to[0]).unwrap(), None, "no such one");
        }
    });
}

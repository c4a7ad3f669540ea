//! Answers that go back through whom they came from, and connections that are spread.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};

use common::*;
use netstate::nft::*;
use netstate::{Link, LinkKind, Mac, Ns, Route, Row, VethPeer};
use rustix::net;

fn table(ns: &Ns, family: Family) -> Table {
    Table {
        ns: ns.clone(),
        family,
        name: "pontoon".into(),
    }
}

fn chain(table: &Table, base: Base, body: Vec<Statement>) -> Vec<Row> {
    let name = format!("{:?}", base.hook).to_lowercase();
    vec![
        Row::NftTable(table.clone()),
        Row::NftChain(Chain {
            table: table.clone(),
            name: name.clone(),
            base: Some(base),
        }),
        Row::NftRule(Rule {
            table: table.clone(),
            chain: name,
            order: 1,
            body,
        }),
    ]
}

fn base(kind: BaseKind, hook: Hook, priority: i32, device: Option<&str>) -> Base {
    Base {
        kind,
        hook,
        priority,
        drop_by_default: false,
        device: device.map(Into::into),
    }
}

fn copy(from: Word, to: Word) -> Statement {
    Statement::Copy { from, to }
}

fn marked(field: Field) -> Statement {
    Statement::Match {
        field,
        not: true,
        value: Value::Mark(0),
    }
}

/// `eth0` at `10.1.0.<n>`, with the MAC that goes with it.
fn host(name: &str, n: u8) -> Vec<Row> {
    let peer = VethPeer {
        ns: named(name),
        name: "eth0".into(),
        mac: Some(Mac([2, 0x42, 10, 1, 0, n])),
    };
    vec![
        Row::Netns(named(name)),
        Row::Link(Link {
            master: Some("br0".into()),
            ..link(Ns::Host, &format!("v-{name}"), LinkKind::Veth { peer })
        }),
        address(named(name), "eth0", &format!("10.1.0.{n}/24")),
        Row::Sysctl {
            ns: named(name),
            key: "net/ipv4/conf/all/rp_filter".into(),
            value: "0".into(),
        },
    ]
}

/// Answers of `t` go to the MAC that asked, whatever address asked.
fn steering() -> Vec<Row> {
    let ns = named("t");
    let (ip, frames) = (table(&ns, Family::Ip), table(&ns, Family::Netdev));
    let note = vec![copy(Word::EtherSaddr, Word::CtMark)];
    let answer = vec![marked(Field::CtMark), copy(Word::CtMark, Word::MetaMark)];
    let send = vec![
        marked(Field::MetaMark),
        copy(Word::MetaMark, Word::EtherDaddr),
    ];
    let mut rows = chain(
        &ip,
        base(BaseKind::Filter, Hook::Prerouting, -150, None),
        note,
    );
    rows.extend(chain(
        &ip,
        base(BaseKind::Route, Hook::Output, -150, None),
        answer,
    ));
    rows.extend(chain(
        &frames,
        base(BaseKind::Filter, Hook::Egress, 0, Some("eth0")),
        send,
    ));
    rows.extend([
        Row::MarkRule {
            ns: ns.clone(),
            v6: false,
            mark: u32::from_ne_bytes([10, 1, 0, 0]),
            mask: u32::from_ne_bytes([255, 255, 255, 0]),
            table: 100,
        },
        Row::Neighbour {
            ns: ns.clone(),
            link: "eth0".into(),
            ip: ip_nobody(),
            mac: Mac([2, 0x42, 10, 1, 0, 99]),
        },
        Row::Route(Route {
            ns,
            dst: "0.0.0.0/0".parse().unwrap(),
            via: Some(ip_nobody()),
            link: "eth0".into(),
            table: Some(100),
        }),
    ]);
    rows
}

fn ip_nobody() -> std::net::IpAddr {
    [10, 1, 0, 99].into()
}

#[test]
fn answers_go_back_through_whom_they_came_from() {
    isolated(|| async {
        let state = start().await;
        state.set("net", network("10.1.0.1/24")).await.unwrap();
        let mut task = host("t", 2);
        task.extend(steering());
        // Without anything else they would go there.
        task.push(route(named("t"), "0.0.0.0/0", Some("10.1.0.1"), "eth0"));
        // In one batch: the chain on eth0 with eth0 itself.
        state.set("t", task).await.unwrap();
        for (name, n) in [("a", 3), ("b", 4)] {
            state.set(name, host(name, n)).await.unwrap();
            // The same client behind both.
            run_in(name, "ip addr add 192.0.2.1/32 dev lo");
        }
        let pings = |from: &str| try_in(from, "ping -c1 -W0.1 -I 192.0.2.1 10.1.0.2");
        for from in ["a", "b", "a"] {
            assert!(pings(from), "through {from}");
        }
        assert_eq!(state.audit().await.unwrap(), [""; 0]);
        for damage in [
            "ip rule del table 100",
            "nft delete table netdev pontoon",
            "ip route flush table 100",
        ] {
            run_in("t", damage);
            within_a_second(damage, || pings("b") && pings("a")).await;
        }
        // A link that is made anew has its chain again.
        run("ip link del v-t");
        within_a_second("the link is back", || pings("b") && pings("a")).await;
        drop(state);

        let state = start().await;
        state.set("net", network("10.1.0.1/24")).await.unwrap();
        state.set("a", host("a", 3)).await.unwrap();
        state.set("t", host("t", 2)).await.unwrap();
        state.collect().await.unwrap();
        assert!(!run_in("t", "ip rule").contains("lookup 100"));
        assert_eq!(run_in("t", "nft list tables"), "");
    });
}

#[test]
fn connections_are_spread_over_a_map() {
    isolated(|| async {
        let state = start().await;
        let ip = table(&Ns::Host, Family::Ip);
        let spread = |draw, to: &[u8]| {
            let of = to.len() as u32;
            let to_one = Statement::DnatToOne {
                key: vec![Field::L4Proto],
                draw,
                of,
                map: "servers".into(),
            };
            let first = Statement::Match {
                field: Field::IpDaddr,
                not: false,
                value: Value::Ip([127, 0, 0, 9].into()),
            };
            let mut rows = chain(
                &ip,
                base(BaseKind::Nat, Hook::Output, -100, None),
                vec![first, to_one],
            );
            rows.push(Row::NftSet(Set {
                table: ip.clone(),
                name: "servers".into(),
                key: vec![Type::Protocol, Type::Mark],
                data: Some(vec![Type::Ipv4]),
                interval: false,
            }));
            rows.extend((0..).zip(to).map(|(i, n)| {
                Row::NftElement(Element {
                    table: ip.clone(),
                    set: "servers".into(),
                    key: vec![Value::Protocol(6), Value::Mark(i)],
                    key_end: None,
                    data: Some(vec![Value::Ip([127, 0, 0, *n].into())]),
                })
            }));
            rows.extend(chain(
                &ip,
                base(BaseKind::Filter, Hook::Forward, 0, None),
                vec![Statement::ClampMss(1410)],
            ));
            rows
        };
        state
            .set("service", spread(Draw::Random, &[1, 2, 3]))
            .await
            .unwrap();
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let others =
            [2, 3].map(|n| TcpListener::bind((Ipv4Addr::new(127, 0, 0, n), port)).unwrap());
        for (listener, n) in std::iter::once(first).chain(others).zip(1u8..) {
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    std::io::Write::write_all(&mut stream.unwrap(), &[n]).unwrap();
                }
            });
        }
        let servers = || -> BTreeSet<u8> {
            let ask = |_| {
                let mut byte = [0];
                let mut stream = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 9), port)).unwrap();
                stream.read_exact(&mut byte).unwrap();
                byte[0]
            };
            (0..60).map(ask).collect()
        };
        assert_eq!(servers(), [1, 2, 3].into());
        state
            .set("service", spread(Draw::Random, &[2, 3]))
            .await
            .unwrap();
        assert_eq!(servers(), [2, 3].into());
        // By who asks: the same one, and not everybody's.
        let by_client = spread(Draw::Hash(Field::IpSaddr), &[1, 2, 3]);
        state.set("service", by_client).await.unwrap();
        assert_eq!(servers().len(), 1);
        let of_client = |n: u8| {
            let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None);
            let socket = socket.unwrap();
            net::bind(&socket, &SocketAddrV4::new([127, 1, 0, n].into(), 0)).unwrap();
            net::connect(&socket, &SocketAddrV4::new([127, 0, 0, 9].into(), port)).unwrap();
            let mut byte = [0];
            TcpStream::from(socket).read_exact(&mut byte).unwrap();
            byte[0]
        };
        let once: Vec<u8> = (1..=40).map(of_client).collect();
        let again: Vec<u8> = (1..=40).map(of_client).collect();
        assert_eq!(once, again);
        assert_eq!(BTreeSet::from_iter(once), [1, 2, 3].into());
        assert_eq!(state.audit().await.unwrap(), [""; 0]);
        let listed = run("nft list chain ip pontoon forward");
        assert!(
            listed.contains("tcp option maxseg size set 1410"),
            "{listed}"
        );
    });
}

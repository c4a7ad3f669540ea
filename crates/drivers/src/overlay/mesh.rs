//! The routing mesh: a published port of a service answers on every node.
//!
//! ```text
//!   client ─► host ─► docker_gwbridge ─► entry (a sandbox of each node) ─► ingress network ─► task
//!             node:8080 ─► entry:8080    entry:8080 ─► task:8080, any     the task's address and port
//!                                        that is healthy                  instead; the frame's MAC is noted
//!   task ─► (by the MAC that was noted) the same entry ─► host ─► client
//! ```
//! Both translations of the way in are undone on the way back, and nobody translates the source: a task sees the client's
//! address. Which task it is is decided once for each connection, so changes touch no other connection.
//!
//! Tasks that want a PROXY header get their connections from a relay: see [`relayed`].
//!
//! The source is given up for what could not be answered otherwise: towards a task that does not note the entry (Docker's),
//! for clients whose address has a meaning on this node only (its loopback and its containers), and for ports whose service
//! wants it so.

use std::net::IpAddr;

use cnm::SHORT_V6;
use cnm::model::{Endpoint, Mapping, Network};
use ipnet::IpNet;
use netstate::nft::{
    Base, BaseKind, Chain, Family, Field, Hook, Rule, Statement, Table, Type, Value, Word,
};
use netstate::{Ns, Route, Row};

use super::service::{sysctl, sysctl_v6};
use super::{mtu_or_default, port, relayed};
use crate::bridge::firewall::{
    ACCEPT, DROP, Ip, PORTS_AT, RANGES, SHIFTED, prefix, protocol_number, within,
};
use crate::bridge::publish::translation;

/// Tables of the entry and of a task; in a task's second one is what came from an address of the ingress network itself.
pub(super) const TABLE: &str = "pontoon-mesh";
const NEAR: &str = "pontoon-mesh-near";

/// Ports whose tasks are not to see the client.
pub(super) const CONCEALED: &str = "concealed";
/// Tasks that answer the address that they see, wherever the packet came from.
pub(super) const PLAIN: &str = "plain";
/// What a task serves.
const TARGETS: &str = "targets";

/// The task's routing table for answers.
const ANSWERS: u32 = 112;
/// Headers of TCP, and of IPv4 or IPv6.
const TCP_HEADER: u32 = 20;
const IP_HEADERS: [u32; 2] = [20, 40];

const RAW_END: i32 = -150;
pub(super) const DSTNAT: i32 = -100;
const SRCNAT: i32 = 100;

pub(super) fn entry_rows(
    network: &Network,
    inside: &Endpoint,
    outside: &Endpoint,
    ns: &Ns,
) -> Vec<Row> {
    let both = outside.addresses();
    let both = both.filter(|a| inside.address(a.addr().is_ipv6()).is_some());
    // Of both families: connections that wait for one relay go to the next, which takes its place.
    let shared = sysctl(ns, "tcp_migrate_req", "1");
    both.flat_map(|bridge| entry_of_family(network, inside, (outside, bridge), ns))
        .chain([shared])
        .collect()
}

/// `bridge`: the entry's address outside, which says what family it is for.
fn entry_of_family(
    network: &Network,
    inside: &Endpoint,
    (outside, bridge): (&Endpoint, IpNet),
    ns: &Ns,
) -> Vec<Row> {
    let v6 = bridge.addr().is_ipv6();
    let ip = Ip::within(ns.clone(), TABLE, v6);
    let mut rows = vec![
        Row::NftTable(ip.table.clone()),
        ip.set(PLAIN, vec![ip.kind], None, false),
        ip.set(CONCEALED, vec![Type::Protocol, Type::Port], None, true),
    ];
    rows.extend(port::sets(&ip));
    let from_outside = || is(Field::IifName, Value::Ifname(outside.ifname.clone()));
    let to_inside = || is(Field::OifName, Value::Ifname(inside.ifname.clone()));
    let hide = |which| vec![to_inside(), which, Statement::Masquerade];
    let headers = TCP_HEADER + IP_HEADERS[usize::from(v6)];
    let segment = mtu_or_default(network).saturating_sub(headers);
    let segment = u16::try_from(segment).unwrap_or(u16::MAX);
    let [single, range] = port::choose();
    let relayed_port = vec![relayed::choose()];
    let choose =
        [single, range, relayed_port].map(|choose| [vec![from_outside()], choose].concat());
    rows.extend(ip.chain(
        "in",
        Some((BaseKind::Nat, Hook::Prerouting, DSTNAT)),
        choose.into(),
    ));
    rows.extend(relayed::entry_rows(&ip));
    rows.extend(ip.chain(
        "through",
        Some((BaseKind::Filter, Hook::Forward, 0)),
        vec![
            // Tunnels carry less than the wire that the client is on.
            vec![Statement::ClampMss(segment)],
            vec![Statement::CtTranslated, ACCEPT],
            vec![Statement::CtEstablishedRelated, ACCEPT],
            vec![DROP],
        ],
    ));
    rows.extend(ip.chain(
        "out",
        Some((BaseKind::Nat, Hook::Postrouting, SRCNAT)),
        vec![
            hide(within(&[ip.daddr], PLAIN)),
            hide(within(&[Field::L4Proto, Field::ThDport], CONCEALED)),
            // What the host sends from its own address on the bridge.
            hide(prefix(ip.saddr, bridge.trunc())),
        ],
    ));
    rows.push(match v6 {
        false => sysctl(ns, "ip_forward", "1"),
        true => sysctl_v6(ns, "conf/all/forwarding", "1"),
    });
    rows
}

/// `own`: one of the task's addresses on the ingress network. `answers`: the address that a socket of the task answers the
/// client from when it has not chosen one; without it packets come from the ingress network's own addresses only.
pub(super) fn task_rows(
    network: &Network,
    endpoint: &Endpoint,
    own: IpAddr,
    ports: &[Mapping],
    answers: Option<IpAddr>,
    ns: &Ns,
) -> Vec<Row> {
    let Some((_, pool)) = network.pool_of(&own) else {
        return Vec::new();
    };
    let v6 = own.is_ipv6();
    let came_in = || is(Field::IifName, Value::Ifname(endpoint.ifname.clone()));
    let from = |not| Statement::MatchPrefix {
        field: if v6 { Field::Ip6Saddr } else { Field::IpSaddr },
        not,
        prefix: pool.subnet,
    };
    let near = Ip::within(ns.clone(), NEAR, v6);
    let mut rows = translations(&near, &[came_in(), from(false)], ports, own);
    let ip = Ip::within(ns.clone(), TABLE, v6);
    rows.push(Row::NftTable(ip.table.clone()));
    rows.push(ip.set(TARGETS, vec![Type::Protocol, Type::Port], None, true));
    rows.extend(targets(&ip, ports));
    let serves = within(&[Field::L4Proto, Field::ThDport], TARGETS);
    let icmp = is(Field::L4Proto, Value::Protocol(ip.icmp));
    // The services of a swarm meet on this network, for nothing but this.
    let admitted = vec![
        vec![came_in(), serves, ACCEPT],
        vec![came_in(), Statement::CtEstablishedRelated, ACCEPT],
        vec![came_in(), icmp, ACCEPT],
        vec![came_in(), DROP],
    ];
    rows.extend(ip.chain("for", Some((BaseKind::Filter, Hook::Input, 0)), admitted));
    let macs = macs(network, endpoint);
    let nobody = endpoint.virtual_ips().find(|ip| ip.is_ipv6() == v6);
    if let (Some(nobody), Some(answers), Some((mark, mask))) = (nobody, answers, macs) {
        rows.extend(translations(&ip, &[came_in(), from(true)], ports, answers));
        let note = vec![came_in(), from(true), copy(Word::EtherSaddr, Word::CtMark)];
        let noted = Statement::Match {
            field: Field::CtMark,
            not: true,
            value: Value::Mark(0),
        };
        let answer = vec![noted, copy(Word::CtMark, Word::MetaMark)];
        let before = |kind, hook| Some((kind, hook, RAW_END));
        rows.extend(ip.chain(
            "note",
            before(BaseKind::Filter, Hook::Prerouting),
            vec![note],
        ));
        rows.extend(ip.chain(
            "answer",
            before(BaseKind::Route, Hook::Output),
            vec![answer],
        ));
        rows.extend(steering(endpoint, ns));
        rows.extend([
            // A MAC ends with its address, and so does what was noted of it, byte for byte.
            Row::MarkRule {
                ns: ns.clone(),
                v6,
                mark,
                mask,
                table: ANSWERS,
            },
            Row::Route(Route {
                ns: ns.clone(),
                dst: match v6 {
                    false => ipnet::Ipv4Net::default().into(),
                    true => ipnet::Ipv6Net::default().into(),
                },
                via: Some(nobody),
                link: endpoint.ifname.clone(),
                table: Some(ANSWERS),
            }),
            Row::Neighbour {
                ns: ns.clone(),
                link: endpoint.ifname.clone(),
                ip: nobody,
                mac: cnm::endpoint_mac(Some(nobody), ""),
            },
        ]);
        if !v6 {
            // Clients are behind another interface: that they are behind any must do.
            let filter = format!("conf/{}/rp_filter", endpoint.ifname);
            rows.push(sysctl(ns, &filter, "2"));
        }
    }
    rows
}

/// How MACs of the network end, and which bits say so: with addresses of IPv4, whatever the packet is, or of IPv6 where there
/// are no others.
fn macs(network: &Network, endpoint: &Endpoint) -> Option<(u32, u32)> {
    let (end, mask) = match endpoint.ipv4 {
        Some(own) => match network.pool_of(&own.addr())?.1.subnet {
            IpNet::V4(subnet) => (subnet.network().to_bits(), subnet.netmask().to_bits()),
            IpNet::V6(_) => return None,
        },
        None => (SHORT_V6, SHORT_V6),
    };
    Some((end.to_be(), mask.to_be()))
}

/// Published ports become the task's, for packets of that kind.
fn translations(ip: &Ip, which: &[Statement], ports: &[Mapping], to: IpAddr) -> Vec<Row> {
    let mut rows = vec![Row::NftTable(ip.table.clone())];
    let mut rules = Vec::new();
    for (map, data, interval) in [(PORTS_AT, 1, false), (RANGES, 0, true), (SHIFTED, 2, true)] {
        if !interval || ports.iter().any(|p| p.count > 1) {
            let data = Some(ip.translated_types(data));
            rows.push(ip.set(map, ip.target_types(), data, interval));
            let (key, map) = (ip.target().to_vec(), map.into());
            let translate = Statement::DnatMap { key, map };
            rules.push([which, &[translate]].concat());
        }
    }
    rows.extend(ports.iter().flat_map(|port| translation(ip, port, to)));
    rows.extend(ip.chain("in", Some((BaseKind::Nat, Hook::Prerouting, DSTNAT)), rules));
    rows
}

/// Intervals of a set must not overlap: two published ports may lead to one of the task's.
fn targets(ip: &Ip, ports: &[Mapping]) -> Vec<Row> {
    let number = |p: &Mapping| protocol_number(&p.protocol);
    let mut ranges: Vec<_> = ports
        .iter()
        .map(|p| (number(p), p.target, p.last_target()))
        .collect();
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joined = next.0 == last.0 && next.1 <= last.2;
        if joined {
            last.2 = last.2.max(next.2);
        }
        joined
    });
    let element = |(protocol, first, last): (u8, u16, u16)| {
        let at = |port| vec![Value::Protocol(protocol), Value::Port(port)];
        ip.entry(TARGETS, at(first), Some(at(last)), None)
    };
    ranges.into_iter().map(element).collect()
}

/// For both families. Frames of answers are addressed to the service's own address, which nobody has here; its MAC begins with the same two
/// bytes as all of the network, and ends as it was noted.
fn steering(endpoint: &Endpoint, ns: &Ns) -> Vec<Row> {
    let table = Table {
        ns: ns.clone(),
        family: Family::Netdev,
        name: TABLE.into(),
    };
    vec![
        Row::NftTable(table.clone()),
        Row::NftChain(Chain {
            table: table.clone(),
            name: "out".into(),
            base: Some(Base {
                kind: BaseKind::Filter,
                hook: Hook::Egress,
                priority: 0,
                drop_by_default: false,
                device: Some(endpoint.ifname.clone()),
            }),
        }),
        Row::NftRule(Rule {
            table,
            chain: "out".into(),
            order: 1,
            body: vec![has_mark(), copy(Word::MetaMark, Word::EtherDaddr)],
        }),
    ]
}

fn is(field: Field, value: Value) -> Statement {
    Statement::Match {
        field,
        not: false,
        value,
    }
}

pub(super) fn has_mark() -> Statement {
    Statement::Match {
        field: Field::MetaMark,
        not: true,
        value: Value::Mark(0),
    }
}

fn copy(from: Word, to: Word) -> Statement {
    Statement::Copy { from, to }
}

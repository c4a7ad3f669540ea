//! Filter and NAT of bridge networks: table `pontoon` in the host's namespace, one for IPv4 and one for IPv6.
//!
//! The rules are the same for all networks and never change; what differs are elements of sets and maps. So a network
//! is a handful of elements, a published port three, whatever else there is.
//!
//! ```text
//!   prerouting (raw)  to a container, not from a bridge of ours: drop     (only what was translated may come in)
//!   prerouting (nat)  to the host: translate by @ports_at, then by @ports (address and port, or any address)
//!   output     (nat)  the same, for the host's own connections, 127.0.0.1 too
//!   forward           same bridge: accept · internal: drop · established: accept · between bridges: drop
//!                     · to a published port: accept · to a bridge: drop
//!   postrouting (nat) from 127.0.0.1, hairpin, and to the outside: masquerade
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cnm::model::{Endpoint, Mapping, Network};
use ipnet::{IpNet, Ipv4Net};
use netstate::nft::{
    Base, BaseKind, Chain, Element, Family, Field, Hook, Rule, Set, Statement, Table, Type, Value,
    Verdict,
};
use netstate::{Ns, Row};

use super::settings::Settings;

/// Bridges, those that are closed to the outside among them.
const BRIDGES: &str = "bridges";
const INTERNAL: &str = "internal";
/// Pairs of a bridge and itself, where containers may talk to each other.
const SAME: &str = "same_bridge";
/// Subnets of bridges that have a way out.
const SUBNETS: &str = "subnets";
/// Those of them that leave with the host's address.
const MASQUERADE: &str = "masquerade";
/// Containers' addresses that nobody outside may send to.
const GUARDED: &str = "guarded";
/// Container address, protocol and port that are published.
const PUBLISHED: &str = "published";
/// Protocol and host port to container address and port.
const PORTS: &str = "ports";
/// The same for one host address.
const PORTS_AT: &str = "ports_at";

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// What differs between IPv4 and IPv6.
struct Ip {
    table: Table,
    kind: Type,
    saddr: Field,
    daddr: Field,
    loopback: IpNet,
}

impl Ip {
    fn new(v6: bool) -> Self {
        let table = |family| Table {
            ns: Ns::Host,
            family,
            name: "pontoon".into(),
        };
        match v6 {
            false => Self {
                table: table(Family::Ip),
                kind: Type::Ipv4,
                saddr: Field::IpSaddr,
                daddr: Field::IpDaddr,
                loopback: Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into(),
            },
            true => Self {
                table: table(Family::Ip6),
                kind: Type::Ipv6,
                saddr: Field::Ip6Saddr,
                daddr: Field::Ip6Daddr,
                loopback: IpAddr::from(Ipv6Addr::LOCALHOST).into(),
            },
        }
    }

    fn element(&self, set: &str, key: Vec<Value>) -> Row {
        self.entry(set, key, None)
    }
    fn entry(&self, set: &str, key: Vec<Value>, data: Option<Vec<Value>>) -> Row {
        Row::NftElement(Element {
            table: self.table.clone(),
            set: set.into(),
            key,
            key_end: None,
            data,
        })
    }

    fn subnet(&self, set: &str, subnet: &IpNet) -> Row {
        Row::NftElement(Element {
            table: self.table.clone(),
            set: set.into(),
            key: vec![Value::Ip(subnet.network())],
            key_end: Some(vec![Value::Ip(subnet.broadcast())]),
            data: None,
        })
    }

    /// What is there as long as any bridge network is.
    fn shared_rows(&self) -> Vec<Row> {
        let mut rows = vec![Row::NftTable(self.table.clone())];
        let endpoint = vec![self.kind, Type::Protocol, Type::Port];
        let target = Some(vec![self.kind, Type::Port]);
        let sets = [
            (BRIDGES, vec![Type::Ifname], None),
            (INTERNAL, vec![Type::Ifname], None),
            (SAME, vec![Type::Ifname, Type::Ifname], None),
            (SUBNETS, vec![self.kind], None),
            (MASQUERADE, vec![self.kind], None),
            (GUARDED, vec![self.kind], None),
            (PUBLISHED, endpoint.clone(), None),
            (PORTS, vec![Type::Protocol, Type::Port], target.clone()),
            (PORTS_AT, endpoint, target),
        ];
        rows.extend(sets.map(|(name, key, data)| {
            Row::NftSet(Set {
                table: self.table.clone(),
                name: name.into(),
                key,
                data,
                interval: [SUBNETS, MASQUERADE].contains(&name),
            })
        }));
        rows.extend(self.chain("raw", BaseKind::Filter, Hook::Prerouting, -300, self.raw()));
        rows.extend(self.chain(
            "prerouting",
            BaseKind::Nat,
            Hook::Prerouting,
            -100,
            self.to_host(),
        ));
        rows.extend(self.chain("output", BaseKind::Nat, Hook::Output, -100, self.to_host()));
        rows.extend(self.chain(
            "forward",
            BaseKind::Filter,
            Hook::Forward,
            0,
            self.forward(),
        ));
        rows.extend(self.chain(
            "postrouting",
            BaseKind::Nat,
            Hook::Postrouting,
            100,
            self.leaving(),
        ));
        rows
    }

    fn raw(&self) -> Vec<Vec<Statement>> {
        vec![
            vec![
                within(&[self.daddr], GUARDED),
                without(&[Field::IifName], BRIDGES),
                Statement::Verdict(Verdict::Drop),
            ],
            // route_localnet is for the host's own connections, not for containers.
            vec![
                within(&[Field::IifName], BRIDGES),
                Statement::MatchPrefix {
                    field: self.daddr,
                    not: false,
                    prefix: self.loopback,
                },
                Statement::Verdict(Verdict::Drop),
            ],
        ]
    }

    fn to_host(&self) -> Vec<Vec<Statement>> {
        let local = Statement::FibLocal {
            saddr: false,
            not: false,
        };
        let map = |key: &[Field], map: &str| Statement::DnatMap {
            key: key.to_vec(),
            map: map.into(),
        };
        vec![
            vec![
                local.clone(),
                map(&[self.daddr, Field::L4Proto, Field::ThDport], PORTS_AT),
            ],
            vec![local, map(&[Field::L4Proto, Field::ThDport], PORTS)],
        ]
    }

    fn forward(&self) -> Vec<Vec<Statement>> {
        let accept = Statement::Verdict(Verdict::Accept);
        let drop = Statement::Verdict(Verdict::Drop);
        vec![
            vec![
                within(&[Field::IifName, Field::OifName], SAME),
                accept.clone(),
            ],
            vec![within(&[Field::IifName], INTERNAL), drop.clone()],
            vec![within(&[Field::OifName], INTERNAL), drop.clone()],
            vec![Statement::CtEstablishedRelated, accept.clone()],
            vec![
                within(&[Field::IifName], BRIDGES),
                within(&[Field::OifName], BRIDGES),
                drop.clone(),
            ],
            vec![
                within(&[self.daddr, Field::L4Proto, Field::ThDport], PUBLISHED),
                accept,
            ],
            vec![within(&[Field::OifName], BRIDGES), drop],
        ]
    }

    fn leaving(&self) -> Vec<Vec<Statement>> {
        vec![
            vec![
                within(&[Field::OifName], BRIDGES),
                Statement::MatchPrefix {
                    field: self.saddr,
                    not: false,
                    prefix: self.loopback,
                },
                Statement::Masquerade,
            ],
            // Through the host and back into the same bridge: the answer has to come back here as well. (Where
            // br_netfilter is loaded such a packet has no incoming interface here.)
            vec![
                within(&[Field::OifName], BRIDGES),
                within(&[self.saddr], SUBNETS),
                within(&[self.daddr, Field::L4Proto, Field::ThDport], PUBLISHED),
                Statement::Masquerade,
            ],
            vec![
                within(&[self.saddr], MASQUERADE),
                without(&[Field::OifName], BRIDGES),
                Statement::Masquerade,
            ],
        ]
    }

    fn chain(
        &self,
        name: &str,
        kind: BaseKind,
        hook: Hook,
        priority: i32,
        rules: Vec<Vec<Statement>>,
    ) -> Vec<Row> {
        let chain = Row::NftChain(Chain {
            table: self.table.clone(),
            name: name.into(),
            base: Some(Base {
                kind,
                hook,
                priority,
                drop_by_default: false,
            }),
        });
        let rules = (1..).zip(rules).map(|(order, body)| {
            Row::NftRule(Rule {
                table: self.table.clone(),
                chain: name.into(),
                order,
                body,
            })
        });
        std::iter::once(chain).chain(rules).collect()
    }
}

pub(super) fn network_rows(network: &Network, settings: &Settings, v6: bool) -> Vec<Row> {
    let ip = Ip::new(v6);
    let bridge = || Value::Ifname(settings.bridge.clone());
    let mut rows = ip.shared_rows();
    rows.push(ip.element(BRIDGES, vec![bridge()]));
    if settings.icc {
        rows.push(ip.element(SAME, vec![bridge(), bridge()]));
    }
    if network.internal {
        rows.push(ip.element(INTERNAL, vec![bridge()]));
        return rows;
    }
    for pool in super::pools(network, v6) {
        rows.push(ip.subnet(SUBNETS, &pool.subnet));
        if settings.masquerade {
            rows.push(ip.subnet(MASQUERADE, &pool.subnet));
        }
    }
    rows
}

/// Nobody outside sends to this address, except through a published port.
pub(super) fn guard(address: IpAddr) -> Row {
    Ip::new(address.is_ipv6()).element(GUARDED, vec![Value::Ip(address)])
}

pub(super) fn publish_rows(to: &Endpoint, ports: &[Mapping]) -> Vec<Row> {
    let mut rows = Vec::new();
    for port in ports {
        let v6 = port.host_ip.is_ipv6();
        let Some(container) = (if v6 { to.ipv6 } else { to.ipv4 }) else {
            continue;
        };
        let ip = Ip::new(v6);
        let container = Value::Ip(container.addr());
        let protocol = Value::Protocol(protocol_number(&port.protocol));
        let target = vec![container.clone(), Value::Port(port.target)];
        let (map, key) = match port.host_ip.is_unspecified() {
            true => (PORTS, vec![protocol.clone(), Value::Port(port.host_port)]),
            false => (
                PORTS_AT,
                vec![
                    Value::Ip(port.host_ip),
                    protocol.clone(),
                    Value::Port(port.host_port),
                ],
            ),
        };
        rows.push(ip.entry(map, key, Some(target)));
        rows.push(ip.element(
            PUBLISHED,
            vec![container, protocol, Value::Port(port.target)],
        ));
    }
    // Two host ports may lead to one container port.
    rows.sort();
    rows.dedup();
    rows
}

fn protocol_number(name: &str) -> u8 {
    match name {
        "udp" => UDP,
        "sctp" => SCTP,
        _ => TCP,
    }
}

fn within(key: &[Field], set: &str) -> Statement {
    in_set(key, set, false)
}
fn without(key: &[Field], set: &str) -> Statement {
    in_set(key, set, true)
}
fn in_set(key: &[Field], set: &str, not: bool) -> Statement {
    Statement::InSet {
        key: key.to_vec(),
        not,
        set: set.into(),
    }
}

//! Filter and NAT of bridge networks: table `pontoon` in the host's namespace, one for IPv4 and one for IPv6.
//!
//! The rules are the same for all networks and never change; what differs are elements of sets and maps. So a network
//! is a handful of elements, a published port two, a range of ports two as well, whatever else there is.
//!
//! ```text
//!   prerouting (raw)  from a bridge of ours to the host's loopback: drop
//!   prerouting (nat)  to the host: translate by @ports_at, @ports, @ranges, @shifted
//!   output     (nat)  the same, for the host's own connections, 127.0.0.1 and ::1 too
//!   forward           same bridge: accept · internal: drop · established: accept · marked, linked: accept
//!                     · translated, or to a routed bridge: what is published · between bridges: drop
//!                     · from a trusted interface: what is published · to an unprotected bridge: accept · to a bridge: drop
//!   postrouting (nat) from 127.0.0.1 and ::1, hairpin, a container to the mesh, and to the outside: masquerade, or the address that the network has chosen
//! ```
//!
//! A drop in a table of the host's own holds whatever is said here, and the forward chain has priority 0 (`filter`): a
//! table of the administrator's sees containers' packets first with a lower one, and can mark what must come in.

mod table;

use std::net::{IpAddr, Ipv6Addr};

use cnm::driver::{Firewall, Host};
use cnm::model::{Endpoint, Network};
use ipnet::{IpNet, Ipv6Net};
use netstate::Row;
use netstate::nft::{BaseKind, Field, Hook, Statement, Type, Value, Verdict};

use self::table::in_set;
pub(crate) use self::table::{ACCEPT, DROP, Ip, RETURN, prefix, protocol_number, within};
use super::gate;
use super::settings::{Mode, Settings};

/// Bridges, those that are closed to the outside among them.
const BRIDGES: &str = "bridges";
pub(super) const INTERNAL: &str = "internal";
/// Pairs of a bridge and itself, where containers may talk to each other.
const SAME: &str = "same_bridge";
/// Bridges whose containers are reached at their own addresses, for what they publish.
const ROUTED: &str = "routed";
/// Pairs of an interface of the host and a bridge: the same from there.
const TRUSTED: &str = "trusted";
/// Bridges whose containers are open to the outside.
const UNPROTECTED: &str = "unprotected";
/// Pairs of a bridge's subnet and itself.
const HAIRPIN: &str = "hairpin";
/// Addresses behind which containers of this host are not to be told apart.
const CONCEALED: &str = "concealed";
/// Subnets that leave with the host's address, and those that leave with one of their network's choice.
const MASQUERADE: &str = "masquerade";
const SNAT: &str = "snat";
/// A container, and the address, protocol and port of one that it is linked to.
const LINKS: &str = "links";
/// Container address, protocol and port that are published.
pub(super) const PUBLISHED: &str = "published";
pub(super) const PUBLISHED_RANGES: &str = "published_ranges";
/// Protocol and host port to container address and port.
pub(super) const PORTS: &str = "ports";
/// The same for one host address.
pub(crate) const PORTS_AT: &str = "ports_at";
/// Host addresses, protocol and a range of ports to a container address; the port stays.
pub(crate) const RANGES: &str = "ranges";
/// The same where the ports are others in the container: see [`Statement::DnatMap`].
pub(crate) const SHIFTED: &str = "shifted";

impl Ip {
    /// What is there as long as any bridge network is.
    fn shared_rows(&self, firewall: &Firewall) -> Vec<Row> {
        let mut rows = vec![Row::NftTable(self.table.clone())];
        let target = self.target_types();
        let to = |ports| Some(self.translated_types(ports));
        let link = [vec![self.kind], target.clone()].concat();
        let pair = vec![Type::Ifname, Type::Ifname];
        let sets = [
            (BRIDGES, vec![Type::Ifname], None, false),
            (INTERNAL, vec![Type::Ifname], None, false),
            (SAME, pair.clone(), None, false),
            (ROUTED, vec![Type::Ifname], None, false),
            (TRUSTED, pair, None, false),
            (UNPROTECTED, vec![Type::Ifname], None, false),
            (HAIRPIN, vec![self.kind, self.kind], None, true),
            (CONCEALED, vec![self.kind], None, false),
            (MASQUERADE, vec![self.kind], None, true),
            (SNAT, vec![self.kind], to(0), true),
            (LINKS, link, None, false),
            (PUBLISHED, target.clone(), None, false),
            (PUBLISHED_RANGES, target.clone(), None, true),
            (PORTS, vec![Type::Protocol, Type::Port], to(1), false),
            (PORTS_AT, target.clone(), to(1), false),
            (RANGES, target.clone(), to(0), true),
            (SHIFTED, target, to(2), true),
        ];
        rows.extend(sets.map(|(name, key, data, interval)| self.set(name, key, data, interval)));
        let base = |kind, hook, priority| Some((kind, hook, priority));
        let mut to_host = Vec::new();
        if firewall.host_policy {
            to_host.push(gate::not_admitted());
            rows.extend(self.chain(
                gate::CHAIN,
                base(BaseKind::Filter, Hook::Input, gate::PRIORITY),
                gate::asked(self),
            ));
            rows.extend(self.chain(gate::ADMIT, None, gate::admit(self)));
            rows.extend(gate::rows(self.v6));
        }
        to_host.extend(self.to_host());
        let nat = |hook, priority| base(BaseKind::Nat, hook, priority);
        let filter = |hook, priority| base(BaseKind::Filter, hook, priority);
        for (name, base, rules) in [
            ("raw", filter(Hook::Prerouting, -300), self.raw()),
            ("prerouting", nat(Hook::Prerouting, -100), to_host),
            ("output", nat(Hook::Output, -100), self.to_host()),
            (PUBLISHED, None, self.published()),
            ("forward", filter(Hook::Forward, 0), self.forward(firewall)),
            ("postrouting", nat(Hook::Postrouting, 100), self.leaving()),
        ] {
            rows.extend(self.chain(name, base, rules));
        }
        rows
    }

    /// That the host's own connections may come back to its loopback is not for containers.
    fn raw(&self) -> Vec<Vec<Statement>> {
        vec![vec![
            within(&[Field::IifName], BRIDGES),
            prefix(self.daddr, self.loopback),
            DROP,
        ]]
    }

    fn to_host(&self) -> Vec<Vec<Statement>> {
        let local = Statement::FibLocal {
            saddr: false,
            not: false,
        };
        let mut rules = Vec::new();
        if self.v6 {
            // A container, on another link, cannot answer such an address.
            let link_local = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);
            rules.push(vec![prefix(self.saddr, link_local.into()), RETURN]);
        }
        rules.extend(self.maps().map(|(map, key)| {
            let map = map.into();
            vec![local.clone(), Statement::DnatMap { key, map }]
        }));
        rules
    }

    /// The maps of published ports, and the fields that they are asked with.
    pub fn maps(&self) -> [(&'static str, Vec<Field>); 4] {
        let target = self.target().to_vec();
        [
            (PORTS_AT, target.clone()),
            (PORTS, vec![Field::L4Proto, Field::ThDport]),
            (RANGES, target.clone()),
            (SHIFTED, target),
        ]
    }

    fn published(&self) -> Vec<Vec<Statement>> {
        let rule = |set| vec![within(&self.target(), set), ACCEPT];
        vec![rule(PUBLISHED), rule(PUBLISHED_RANGES)]
    }

    fn forward(&self, firewall: &Firewall) -> Vec<Vec<Statement>> {
        let published = || Statement::Verdict(Verdict::Jump(PUBLISHED.into()));
        let (from, to) = (Field::IifName, Field::OifName);
        let mut rules = vec![
            vec![within(&[from, to], SAME), ACCEPT],
            vec![within(&[from], INTERNAL), DROP],
            vec![within(&[to], INTERNAL), DROP],
            vec![Statement::CtEstablishedRelated, ACCEPT],
        ];
        if let Some((value, mask)) = firewall.accept_mark {
            let marked = Statement::MatchMark { value, mask };
            rules.push(vec![marked, within(&[to], BRIDGES), ACCEPT]);
        }
        let linked = [&[self.saddr][..], &self.target()].concat();
        let icmp = Statement::Match {
            field: Field::L4Proto,
            not: false,
            value: Value::Protocol(self.icmp),
        };
        rules.extend([
            vec![within(&linked, LINKS), ACCEPT],
            vec![Statement::CtTranslated, published()],
            vec![within(&[to], ROUTED), published()],
            vec![within(&[to], ROUTED), icmp, ACCEPT],
            vec![within(&[from], BRIDGES), within(&[to], BRIDGES), DROP],
            match firewall.direct {
                true => vec![within(&[to], BRIDGES), published()],
                false => vec![within(&[from, to], TRUSTED), published()],
            },
            vec![within(&[to], UNPROTECTED), ACCEPT],
            vec![within(&[to], BRIDGES), DROP],
        ]);
        rules
    }

    fn leaving(&self) -> Vec<Vec<Statement>> {
        let to_bridge = || within(&[Field::OifName], BRIDGES);
        let outside = || in_set(&[Field::OifName], BRIDGES, true);
        vec![
            vec![
                to_bridge(),
                prefix(self.saddr, self.loopback),
                Statement::Masquerade,
            ],
            // Through the host and back into the same bridge: the answer has to come back here as well. (Where
            // br_netfilter is loaded such a packet has no incoming interface here.)
            vec![
                to_bridge(),
                within(&[self.saddr, self.daddr], HAIRPIN),
                Statement::CtTranslated,
                Statement::Masquerade,
            ],
            vec![
                within(&[Field::IifName], BRIDGES),
                within(&[self.daddr], CONCEALED),
                Statement::Masquerade,
            ],
            vec![
                within(&[self.saddr], MASQUERADE),
                outside(),
                Statement::Masquerade,
            ],
            vec![
                outside(),
                Statement::SnatMap {
                    key: vec![self.saddr],
                    map: SNAT.into(),
                },
            ],
        ]
    }
}

pub(super) fn network_rows(
    network: &Network,
    settings: &Settings,
    host: &Host,
    v6: bool,
) -> Vec<Row> {
    let ip = Ip::new(v6);
    let bridge = || Value::Ifname(settings.bridge.clone());
    let mut rows = ip.shared_rows(&host.firewall);
    rows.push(ip.element(BRIDGES, vec![bridge()]));
    if settings.icc {
        rows.push(ip.element(SAME, vec![bridge(), bridge()]));
    }
    if network.internal {
        rows.push(ip.element(INTERNAL, vec![bridge()]));
        return rows;
    }
    let mode = settings.mode(v6);
    match mode {
        Mode::Routed => rows.push(ip.element(ROUTED, vec![bridge()])),
        Mode::Unprotected => rows.push(ip.element(UNPROTECTED, vec![bridge()])),
        Mode::Nat | Mode::Isolated => {
            let trusted = settings.trusted.iter().cloned().map(Value::Ifname);
            rows.extend(trusted.map(|from| ip.element(TRUSTED, vec![from, bridge()])));
        }
    }
    for pool in super::pools(network, v6) {
        rows.push(ip.subnet(HAIRPIN, &pool.subnet, 2, None));
        if settings.masquerade && mode != Mode::Routed {
            rows.push(match settings.source(v6) {
                None => ip.subnet(MASQUERADE, &pool.subnet, 1, None),
                source => ip.subnet(SNAT, &pool.subnet, 1, source),
            });
        }
    }
    rows
}

/// Published ports of `to` are reached from the host's own address by containers of the host and from these subnets.
pub(super) fn concealed_rows(to: &Endpoint, from: &[IpNet]) -> Vec<Row> {
    let of_family = |to: IpAddr| {
        let ip = Ip::new(to.is_ipv6());
        let pair = |from: &IpNet| {
            let key = |ip| vec![Value::Ip(ip), Value::Ip(to)];
            ip.entry(
                HAIRPIN,
                key(from.network()),
                Some(key(from.broadcast())),
                None,
            )
        };
        let from = from.iter().filter(|f| f.addr().is_ipv6() == to.is_ipv6());
        let mut rows: Vec<Row> = from.map(pair).collect();
        rows.push(ip.element(CONCEALED, vec![Value::Ip(to)]));
        rows
    };
    to.addresses().flat_map(|a| of_family(a.addr())).collect()
}

/// What a linked container may be sent although containers on the bridge may not talk to each other.
pub(super) fn link_rows(from: &Endpoint, to: &Endpoint, ports: &[(String, u16)]) -> Vec<Row> {
    let (Some(from), Some(to)) = (from.ipv4, to.ipv4) else {
        return Vec::new();
    };
    let ip = Ip::new(false);
    let link = |(protocol, port): &(String, u16)| {
        let (from, to) = (Value::Ip(from.addr()), Value::Ip(to.addr()));
        let protocol = Value::Protocol(protocol_number(protocol));
        ip.element(LINKS, vec![from, to, protocol, Value::Port(*port)])
    };
    ports.iter().map(link).collect()
}

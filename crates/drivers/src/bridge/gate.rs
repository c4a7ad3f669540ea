//! `--firewall-policy=host`: a published port is open to whom the host's own input rules let in.
//!
//! A translated packet never meets the input hook, where firewalls say what the host takes. So the first packet of a
//! connection is left alone, and goes there as to a service of the host's. What comes out behind all other rules is sent
//! again into the host, through a veth pair of its own, and is translated then; its connection's other packets follow
//! the translation without this detour. Addresses stay what they were, and no process takes part.
//!
//! ```text
//!   ──► prerouting ──► input: the host's rules ──► gate: dup to pontoon-out, drop
//!   pontoon-in ──► prerouting: translate ──► forward ──► container
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netstate::nft::{Field, Statement, Value, Verdict};
use netstate::{BridgePort, Link, LinkKind, Mac, Ns, Route, Row, VethPeer};

use super::firewall::{DROP, INTERNAL, Ip, RETURN, within};

pub(super) const CHAIN: &str = "gate";
pub(super) const ADMIT: &str = "admit";
/// Behind every firewall's own: they filter at 0, some also at 10 or 50.
pub(super) const PRIORITY: i32 = 300;

const OUT: &str = "pontoon-out";
const IN: &str = "pontoon-in";
const IN_MAC: Mac = Mac([0x02, 0x42, 0, 0, 0, 8]);

/// Of the shared prefix of RFC 7335, which no network uses.
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 6);

/// The neighbour at the other end: addresses that mean nobody (RFC 7600, RFC 6666).
fn neighbour(v6: bool) -> IpAddr {
    match v6 {
        false => Ipv4Addr::new(192, 0, 0, 8).into(),
        true => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 8).into(),
    }
}

fn came_through(not: bool) -> Statement {
    Statement::Match {
        field: Field::IifName,
        not,
        value: Value::Ifname(IN.into()),
    }
}

/// The rule that leaves everything else alone before it is translated.
pub(super) fn not_admitted() -> Vec<Statement> {
    vec![came_through(true), RETURN]
}

pub(super) fn asked(ip: &Ip) -> Vec<Vec<Statement>> {
    let mut rules = vec![
        vec![came_through(false), RETURN],
        vec![Statement::CtEstablishedRelated, RETURN],
    ];
    let admit = || Statement::Verdict(Verdict::Goto(ADMIT.into()));
    rules.extend(ip.maps().map(|(map, key)| vec![within(&key, map), admit()]));
    rules
}

pub(super) fn admit(ip: &Ip) -> Vec<Vec<Statement>> {
    vec![
        vec![within(&[Field::IifName], INTERNAL), DROP],
        vec![Statement::Dup(neighbour(ip.v6)), DROP],
    ]
}

pub(super) fn rows(v6: bool) -> Vec<Row> {
    let ip = neighbour(v6);
    let mut rows = vec![
        Row::Link(Link {
            ns: Ns::Host,
            name: OUT.into(),
            kind: LinkKind::Veth {
                peer: VethPeer {
                    ns: Ns::Host,
                    name: IN.into(),
                    mac: Some(IN_MAC),
                },
            },
            mac: None,
            // The largest packet that any interface may bring.
            mtu: Some(65535),
            master: None,
            port: BridgePort::default(),
        }),
        Row::Route(Route {
            ns: Ns::Host,
            dst: ip.into(),
            via: None,
            link: OUT.into(),
            table: None,
        }),
        Row::Neighbour {
            ns: Ns::Host,
            link: OUT.into(),
            ip,
            mac: IN_MAC,
        },
    ];
    if !v6 {
        // Loose: what comes in here has a way back, through another interface. The larger of this and `all` counts, and an
        // interface without an address lets nothing pass.
        rows.push(super::sysctl(format!("net/ipv4/conf/{IN}/rp_filter"), "2"));
        rows.push(Row::Address {
            ns: Ns::Host,
            link: IN.into(),
            address: IpAddr::from(OWN).into(),
        });
    }
    rows
}

//! A table of one family in nftables, and what its rules are put together from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use netstate::nft::{
    Base, BaseKind, Chain, Element, Family, Field, Hook, Rule, Set, Statement, Table, Type, Value,
    Verdict,
};
use netstate::{Ns, Row};

/// What differs between IPv4 and IPv6.
pub(crate) struct Ip {
    pub table: Table,
    pub v6: bool,
    pub kind: Type,
    pub saddr: Field,
    pub daddr: Field,
    pub loopback: IpNet,
    pub icmp: u8,
}

impl Ip {
    pub fn new(v6: bool) -> Self {
        Self::within(Ns::Host, "pontoon", v6)
    }

    /// In a table of that name.
    pub fn within(ns: Ns, name: &str, v6: bool) -> Self {
        let table = |family| Table {
            ns,
            family,
            name: name.into(),
        };
        match v6 {
            false => Self {
                table: table(Family::Ip),
                v6,
                kind: Type::Ipv4,
                saddr: Field::IpSaddr,
                daddr: Field::IpDaddr,
                loopback: Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into(),
                icmp: 1,
            },
            true => Self {
                table: table(Family::Ip6),
                v6,
                kind: Type::Ipv6,
                saddr: Field::Ip6Saddr,
                daddr: Field::Ip6Daddr,
                loopback: IpAddr::from(Ipv6Addr::LOCALHOST).into(),
                icmp: 58,
            },
        }
    }

    pub fn element(&self, set: &str, key: Vec<Value>) -> Row {
        self.entry(set, key, None, None)
    }
    pub fn entry(
        &self,
        set: &str,
        key: Vec<Value>,
        key_end: Option<Vec<Value>>,
        data: Option<Vec<Value>>,
    ) -> Row {
        Row::NftElement(Element {
            table: self.table.clone(),
            set: set.into(),
            key,
            key_end,
            data,
        })
    }

    /// An element that is as many times the subnet as the set has fields.
    pub(super) fn subnet(
        &self,
        set: &str,
        subnet: &IpNet,
        fields: usize,
        data: Option<IpAddr>,
    ) -> Row {
        let key = vec![Value::Ip(subnet.network()); fields];
        let end = vec![Value::Ip(subnet.broadcast()); fields];
        self.entry(set, key, Some(end), data.map(|ip| vec![Value::Ip(ip)]))
    }

    /// The fields that say where a packet goes to.
    pub fn target(&self) -> [Field; 3] {
        [self.daddr, Field::L4Proto, Field::ThDport]
    }

    pub fn set(&self, name: &str, key: Vec<Type>, data: Option<Vec<Type>>, interval: bool) -> Row {
        Row::NftSet(Set {
            table: self.table.clone(),
            name: name.into(),
            key,
            data,
            interval,
        })
    }

    /// Of what [`Self::target`] says.
    pub fn target_types(&self) -> Vec<Type> {
        vec![self.kind, Type::Protocol, Type::Port]
    }

    /// An address and so many ports.
    pub fn translated_types(&self, ports: usize) -> Vec<Type> {
        let ports = std::iter::repeat_n(Type::Port, ports);
        std::iter::once(self.kind).chain(ports).collect()
    }

    pub fn chain(
        &self,
        name: &str,
        base: Option<(BaseKind, Hook, i32)>,
        rules: Vec<Vec<Statement>>,
    ) -> Vec<Row> {
        let chain = Row::NftChain(Chain {
            table: self.table.clone(),
            name: name.into(),
            base: base.map(|(kind, hook, priority)| Base {
                kind,
                hook,
                priority,
                drop_by_default: false,
                device: None,
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

pub(crate) fn protocol_number(name: &str) -> u8 {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    const SCTP: u8 = 132;
    match name {
        "udp" => UDP,
        "sctp" => SCTP,
        _ => TCP,
    }
}

pub(crate) const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);
pub(crate) const DROP: Statement = Statement::Verdict(Verdict::Drop);
pub(crate) const RETURN: Statement = Statement::Verdict(Verdict::Return);

pub(crate) fn within(key: &[Field], set: &str) -> Statement {
    in_set(key, set, false)
}
pub(super) fn in_set(key: &[Field], set: &str, not: bool) -> Statement {
    Statement::InSet {
        key: key.to_vec(),
        not,
        set: set.into(),
    }
}
pub(crate) fn prefix(field: Field, prefix: IpNet) -> Statement {
    Statement::MatchPrefix {
        field,
        not: false,
        prefix,
    }
}

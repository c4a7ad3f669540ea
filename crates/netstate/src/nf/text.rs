//! nftables rows in the words of `nft`.

use std::fmt::{self, Display, Formatter};

use super::expr::HASH_SEED;
use crate::nft::{
    BaseKind, Chain, Draw, Element, Family, Field, Hook, Rule, Set, Statement, Table, Type, Value,
    Verdict, Word,
};
use crate::text::In;

impl Display for Family {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
            Family::Inet => "inet",
            Family::Bridge => "bridge",
            Family::Netdev => "netdev",
        })
    }
}

/// `ip pontoon`, as every object of a table is introduced.
struct Of<'a>(&'a Table);

impl Display for Of<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.family, self.0.name)
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "table {}{}", Of(self), In(&self.ns))
    }
}

impl Display for Chain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "chain {} {}", Of(&self.table), self.name)?;
        if let Some(base) = &self.base {
            let kind = match base.kind {
                BaseKind::Filter => "filter",
                BaseKind::Nat => "nat",
                BaseKind::Route => "route",
            };
            let hook = match base.hook {
                Hook::Prerouting => "prerouting",
                Hook::Input => "input",
                Hook::Forward => "forward",
                Hook::Output => "output",
                Hook::Postrouting => "postrouting",
                Hook::Egress => "egress",
            };
            let policy = if base.drop_by_default {
                "drop"
            } else {
                "accept"
            };
            write!(f, " {{ type {kind} hook {hook}")?;
            if let Some(device) = &base.device {
                write!(f, " device \"{device}\"")?;
            }
            write!(f, " priority {}; policy {policy}; }}", base.priority)?;
        }
        In(&self.table.ns).fmt(f)
    }
}

impl Display for Set {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = if self.data.is_some() { "map" } else { "set" };
        write!(f, "{kind} {} {} {{ type ", Of(&self.table), self.name)?;
        dotted(f, &self.key)?;
        if let Some(data) = &self.data {
            f.write_str(" : ")?;
            dotted(f, data)?;
        }
        f.write_str(if self.interval {
            "; flags interval; }"
        } else {
            "; }"
        })?;
        In(&self.table.ns).fmt(f)
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "element {} {} {{ ", Of(&self.table), self.set)?;
        match &self.key_end {
            None => dotted(f, &self.key)?,
            Some(end) => {
                for (i, (low, high)) in self.key.iter().zip(end).enumerate() {
                    f.write_str(if i > 0 { " . " } else { "" })?;
                    if low == high {
                        low.fmt(f)?;
                    } else {
                        write!(f, "{low}-{high}")?;
                    }
                }
            }
        }
        if let Some(data) = &self.data {
            f.write_str(" : ")?;
            dotted(f, data)?;
        }
        write!(f, " }}{}", In(&self.table.ns))
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Rule {
            table,
            chain,
            order,
            ..
        } = self;
        write!(f, "rule {} {chain} {order}: ", Of(table))?;
        body(f, &self.body)?;
        In(&self.table.ns).fmt(f)
    }
}

/// The text of a rule's statements.
pub(crate) struct Body<'a>(pub &'a [Statement]);

impl Display for Body<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        body(f, self.0)
    }
}

fn body(f: &mut Formatter<'_>, statements: &[Statement]) -> fmt::Result {
    for (i, statement) in statements.iter().enumerate() {
        f.write_str(if i > 0 { " " } else { "" })?;
        statement.fmt(f)?;
    }
    Ok(())
}

fn dotted<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        f.write_str(if i > 0 { " . " } else { "" })?;
        item.fmt(f)?;
    }
    Ok(())
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Ipv4 => "ipv4_addr",
            Type::Ipv6 => "ipv6_addr",
            Type::Port => "inet_service",
            Type::Protocol => "inet_proto",
            Type::Ifname => "ifname",
            Type::Mark => "mark",
            Type::Mac => "ether_addr",
            Type::Verdict => "verdict",
        })
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Ip(ip) => ip.fmt(f),
            Value::Port(port) => port.fmt(f),
            Value::Protocol(1) => f.write_str("icmp"),
            Value::Protocol(6) => f.write_str("tcp"),
            Value::Protocol(17) => f.write_str("udp"),
            Value::Protocol(58) => f.write_str("ipv6-icmp"),
            Value::Protocol(132) => f.write_str("sctp"),
            Value::Protocol(number) => number.fmt(f),
            Value::Ifname(name) => write!(f, "\"{name}\""),
            Value::Mark(mark) => write!(f, "{mark:#x}"),
            Value::Mac(mac) => mac.fmt(f),
            Value::Verdict(verdict) => verdict.fmt(f),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Return => f.write_str("return"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::IpSaddr => "ip saddr",
            Field::IpDaddr => "ip daddr",
            Field::Ip6Saddr => "ip6 saddr",
            Field::Ip6Daddr => "ip6 daddr",
            Field::L4Proto => "meta l4proto",
            Field::ThSport => "th sport",
            Field::ThDport => "th dport",
            Field::IifName => "iifname",
            Field::OifName => "oifname",
            Field::MetaMark => "meta mark",
            Field::CtMark => "ct mark",
            Field::EtherSaddr => "ether saddr",
        })
    }
}

impl Display for Word {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Word::MetaMark => "meta mark",
            Word::CtMark => "ct mark",
            Word::EtherSaddr => "@ll,64,32",
            Word::EtherDaddr => "@ll,16,32",
        })
    }
}

fn equals(not: bool) -> &'static str {
    if not { "!= " } else { "" }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Match { field, not, value } => write!(f, "{field} {}{value}", equals(*not)),
            Statement::MatchPrefix { field, not, prefix } => {
                write!(f, "{field} {}{prefix}", equals(*not))
            }
            Statement::InSet { key, not, set } => {
                dotted(f, key)?;
                write!(f, " {}@{set}", equals(*not))
            }
            Statement::Vmap { key, map } => {
                dotted(f, key)?;
                write!(f, " vmap @{map}")
            }
            Statement::FibLocal { saddr, not } => {
                let side = if *saddr { "saddr" } else { "daddr" };
                write!(f, "fib {side} type {}local", equals(*not))
            }
            Statement::CtEstablishedRelated => f.write_str("ct state established,related"),
            Statement::CtTranslated => f.write_str("ct status dnat"),
            Statement::MatchMark { value, mask } => {
                write!(f, "meta mark & {mask:#x} == {value:#x}")
            }
            Statement::Dup(via) => write!(f, "dup to {via}"),
            Statement::Notrack => f.write_str("notrack"),
            Statement::Counter => f.write_str("counter"),
            Statement::Verdict(verdict) => verdict.fmt(f),
            Statement::Masquerade => f.write_str("masquerade"),
            Statement::Snat { to, port } => nat(f, "snat", *to, *port),
            Statement::Dnat { to, port } => nat(f, "dnat", *to, *port),
            Statement::SnatMap { key, map } => by_map(f, "snat", key, map),
            Statement::DnatMap { key, map } => by_map(f, "dnat", key, map),
            Statement::DnatToOne { key, draw, of, map } => {
                f.write_str("dnat to ")?;
                for field in key {
                    write!(f, "{field} . ")?;
                }
                match draw {
                    Draw::Random => write!(f, "numgen random mod {of}")?,
                    Draw::Hash(field) => write!(f, "jhash {field} mod {of} seed {HASH_SEED:#x}")?,
                }
                write!(f, " map @{map}")
            }
            Statement::Copy { from, to } => write!(f, "{to} set {from}"),
            Statement::ClampMss(size) => {
                write!(
                    f,
                    "tcp flags & syn == syn tcp option maxseg size set {size}"
                )
            }
            Statement::SetMetaMark(mark) => write!(f, "meta mark set {mark:#x}"),
            Statement::SetMetaMarkBy { key, map } => {
                f.write_str("meta mark set ")?;
                dotted(f, key)?;
                write!(f, " map @{map}")
            }
            Statement::SetCtMark(mark) => write!(f, "ct mark set {mark:#x}"),
            Statement::SetPort {
                protocol,
                field,
                to,
            } => {
                let field = field.to_string();
                let port = field.trim_start_matches("th ");
                write!(f, "{} {port} set {to}", Value::Protocol(*protocol))
            }
        }
    }
}

fn by_map(f: &mut Formatter<'_>, verb: &str, key: &[Field], map: &str) -> fmt::Result {
    write!(f, "{verb} to ")?;
    dotted(f, key)?;
    write!(f, " map @{map}")
}

fn nat(f: &mut Formatter<'_>, verb: &str, to: std::net::IpAddr, port: Option<u16>) -> fmt::Result {
    match (to, port) {
        (to, None) => write!(f, "{verb} to {to}"),
        (to @ std::net::IpAddr::V4(_), Some(port)) => write!(f, "{verb} to {to}:{port}"),
        (to, Some(port)) => write!(f, "{verb} to [{to}]:{port}"),
    }
}

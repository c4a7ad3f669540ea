//! nftables objects as rows. A table of ours holds nothing of others.

use crate::Ns;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    Ip,
    Ip6,
    Inet,
    Bridge,
    /// One link's frames: see [`Hook::Egress`].
    Netdev,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    pub ns: Ns,
    pub family: Family,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain {
    pub table: Table,
    pub name: String,
    pub base: Option<Base>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base {
    pub kind: BaseKind,
    pub hook: Hook,
    pub priority: i32,
    pub drop_by_default: bool,
    /// Of a [`Family::Netdev`] chain, the link that it is on.
    pub device: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BaseKind {
    Filter,
    Nat,
    Route,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
    /// Frames that are about to leave by a link ([`Family::Netdev`] only).
    Egress,
}

/// A named set, or a map when `data` is given. Keys and data are concatenations of typed fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set {
    pub table: Table,
    pub name: String,
    pub key: Vec<Type>,
    pub data: Option<Vec<Type>>,
    /// Elements are intervals (a range of ports, a prefix).
    pub interval: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    Ipv4,
    Ipv6,
    Port,
    Protocol,
    Ifname,
    Mark,
    Mac,
    Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    pub table: Table,
    pub set: String,
    pub key: Vec<Value>,
    /// Inclusive upper end, for interval sets.
    pub key_end: Option<Vec<Value>>,
    pub data: Option<Vec<Value>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    Ip(std::net::IpAddr),
    Port(u16),
    /// IPPROTO_*
    Protocol(u8),
    Ifname(String),
    Mark(u32),
    Mac(crate::Mac),
    Verdict(Verdict),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

/// Rules of a chain stand in order of `order`; those of equal `order` in a fixed order that does not depend on when they
/// were added, so where the order matters, say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    pub table: Table,
    pub chain: String,
    pub order: u32,
    pub body: Vec<Statement>,
}

/// What a packet carries that a rule can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    IpSaddr,
    IpDaddr,
    Ip6Saddr,
    Ip6Daddr,
    /// `meta l4proto`
    L4Proto,
    ThSport,
    ThDport,
    IifName,
    OifName,
    MetaMark,
    CtMark,
    EtherSaddr,
}

/// Four bytes of a packet or of what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    MetaMark,
    CtMark,
    /// The last four of the frame's source address.
    EtherSaddr,
    EtherDaddr,
}

/// How a number is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Draw {
    /// `numgen random`
    Random,
    /// `jhash field`: the same for the same value, on every host.
    Hash(Field),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statement {
    /// `field == value` or, negated, `field != value`.
    Match {
        field: Field,
        not: bool,
        value: Value,
    },
    /// `field & prefix == prefix`
    MatchPrefix {
        field: Field,
        not: bool,
        prefix: ipnet::IpNet,
    },
    /// `a . b @set` (or `!=`); of a map, its keys.
    InSet {
        key: Vec<Field>,
        not: bool,
        set: String,
    },
    /// `a . b vmap @map`
    Vmap {
        key: Vec<Field>,
        map: String,
    },
    /// `fib daddr type local` / `fib saddr type local`
    FibLocal {
        saddr: bool,
        not: bool,
    },
    /// `ct state established,related`
    CtEstablishedRelated,
    /// `ct status dnat`: its destination was translated.
    CtTranslated,
    /// `meta mark & mask == value`
    MatchMark {
        value: u32,
        mask: u32,
    },
    /// `notrack`: no connection tracking for this packet. Only before it has begun (priority raw).
    Notrack,
    Counter,
    Verdict(Verdict),
    Masquerade,
    /// `snat to addr`
    Snat {
        to: std::net::IpAddr,
        port: Option<u16>,
    },
    Dnat {
        to: std::net::IpAddr,
        port: Option<u16>,
    },
    /// `dnat to a . b map @map`. The map's data is an address, the port being kept; an address and a port; or an address
    /// and two ports, the first and the last of a range: port `p` becomes `first + p % (last - first + 1)`, which moves a
    /// range of ports as a whole.
    DnatMap {
        key: Vec<Field>,
        map: String,
    },
    /// `snat to a . b map @map`, the map's data being an address.
    SnatMap {
        key: Vec<Field>,
        map: String,
    },
    /// `dnat to a . b . <draw> mod of map @map`: each connection to one of as many addresses, or addresses and ports, which
    /// the map numbers from 0 on, as marks behind the fields of `key`.
    DnatToOne {
        key: Vec<Field>,
        draw: Draw,
        of: u32,
        map: String,
    },
    /// `dup to via`: a copy of the packet goes out by the route to this neighbour.
    Dup(std::net::IpAddr),
    SetMetaMark(u32),
    /// `meta mark set a . b map @map`
    SetMetaMarkBy {
        key: Vec<Field>,
        map: String,
    },
    SetCtMark(u32),
    /// `to set from`, byte by byte.
    Copy {
        from: Word,
        to: Word,
    },
    /// `tcp flags & syn == syn tcp option maxseg size set size`: never to a larger one. The last statement of its rule.
    ClampMss(u16),
    /// `udp dport set port`: this packet's port and no more, without connection tracking.
    SetPort {
        /// tcp or udp, and the rule has made sure of it.
        protocol: u8,
        field: Field,
        to: u16,
    },
}

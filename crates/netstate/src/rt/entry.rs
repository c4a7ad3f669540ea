//! Addresses, routes, neighbours and forwarding entries.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::{OURS, nexthop, rule};
use crate::key::{LOCAL_TABLE, MAIN_TABLE};
use crate::netlink::wire::{self, Msg, attr, attrs, ip_bytes};
use crate::{Mac, Ns, Route, Row};

pub const RTM_NEWADDR: u16 = 20;
pub const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
pub const RTM_NEWROUTE: u16 = 24;
pub const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
pub const RTM_NEWNEIGH: u16 = 28;
pub const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;

const AF_INET: u8 = 2;
const AF_BRIDGE: u8 = 7;
const AF_INET6: u8 = 10;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_PROTO: u16 = 11;
/// No duplicate address detection: the address is usable at once. Who has it was decided elsewhere.
const IFA_F_NODAD: u8 = 2;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;
const RTA_NH_ID: u16 = 30;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
/// `struct rtmsg`
const RTMSG: usize = 12;
const RTM_F_CLONED: u32 = 0x200;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_PROTOCOL: u16 = 12;
const NUD_PERMANENT: u16 = 0x80;
const NTF_SELF: u8 = 2;

pub fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// What to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `EEXIST` when something is there.
    Add,
    /// Whatever is there.
    Replace,
    Delete,
}

/// The link that an entry is on, for the rows of this module.
pub fn link_of(row: &Row) -> Option<&str> {
    match row {
        Row::Address { link, .. }
        | Row::Neighbour { link, .. }
        | Row::Fdb { link, .. }
        | Row::RouteLocalhost { link, .. }
        | Row::GroupRoute { link, .. } => Some(link),
        Row::Route(route) => Some(&route.link),
        Row::Nexthop(nexthop) => Some(&nexthop.link),
        Row::NexthopGroup(group) => Some(&group.link),
        // Which every namespace has.
        Row::MarkRule { .. } => Some("lo"),
        _ => None,
    }
}

/// The message for an entry on the link of that index; `None` for other rows.
pub fn message(row: &Row, index: u32, verb: Verb) -> Option<Msg> {
    let kind = |new: u16| if verb == Verb::Delete { new + 1 } else { new };
    let flags = match verb {
        Verb::Add => wire::CREATE | wire::EXCL,
        Verb::Replace => wire::CREATE | wire::REPLACE,
        Verb::Delete => 0,
    };
    Some(match row {
        Row::Address { address, .. } => self::address(*address, index, kind(RTM_NEWADDR), flags),
        Row::Route(route) => {
            let table = route.table.unwrap_or(MAIN_TABLE);
            let mut msg = self::route(route.dst, table, route.via, kind(RTM_NEWROUTE), flags);
            msg.u32(RTA_OIF, index);
            msg
        }
        Row::RouteLocalhost { .. } => localhost(index, kind(RTM_NEWROUTE), flags),
        Row::GroupRoute { dst, group, .. } => {
            let mut msg = self::route(*dst, MAIN_TABLE, None, kind(RTM_NEWROUTE), flags);
            msg.u32(RTA_NH_ID, *group);
            msg
        }
        Row::Nexthop(n) => nexthop::single(n, index, kind(nexthop::RTM_NEWNEXTHOP), flags),
        Row::NexthopGroup(n) => nexthop::group(n, kind(nexthop::RTM_NEWNEXTHOP), flags),
        Row::MarkRule {
            v6,
            mark,
            mask,
            table,
            ..
        } => {
            let verb = (kind(rule::RTM_NEWRULE), verb != Verb::Delete);
            rule::message(*v6, [*mark, *mask, *table], verb)
        }
        Row::Neighbour { ip, mac, .. } => {
            let mut msg = neighbour(family(*ip), 0, index, kind(RTM_NEWNEIGH), flags);
            msg.put(NDA_DST, &ip_bytes(*ip));
            if verb != Verb::Delete {
                msg.put(NDA_LLADDR, &mac.0).u8(NDA_PROTOCOL, OURS);
            }
            msg
        }
        Row::Fdb { mac, dst, .. } => {
            let mut msg = neighbour(AF_BRIDGE, NTF_SELF, index, kind(RTM_NEWNEIGH), flags);
            msg.put(NDA_LLADDR, &mac.0).put(NDA_DST, &ip_bytes(*dst));
            msg
        }
        _ => return None,
    })
}

fn address(net: IpNet, index: u32, kind: u16, flags: u16) -> Msg {
    let scope = if net.addr().is_loopback() {
        SCOPE_HOST
    } else {
        0
    };
    let mut fixed = [
        family(net.addr()),
        net.prefix_len(),
        IFA_F_NODAD,
        scope,
        0,
        0,
        0,
        0,
    ];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut msg = Msg::new(kind, flags, &fixed);
    let bytes = ip_bytes(net.addr());
    msg.put(IFA_LOCAL, &bytes).put(IFA_ADDRESS, &bytes);
    if let (IpNet::V4(v4), RTM_NEWADDR) = (net, kind)
        && v4.prefix_len() < 31
    {
        msg.put(IFA_BROADCAST, &v4.broadcast().octets());
    }
    if kind == RTM_NEWADDR {
        msg.u8(IFA_PROTO, OURS);
    }
    msg
}

/// A route for each link, behind that of `lo`, which has no metric.
fn localhost(index: u32, kind: u16, flags: u16) -> Msg {
    let dst = IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST));
    let mut msg = typed_route(RTN_LOCAL, dst, LOCAL_TABLE, None, kind, flags);
    msg.u32(RTA_OIF, index).u32(RTA_PRIORITY, index);
    msg
}

/// Without what it leads to, apart from a gateway.
fn route(dst: IpNet, table: u32, via: Option<IpAddr>, kind: u16, flags: u16) -> Msg {
    typed_route(RTN_UNICAST, dst, table, via, kind, flags)
}

fn typed_route(
    r#type: u8,
    dst: IpNet,
    table: u32,
    via: Option<IpAddr>,
    kind: u16,
    flags: u16,
) -> Msg {
    let dst = dst.trunc();
    let scope = match (kind, via, dst) {
        (RTM_NEWROUTE, None, IpNet::V4(_)) => SCOPE_LINK,
        // Deletion matches any scope.
        (RTM_DELROUTE, _, IpNet::V4(_)) => 255,
        _ => 0,
    };
    let mut fixed = [0; 12];
    fixed[0] = family(dst.addr());
    fixed[1] = dst.prefix_len();
    fixed[5] = OURS;
    fixed[6] = scope;
    fixed[7] = r#type;
    let mut msg = Msg::new(kind, flags, &fixed);
    msg.put(RTA_DST, &ip_bytes(dst.addr()))
        .u32(RTA_TABLE, table);
    if let Some(via) = via {
        msg.put(RTA_GATEWAY, &ip_bytes(via));
    }
    msg
}

fn neighbour(family: u8, ntf: u8, index: u32, kind: u16, flags: u16) -> Msg {
    let mut fixed = [0; 12];
    fixed[0] = family;
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    fixed[10] = ntf;
    Msg::new(kind, flags, &fixed)
}

pub fn dump_addresses() -> Msg {
    Msg::new(RTM_GETADDR, 0, &[0; 8])
}

/// Only routes of our protocol: a router's full table is none of our business.
pub fn dump_routes() -> Msg {
    let mut fixed = [0; 12];
    fixed[5] = OURS;
    Msg::new(RTM_GETROUTE, 0, &fixed)
}

/// Routes of anybody, of the destination's family. The kernel cannot filter by destination.
pub fn dump_routes_of_family(dst: &IpNet) -> Msg {
    let mut fixed = [0; 12];
    fixed[0] = family(dst.addr());
    Msg::new(RTM_GETROUTE, 0, &fixed)
}

/// Of IPv6, what was learned of ways to single addresses: clones of routes.
pub fn dump_learned() -> Msg {
    let mut fixed = [0; RTMSG];
    fixed[0] = AF_INET6;
    fixed[8..].copy_from_slice(&RTM_F_CLONED.to_ne_bytes());
    Msg::new(RTM_GETROUTE, 0, &fixed)
}

/// One of them goes, as it was told.
pub fn forget(learned: &[u8]) -> Option<Msg> {
    let (fixed, attrs) = learned.split_at_checked(RTMSG)?;
    let mut msg = Msg::new(RTM_DELROUTE, 0, fixed);
    msg.raw(attrs);
    Some(msg)
}

pub fn dump_neighbours() -> Msg {
    Msg::new(RTM_GETNEIGH, 0, &[0; 12])
}

/// Forwarding entries of one link.
pub fn dump_fdb(index: u32) -> Msg {
    let mut fixed = [0; 12];
    fixed[0] = AF_BRIDGE;
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    Msg::new(RTM_GETNEIGH, 0, &fixed)
}

/// An entry as the kernel has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub row: Row,
    /// It carries our protocol number (forwarding entries cannot, so theirs is their device's).
    pub ours: bool,
    /// As we make it: a permanent neighbour, not one that was learnt.
    pub whole: bool,
}

/// Reads a notification or a dump's message. `None`: not an entry, or on a link that `names` does not know.
pub fn parse(kind: u16, body: &[u8], ns: &Ns, names: &BTreeMap<u32, String>) -> Option<Seen> {
    match kind {
        RTM_NEWADDR | RTM_DELADDR => parse_address(body, ns, names),
        RTM_NEWROUTE | RTM_DELROUTE => parse_route(body, ns, names),
        RTM_NEWNEIGH | RTM_DELNEIGH => parse_neighbour(body, ns, names),
        rule::RTM_NEWRULE | rule::RTM_DELRULE => rule::parse(body, ns),
        nexthop::RTM_NEWNEXTHOP | nexthop::RTM_DELNEXTHOP => nexthop::parse(body, ns, names),
        _ => None,
    }
}

fn parse_address(body: &[u8], ns: &Ns, names: &BTreeMap<u32, String>) -> Option<Seen> {
    let link = names.get(&wire::u32_at(body, 4)?)?.clone();
    let rest = body.get(8..)?;
    let ip = attr(rest, IFA_LOCAL).or_else(|| attr(rest, IFA_ADDRESS))?;
    Some(Seen {
        row: Row::Address {
            ns: ns.clone(),
            link,
            address: IpNet::new(wire::ip(ip)?, *body.get(1)?).ok()?,
        },
        ours: attr(rest, IFA_PROTO) == Some(&[OURS]),
        whole: true,
    })
}

fn parse_route(body: &[u8], ns: &Ns, names: &BTreeMap<u32, String>) -> Option<Seen> {
    let (family, prefix) = (*body.first()?, *body.get(1)?);
    let local = match *body.get(7)? {
        RTN_UNICAST => false,
        RTN_LOCAL => true,
        _ => return None,
    };
    let mut table = u32::from(*body.get(4)?);
    let (mut dst, mut via, mut link, mut group) = (None, None, None, None);
    for (kind, value) in attrs(body.get(12..)?) {
        match kind {
            RTA_DST => dst = wire::ip(value),
            RTA_OIF => link = names.get(&wire::u32_at(value, 0)?),
            RTA_GATEWAY => via = wire::ip(value),
            RTA_TABLE => table = wire::u32_at(value, 0)?,
            RTA_NH_ID => group = wire::u32_at(value, 0),
            _ => {}
        }
    }
    let any = match family {
        AF_INET => IpAddr::from([0; 4]),
        AF_INET6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let (ns, dst) = (ns.clone(), IpNet::new(dst.unwrap_or(any), prefix).ok()?);
    let row = match group {
        _ if local => {
            let localhost = table == LOCAL_TABLE && dst.addr() == Ipv6Addr::LOCALHOST;
            let link = link.filter(|_| localhost)?.clone();
            Row::RouteLocalhost { ns, link }
        }
        Some(group) if table == MAIN_TABLE => Row::GroupRoute {
            ns,
            dst,
            group,
            link: String::new(),
        },
        _ => Row::Route(Route {
            ns,
            dst,
            via,
            link: link?.clone(),
            table: (table != MAIN_TABLE).then_some(table),
        }),
    };
    Some(Seen {
        row,
        ours: *body.get(5)? == OURS,
        whole: true,
    })
}

fn parse_neighbour(body: &[u8], ns: &Ns, names: &BTreeMap<u32, String>) -> Option<Seen> {
    let link = names.get(&wire::u32_at(body, 4)?)?.clone();
    let permanent = wire::u16_at(body, 8)? & NUD_PERMANENT != 0;
    let rest = body.get(12..)?;
    let mac = attr(rest, NDA_LLADDR)
        .and_then(|v| v.try_into().ok())
        .map(Mac);
    let ip = attr(rest, NDA_DST).and_then(wire::ip);
    let ns = ns.clone();
    let (row, ours) = if *body.first()? == AF_BRIDGE {
        if *body.get(10)? & NTF_SELF == 0 {
            return None;
        }
        let (mac, dst) = (mac?, ip?);
        (Row::Fdb { ns, link, mac, dst }, true)
    } else {
        // An entry that is being resolved has no address yet.
        let mac = mac.unwrap_or(Mac([0; 6]));
        let ip = ip?;
        let ours = attr(rest, NDA_PROTOCOL) == Some(&[OURS]);
        (Row::Neighbour { ns, link, ip, mac }, ours)
    };
    Some(Seen {
        row,
        ours,
        whole: permanent,
    })
}

/// Whether an entry is what is wanted. A route without a table is one in the main table.
pub fn same(wanted: &Row, seen: &Row) -> bool {
    match (wanted, seen) {
        (Row::Route(a), Row::Route(b)) => (&a.link, a.via) == (&b.link, b.via),
        // The kernel does not say which link a group is on.
        (Row::GroupRoute { group: a, .. }, Row::GroupRoute { group: b, .. }) => a == b,
        (Row::NexthopGroup(a), Row::NexthopGroup(b)) => a.members == b.members,
        _ => wanted == seen,
    }
}

//! Connection tracking: forgetting connections, once, because what they led to is no longer there.
//!
//! A connection keeps the translation that its first packet got. So a peer that goes on sending would still reach a
//! container that has gone, or whoever has its address now, and a UDP sender would never notice that a port has been
//! published or withdrawn.

use std::net::IpAddr;

use rustix::io::Errno;

use crate::netlink::wire::{self, Msg, attr};
use crate::netlink::{Nack, Socket};

/// Connections of a namespace to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flows {
    /// Those that this address began, and those that it answers, also behind a translation.
    Of(IpAddr),
    /// UDP that was sent to one of these ports, the first to the last; at any address of the same family for an
    /// unspecified one.
    ToUdp(IpAddr, u16, u16),
}

// linux/netfilter/nfnetlink_conntrack.h
pub(crate) const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
const GET_STATS: u16 = 0x105;
const STATS_ENTRIES: u16 = 1;
pub(crate) const ORIGINAL: u16 = 1;
pub(crate) const REPLY: u16 = 2;
const ID: u16 = 12;
const FILTER: u16 = 25;
pub(crate) const TUPLE_IP: u16 = 1;
pub(crate) const TUPLE_PROTOCOL: u16 = 2;
pub(crate) const PROTOCOL: u16 = 1;
pub(crate) const SOURCE_PORT: u16 = 2;
pub(crate) const DESTINATION_PORT: u16 = 3;

// Which fields of a tuple a filter means (net/netfilter/nf_conntrack_netlink.c).
const BY_SOURCE: u32 = 1;
const BY_DESTINATION: u32 = 1 << 1;
const BY_PROTOCOL: u32 = 1 << 3;
const BY_DESTINATION_PORT: u32 = 1 << 5;

const UDP: u8 = 17;
/// Bytes of `struct nfgenmsg`.
pub(crate) const FIXED: usize = 4;

/// The kernel walks its whole table for each question, some milliseconds however few connections it holds. So few of them are
/// all looked at here instead, once.
const FEW: u32 = 10_000;

/// One direction of a connection, as far as it is looked for. The kernel filters by it; kernels before 5.9 do not, so
/// that what comes back is looked at again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tuple {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    udp_ports: Option<(u16, u16)>,
}

impl Flows {
    fn address(&self) -> IpAddr {
        match self {
            Flows::Of(ip) | Flows::ToUdp(ip, ..) => *ip,
        }
    }

    /// The directions to look for, and what one of them must be.
    fn wanted(&self) -> Vec<(u16, Tuple)> {
        match *self {
            Flows::Of(ip) => {
                let from = Tuple {
                    source: Some(ip),
                    ..Tuple::default()
                };
                vec![(ORIGINAL, from), (REPLY, from)]
            }
            Flows::ToUdp(ip, first, last) => {
                let to = Tuple {
                    destination: Some(ip).filter(|ip| !ip.is_unspecified()),
                    udp_ports: Some((first, last)),
                    ..Tuple::default()
                };
                vec![(ORIGINAL, to)]
            }
        }
    }
}

impl Tuple {
    fn put(&self, msg: &mut Msg, direction: u16) {
        let mut flags = 0;
        msg.nest(direction, |msg| {
            msg.nest(TUPLE_IP, |msg| {
                for (address, which, flag) in [
                    (self.source, 0, BY_SOURCE),
                    (self.destination, 1, BY_DESTINATION),
                ] {
                    if let Some(ip) = address {
                        msg.put(address_kind(ip) + which, &wire::ip_bytes(ip));
                        flags |= flag;
                    }
                }
            });
            if let Some((first, last)) = self.udp_ports {
                msg.nest(TUPLE_PROTOCOL, |msg| {
                    msg.u8(PROTOCOL, UDP);
                    flags |= BY_PROTOCOL;
                    if first == last {
                        msg.put(DESTINATION_PORT, &first.to_be_bytes());
                        flags |= BY_DESTINATION_PORT;
                    }
                });
            }
        });
        msg.nest(FILTER, |msg| {
            // ORIG_FLAGS and REPLY_FLAGS have the numbers of their tuples.
            msg.u32(direction, flags);
        });
    }

    fn fits(&self, tuple: &[u8]) -> bool {
        let is = |wanted: Option<IpAddr>, which: u16| {
            wanted.is_none_or(|ip| {
                let there = attr(tuple, TUPLE_IP).and_then(|v| attr(v, address_kind(ip) + which));
                there.and_then(wire::ip) == Some(ip)
            })
        };
        let to_port = self.udp_ports.is_none_or(|(first, last)| {
            attr(tuple, TUPLE_PROTOCOL).is_some_and(|v| {
                let port = attr(v, DESTINATION_PORT).and_then(|p| p.try_into().ok());
                let port = port.map(u16::from_be_bytes);
                attr(v, PROTOCOL) == Some(&[UDP])
                    && port.is_some_and(|p| (first..=last).contains(&p))
            })
        });
        is(self.source, 0) && is(self.destination, 1) && to_port
    }
}

/// `CTA_IP_V4_SRC` or `CTA_IP_V6_SRC`; the destinations have the next number.
pub(crate) fn address_kind(ip: IpAddr) -> u16 {
    if ip.is_ipv4() { 1 } else { 3 }
}

pub(crate) fn family(ip: IpAddr) -> u8 {
    let family = if ip.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    family as u8
}

fn message(kind: u16, family: u8) -> Msg {
    Msg::new(kind, 0, &[family, 0, 0, 0])
}

/// Forgets them in the socket's namespace and says how many there were.
pub fn forget(socket: &mut Socket, flows: &[Flows]) -> Result<usize, Nack> {
    let wanted = flows.iter().flat_map(|flow| {
        let address = flow.address();
        let directions = flow.wanted().into_iter();
        directions.map(move |(direction, tuple)| (address, direction, tuple))
    });
    let wanted: Vec<(IpAddr, u16, Tuple)> = wanted.collect();
    let mut found = Vec::new();
    if wanted.len() > 1 && count(socket)? <= FEW {
        found = socket.dump(Msg::new(GET, 0, &[0; FIXED]))?;
    } else {
        for (address, direction, tuple) in &wanted {
            let mut ask = message(GET, family(*address));
            tuple.put(&mut ask, *direction);
            found.extend(socket.dump(ask)?);
        }
    }
    let mut deletions = Vec::new();
    for (_, body) in found {
        let Some((&[kind, ..], body)) = body.split_first_chunk::<FIXED>() else {
            continue;
        };
        let fits = wanted.iter().any(|(address, direction, tuple)| {
            family(*address) == kind
                && attr(body, *direction).is_some_and(|there| tuple.fits(there))
        });
        // By its whole tuple and number: exactly this one, not one that has since taken its place.
        if let (Some(original), Some(id), true) = (attr(body, ORIGINAL), attr(body, ID), fits) {
            let mut delete = message(DELETE, kind);
            delete.nest(ORIGINAL, |msg| {
                msg.raw(original);
            });
            delete.put(ID, id);
            deletions.push(delete);
        }
    }
    let mut forgotten = 0;
    for answer in socket.batch(deletions) {
        match answer {
            Ok(_) => forgotten += 1,
            // It ended by itself, or was found in both directions.
            Err(nack) if nack.errno == Errno::NOENT => {}
            Err(nack) => return Err(nack),
        }
    }
    Ok(forgotten)
}

/// How many connections there are in the socket's namespace.
fn count(socket: &mut Socket) -> Result<u32, Nack> {
    let answer = socket.request(Msg::new(GET_STATS, 0, &[0; FIXED]))?;
    let body = answer.as_ref().and_then(|(_, body)| body.get(FIXED..));
    let entries = body.and_then(|body| attr(body, STATS_ENTRIES));
    Ok(entries.and_then(wire::be32).unwrap_or(u32::MAX))
}

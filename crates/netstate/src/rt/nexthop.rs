//! Nexthops and groups of them: `RTM_NEWNEXTHOP` and its relatives (linux/nexthop.h).

use std::collections::BTreeMap;

use super::OURS;
use super::entry::{Seen, family};
use crate::netlink::wire::{self, Msg, attr, ip_bytes};
use crate::{Nexthop, NexthopGroup, Ns, Row};

pub const RTM_NEWNEXTHOP: u16 = 104;
pub const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETNEXTHOP: u16 = 106;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_GROUP_TYPE: u16 = 3;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_RES_GROUP: u16 = 12;

const RESILIENT: u16 = 1;
const RES_BUCKETS: u16 = 1;
const RES_IDLE_TIMER: u16 = 2;

/// Shares of a group that move as a whole; a group cannot change their number.
const BUCKETS: u16 = 64;
/// In hundredths of a second: a share that carries traffic stays where it is when a member comes.
const IDLE: u32 = 1000;

/// `struct nhmsg`; all of it zero where nothing is made.
fn header(kind: u16, family: u8) -> [u8; 8] {
    match kind {
        RTM_NEWNEXTHOP => [family, 0, OURS, 0, 0, 0, 0, 0],
        _ => [0; 8],
    }
}

pub fn single(nexthop: &Nexthop, index: u32, kind: u16, flags: u16) -> Msg {
    let mut msg = Msg::new(kind, flags, &header(kind, family(nexthop.via)));
    msg.u32(NHA_ID, nexthop.id);
    if kind == RTM_NEWNEXTHOP {
        msg.u32(NHA_OIF, index)
            .put(NHA_GATEWAY, &ip_bytes(nexthop.via));
    }
    msg
}

pub fn group(group: &NexthopGroup, kind: u16, flags: u16) -> Msg {
    let mut msg = Msg::new(kind, flags, &header(kind, 0));
    msg.u32(NHA_ID, group.id);
    if kind == RTM_NEWNEXTHOP {
        // `struct nexthop_grp`: number, weight less one
        let members = group.members.iter().flat_map(|id| {
            let [a, b, c, d] = id.to_ne_bytes();
            [a, b, c, d, 0, 0, 0, 0]
        });
        msg.put(NHA_GROUP, &members.collect::<Vec<u8>>())
            .put(NHA_GROUP_TYPE, &RESILIENT.to_ne_bytes())
            .nest(NHA_RES_GROUP, |group| {
                group
                    .put(RES_BUCKETS, &BUCKETS.to_ne_bytes())
                    .u32(RES_IDLE_TIMER, IDLE);
            });
    }
    msg
}

pub fn dump() -> Msg {
    Msg::new(RTM_GETNEXTHOP, 0, &header(RTM_GETNEXTHOP, 0))
}

pub fn parse(body: &[u8], ns: &Ns, names: &BTreeMap<u32, String>) -> Option<Seen> {
    let rest = body.get(8..)?;
    let id = wire::u32_at(attr(rest, NHA_ID)?, 0)?;
    let ns = ns.clone();
    let row = match attr(rest, NHA_GROUP) {
        Some(members) => Row::NexthopGroup(NexthopGroup {
            ns,
            id,
            link: String::new(),
            members: members
                .chunks_exact(8)
                .filter_map(|member| wire::u32_at(member, 0))
                .collect(),
        }),
        None => Row::Nexthop(Nexthop {
            ns,
            id,
            via: attr(rest, NHA_GATEWAY).and_then(wire::ip)?,
            link: names.get(&wire::u32_at(attr(rest, NHA_OIF)?, 0)?)?.clone(),
        }),
    };
    Some(Seen {
        row,
        ours: *body.get(2)? == OURS,
        whole: true,
    })
}

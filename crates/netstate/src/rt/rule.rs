//! Rules that choose a routing table by a packet's mark: `RTM_NEWRULE` and its relatives (linux/fib_rules.h).

use super::OURS;
use super::entry::Seen;
use crate::netlink::wire::{self, Msg, attr};
use crate::{Ns, Row};

pub const RTM_NEWRULE: u16 = 32;
pub const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `struct fib_rule_hdr`
const FIXED: usize = 12;
const TO_TABLE: u8 = 1;

const FRA_PRIORITY: u16 = 6;
const FRA_MARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_MASK: u16 = 16;
const FRA_PROTOCOL: u16 = 21;

/// Behind the table of the host's own addresses, before the main one.
const PRIORITY: u32 = 100;

/// `(kind, add)`: the kernel keeps equal rules twice unless it is told not to.
pub fn message(v6: bool, [mark, mask, table]: [u32; 3], (kind, add): (u16, bool)) -> Msg {
    let flags = if add { wire::CREATE | wire::EXCL } else { 0 };
    let family = if v6 { AF_INET6 } else { AF_INET };
    let fixed = [family, 0, 0, 0, 0, 0, 0, TO_TABLE, 0, 0, 0, 0];
    let mut msg = Msg::new(kind, flags, &fixed);
    msg.u32(FRA_PRIORITY, PRIORITY)
        .u32(FRA_MARK, mark)
        .u32(FRA_MASK, mask)
        .u32(FRA_TABLE, table)
        .u8(FRA_PROTOCOL, OURS);
    msg
}

/// Of both families.
pub fn dump() -> Msg {
    Msg::new(RTM_GETRULE, 0, &[0; FIXED])
}

/// `None` for rules of another kind.
pub fn parse(body: &[u8], ns: &Ns) -> Option<Seen> {
    let rest = body.get(FIXED..)?;
    let word = |kind| wire::u32_at(attr(rest, kind)?, 0);
    let v6 = match *body.first()? {
        AF_INET => false,
        AF_INET6 => true,
        _ => return None,
    };
    Some(Seen {
        row: Row::MarkRule {
            ns: ns.clone(),
            v6,
            mark: word(FRA_MARK)?,
            mask: word(FRA_MASK)?,
            table: word(FRA_TABLE)?,
        },
        ours: attr(rest, FRA_PROTOCOL) == Some(&[OURS]),
        whole: true,
    })
}

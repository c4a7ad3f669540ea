//! Tables, chains, sets, elements and rules as messages of a transaction.

use super::data;
use super::expr;
use crate::key::rule_hash;
use crate::netlink::wire::{self, Msg};
use crate::nft::{BaseKind, Chain, Element, Family, Hook, Rule, Set, Table, Type};

pub(super) const SUBSYSTEM: u16 = 10 << 8;
pub(super) const NEWTABLE: u16 = 0;
pub(super) const GETTABLE: u16 = 1;
const DELTABLE: u16 = 2;
pub(super) const NEWCHAIN: u16 = 3;
pub(super) const GETCHAIN: u16 = 4;
const DELCHAIN: u16 = 5;
pub(super) const NEWRULE: u16 = 6;
pub(super) const GETRULE: u16 = 7;
const DELRULE: u16 = 8;
pub(super) const NEWSET: u16 = 9;
pub(super) const GETSET: u16 = 10;
const DELSET: u16 = 11;
pub(super) const NEWSETELEM: u16 = 12;
pub(super) const GETSETELEM: u16 = 13;
const DELSETELEM: u16 = 14;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

/// Every object names its table in attribute 1.
pub(super) const TABLE: u16 = 1;

pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const HOOK_NUM: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;
pub(super) const HOOK_DEVICE: u16 = 3;

pub(super) const SET_NAME: u16 = 2;
pub(super) const SET_FLAGS: u16 = 3;
pub(super) const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
pub(super) const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LEN: u16 = 7;
const SET_DESC: u16 = 9;
const SET_ID: u16 = 10;
const SET_USERDATA: u16 = 13;
const SET_DESC_CONCAT: u16 = 2;
const LIST_ELEM: u16 = 1;
const SET_FIELD_LEN: u16 = 1;
pub(super) const SET_INTERVAL: u32 = 0x4;
pub(super) const SET_MAP: u32 = 0x8;
const SET_CONCAT: u32 = 0x80;

pub(super) const ELEMENTS_SET: u16 = 2;
pub(super) const ELEMENTS: u16 = 3;
pub(super) const ELEM_KEY: u16 = 1;
pub(super) const ELEM_DATA: u16 = 2;
pub(super) const ELEM_FLAGS: u16 = 3;
pub(super) const ELEM_KEY_END: u16 = 10;
pub(super) const INTERVAL_END: u32 = 1;

pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_POSITION: u16 = 6;
pub(super) const RULE_USERDATA: u16 = 7;
/// Type of a comment in a rule's user data, as `nft` writes it.
pub(super) const UDATA_COMMENT: u8 = 0;

/// Bytes of elements in one message; an attribute's length has 16 bits.
const ELEMENT_BYTES: usize = 32 << 10;

impl Family {
    pub(super) fn number(self) -> u8 {
        match self {
            Family::Inet => 1,
            Family::Ip => 2,
            Family::Netdev => 5,
            Family::Bridge => 7,
            Family::Ip6 => 10,
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        let all = [
            Family::Inet,
            Family::Ip,
            Family::Netdev,
            Family::Bridge,
            Family::Ip6,
        ];
        all.into_iter().find(|f| f.number() == number)
    }
}

impl Hook {
    pub(super) fn number(self) -> u32 {
        match self {
            Hook::Prerouting => 0,
            Hook::Input => 1,
            Hook::Forward => 2,
            Hook::Output => 3,
            Hook::Postrouting => 4,
            // Numbers are the family's.
            Hook::Egress => 1,
        }
    }

    pub(super) fn from_number(family: Family, number: u32) -> Option<Self> {
        let hooks: &[Hook] = match family {
            Family::Netdev => &[Hook::Egress],
            _ => &[
                Hook::Prerouting,
                Hook::Input,
                Hook::Forward,
                Hook::Output,
                Hook::Postrouting,
            ],
        };
        hooks.iter().find(|h| h.number() == number).copied()
    }
}

impl BaseKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            BaseKind::Filter => "filter",
            BaseKind::Nat => "nat",
            BaseKind::Route => "route",
        }
    }
}

pub(super) fn message(kind: u16, flags: u16, family: u8) -> Msg {
    Msg::new(SUBSYSTEM | kind, flags, &[family, 0, 0, 0])
}

fn batch_edge(kind: u16) -> Msg {
    Msg::new(kind, 0, &[0, 0, 0, 10])
}

/// The messages as one transaction. Their indices shift by one.
pub fn transaction(messages: impl IntoIterator<Item = Msg>) -> Vec<Msg> {
    let mut all = vec![batch_edge(BATCH_BEGIN)];
    all.extend(messages);
    all.push(batch_edge(BATCH_END));
    all
}

fn in_table(kind: u16, flags: u16, table: &Table) -> Msg {
    let mut msg = message(kind, flags, table.family.number());
    msg.str(TABLE, &table.name);
    msg
}

pub fn add_table(table: &Table) -> Msg {
    in_table(NEWTABLE, wire::CREATE, table)
}

/// With everything in it.
pub fn delete_table(table: &Table) -> Msg {
    in_table(DELTABLE, 0, table)
}

/// Adds the chain, or sets the policy of one that is there.
pub fn add_chain(chain: &Chain) -> Msg {
    let mut msg = in_table(NEWCHAIN, wire::CREATE, &chain.table);
    msg.str(CHAIN_NAME, &chain.name);
    if let Some(base) = &chain.base {
        msg.nest(CHAIN_HOOK, |m| {
            m.be32(HOOK_NUM, base.hook.number())
                .be32(HOOK_PRIORITY, base.priority as u32);
            if let Some(device) = &base.device {
                m.str(HOOK_DEVICE, device);
            }
        });
        msg.be32(CHAIN_POLICY, (!base.drop_by_default).into())
            .str(CHAIN_TYPE, base.kind.name());
    }
    msg
}

pub fn delete_chain(chain: &Chain) -> Msg {
    let mut msg = in_table(DELCHAIN, 0, &chain.table);
    msg.str(CHAIN_NAME, &chain.name);
    msg
}

const INTERVALS: &str = "intervals need addresses, ports or protocols";

/// `id` must be unique within the transaction.
pub fn add_set(set: &Set, id: u32) -> Result<Msg, String> {
    let interval = if set.interval { SET_INTERVAL } else { 0 };
    let map = if set.data.is_some() { SET_MAP } else { 0 };
    let concat = if set.key.len() > 1 { SET_CONCAT } else { 0 };
    if let ([one], true) = (&set.key[..], set.interval)
        && !one.sorts()
    {
        return Err(INTERVALS.into());
    }
    let mut msg = in_table(NEWSET, wire::CREATE, &set.table);
    msg.str(SET_NAME, &set.name)
        .be32(SET_FLAGS, interval | map | concat)
        .be32(SET_KEY_TYPE, data::type_id(&set.key))
        .be32(SET_KEY_LEN, data::width(&set.key) as u32)
        .be32(SET_ID, id);
    if let Some(types) = &set.data {
        msg.be32(SET_DATA_TYPE, data::type_id(types))
            .be32(SET_DATA_LEN, data::width(types) as u32);
    }
    if let [one] = set.key.as_slice() {
        msg.put(SET_USERDATA, &byte_order(*one));
    } else {
        msg.nest(SET_DESC, |m| {
            m.nest(SET_DESC_CONCAT, |m| {
                for field in &set.key {
                    m.nest(LIST_ELEM, |m| {
                        m.be32(SET_FIELD_LEN, field.bytes() as u32);
                    });
                }
            });
        });
    }
    Ok(msg)
}

/// What `nft` wants to know to print a key.
fn byte_order(key: Type) -> [u8; 6] {
    const KEY_BYTE_ORDER: u8 = 0;
    const HOST: u32 = 1;
    const BIG_ENDIAN: u32 = 2;
    let order = match key {
        Type::Mark | Type::Ifname => HOST,
        _ => BIG_ENDIAN,
    };
    let [a, b, c, d] = order.to_ne_bytes();
    [KEY_BYTE_ORDER, 4, a, b, c, d]
}

pub fn delete_set(set: &Set) -> Msg {
    let mut msg = in_table(DELSET, 0, &set.table);
    msg.str(SET_NAME, &set.name);
    msg
}

/// Adds or deletes elements of one set, in as few messages as they fit. With each message goes the number of elements in it.
pub fn elements(set: &Set, elements: &[&Element], add: bool) -> Result<Vec<(Msg, usize)>, String> {
    let (kind, flags) = if add {
        (NEWSETELEM, wire::CREATE)
    } else {
        (DELSETELEM, 0)
    };
    let mut messages = Vec::new();
    let mut rest = elements;
    while !rest.is_empty() {
        let mut msg = in_table(kind, flags, &set.table);
        msg.str(ELEMENTS_SET, &set.name);
        let (mut count, mut result) = (0, Ok(()));
        msg.nest(ELEMENTS, |m| {
            let start = m.len();
            while let Some(element) = rest.get(count) {
                if m.len() - start > ELEMENT_BYTES || result.is_err() {
                    break;
                }
                result = put_element(m, set, element, add);
                count += 1;
            }
        });
        result?;
        messages.push((msg, count));
        rest = &rest[count..];
    }
    Ok(messages)
}

fn put_element(msg: &mut Msg, set: &Set, element: &Element, add: bool) -> Result<(), String> {
    let kinds = |values: &[crate::nft::Value]| values.iter().map(|v| v.kind()).collect::<Vec<_>>();
    let key_fits = kinds(&element.key) == set.key
        && element
            .key_end
            .as_ref()
            .is_none_or(|end| kinds(end) == set.key);
    if !key_fits || element.data.as_deref().map(kinds) != set.data {
        return Err(format!("it is not of the types of {set}"));
    }
    if let Some(end) = &element.key_end {
        if !set.interval {
            return Err(format!("{set} holds no intervals"));
        }
        let mut parts = element.key.iter().zip(end);
        if parts.any(|(from, to)| !from.kind().sorts() && from != to) {
            return Err(INTERVALS.into());
        }
    }
    let value = |m: &mut Msg| {
        if let (Some(values), true) = (&element.data, add) {
            data::put(m, ELEM_DATA, values);
        }
    };
    let end = element.key_end.as_ref().unwrap_or(&element.key);
    if set.interval && set.key.len() == 1 {
        // A tree of edges: where an interval begins, and the first key behind it.
        msg.nest(LIST_ELEM, |m| {
            data::put(m, ELEM_KEY, &element.key);
            value(m);
        });
        if let Some(behind) = successor(data::concat(end)) {
            msg.nest(LIST_ELEM, |m| {
                data::put_bytes(m, ELEM_KEY, &behind);
                m.be32(ELEM_FLAGS, INTERVAL_END);
            });
        }
    } else {
        msg.nest(LIST_ELEM, |m| {
            data::put(m, ELEM_KEY, &element.key);
            if set.interval {
                data::put(m, ELEM_KEY_END, end);
            }
            value(m);
        });
    }
    Ok(())
}

/// The next key in byte order; `None` behind the last.
fn successor(mut key: Vec<u8>) -> Option<Vec<u8>> {
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(key);
        }
    }
    None
}

/// The key before, for an interval's exclusive end.
pub(super) fn predecessor(mut key: Vec<u8>) -> Vec<u8> {
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != 0xff {
            break;
        }
    }
    key
}

/// The rule, before the one with handle `before`, or at the end. Its comment tells us what it is.
pub fn add_rule<'a>(
    rule: &Rule,
    before: Option<u64>,
    mark: &str,
    set: impl Fn(&str) -> Option<&'a Set>,
) -> Result<Msg, String> {
    let append = if before.is_none() { wire::APPEND } else { 0 };
    let flags = wire::CREATE | wire::ECHO | append;
    let mut msg = in_table(NEWRULE, flags, &rule.table);
    msg.str(RULE_CHAIN, &rule.chain);
    expr::put(&mut msg, RULE_EXPRESSIONS, rule, set)?;
    if let Some(handle) = before {
        msg.put(RULE_POSITION, &handle.to_be_bytes());
    }
    let mut comment = vec![UDATA_COMMENT, 0];
    comment.extend(format!("{mark} {} {:016x}\0", rule.order, rule_hash(rule)).bytes());
    comment[1] = (comment.len() - 2) as u8;
    msg.put(RULE_USERDATA, &comment);
    Ok(msg)
}

pub fn delete_rule(table: &Table, chain: &str, handle: u64) -> Msg {
    let mut msg = in_table(DELRULE, 0, table);
    msg.str(RULE_CHAIN, chain)
        .put(RULE_HANDLE, &handle.to_be_bytes());
    msg
}

/// Deletes all rules of a chain.
pub fn flush_chain(table: &Table, chain: &str) -> Msg {
    let mut msg = in_table(DELRULE, 0, table);
    msg.str(RULE_CHAIN, chain);
    msg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_of_intervals() {
        assert_eq!(successor(vec![0, 255]), Some(vec![1, 0]));
        assert_eq!(successor(vec![255, 255]), None);
        assert_eq!(predecessor(vec![1, 0]), vec![0, 255]);
    }
}

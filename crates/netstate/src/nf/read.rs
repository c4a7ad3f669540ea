//! What the kernel has in a table.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::{data, object as o};
use crate::key::Key;
use crate::netlink::wire::{self, Msg, attr, attrs};
use crate::netlink::{Nack, Reply, Socket};
use crate::nft::{Base, BaseKind, Chain, Element, Family, Hook, Set, Table, Value};
use crate::{Ns, Row};

/// Bytes of `struct nfgenmsg`, which every message begins with.
const FIXED: usize = 4;

/// A rule in its chain. `id` is what our comment says: order and hash; a rule of somebody else has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub id: Option<(u32, u64)>,
    pub handle: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The table, its chains, sets and elements.
    pub rows: BTreeMap<Key, Row>,
    /// Rules per chain, as they stand.
    pub rules: BTreeMap<String, Vec<Placed>>,
}

/// Everything in the table; `None` when it is not there.
pub fn table(socket: &mut Socket, table: &Table) -> Result<Option<Seen>, Nack> {
    let family = table.family.number();
    let ask = |kind: u16| {
        let mut msg = o::message(kind, 0, family);
        msg.str(o::TABLE, &table.name);
        msg
    };
    match socket.request(ask(o::GETTABLE)) {
        Err(nack) if nack.errno == Errno::NOENT => return Ok(None),
        other => drop(other?),
    }
    let mut seen = Seen::default();
    let mut add = |row: Row| seen.rows.insert(row.key(), row);
    add(Row::NftTable(table.clone()));
    let ours =
        |(_, body): &Reply| field(body, o::TABLE).map(wire::text).as_deref() == Some(&table.name);
    for (_, body) in dump(socket, ask(o::GETCHAIN))?.iter().filter(|r| ours(r)) {
        if let Some(chain) = chain(table, body) {
            seen.rules.entry(chain.name.clone()).or_default();
            add(Row::NftChain(chain));
        }
    }
    for (_, body) in dump(socket, ask(o::GETSET))?.iter().filter(|r| ours(r)) {
        let Some(set) = set(table, body) else {
            continue;
        };
        let mut ask = ask(o::GETSETELEM);
        ask.str(o::ELEMENTS_SET, &set.name);
        for element in elements(&set, &dump(socket, ask)?) {
            add(Row::NftElement(element));
        }
        add(Row::NftSet(set));
    }
    for (_, body) in dump(socket, ask(o::GETRULE))?.iter().filter(|r| ours(r)) {
        if let Some((chain, placed)) = rule(body) {
            seen.rules.entry(chain).or_default().push(placed);
        }
    }
    Ok(Some(seen))
}

/// The tables of a namespace.
pub fn tables(socket: &mut Socket, ns: &Ns) -> Result<Vec<Table>, Nack> {
    let replies = dump(socket, o::message(o::GETTABLE, 0, 0))?;
    Ok(replies
        .iter()
        .filter_map(|(_, body)| table_of(body, ns))
        .collect())
}

/// The table that a message is about.
pub fn table_of(body: &[u8], ns: &Ns) -> Option<Table> {
    Some(Table {
        ns: ns.clone(),
        family: Family::from_number(*body.first()?)?,
        name: wire::text(field(body, o::TABLE)?),
    })
}

/// The table that a notification is about; `None` for other subsystems and for the end of a transaction.
pub fn notification(kind: u16, body: &[u8], ns: &Ns) -> Option<Table> {
    const NEWGEN: u16 = 15;
    if kind & 0xff00 != o::SUBSYSTEM || kind & 0xff >= NEWGEN {
        return None;
    }
    table_of(body, ns)
}

fn dump(socket: &mut Socket, msg: Msg) -> Result<Vec<Reply>, Nack> {
    match socket.dump(msg) {
        // It went away while we looked.
        Err(nack) if nack.errno == Errno::NOENT => Ok(Vec::new()),
        other => other,
    }
}

fn field(body: &[u8], kind: u16) -> Option<&[u8]> {
    attr(body.get(FIXED..)?, kind)
}

fn number(body: &[u8], kind: u16) -> Option<u32> {
    wire::be32(field(body, kind)?)
}

fn chain(table: &Table, body: &[u8]) -> Option<Chain> {
    let base = field(body, o::CHAIN_HOOK).and_then(|hook| {
        let kind = wire::text(field(body, o::CHAIN_TYPE)?);
        let number = wire::be32(attr(hook, o::HOOK_NUM)?)?;
        Some(Base {
            kind: [BaseKind::Filter, BaseKind::Nat, BaseKind::Route]
                .into_iter()
                .find(|k| k.name() == kind)?,
            hook: Hook::from_number(table.family, number)?,
            priority: wire::be32(attr(hook, o::HOOK_PRIORITY)?)? as i32,
            drop_by_default: self::number(body, o::CHAIN_POLICY)? == 0,
            device: attr(hook, o::HOOK_DEVICE).map(wire::text),
        })
    });
    Some(Chain {
        table: table.clone(),
        name: wire::text(field(body, o::CHAIN_NAME)?),
        base,
    })
}

fn set(table: &Table, body: &[u8]) -> Option<Set> {
    const ANONYMOUS: u32 = 1;
    let flags = number(body, o::SET_FLAGS).unwrap_or_default();
    if flags & ANONYMOUS != 0 {
        return None;
    }
    // A set of types that we do not know is none of ours; it still has a name.
    let types = |kind| {
        number(body, kind)
            .and_then(data::types_of)
            .unwrap_or_default()
    };
    Some(Set {
        table: table.clone(),
        name: wire::text(field(body, o::SET_NAME)?),
        key: types(o::SET_KEY_TYPE),
        data: (flags & o::SET_MAP != 0).then(|| types(o::SET_DATA_TYPE)),
        interval: flags & o::SET_INTERVAL != 0,
    })
}

fn elements(set: &Set, replies: &[Reply]) -> Vec<Element> {
    let all = replies
        .iter()
        .filter_map(|(_, body)| field(body, o::ELEMENTS))
        .flat_map(|list| attrs(list).map(|(_, element)| element));
    if set.interval && set.key.len() == 1 {
        return intervals(set, all);
    }
    let read = |element: &[u8]| {
        let key = data::get(&set.key, attr(element, o::ELEM_KEY)?)?;
        let end = attr(element, o::ELEM_KEY_END).and_then(|end| data::get(&set.key, end));
        make(set, key, end, attr(element, o::ELEM_DATA))
    };
    all.filter_map(read).collect()
}

fn make(
    set: &Set,
    key: Vec<Value>,
    end: Option<Vec<Value>>,
    data: Option<&[u8]>,
) -> Option<Element> {
    let data = match (&set.data, data) {
        (Some(types), Some(bytes)) => Some(data::get(types, bytes)?),
        _ => None,
    };
    Some(Element {
        table: set.table.clone(),
        set: set.name.clone(),
        key_end: end.filter(|end| *end != key),
        key,
        data,
    })
}

/// Key, whether an interval begins there, and the data that goes with it.
type Edge<'a> = (&'a [u8], bool, Option<&'a [u8]>);

/// Pairs the edges of an interval tree.
fn intervals<'a>(set: &Set, edges: impl Iterator<Item = &'a [u8]>) -> Vec<Element> {
    let mut edges: Vec<Edge> = edges
        .filter_map(|e| {
            let key = data::get_bytes(attr(e, o::ELEM_KEY)?)?;
            let flags = attr(e, o::ELEM_FLAGS).and_then(wire::be32).unwrap_or(0);
            let begins = flags & o::INTERVAL_END == 0;
            Some((key, begins, attr(e, o::ELEM_DATA)))
        })
        .collect();
    // At the same key one interval ends before the next begins.
    edges.sort_by_key(|(key, begins, _)| (*key, *begins));
    let width = data::width(&set.key);
    let mut found = Vec::new();
    for (i, (low, begins, value)) in edges.iter().enumerate() {
        if !begins {
            continue;
        }
        let high = match edges.get(i + 1) {
            Some((high, _, _)) => o::predecessor(high.to_vec()),
            None => vec![0xff; width],
        };
        let values = |bytes: &[u8]| data::parse(&set.key, bytes);
        if let (Some(key), end @ Some(_)) = (values(low), values(&high)) {
            found.extend(make(set, key, end, *value));
        }
    }
    found
}

/// Chain and place of a rule, from a dump or an echo.
pub fn rule(body: &[u8]) -> Option<(String, Placed)> {
    let handle = wire::be64(field(body, o::RULE_HANDLE)?)?;
    let id = field(body, o::RULE_USERDATA).and_then(comment);
    let chain = wire::text(field(body, o::RULE_CHAIN)?);
    Some((chain, Placed { id, handle }))
}

/// Order and hash out of `<mark> <order> <hash>`.
fn comment(mut udata: &[u8]) -> Option<(u32, u64)> {
    while let [kind, len, rest @ ..] = udata {
        let value = rest.get(..usize::from(*len))?;
        if *kind == o::UDATA_COMMENT {
            let text = wire::text(value);
            let mut words = text.rsplit(' ');
            let hash = u64::from_str_radix(words.next()?, 16).ok()?;
            return Some((words.next()?.parse().ok()?, hash));
        }
        udata = &rest[usize::from(*len)..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_others_are_no_ids() {
        let udata = |text: &str| {
            let mut bytes = vec![0, text.len() as u8 + 1];
            bytes.extend(text.bytes());
            bytes.push(0);
            bytes
        };
        assert_eq!(
            comment(&udata("pontoon 7 00000000000000ff")),
            Some((7, 255))
        );
        assert_eq!(comment(&udata("allow ssh")), None);
        assert_eq!(comment(&[0, 200, 1]), None);
        assert_eq!(comment(&[]), None);
    }
}

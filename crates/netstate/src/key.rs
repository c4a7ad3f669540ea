//! What makes two rows claims on the same kernel object.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::nf::text::Body;
use crate::nft::{Family, Rule, Table, Value};
use crate::{Mac, Ns, Row};

/// The main routing table.
pub const MAIN_TABLE: u32 = 254;
/// That of the host's own addresses.
pub const LOCAL_TABLE: u32 = 255;

/// An object's identity. Sorted by namespace first, so that one namespace is a range.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub ns: Ns,
    pub item: Item,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    Netns,
    Link(String),
    Address(String, IpNet),
    /// A nexthop or a group of them: they share their numbers.
    Nexthop(u32),
    NexthopGroup(u32),
    /// Destination and table.
    Route(IpNet, u32),
    RouteLocalhost(String),
    /// Mark, mask and table.
    MarkRule(bool, u32, u32, u32),
    Neighbour(String, IpAddr),
    Client(IpNet),
    Service(u32, IpAddr),
    Fdb(String, Mac),
    Sysctl(String),
    /// Objects of one table stand together.
    Nft(Family, String, NftItem),
}

/// In the order in which they can be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NftItem {
    Table,
    Chain(String),
    Set(String),
    Element(String, Vec<Value>, Option<Vec<Value>>),
    /// Chain, order, hash of the body: sorted as the rules stand in the kernel.
    Rule(String, u32, u64),
}

impl Key {
    /// The smallest key of a namespace.
    pub fn first(ns: &Ns) -> Key {
        Key {
            ns: ns.clone(),
            item: Item::Netns,
        }
    }

    pub fn nft(table: &Table, item: NftItem) -> Key {
        Key {
            ns: table.ns.clone(),
            item: Item::Nft(table.family, table.name.clone(), item),
        }
    }

    /// The nftables table that the object is or is in.
    pub fn table(&self) -> Option<Table> {
        match &self.item {
            Item::Nft(family, name, _) => Some(Table {
                ns: self.ns.clone(),
                family: *family,
                name: name.clone(),
            }),
            _ => None,
        }
    }
}

impl Row {
    /// The namespace that it is about.
    pub fn ns(&self) -> Ns {
        self.key().ns
    }

    pub(crate) fn key(&self) -> Key {
        let (ns, item) = match self {
            Row::Netns(ns) => (ns, Item::Netns),
            Row::Link(link) => (&link.ns, Item::Link(link.name.clone())),
            Row::Address { ns, link, address } => (ns, Item::Address(link.clone(), *address)),
            Row::Route(r) => (
                &r.ns,
                Item::Route(r.dst.trunc(), r.table.unwrap_or(MAIN_TABLE)),
            ),
            Row::Nexthop(n) => (&n.ns, Item::Nexthop(n.id)),
            Row::NexthopGroup(n) => (&n.ns, Item::NexthopGroup(n.id)),
            Row::GroupRoute { ns, dst, .. } => (ns, Item::Route(dst.trunc(), MAIN_TABLE)),
            Row::RouteLocalhost { ns, link } => (ns, Item::RouteLocalhost(link.clone())),
            Row::MarkRule {
                ns,
                v6,
                mark,
                mask,
                table,
            } => (ns, Item::MarkRule(*v6, *mark, *mask, *table)),
            Row::Client { ns, subnet, .. } => (ns, Item::Client(*subnet)),
            Row::Service {
                network, address, ..
            } => (&Ns::Host, Item::Service(*network, *address)),
            Row::Neighbour { ns, link, ip, .. } => (ns, Item::Neighbour(link.clone(), *ip)),
            Row::Fdb { ns, link, mac, .. } => (ns, Item::Fdb(link.clone(), *mac)),
            Row::Sysctl { ns, key, .. } => (ns, Item::Sysctl(key.clone())),
            Row::NftTable(table) => return Key::nft(table, NftItem::Table),
            Row::NftChain(c) => return Key::nft(&c.table, NftItem::Chain(c.name.clone())),
            Row::NftSet(s) => return Key::nft(&s.table, NftItem::Set(s.name.clone())),
            Row::NftElement(e) => {
                // An interval of one key is that key.
                let end = e.key_end.clone().filter(|end| *end != e.key);
                let item = NftItem::Element(e.set.clone(), e.key.clone(), end);
                return Key::nft(&e.table, item);
            }
            Row::NftRule(r) => {
                let item = NftItem::Rule(r.chain.clone(), r.order, rule_hash(r));
                return Key::nft(&r.table, item);
            }
        };
        Key {
            ns: ns.clone(),
            item,
        }
    }
}

/// FNV-1a over the rule's text: the same in every run, so that a restarted daemon knows its rules again. A change of the
/// encoder must change `ENCODING`, or old rules are taken for new ones.
pub fn rule_hash(rule: &Rule) -> u64 {
    const ENCODING: &str = "1";
    let text = format!("{ENCODING} {}", Body(&rule.body));
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

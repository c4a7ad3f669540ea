//! What the kernel has in a namespace, and how that differs from what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::Kernel;
use crate::desired::{Change, Desired};
use crate::key::{Item, Key};
use crate::rt::{entry, link, nexthop, rule};
use crate::{
    Error, IpvlanFlag, IpvlanMode, Link, LinkKind, MacvlanMode, Ns, Parent, Row, VethPeer,
};

/// Links and entries of a namespace as they were found.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub links: BTreeMap<String, link::Seen>,
    pub entries: BTreeMap<Key, entry::Seen>,
    pub sysctls: BTreeMap<Key, Option<String>>,
}

/// A difference in words, and the change that puts it right.
pub type Drift = (String, Change);

impl Kernel {
    /// Dumps what the wanted rows call for; with `sweep` also what could be left over.
    pub fn observe(&mut self, ns: &Ns, desired: &Desired, sweep: bool) -> Result<Observed, Error> {
        let failed = |nack: crate::netlink::Nack| {
            Error::new(format!("cannot observe netns {ns}"), nack.errno)
        };
        let (mut addresses, mut routes, mut neighbours, mut nexthops, mut rules) =
            (sweep, sweep, sweep, sweep, sweep);
        let mut keys = Vec::new();
        for (key, row) in desired.in_ns(ns) {
            match row {
                Row::Address { .. } => addresses = true,
                Row::Route(_) | Row::GroupRoute { .. } | Row::RouteLocalhost { .. } => {
                    routes = true;
                }
                Row::Nexthop(_) | Row::NexthopGroup(_) => nexthops = true,
                Row::Neighbour { .. } => neighbours = true,
                Row::MarkRule { .. } => rules = true,
                Row::Sysctl { key: name, .. } => keys.push((key.clone(), name.as_str())),
                _ => {}
            }
        }
        let mut seen = Observed::default();
        let space = self.spaces.get(ns)?;
        let mut names = BTreeMap::new();
        let mut vxlans = Vec::new();
        for (_, body) in space.rt.dump(link::dump()).map_err(failed)? {
            let Some(link) = link::parse(&body) else {
                continue;
            };
            names.insert(link.index, link.name.clone());
            if link.kind == "vxlan" && is_ours(ns, &link, &self.mark) {
                vxlans.push(link.index);
            }
            seen.links.insert(link.name.clone(), link);
        }
        let mut dumps = Vec::new();
        dumps.extend(addresses.then(entry::dump_addresses));
        dumps.extend(routes.then(entry::dump_routes));
        dumps.extend(nexthops.then(nexthop::dump));
        dumps.extend(neighbours.then(entry::dump_neighbours));
        dumps.extend(rules.then(rule::dump));
        dumps.extend(vxlans.into_iter().map(entry::dump_fdb));
        for dump in dumps {
            for (kind, body) in space.rt.dump(dump).map_err(failed)? {
                if let Some(entry) = entry::parse(kind, &body, ns, &names) {
                    seen.entries.insert(entry.row.key(), entry);
                }
            }
        }
        if !keys.is_empty() {
            let texts: Vec<&str> = keys.iter().map(|(_, name)| *name).collect();
            let values = crate::apply::read_sysctls(space, &texts)
                .map_err(|e| Error::new(format!("cannot enter netns {ns}"), e))?;
            seen.sysctls = keys.into_iter().map(|(key, _)| key).zip(values).collect();
        }
        self.names.insert(ns.clone(), names);
        Ok(seen)
    }

    /// Whether one of these links is not as wanted.
    pub fn links_drifted(&mut self, ns: &Ns, desired: &Desired, names: &BTreeSet<String>) -> bool {
        let wanted = |name: &str| {
            let item = Item::Link(name.to_owned());
            match desired.get(&Key {
                ns: ns.clone(),
                item,
            }) {
                Some(Row::Link(link)) => Some(link),
                _ => None,
            }
        };
        let masters = names
            .iter()
            .filter_map(|name| wanted(name)?.master.as_deref());
        let all: BTreeSet<&str> = names.iter().map(String::as_str).chain(masters).collect();
        let all: Vec<&str> = all.into_iter().collect();
        let Ok(found) = self.look(ns, &all) else {
            return true;
        };
        let mut seen = Observed::default();
        let found = found.into_iter().flatten();
        seen.links
            .extend(found.map(|link| (link.name.clone(), link)));
        names.iter().any(|name| match wanted(name) {
            Some(link) => link_drift(link, &seen, &self.mark).is_some(),
            None => desired
                .link_of_peer(ns, name)
                .is_some_and(|key| peer_drift(desired, key, name, &seen).is_some()),
        })
    }
}

/// Whether everything on the link is ours to remove.
fn is_ours(ns: &Ns, link: &link::Seen, mark: &str) -> bool {
    link.is_ours(mark) || (matches!(ns, Ns::Named(_)) && link.kind == "vxlan")
}

/// Compares a namespace's links, entries and sysctls. `sweep`: what carries our mark and is not wanted must go too.
pub fn diff(ns: &Ns, desired: &Desired, seen: &Observed, mark: &str, sweep: bool) -> Vec<Drift> {
    let mut found = Vec::new();
    let mut wanted = BTreeSet::new();
    for (key, row) in desired.in_ns(ns) {
        let old = match &key.item {
            Item::Netns | Item::Nft(..) | Item::Client(_) | Item::Service(..) => continue,
            Item::Link(name) => {
                let Row::Link(link) = row else { continue };
                match link_drift(link, seen, mark) {
                    None => continue,
                    // Whether it is there, and how far it fits, is looked at again when it is mended.
                    Some(false) => None,
                    Some(true) => {
                        let link = seen.links.get(name).map(|l| as_row(ns, l));
                        link.or(Some(row.clone()))
                    }
                }
            }
            Item::Sysctl(name) => {
                let Row::Sysctl { value, .. } = row else {
                    continue;
                };
                let is = seen.sysctls.get(key).cloned().flatten();
                match is {
                    Some(is) if is.split_whitespace().eq(value.split_whitespace()) => continue,
                    Some(is) => Some(Row::Sysctl {
                        ns: ns.clone(),
                        key: name.clone(),
                        value: is,
                    }),
                    None => None,
                }
            }
            _ => {
                wanted.insert(key);
                match seen.entries.get(key) {
                    Some(there) if there.whole && entry::same(row, &there.row) => continue,
                    Some(there) => Some(there.row.clone()),
                    None => None,
                }
            }
        };
        let down = |name: &String| seen.links.get(name).is_some_and(|link| !link.up);
        let words = match (&old, &key.item) {
            (None, _) => format!("{row} was missing"),
            (Some(_), Item::Link(name)) if down(name) => format!("{row} was down"),
            (Some(old), _) => format!("{row} was {old} instead"),
        };
        found.push((
            words,
            Change {
                key: key.clone(),
                old,
                new: Some(row.clone()),
            },
        ));
    }
    peers(ns, desired, seen, &mut found);
    if sweep {
        strays(ns, desired, seen, &wanted, mark, &mut found);
    }
    found
}

/// `None`: as wanted. `Some(false)`: missing. `Some(true)`: different.
fn link_drift(link: &Link, seen: &Observed, mark: &str) -> Option<bool> {
    let Some(there) = seen.links.get(&link.name) else {
        return Some(false);
    };
    let master = match &link.master {
        None => 0,
        // A bridge that is missing is no index at all.
        Some(name) => seen.links.get(name).map_or(u32::MAX, |m| m.index),
    };
    let named = matches!(link.ns, Ns::Named(_));
    match link::fit(link, there, master, mark, named) {
        link::Fit::Good => None,
        link::Fit::Lent if there.up => None,
        _ => Some(true),
    }
}

/// What is wrong with a veth's other end, in words; with its link's row.
fn peer_drift<'a>(
    desired: &'a Desired,
    key: &Key,
    name: &str,
    seen: &Observed,
) -> Option<(String, &'a Row)> {
    let row @ Row::Link(link) = desired.get(key)? else {
        return None;
    };
    let LinkKind::Veth { peer } = &link.kind else {
        return None;
    };
    match seen.links.get(name) {
        None => Some((format!("peer {name} of {row} was missing"), row)),
        Some(there) if !there.up => Some((format!("peer {name} of {row} was down"), row)),
        Some(there) if link::fit_peer(peer.mac, link.mtu, there) != link::Fit::Good => {
            Some((format!("peer {name} of {row} was changed"), row))
        }
        Some(_) => None,
    }
}

/// The ends of wanted veths that lie in this namespace.
fn peers(ns: &Ns, desired: &Desired, seen: &Observed, found: &mut Vec<Drift>) {
    for (name, key) in desired.peers_in(ns) {
        let Some((words, row)) = peer_drift(desired, key, name, seen) else {
            continue;
        };
        if found.iter().all(|(_, change)| change.key != *key) {
            let change = Change::to(Some(row.clone()), row.clone());
            found.push((words, change));
        }
    }
}

fn strays(
    ns: &Ns,
    desired: &Desired,
    seen: &Observed,
    wanted: &BTreeSet<&Key>,
    mark: &str,
    found: &mut Vec<Drift>,
) {
    let mut stray = |row: Row| {
        let change = Change::away(row.clone());
        found.push((format!("{row} was not wanted"), change));
    };
    for (key, there) in &seen.entries {
        let link = entry::link_of(&there.row).and_then(|name| seen.links.get(name));
        let of_ns = matches!(
            there.row,
            Row::NexthopGroup(_) | Row::GroupRoute { .. } | Row::MarkRule { .. }
        );
        if link.is_none() && !of_ns {
            continue;
        }
        // A route may be on somebody else's link in our own namespaces only: two daemons share one protocol number.
        let ours = link.is_some_and(|link| is_ours(ns, link, mark))
            || matches!((ns, &key.item), (Ns::Named(_), Item::Route(..)))
            || (of_ns && matches!(ns, Ns::Named(_)));
        let permanent = there.whole || !matches!(key.item, Item::Neighbour(..) | Item::Fdb(..));
        if ours && there.ours && permanent && !wanted.contains(key) {
            stray(there.row.clone());
        }
    }
    for link in seen.links.values().filter(|link| link.is_ours(mark)) {
        let key = Key {
            ns: ns.clone(),
            item: Item::Link(link.name.clone()),
        };
        let is_peer = desired.link_of_peer(ns, &link.name).is_some();
        if desired.get(&key).is_none() && !is_peer {
            stray(as_row(ns, link));
        }
    }
}

/// A found link in the words of rows, as far as they go.
fn as_row(ns: &Ns, seen: &link::Seen) -> Row {
    // Of a namespace that only the one who wants the link knows.
    let other = format!("@if{}", seen.other);
    let kind = match seen.kind.as_str() {
        "bridge" => LinkKind::Bridge,
        "vlan" => LinkKind::Vlan {
            parent: other,
            id: seen.vlan,
        },
        "macvlan" => LinkKind::Macvlan {
            parent: Parent {
                ns: ns.clone(),
                name: other,
            },
            mode: MacvlanMode::ALL
                .into_iter()
                .find(|m| m.number() == seen.mode)
                .unwrap_or(MacvlanMode::Bridge),
        },
        "ipvlan" => LinkKind::Ipvlan {
            parent: Parent {
                ns: ns.clone(),
                name: other,
            },
            mode: IpvlanMode::ALL
                .into_iter()
                .find(|m| u32::from(m.number()) == seen.mode)
                .unwrap_or(IpvlanMode::L2),
            flag: IpvlanFlag::ALL
                .into_iter()
                .find(|f| f.number() == seen.flags)
                .unwrap_or(IpvlanFlag::Bridge),
        },
        "vxlan" => LinkKind::Vxlan {
            vni: seen.vxlan.vni,
            port: seen.vxlan.port,
            local: seen.vxlan.local,
            socket_ns: Ns::Host,
        },
        _ => LinkKind::Veth {
            peer: VethPeer {
                ns: ns.clone(),
                name: other,
                mac: None,
            },
        },
    };
    Row::Link(Link {
        ns: ns.clone(),
        name: seen.name.clone(),
        kind,
        mac: seen.mac,
        mtu: Some(seen.mtu),
        master: (seen.master != 0).then(|| format!("@if{}", seen.master)),
        port: seen.port,
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::*;
    use crate::{Mac, Route};

    const MARK: &str = "pontoon";

    fn ns() -> Ns {
        Ns::Named("n".into())
    }

    /// A small world, so that what is wanted and what is there often meet.
    fn entry_row() -> impl Strategy<Value = Row> {
        (0..4u8, 1..4u8, 1..3u8).prop_map(|(kind, key, value)| {
            let (ns, link) = (ns(), "vxlan0".to_owned());
            let mac = |n| Mac([2, 0, 0, 0, 0, n]);
            let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
            match kind {
                0 => Row::Neighbour {
                    ns,
                    link,
                    ip: ip(key),
                    mac: mac(value),
                },
                1 => Row::Fdb {
                    ns,
                    link,
                    mac: mac(key),
                    dst: ip(value),
                },
                2 => Row::Address {
                    ns,
                    link,
                    address: IpNet::new(ip(key), 24 + value).unwrap(),
                },
                _ => Row::Route(Route {
                    ns,
                    dst: IpNet::new([10, key, 0, 0].into(), 16).unwrap(),
                    via: Some(ip(value)),
                    link,
                    table: None,
                }),
            }
        })
    }

    /// As the kernel would have it: with or without our protocol number, permanent or learnt.
    fn there() -> impl Strategy<Value = entry::Seen> {
        (entry_row(), any::<bool>(), any::<bool>()).prop_map(|(row, ours, whole)| entry::Seen {
            ours: ours || matches!(row, Row::Fdb { .. }),
            whole: whole || !matches!(row, Row::Fdb { .. } | Row::Neighbour { .. }),
            row,
        })
    }

    fn observed(entries: Vec<entry::Seen>) -> Observed {
        let link = link::Seen {
            index: 2,
            name: "vxlan0".into(),
            kind: "vxlan".into(),
            alias: MARK.into(),
            up: true,
            ..link::Seen::default()
        };
        Observed {
            links: [(link.name.clone(), link)].into(),
            entries: entries.into_iter().map(|e| (e.row.key(), e)).collect(),
            sysctls: BTreeMap::new(),
        }
    }

    fn apply(seen: &mut Observed, changes: &[Drift]) {
        for (_, change) in changes {
            match &change.new {
                Some(row) => {
                    let whole = entry::Seen {
                        row: row.clone(),
                        ours: true,
                        whole: true,
                    };
                    seen.entries.insert(change.key.clone(), whole);
                }
                None => drop(seen.entries.remove(&change.key)),
            }
        }
    }

    proptest! {
        #[test]
        fn differences_lead_to_what_is_wanted_and_touch_nothing_of_others(
            wanted in proptest::collection::vec(entry_row(), 0..12),
            there in proptest::collection::vec(there(), 0..12),
            sweep in any::<bool>(),
        ) {
            let mut desired = Desired::default();
            desired.set(vec![
                ("link".into(), vec![Row::Link(vxlan())]),
                ("all".into(), wanted),
            ]);
            let mut seen = observed(there);
            let before = seen.clone();
            let drifts = diff(&ns(), &desired, &seen, MARK, sweep);
            apply(&mut seen, &drifts);
            prop_assert_eq!(diff(&ns(), &desired, &seen, MARK, sweep), vec![]);
            for (key, row) in desired.in_ns(&ns()).filter(|(_, row)| entry::link_of(row).is_some()) {
                prop_assert!(entry::same(row, &seen.entries[key].row));
            }
            for (key, entry) in &before.entries {
                let kept = seen.entries.contains_key(key);
                // Without a sweep everything stays; with it what is not ours, and what was learnt.
                prop_assert!(kept || (sweep && entry.ours && entry.whole));
            }
        }
    }

    fn vxlan() -> Link {
        Link {
            ns: ns(),
            name: "vxlan0".into(),
            kind: LinkKind::Vxlan {
                vni: 0,
                port: 0,
                local: None,
                socket_ns: Ns::Host,
            },
            mac: None,
            mtu: None,
            master: None,
            port: crate::BridgePort::default(),
        }
    }

    #[test]
    fn links_of_others_are_no_strays() {
        let mut seen = observed(Vec::new());
        let found = |seen: &Observed| {
            let drifts = diff(&ns(), &Desired::default(), seen, MARK, true);
            drifts
                .into_iter()
                .map(|(words, _)| words)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            found(&seen),
            [
                "link vxlan0 type vxlan id 0 dstport 0 socket netns host mtu 0 netns n was not wanted"
            ]
        );
        seen.links.values_mut().for_each(|link| link.alias.clear());
        assert_eq!(found(&seen), [""; 0]);
    }
}

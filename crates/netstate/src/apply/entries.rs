//! Addresses, neighbours, forwarding entries and routes: per namespace in one batch.

use std::collections::{BTreeMap, BTreeSet};

use rustix::io::Errno;

use super::Run;
use crate::desired::Change;
use crate::key::Item;
use crate::rt::entry::{self, Verb};
use crate::{Error, LinkKind, Ns, Route, Row};

/// What a deletion answers when there is nothing to delete.
fn is_absent(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NODEV | Errno::SRCH | Errno::ADDRNOTAVAIL | Errno::NXIO
    )
}

impl Run<'_> {
    /// `dead`: namespaces that go as a whole.
    pub(super) fn delete_entries(
        &mut self,
        gone: &[Change],
        dead: &BTreeSet<Ns>,
    ) -> Result<(), Error> {
        // What is on a link goes with it, unless it is a bridge or VLAN, which may be somebody else's and stay.
        let mut links: BTreeSet<(&Ns, &str)> = BTreeSet::new();
        for change in gone {
            if let Some(Row::Link(link)) = &change.old
                && !matches!(link.kind, LinkKind::Bridge | LinkKind::Vlan { .. })
            {
                links.insert((&link.ns, &link.name));
                if let LinkKind::Veth { peer } = &link.kind {
                    links.insert((&peer.ns, &peer.name));
                }
            }
        }
        let mut by_ns: BTreeMap<&Ns, Vec<(&Change, &Row, &str)>> = BTreeMap::new();
        for change in gone {
            let Some(row) = &change.old else { continue };
            let ns = &change.key.ns;
            match (&change.key.item, entry::link_of(row)) {
                (_, Some(link)) if !dead.contains(ns) && !links.contains(&(ns, link)) => {
                    by_ns.entry(ns).or_default().push((change, row, link));
                }
                // Nothing to do, but the row is gone all the same.
                (Item::Sysctl(_), _) | (_, Some(_)) => self.out.done.push(change.clone()),
                _ => {}
            }
        }
        for (ns, mut entries) in by_ns {
            // Routes first, addresses last.
            entries.reverse();
            let indices = match self.indices(ns, entries.iter().map(|(_, _, link)| *link)) {
                Ok(indices) => indices,
                Err(error) => {
                    self.note(error)?;
                    continue;
                }
            };
            // A group's own description names no link, and its removal needs none.
            entries.retain(|(_, _, link)| link.is_empty() || indices.contains_key(link));
            let messages = entries
                .iter()
                .filter_map(|(_, row, link)| {
                    let index = indices.get(link).copied().unwrap_or_default();
                    entry::message(row, index, Verb::Delete)
                })
                .collect();
            let answers = self.kernel.spaces.get(ns)?.rt.batch(messages);
            for (answer, (change, row, _)) in answers.into_iter().zip(entries) {
                match answer {
                    Err(nack) if !is_absent(nack.errno) => {
                        self.note(Error::refused("remove", row, &nack))?;
                    }
                    _ => self.out.done.push(change.clone()),
                }
            }
        }
        Ok(())
    }

    pub(super) fn make_entries(&mut self, wanted: &[Change]) -> Result<(), Error> {
        let mut by_ns: BTreeMap<&Ns, Vec<(&Change, &Row, &str)>> = BTreeMap::new();
        for change in wanted {
            if let Some(row) = &change.new
                && let Some(link) = entry::link_of(row)
            {
                let of_ns = by_ns.entry(&change.key.ns).or_default();
                of_ns.push((change, row, link));
            }
        }
        for (ns, mut entries) in by_ns {
            // A route needs the addresses and neighbours that lead to its gateway; broad ones come after narrow ones,
            // so that a default route's gateway is on a link already.
            entries.sort_by_key(|(change, _, _)| match &change.key.item {
                Item::Nexthop(_) => (1, 0),
                Item::NexthopGroup(_) => (2, 0),
                Item::Route(dst, _) => (3, u8::MAX - dst.prefix_len()),
                _ => (0, 0),
            });
            if let Err(error) = self.make_entries_in(ns, &entries) {
                self.note(error)?;
            }
        }
        Ok(())
    }

    fn make_entries_in(&mut self, ns: &Ns, entries: &[(&Change, &Row, &str)]) -> Result<(), Error> {
        let indices = self.indices(ns, entries.iter().map(|(_, _, link)| *link))?;
        let mut asked = Vec::new();
        let mut messages = Vec::new();
        for (change, row, link) in entries {
            let verb = if change.old.is_some() {
                Verb::Replace
            } else {
                Verb::Add
            };
            let message = indices
                .get(link)
                .and_then(|index| entry::message(row, *index, verb));
            match message {
                Some(message) => {
                    messages.push(message);
                    asked.push((*change, *row, *link));
                }
                None => self.note(Error::refused("add", row, &Errno::NODEV.into()))?,
            }
        }
        let answers = self.kernel.spaces.get(ns)?.rt.batch(messages);
        let (mut taken, mut first_error) = (Vec::new(), None);
        for (answer, (change, row, link)) in answers.into_iter().zip(asked) {
            match answer {
                Ok(_) => self.out.done.push(change.clone()),
                Err(nack) if nack.errno == Errno::EXIST => taken.push((row, link)),
                Err(nack) => {
                    let error = Error::refused("add", row, &nack);
                    // The batch went on behind the error, so go on counting what was done.
                    first_error = first_error.or(Some(error));
                }
            }
        }
        if let Some(error) = first_error {
            self.note(error)?;
        }
        self.take_over(ns, &taken, &indices)
    }

    /// Something is there: ours from a former run, or what somebody else made.
    fn take_over(
        &mut self,
        ns: &Ns,
        taken: &[(&Row, &str)],
        indices: &BTreeMap<&str, u32>,
    ) -> Result<(), Error> {
        let names: BTreeMap<u32, String> = indices
            .iter()
            .map(|(name, index)| (*index, (*name).to_owned()))
            .collect();
        let mut replace = Vec::new();
        let mut messages = Vec::new();
        for (row, link) in taken {
            let Some(index) = indices.get(link) else {
                continue;
            };
            match row {
                // All of it is key.
                Row::Address { .. } | Row::MarkRule { .. } | Row::RouteLocalhost { .. } => continue,
                Row::Route(Route { dst, .. }) | Row::GroupRoute { dst, .. } => {
                    let space = self.kernel.spaces.get(ns)?;
                    let replies = space
                        .rt
                        .dump(entry::dump_routes_of_family(dst))
                        .map_err(|nack| Error::refused("look for", row, &nack))?;
                    let there = replies
                        .iter()
                        .filter_map(|(kind, body)| entry::parse(*kind, body, ns, &names))
                        .find(|seen| seen.row.key() == row.key());
                    match there {
                        Some(seen) if entry::same(row, &seen.row) => continue,
                        Some(seen) if seen.ours => {}
                        _ => {
                            let error = Error::new(
                                format!("cannot add {row}"),
                                "another route to that destination is there and is not ours: remove it first",
                            );
                            self.note(error)?;
                            continue;
                        }
                    }
                }
                _ => {}
            }
            messages.extend(entry::message(row, *index, Verb::Replace));
            replace.push(*row);
        }
        let answers = self.kernel.spaces.get(ns)?.rt.batch(messages);
        for (answer, row) in answers.into_iter().zip(replace) {
            if let Err(nack) = answer {
                self.note(Error::refused("replace", row, &nack))?;
            }
        }
        Ok(())
    }

    /// Indices of links by name; those that are not there are left out.
    fn indices<'n>(
        &mut self,
        ns: &Ns,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<BTreeMap<&'n str, u32>, Error> {
        let names: BTreeSet<&str> = names.collect();
        let names: Vec<&str> = names.into_iter().collect();
        let seen = self.kernel.look(ns, &names)?;
        Ok(names
            .into_iter()
            .zip(seen)
            .filter_map(|(name, seen)| Some((name, seen?.index)))
            .collect())
    }
}

//! Links: making, adopting, changing and removing them.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, RawFd};

use rustix::io::Errno;

use super::Run;
use crate::desired::Change;
use crate::netlink::Nack;
use crate::netlink::wire::Msg;
use crate::rt::link::{self, Fit};
use crate::{BridgePort, Error, Link, LinkKind, MacvlanMode, Ns, Row};

pub(super) fn refused(verb: &str, link: &Link, errno: Errno) -> Error {
    Error::refused(verb, &Row::Link(link.clone()), &errno.into())
}

/// A link's name on its way.
const PASSING: &str = "on-its-way";

/// A link, the name of one of its ends, and that end's port options.
type End<'a> = (&'a Link, &'a str, Option<BridgePort>);

/// Where the request to make it goes.
fn request_ns(link: &Link) -> &Ns {
    match (&link.kind, link.parent()) {
        (LinkKind::Vxlan { socket_ns, .. }, _) => socket_ns,
        (_, Some((ns, _))) => ns,
        _ => &link.ns,
    }
}

/// What others refer to is made before them: a port names its bridge, and any of the first two may be a parent.
fn rank(link: &Link) -> usize {
    match link.kind {
        LinkKind::Bridge => 0,
        LinkKind::Veth { .. } | LinkKind::Vxlan { .. } | LinkKind::Handout { .. } => 1,
        LinkKind::Vlan { .. } => 2,
        LinkKind::Macvlan { .. } | LinkKind::Ipvlan { .. } => 3,
        LinkKind::Taken { .. } => 4,
    }
}

impl Run<'_> {
    pub(super) fn delete_links(&mut self, gone: &[Change]) -> Result<(), Error> {
        let mut by_ns: BTreeMap<&Ns, (Vec<&Change>, Vec<&Link>)> = BTreeMap::new();
        for change in gone {
            if let Some(Row::Link(link)) = &change.old {
                if let LinkKind::Taken { from } = &link.kind {
                    match self.give_back(link, from) {
                        Ok(()) => self.out.done.push(change.clone()),
                        Err(error) => self.note(error)?,
                    }
                    continue;
                }
                let (changes, links) = by_ns.entry(&link.ns).or_default();
                changes.push(change);
                links.push(link);
            }
        }
        for (ns, (changes, links)) in by_ns {
            match self.delete(ns, &links) {
                Ok(()) => self.out.done.extend(changes.into_iter().cloned()),
                Err(error) => self.note(error)?,
            }
        }
        Ok(())
    }

    /// Removes those links of a namespace that are there and ours. Each removal waits some 20 ms for the kernel's other
    /// CPUs, so several go as one group.
    fn delete(&mut self, ns: &Ns, links: &[&Link]) -> Result<(), Error> {
        if let Ns::Named(name) = ns
            && !self.kernel.spaces.exists(name)
        {
            return Ok(());
        }
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        let seen = self.kernel.look(ns, &names)?.into_iter().flatten();
        let ours =
            |seen: &link::Seen| matches!(ns, Ns::Named(_)) || seen.is_ours(&self.kernel.mark);
        let doomed: Vec<u32> = seen.filter(ours).map(|seen| seen.index).collect();
        let mut messages = Vec::new();
        match doomed.as_slice() {
            [] => return Ok(()),
            [one] => messages.push(link::delete(*one)),
            many => {
                messages.extend(many.iter().map(|index| link::doom(*index)));
                messages.push(link::delete_doomed());
            }
        }
        for answer in self.kernel.spaces.get(ns)?.rt.batch(messages) {
            match answer {
                Err(nack) if nack.errno != Errno::NODEV => {
                    let row = links.first().map(|link| Row::Link((*link).clone()));
                    let row = row.unwrap_or_else(|| Row::Netns(ns.clone()));
                    return Err(Error::refused("remove", &row, &nack));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn look_one(&mut self, ns: &Ns, name: &str) -> Result<Option<link::Seen>, Error> {
        Ok(self.kernel.look(ns, &[name])?.pop().flatten())
    }

    pub(super) fn make_links(&mut self, wanted: &[Change]) -> Result<(), Error> {
        let mut ranks: [Vec<(&Change, &Link)>; 5] = Default::default();
        for change in wanted {
            if let Some(Row::Link(link)) = &change.new {
                ranks[rank(link)].push((change, link));
            }
        }
        let [made @ .., taken] = ranks;
        for links in made {
            self.make_some(&links)?;
        }
        for (change, link) in taken {
            match self.take(link) {
                Ok(moved) if moved || change.old.is_some() => self.out.done.push(change.clone()),
                Ok(_) => {}
                Err(error) => self.note(error)?,
            }
        }
        Ok(())
    }

    fn make_some(&mut self, links: &[(&Change, &Link)]) -> Result<(), Error> {
        let mut by_ns: BTreeMap<&Ns, Vec<(&Change, &Link)>> = BTreeMap::new();
        let mut there = Vec::new();
        for (change, link) in links {
            match change.old {
                Some(_) => there.push((*change, *link)),
                None => by_ns
                    .entry(request_ns(link))
                    .or_default()
                    .push((change, link)),
            }
        }
        for (ns, links) in by_ns {
            let mut messages = Vec::new();
            let mut asked = Vec::new();
            for (change, link) in links {
                match self.creation(link) {
                    Ok(message) => {
                        messages.push(message);
                        asked.push((change, link));
                    }
                    Err(error) => self.note(error)?,
                }
            }
            let answers = self.kernel.spaces.get(ns)?.rt.batch(messages);
            let (mut made, mut first_error) = (Vec::new(), None);
            for (answer, (change, link)) in answers.into_iter().zip(asked) {
                match answer {
                    Ok(_) => {
                        self.out.done.push(change.clone());
                        made.push(link);
                    }
                    Err(nack) if nack.errno == Errno::EXIST => there.push((change, link)),
                    Err(nack) => {
                        let error = Error::refused("create", &Row::Link(link.clone()), &nack);
                        first_error = first_error.or(Some(error));
                    }
                }
            }
            if let Some(error) = first_error {
                self.note(error)?;
            }
            self.configure(&made)?;
        }
        for (change, link) in there {
            match self.settle(link, change.old.as_ref()) {
                Ok(made) if made || change.old.is_some() => self.out.done.push(change.clone()),
                Ok(_) => {}
                Err(error) => self.note(error)?,
            }
        }
        Ok(())
    }

    fn creation(&mut self, link: &Link) -> Result<Msg, Error> {
        let master = match self.master(link)? {
            0 => None,
            index => Some(index),
        };
        let peer = match &link.kind {
            LinkKind::Veth { peer } => Some(self.fd(&peer.ns)?),
            _ => None,
        };
        let target = match request_ns(link) == &link.ns {
            true => None,
            false => Some(self.fd(&link.ns)?),
        };
        let parent = match link.parent() {
            Some((ns, name)) => Some(self.parent(link, ns, name)?),
            None => None,
        };
        let refs = link::Refs {
            master,
            parent,
            peer,
            target,
        };
        Ok(link::create(link, refs, &self.kernel.mark))
    }

    fn parent(&mut self, link: &Link, ns: &Ns, name: &str) -> Result<u32, Error> {
        match self.look_one(ns, name)? {
            Some(seen) => Ok(seen.index),
            None => Err(Error::new(
                format!("cannot create {}", Row::Link(link.clone())),
                format!("there is no link {name}"),
            )),
        }
    }

    pub(super) fn fd(&mut self, ns: &Ns) -> Result<RawFd, Error> {
        Ok(self.kernel.spaces.get(ns)?.fd().as_raw_fd())
    }

    /// Index of the bridge that the link is to be a port of, 0 for none.
    fn master(&mut self, link: &Link) -> Result<u32, Error> {
        let Some(master) = &link.master else {
            return Ok(0);
        };
        match self.look_one(&link.ns, master)? {
            Some(seen) => Ok(seen.index),
            None => Err(Error::new(
                format!("cannot use {}", Row::Link(link.clone())),
                format!("there is no bridge {master}"),
            )),
        }
    }

    /// Marks new links, sets their port options, and sets them and their peers up.
    fn configure(&mut self, links: &[&Link]) -> Result<(), Error> {
        let mut ends: BTreeMap<&Ns, Vec<End>> = BTreeMap::new();
        for link in links {
            let port = link.master.as_ref().map(|_| link.port);
            // The peer first: the carrier comes with the second end, and then the bridge's port is ready at once.
            if let LinkKind::Veth { peer } = &link.kind {
                let of_ns = ends.entry(&peer.ns).or_default();
                of_ns.push((link, &peer.name, None));
            }
            let of_ns = ends.entry(&link.ns).or_default();
            of_ns.push((link, &link.name, port));
        }
        for (ns, ends) in ends {
            let names: Vec<&str> = ends.iter().map(|(_, name, _)| *name).collect();
            let seen = self.kernel.look(ns, &names)?;
            let mut messages = Vec::new();
            let mut asked = Vec::new();
            for (seen, (link, _, port)) in seen.into_iter().zip(ends) {
                match seen {
                    Some(seen) => {
                        let mac = match link.kind {
                            // A bridge whose address nobody set changes it whenever ports come and go.
                            LinkKind::Bridge => seen.mac,
                            // A new one has its parent's, whatever it was asked to have.
                            LinkKind::Macvlan {
                                mode: MacvlanMode::Passthru,
                                ..
                            } => link.mac,
                            _ => None,
                        };
                        if mac.is_some() {
                            messages.push(link::change(seen.index, mac, None, None));
                            asked.push(link);
                        }
                        messages.extend(link::configure(seen.index, &self.kernel.mark, port));
                        asked.extend([link, link]);
                    }
                    None => self.note(refused("configure", link, Errno::NODEV))?,
                }
            }
            let answers = self.kernel.spaces.get(ns)?.rt.batch(messages);
            for (answer, link) in answers.into_iter().zip(asked) {
                if let Err(nack) = answer {
                    let row = Row::Link(link.clone());
                    self.note(Error::refused("configure", &row, &nack))?;
                }
            }
        }
        Ok(())
    }

    /// Something is there, or was: adopts it, changes it, or makes the link anew (`Ok(true)`).
    fn settle(&mut self, link: &Link, old: Option<&Row>) -> Result<bool, Error> {
        let Some(seen) = self.look_one(&link.ns, &link.name)? else {
            self.clear_peer(link)?;
            self.clear_vxlan(link)?;
            return self.make_anew(link);
        };
        let master = self.master(link)?;
        let named = matches!(link.ns, Ns::Named(_));
        let kind_changed = matches!(old, Some(Row::Link(old)) if old.kind != link.kind);
        match link::fit(link, &seen, master, &self.kernel.mark, named) {
            Fit::Foreign => Err(refused("create", link, Errno::EXIST)),
            Fit::Lent if seen.up => Ok(false),
            Fit::Lent => self.ask(link, &link.ns, vec![link::up(seen.index)]),
            Fit::Recreate => self.replace(link),
            _ if kind_changed => self.replace(link),
            fit => {
                if let LinkKind::Veth { peer } = &link.kind {
                    let end = self.look_one(&peer.ns, &peer.name)?;
                    let end = end.filter(|end| end.other == seen.index && seen.other == end.index);
                    let fit = end
                        .as_ref()
                        .map(|end| (link::fit_peer(peer.mac, link.mtu, end), end.index));
                    match fit {
                        Some((Fit::Good, _)) => {}
                        Some((Fit::Change, index)) => {
                            let change = link::change(index, peer.mac, link.mtu, None);
                            let [rest, up] = link::configure(index, &self.kernel.mark, None);
                            self.ask(link, &peer.ns, vec![change, rest, up])?;
                        }
                        _ => return self.replace(link),
                    }
                }
                if fit == Fit::Good {
                    return Ok(false);
                }
                let port = link.master.as_ref().map(|_| link.port);
                let moved = (seen.master != master).then_some(master);
                let change = link::change(seen.index, link.mac, link.mtu, moved);
                let [rest, up] = link::configure(seen.index, &self.kernel.mark, port);
                self.ask(link, &link.ns, vec![change, rest, up])
            }
        }
    }

    pub(super) fn ask(&mut self, link: &Link, ns: &Ns, messages: Vec<Msg>) -> Result<bool, Error> {
        for answer in self.kernel.spaces.get(ns)?.rt.batch(messages) {
            answer.map_err(|nack| Error::refused("change", &Row::Link(link.clone()), &nack))?;
        }
        Ok(false)
    }

    fn replace(&mut self, link: &Link) -> Result<bool, Error> {
        self.delete(&link.ns, &[link])?;
        self.clear_peer(link)?;
        self.make_anew(link)
    }

    fn request(&mut self, link: &Link) -> Result<Result<(), Nack>, Error> {
        let message = self.creation(link)?;
        let space = self.kernel.spaces.get(request_ns(link))?;
        Ok(space.rt.request(message).map(drop))
    }

    /// Makes a link under another name than its own and gives it that one where it belongs.
    fn make_renamed(&mut self, link: &Link) -> Result<(), Error> {
        let passing = Link {
            name: PASSING.into(),
            ..link.clone()
        };
        self.delete(&link.ns, &[&passing])?;
        let refused = |nack: &Nack| Error::refused("create", &Row::Link(link.clone()), nack);
        self.request(&passing)?.map_err(|nack| refused(&nack))?;
        let index = match self.look_one(&link.ns, PASSING)? {
            Some(seen) => seen.index,
            None => return Err(refused(&Errno::NODEV.into())),
        };
        let space = self.kernel.spaces.get(&link.ns)?;
        if let Err(nack) = space.rt.request(link::rename(index, &link.name)) {
            self.delete(&link.ns, &[&passing])?;
            return Err(refused(&nack));
        }
        Ok(())
    }

    /// Removes what has the peer's name, when it is ours to remove.
    fn clear_peer(&mut self, link: &Link) -> Result<(), Error> {
        let LinkKind::Veth { peer } = &link.kind else {
            return Ok(());
        };
        let end = Link {
            ns: peer.ns.clone(),
            name: peer.name.clone(),
            ..link.clone()
        };
        self.delete(&peer.ns, &[&end])
    }

    /// A namespace of ours that nobody wants (left by a former run) may hold the VNI: its device is in the way.
    fn clear_vxlan(&mut self, link: &Link) -> Result<(), Error> {
        let LinkKind::Vxlan { vni, port, .. } = link.kind else {
            return Ok(());
        };
        let kernel = &mut self.kernel;
        for name in kernel.spaces.names() {
            let ns = Ns::Named(name);
            if self.desired.has_netns(&ns) {
                continue;
            }
            let Ok(space) = kernel.spaces.get(&ns) else {
                continue;
            };
            let links = space.rt.dump(link::dump()).unwrap_or_default();
            for seen in links.iter().filter_map(|(_, body)| link::parse(body)) {
                if (seen.vxlan.vni, seen.vxlan.port) == (vni, port) && seen.kind == "vxlan" {
                    tracing::info!(netns = %ns, link = seen.name, vni, "removed a leftover VXLAN device");
                    let _ = space.rt.request(link::delete(seen.index));
                }
            }
            kernel.spaces.close(&ns);
        }
        Ok(())
    }

    fn make_anew(&mut self, link: &Link) -> Result<bool, Error> {
        let elsewhere = request_ns(link) != &link.ns;
        match self.request(link)? {
            // Older kernels look for the name in the namespace of the request as well.
            Err(nack) if nack.errno == Errno::EXIST && elsewhere => self.make_renamed(link)?,
            answer => {
                answer.map_err(|nack| Error::refused("create", &Row::Link(link.clone()), &nack))?
            }
        }
        self.configure(&[link])?;
        self.out.shaken.insert(link.ns.clone());
        if let LinkKind::Veth { peer } = &link.kind {
            self.out.shaken.insert(peer.ns.clone());
        }
        Ok(true)
    }
}

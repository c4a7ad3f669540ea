//! Links of other programs: taken into a namespace of ours, and given back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rustix::io::Errno;

use super::Run;
use super::links::refused;
use crate::rt::link::Fit;
use crate::rt::{entry, link};
use crate::{Error, Link, LinkKind, Ns, Row};

impl Run<'_> {
    /// `Ok(true)`: it was moved now.
    pub(super) fn take(&mut self, wanted: &Link) -> Result<bool, Error> {
        let LinkKind::Taken { from } = &wanted.kind else {
            return Ok(false);
        };
        if let Some(seen) = self.look_one(&wanted.ns, &wanted.name)? {
            let named = matches!(wanted.ns, Ns::Named(_));
            return match link::fit(wanted, &seen, 0, &self.kernel.mark, named) {
                Fit::Good => Ok(false),
                Fit::Change => self.settle_taken(wanted, seen.index).map(|()| false),
                _ => Err(refused("take", wanted, Errno::EXIST)),
            };
        }
        let Some(seen) = self.look_one(&Ns::Host, from)? else {
            let why = format!("there is no link {from} on the host");
            return Err(refusal(wanted, why));
        };
        if let Some(use_of) = self.use_of(&seen)? {
            return Err(refusal(wanted, format!("the host uses it: {use_of}")));
        }
        let target = self.fd(&wanted.ns)?;
        // Marked on the way: whatever happens next, it is known by that.
        let mark = self.kernel.mark.clone();
        let message = link::hand_over(seen.index, target, &wanted.name, &mark);
        let space = self.kernel.spaces.get(&Ns::Host)?;
        space
            .rt
            .request(message)
            .map_err(|nack| Error::refused("take", &Row::Link(wanted.clone()), &nack))?;
        let settled = match self.look_one(&wanted.ns, &wanted.name)? {
            Some(there) => self.settle_taken(wanted, there.index),
            None => Err(refused("configure", wanted, Errno::NODEV)),
        };
        if let Err(error) = settled {
            self.give_back(wanted, from)?;
            return Err(error);
        }
        self.out.shaken.insert(wanted.ns.clone());
        Ok(true)
    }

    fn settle_taken(&mut self, wanted: &Link, index: u32) -> Result<(), Error> {
        let change = link::change(index, wanted.mac, wanted.mtu, None);
        let [rest, up] = link::configure(index, &self.kernel.mark, None);
        self.ask(wanted, &wanted.ns, vec![change, rest, up])
            .map(drop)
    }

    /// What a link does for the host, so that it cannot be taken away.
    fn use_of(&mut self, seen: &link::Seen) -> Result<Option<String>, Error> {
        if seen.index == link::LOOPBACK {
            return Ok(Some("it is the loopback".into()));
        }
        if seen.alias == self.kernel.mark {
            return Ok(Some("it belongs to another network".into()));
        }
        if seen.master != 0 {
            return Ok(Some("it is a port of a bridge".into()));
        }
        let what = format!("cannot look at addresses of link {}", seen.name);
        let names = BTreeMap::from([(seen.index, seen.name.clone())]);
        let space = self.kernel.spaces.get(&Ns::Host)?;
        let replies = space.rt.dump(entry::dump_addresses());
        let replies = replies.map_err(|nack| Error::new(what, nack.errno))?;
        let found = replies
            .iter()
            .filter_map(|(kind, body)| entry::parse(*kind, body, &Ns::Host, &names));
        let global = found.filter_map(|seen| match seen.row {
            Row::Address { address, .. } if !is_link_local(address.addr()) => Some(address),
            _ => None,
        });
        Ok(global
            .map(|address| format!("it has address {address}"))
            .next())
    }

    /// To the host's namespace, under its former name. Where that is taken now, or the namespace has gone, so has the link.
    pub(super) fn give_back(&mut self, link: &Link, from: &str) -> Result<(), Error> {
        if let Ns::Named(name) = &link.ns
            && !self.kernel.spaces.exists(name)
        {
            return Ok(());
        }
        let seen = self.look_one(&link.ns, &link.name)?;
        let Some(seen) = seen.filter(|seen| seen.alias == self.kernel.mark) else {
            return Ok(());
        };
        let host = self.fd(&Ns::Host)?;
        let space = self.kernel.spaces.get(&link.ns)?;
        let Err(nack) = space
            .rt
            .request(link::hand_over(seen.index, host, from, ""))
        else {
            return Ok(());
        };
        tracing::warn!(link = from, error = %nack.errno, "link cannot be given back and is removed");
        match space.rt.request(link::delete(seen.index)) {
            Err(nack) if nack.errno != Errno::NODEV => {
                Err(Error::refused("remove", &Row::Link(link.clone()), &nack))
            }
            _ => Ok(()),
        }
    }
}

fn refusal(wanted: &Link, why: String) -> Error {
    Error::new(format!("cannot take {}", Row::Link(wanted.clone())), why)
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

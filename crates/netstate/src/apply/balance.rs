//! Rows of balancing at connect time.

use std::collections::BTreeSet;
use std::io;

use super::{Kernel, Run};
use crate::bpf::Cookie;
use crate::desired::{Change, Desired};
use crate::{Error, Ns, Row};

impl Run<'_> {
    /// Of these changes those that are the balancer's.
    pub(super) fn balance(&mut self, changes: &[Change]) -> Result<(), Error> {
        for change in changes {
            let row = change.new.as_ref().or(change.old.as_ref());
            let Some(row @ (Row::Client { .. } | Row::Service { .. })) = row else {
                continue;
            };
            match self.kernel.balance(row, change.new.is_some()) {
                Ok(()) => self.out.done.push(change.clone()),
                Err(error) => {
                    let verb = if change.new.is_some() {
                        "add"
                    } else {
                        "remove"
                    };
                    self.note(Error::new(format!("cannot {verb} {row}"), error))?;
                }
            }
        }
        Ok(())
    }
}

impl Kernel {
    fn balance(&mut self, row: &Row, wanted: bool) -> io::Result<()> {
        let cookie = match row {
            Row::Client { ns, .. } => match self.cookie(ns) {
                // Its number is nobody else's: what it leaves behind is never found, and swept at the next start.
                Err(_) if !wanted => return Ok(()),
                cookie => cookie?,
            },
            _ => 0,
        };
        let Some(balancer) = &self.balancer else {
            return Err(io::Error::other("this host cannot balance at connect time"));
        };
        match row {
            Row::Client {
                subnet, network, ..
            } if wanted => balancer.set_subnet(cookie, *subnet, *network),
            Row::Client { subnet, .. } => balancer.remove_subnet(cookie, *subnet),
            Row::Service {
                network,
                address,
                backends,
                choice,
            } => {
                let none = BTreeSet::new();
                let backends = if wanted { backends } else { &none };
                balancer.set_service(*network, *address, backends, *choice)
            }
            _ => Ok(()),
        }
    }

    fn cookie(&mut self, ns: &Ns) -> io::Result<Cookie> {
        let space = self.spaces.get(ns).map_err(io::Error::other)?;
        Ok(space.rt.netns_cookie()?)
    }

    /// Takes out of the maps what a former run left there and nobody wants. Returns how much that was.
    pub fn sweep_balancer(&mut self, desired: &Desired) -> io::Result<usize> {
        let (mut subnets, mut services) = (BTreeSet::new(), BTreeSet::new());
        for ns in desired.namespaces() {
            for (_, row) in desired.in_ns(&ns) {
                match row {
                    Row::Client { ns, subnet, .. } => {
                        subnets.extend(self.cookie(ns).map(|cookie| (cookie, *subnet)));
                    }
                    Row::Service {
                        network, address, ..
                    } => drop(services.insert((*network, *address))),
                    _ => {}
                }
            }
        }
        match &self.balancer {
            Some(balancer) => balancer.retain(&subnets, &services),
            None => Ok(0),
        }
    }
}

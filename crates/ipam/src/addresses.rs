//! The addresses of one subnet.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::spans::Spans;
use crate::{Error, pools};

/// The addresses of one subnet. IPv4's network and broadcast addresses and IPv6's subnet-router anycast address are
/// reserved, except in subnets of one or two addresses (RFC 3021, RFC 6164).
#[derive(Clone, Debug)]
pub struct Addresses {
    subnet: IpNet,
    /// First and last number that [`Self::take`] hands out; nothing when the range is outside of the subnet.
    range: Option<(u128, u128)>,
    used: Spans,
    last_taken: Option<u128>,
}

impl Addresses {
    /// `range` limits what [`Self::take`] hands out to its intersection with `subnet`; an explicit claim may be
    /// anywhere in `subnet`.
    pub fn new(subnet: IpNet, range: Option<IpNet>) -> Self {
        let subnet = subnet.trunc();
        let range = match range {
            Some(range) if subnet.contains(&range) => Some(pools::bounds(&range)),
            Some(range) if range.contains(&subnet) => Some(pools::bounds(&subnet)),
            Some(_) => None,
            None => Some(pools::bounds(&subnet)),
        };
        let mut used = Spans::default();
        for reserved in reserved(&subnet).into_iter().flatten() {
            used.insert(reserved);
        }
        Self {
            subnet,
            range,
            used,
            last_taken: None,
        }
    }

    pub fn subnet(&self) -> IpNet {
        self.subnet
    }

    /// Lowest free address.
    pub fn take(&mut self) -> Result<IpAddr, Error> {
        let (first, last) = self.range.ok_or(Error::NoAddress)?;
        let free = self.used.first_gap(first, last).ok_or(Error::NoAddress)?;
        Ok(self.mark_taken(free))
    }

    /// Next after the last one that was taken, wrapping: a freed address rests as long as possible.
    pub fn take_serial(&mut self) -> Result<IpAddr, Error> {
        let (first, last) = self.range.ok_or(Error::NoAddress)?;
        let next = self.last_taken.and_then(|taken| taken.checked_add(1));
        let free = next
            .and_then(|next| self.used.first_gap(next, last))
            .or_else(|| self.used.first_gap(first, last))
            .ok_or(Error::NoAddress)?;
        Ok(self.mark_taken(free))
    }

    /// Takes this address, which may be outside of the range but not of the subnet.
    pub fn claim(&mut self, address: IpAddr) -> Result<(), Error> {
        if !self.subnet.contains(&address) {
            return Err(Error::OutOfRange);
        }
        match self.used.insert(pools::number(address)) {
            true => Ok(()),
            false => Err(Error::InUse),
        }
    }

    /// Gives an address back. Foreign, free and reserved addresses are ignored: giving back twice does no harm.
    pub fn release(&mut self, address: IpAddr) {
        let number = pools::number(address);
        if self.subnet.contains(&address) && !reserved(&self.subnet).contains(&Some(number)) {
            self.used.remove(number);
        }
    }

    /// Addresses in use, the reserved ones included.
    pub fn used(&self) -> u128 {
        self.used.count()
    }

    fn mark_taken(&mut self, number: u128) -> IpAddr {
        self.used.insert(number);
        self.last_taken = Some(number);
        pools::address(self.subnet.addr().is_ipv6(), number)
    }
}

fn reserved(subnet: &IpNet) -> [Option<u128>; 2] {
    let (first, last) = pools::bounds(subnet);
    if last - first < 2 {
        return [None, None];
    }
    [Some(first), subnet.addr().is_ipv4().then_some(last)]
}

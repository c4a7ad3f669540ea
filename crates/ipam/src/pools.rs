//! Subnets of one address space.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sha2::{Digest, Sha256};

use crate::Error;

/// A default pool and the prefix length of the subnets that are cut from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultPool {
    pub base: IpNet,
    pub size: u8,
}

impl DefaultPool {
    /// What `--default-address-pool base=…,size=…` says, checked.
    pub fn new(base: IpNet, size: u8) -> Result<Self, Error> {
        if size < base.prefix_len() || size > base.max_prefix_len() {
            return Err(Error::PoolSize(size));
        }
        Ok(Self { base, size })
    }

    /// Docker's pool for the networks of a swarm: `10.0.0.0/8` in `/24`s.
    pub fn swarm() -> Self {
        v4(10, 0, 8, 24)
    }

    /// A host's unique local addresses (RFC 4193): `/64`s of the `/48` that Docker derives from the host's id.
    pub fn unique_local(host_id: &str) -> Self {
        let hash = Sha256::digest(host_id.as_bytes());
        let global_id = hash[..8]
            .iter()
            .fold(0u64, |n, byte| n << 8 | u64::from(*byte))
            & 0xff_ffff_ffff;
        let bits = 0xfd << 120 | u128::from(global_id) << 80;
        Self {
            base: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), 48)),
            size: 64,
        }
    }
}

fn v4(a: u8, b: u8, prefix: u8, size: u8) -> DefaultPool {
    DefaultPool {
        base: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix)),
        size,
    }
}

/// Subnets handed out of default pools or claimed by name, without overlap.
#[derive(Clone, Debug)]
pub struct Pools {
    defaults: Vec<DefaultPool>,
    /// Family and first address to the subnet; since none overlap, neighbours in this order are all that can.
    claimed: BTreeMap<(bool, u128), IpNet>,
}

impl Pools {
    /// A pool that [`DefaultPool::new`] would refuse yields no subnet.
    pub fn new(defaults: Vec<DefaultPool>) -> Self {
        Self {
            defaults,
            claimed: BTreeMap::new(),
        }
    }

    /// Docker's node-local default pools, in its order (libnetwork/ipamutils/utils.go). IPv6 has none of its own:
    /// see [`DefaultPool::unique_local`].
    pub fn local() -> Self {
        Self::new(vec![
            v4(172, 17, 16, 16),
            v4(172, 18, 16, 16),
            v4(172, 19, 16, 16),
            v4(172, 20, 14, 16),
            v4(172, 24, 14, 16),
            v4(172, 28, 14, 16),
            v4(192, 168, 16, 20),
        ])
    }

    /// Another default pool, behind the others.
    pub fn add_default(&mut self, pool: DefaultPool) {
        self.defaults.push(pool);
    }

    /// The next free subnet of the defaults that overlaps neither a claimed one nor `avoid`.
    pub fn take_default(&mut self, v6: bool, avoid: &[IpNet]) -> Result<IpNet, Error> {
        let taken = |subnet: &IpNet| {
            self.overlapping(subnet)
                .or_else(|| avoid.iter().copied().find(|a| overlap(a, subnet)))
        };
        let free = self
            .defaults
            .iter()
            .filter(|pool| pool.base.addr().is_ipv6() == v6)
            .find_map(|pool| first_free(pool, taken))
            .ok_or(Error::NoPool)?;
        self.claim(free)?;
        Ok(free)
    }

    /// Claims `subnet`, or fails with [`Error::Overlap`]: [`Self::overlapping`] tells with what.
    pub fn claim(&mut self, subnet: IpNet) -> Result<(), Error> {
        if self.overlapping(&subnet).is_some() {
            return Err(Error::Overlap);
        }
        self.claimed.insert(key(&subnet), subnet.trunc());
        Ok(())
    }

    /// Gives back exactly this subnet; one that was never claimed is ignored.
    pub fn release(&mut self, subnet: &IpNet) {
        if self.claimed.get(&key(subnet)) == Some(&subnet.trunc()) {
            self.claimed.remove(&key(subnet));
        }
    }

    /// A claimed subnet that shares an address with `subnet`.
    pub fn overlapping(&self, subnet: &IpNet) -> Option<IpNet> {
        let (_, last) = bounds(subnet);
        let up_to_its_end = ..=(subnet.addr().is_ipv6(), last);
        let (_, nearest) = self.claimed.range(up_to_its_end).next_back()?;
        overlap(nearest, subnet).then_some(*nearest)
    }
}

/// The first subnet of `pool` that is not taken; each try behind a taken one starts after that one's end.
fn first_free(pool: &DefaultPool, taken: impl Fn(&IpNet) -> Option<IpNet>) -> Option<IpNet> {
    DefaultPool::new(pool.base, pool.size).ok()?;
    let (mut at, last) = bounds(&pool.base);
    while at <= last {
        let subnet = IpNet::new(address(pool.base.addr().is_ipv6(), at), pool.size).ok()?;
        match taken(&subnet) {
            None => return Some(subnet),
            // Whichever of the two is larger: nets are aligned, so what follows its end is a boundary of ours.
            Some(other) => at = bounds(&other).1.max(bounds(&subnet).1).checked_add(1)?,
        }
    }
    None
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

fn key(subnet: &IpNet) -> (bool, u128) {
    (subnet.addr().is_ipv6(), bounds(subnet).0)
}

/// First and last address of a net as numbers.
pub(crate) fn bounds(net: &IpNet) -> (u128, u128) {
    (number(net.network()), number(net.broadcast()))
}

pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

pub(crate) fn address(v6: bool, number: u128) -> IpAddr {
    match v6 {
        true => IpAddr::V6(Ipv6Addr::from_bits(number)),
        // Numbers of an IPv4 net come from one and fit.
        false => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
    }
}

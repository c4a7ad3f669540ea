//! Balancing at connect time: a program on the containers' cgroup turns a service's address into a backend's when a socket
//! connects, or sends its first datagram.
//!
//! ```text
//!   connect(service) ──► program on the cgroup ──► connect(backend)        nothing to do for any packet
//!                          │ maps: subnets of a namespace ─► network
//!                          │       network, service       ─► its backends
//!                          └       socket, backend        ─► service, for who asks whom it speaks to
//! ```
//! So a connection has no state outside its socket: no translation, no table, no time limit, and it outlives any change of
//! the backends. Programs and maps stay with the cgroup; a daemon that comes back finds them there.

mod program;
mod sys;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use ipnet::Ipv4Net;

use program::{Form, Maps, STICKY, back, forward};
use sys::{Map, Shape};

const HASH: u32 = 1;
const LRU_HASH: u32 = 9;
const LPM_TRIE: u32 = 11;
/// Memory as entries come.
const NO_PREALLOC: u32 = 1;

const fn shape(kind: u32, key: u32, value: u32, entries: u32) -> Shape {
    let flags = if kind == LRU_HASH { 0 } else { NO_PREALLOC };
    Shape {
        kind,
        key,
        value,
        entries,
        flags,
    }
}

const SUBNETS: (&str, Shape) = ("pontoon_subnets", shape(LPM_TRIE, 16, 4, 1 << 16));
const SERVICES: (&str, Shape) = ("pontoon_service", shape(HASH, 12, 4, 1 << 14));
const BACKENDS: (&str, Shape) = ("pontoon_backend", shape(HASH, 12, 4, 1 << 17));
/// Only as long as a socket lives is its entry of use: the least recently used go.
const PEERS: (&str, Shape) = ("pontoon_peers", shape(LRU_HASH, 12, 4, 1 << 14));

const FORWARD: &str = "pontoon_forward";
const BACK: &str = "pontoon_back";

/// Hooks by number (`enum bpf_attach_type`), how they see addresses, and which program they run.
const HOOKS: [(u32, Form, &str); 8] = [
    (10, Form::Plain, FORWARD),  // connect
    (14, Form::Plain, FORWARD),  // sendmsg
    (19, Form::Plain, BACK),     // recvmsg
    (29, Form::Plain, BACK),     // getpeername
    (11, Form::Mapped, FORWARD), // the same on sockets of both families
    (15, Form::Mapped, FORWARD),
    (20, Form::Mapped, BACK),
    (30, Form::Mapped, BACK),
];

pub struct Balancer {
    group: OwnedFd,
    subnets: Map,
    services: Map,
    backends: Map,
    peers: Map,
}

/// A namespace's number for the kernel's programs.
pub type Cookie = u64;

impl Balancer {
    /// On a group of the unified hierarchy, which is made when it is not there.
    pub fn start(group: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(group)?;
        let group: OwnedFd = std::fs::File::open(group)?.into();
        let former = ours(&group)?;
        let mut found = BTreeMap::new();
        for program in former.values() {
            found.extend(sys::maps(program)?);
        }
        let mut map = |(name, shape): (&str, Shape)| match found.remove(name) {
            Some((there, map)) if there == shape => Ok(map),
            _ => Map::create(shape, name),
        };
        let (subnets, services, backends, peers) =
            (map(SUBNETS)?, map(SERVICES)?, map(BACKENDS)?, map(PEERS)?);
        let balancer = Self {
            group,
            subnets,
            services,
            backends,
            peers,
        };
        balancer.attach(&former)?;
        Ok(balancer)
    }

    /// On every hook, in the place of those that are there.
    fn attach(&self, former: &BTreeMap<u32, OwnedFd>) -> io::Result<()> {
        let maps = Maps {
            subnets: self.subnets.fd.as_raw_fd(),
            services: self.services.fd.as_raw_fd(),
            backends: self.backends.fd.as_raw_fd(),
            peers: self.peers.fd.as_raw_fd(),
        };
        for (hook, form, name) in HOOKS {
            let body = if name == FORWARD { forward } else { back };
            let program = sys::load(&body(&maps, form), hook, name)?;
            sys::attach(&self.group, &program, hook, former.get(&hook))?;
        }
        Ok(())
    }

    /// Whether every hook still runs our program.
    pub fn is_whole(&self) -> bool {
        ours(&self.group).is_ok_and(|there| there.len() == HOOKS.len())
    }

    pub fn mend(&self) -> io::Result<()> {
        self.attach(&ours(&self.group)?)
    }

    pub fn set_subnet(&self, of: Cookie, subnet: Ipv4Net, network: u32) -> io::Result<()> {
        self.subnets
            .set(&subnet_key(of, subnet), &network.to_ne_bytes())
    }

    pub fn remove_subnet(&self, of: Cookie, subnet: Ipv4Net) -> io::Result<()> {
        self.subnets.remove(&subnet_key(of, subnet))
    }

    /// Whoever connects meanwhile gets one of the old or one of the new.
    pub fn set_service(
        &self,
        network: u32,
        address: Ipv4Addr,
        backends: &BTreeSet<Ipv4Addr>,
        sticky: bool,
    ) -> io::Result<()> {
        let service = service_key(network, address, 0);
        let count = |value: Vec<u8>| value.try_into().map(u32::from_ne_bytes).unwrap_or(0);
        let before = self.services.get(&service)?.map_or(0, count) & !STICKY;
        let (places, flag) = match sticky {
            true => (places(backends), STICKY),
            false => (backends.iter().copied().collect(), 0),
        };
        for (i, backend) in (0..).zip(&places) {
            self.backends
                .set(&service_key(network, address, i), &backend.octets())?;
        }
        let now = places.len() as u32;
        match now {
            0 => self.services.remove(&service)?,
            _ => self.services.set(&service, &(now | flag).to_ne_bytes())?,
        }
        for i in now..before {
            self.backends.remove(&service_key(network, address, i))?;
        }
        Ok(())
    }

    /// Removes what is not among these; returns how many there were.
    pub fn retain(
        &self,
        subnets: &BTreeSet<(Cookie, Ipv4Net)>,
        services: &BTreeSet<(u32, Ipv4Addr)>,
    ) -> io::Result<usize> {
        let mut removed = 0;
        let wanted: BTreeSet<_> = subnets.iter().map(|(c, s)| subnet_key(*c, *s)).collect();
        for key in self.subnets.keys()? {
            if !wanted.iter().any(|w| w[..] == key[..]) {
                self.subnets.remove(&key)?;
                removed += 1;
            }
        }
        for key in self.services.keys()? {
            let (Some(network), Some(address)) = (word(&key, 0), word(&key, 4)) else {
                continue;
            };
            let (network, address) = (u32::from_ne_bytes(network), Ipv4Addr::from(address));
            if !services.contains(&(network, address)) {
                self.set_service(network, address, &BTreeSet::new(), false)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Of a sticky service. A namespace keeps its place, and a place its backend as long as that is there: each goes to the
/// backend that fits it best (rendezvous hashing), so a change moves only what has to move.
fn places(backends: &BTreeSet<Ipv4Addr>) -> Vec<Ipv4Addr> {
    const PLACES: u32 = 64;
    if backends.is_empty() {
        return Vec::new();
    }
    let fit = |place: u32, b: &Ipv4Addr| mixed(u64::from(place) << 32 | u64::from(u32::from(*b)));
    let best = |place| backends.iter().max_by_key(|b| fit(place, b)).copied();
    (0..PLACES).filter_map(best).collect()
}

/// Every bit counts (the finalizer of splitmix64); the same in each version, or an upgrade would move everybody.
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Our programs on a group, by hook.
fn ours(group: &OwnedFd) -> io::Result<BTreeMap<u32, OwnedFd>> {
    let mut found = BTreeMap::new();
    for (hook, _, name) in HOOKS {
        for program in sys::attached(group, hook)? {
            if sys::name(&program)? == name {
                found.insert(hook, program);
            }
        }
    }
    Ok(found)
}

fn word(key: &[u8], at: usize) -> Option<[u8; 4]> {
    key.get(at..at + 4)?.try_into().ok()
}

/// Prefix length (namespace and network part), namespace, address.
fn subnet_key(of: Cookie, subnet: Ipv4Net) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&(64 + u32::from(subnet.prefix_len())).to_ne_bytes());
    key[4..12].copy_from_slice(&of.to_ne_bytes());
    key[12..].copy_from_slice(&subnet.network().octets());
    key
}

fn service_key(network: u32, address: Ipv4Addr, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&network.to_ne_bytes());
    key[4..8].copy_from_slice(&address.octets());
    key[8..].copy_from_slice(&index.to_ne_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_backends_moves_only_its_places() {
        let all: BTreeSet<Ipv4Addr> = (1..=4).map(|i| Ipv4Addr::new(10, 0, 0, i)).collect();
        let gone = Ipv4Addr::new(10, 0, 0, 3);
        let without = all.iter().copied().filter(|b| *b != gone).collect();
        let (before, after) = (places(&all), places(&without));
        for (old, new) in before.iter().zip(&after) {
            assert!(old == new || *old == gone, "{old} became {new}");
        }
        for backend in &all {
            let share = before.iter().filter(|b| *b == backend).count();
            assert!((8..=24).contains(&share), "{backend} has {share} of 64");
        }
        assert!(places(&BTreeSet::new()).is_empty());
    }
}

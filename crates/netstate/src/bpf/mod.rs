//! Balancing at connect time: a program on the containers' cgroup turns a service's address into a backend's when a socket
//! connects, or sends its first datagram.
//!
//! ```text
//!   connect(service) ──► program on the cgroup ──► connect(backend)        nothing to do for any packet
//!                          │ maps: subnets of a namespace ─► network
//!                          │       network, service       ─► its backends
//!                          │       socket, backend        ─► service, for who asks whom it speaks to
//!                          └       socket ─► backend ─► its connections from here, where the fewest decide
//! ```
//! Addresses are sixteen bytes everywhere: one of IPv4 is mapped into IPv6, as sockets of both families see it anyway.
//!
//! So a connection has no state outside its socket: no translation, no table, no time limit, and it outlives any change of
//! the backends. Programs and maps stay with the cgroup; a daemon that comes back finds them there.

mod program;
mod sys;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use ipnet::IpNet;

use crate::{Choice, places};

use program::{FEWEST, Form, Maps, STICKY, back, forward, release};
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

const SUBNETS: (&str, Shape) = ("pontoon_subnets", shape(LPM_TRIE, 28, 4, 1 << 16));
const SERVICES: (&str, Shape) = ("pontoon_service", shape(HASH, 24, 4, 1 << 14));
const BACKENDS: (&str, Shape) = ("pontoon_backend", shape(HASH, 24, 16, 1 << 17));
/// Only as long as a socket lives is its entry of use: the least recently used go.
const PEERS: (&str, Shape) = ("pontoon_peers", shape(LRU_HASH, 24, 16, 1 << 14));

/// Sockets of services that count connections, and how many each backend has.
const OPEN: (&str, Shape) = ("pontoon_open", shape(HASH, 8, 20, 1 << 17));
const LOAD: (&str, Shape) = ("pontoon_load", shape(HASH, 20, 4, 1 << 16));

const FORWARD: &str = "pontoon_forward";
const BACK: &str = "pontoon_back";
const RELEASE: &str = "pontoon_release";

/// Hooks by number (`enum bpf_attach_type`), how they see addresses, and which program they run.
const HOOKS: [(u32, Form, &str); 9] = [
    (CONNECT[0], Form::Plain, FORWARD), // connect
    (14, Form::Plain, FORWARD),         // sendmsg
    (19, Form::Plain, BACK),            // recvmsg
    (29, Form::Plain, BACK),            // getpeername
    (CONNECT[1], Form::Wide, FORWARD),  // the same on sockets of IPv6
    (15, Form::Wide, FORWARD),
    (20, Form::Wide, BACK),
    (30, Form::Wide, BACK),
    (sys::RELEASE_HOOK, Form::Plain, RELEASE),
];
const CONNECT: [u32; 2] = [10, 11];

pub struct Balancer {
    group: OwnedFd,
    subnets: Map,
    services: Map,
    backends: Map,
    peers: Map,
    open: Map,
    load: Map,
}

/// Of a sticky service: a namespace keeps to one of them.
const PLACES: u32 = 64;

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
        let balancer = Self {
            group,
            subnets: map(SUBNETS)?,
            services: map(SERVICES)?,
            backends: map(BACKENDS)?,
            peers: map(PEERS)?,
            open: map(OPEN)?,
            load: map(LOAD)?,
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
            open: self.open.fd.as_raw_fd(),
            load: self.load.fd.as_raw_fd(),
        };
        for (hook, form, name) in HOOKS {
            let body = match name {
                FORWARD => forward(&maps, form, CONNECT.contains(&hook)),
                BACK => back(&maps, form),
                _ => release(&maps),
            };
            let program = sys::load(&body, hook, name)?;
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

    pub fn set_subnet(&self, of: Cookie, subnet: IpNet, network: u32) -> io::Result<()> {
        self.subnets
            .set(&subnet_key(of, subnet), &network.to_ne_bytes())
    }

    pub fn remove_subnet(&self, of: Cookie, subnet: IpNet) -> io::Result<()> {
        self.subnets.remove(&subnet_key(of, subnet))
    }

    /// Whoever connects meanwhile gets one of the old or one of the new.
    pub fn set_service(
        &self,
        network: u32,
        address: IpAddr,
        backends: &BTreeSet<IpAddr>,
        choice: Choice,
    ) -> io::Result<()> {
        let service = service_key(network, address, 0);
        let count = |value: Vec<u8>| value.try_into().map(u32::from_ne_bytes).unwrap_or(0);
        let former = self.services.get(&service)?.map_or(0, count);
        let before = former & !(STICKY | FEWEST);
        let all = || backends.iter().copied().collect();
        let (places, flag) = match choice {
            Choice::Any => (all(), 0),
            Choice::Sticky => (places(backends, PLACES), STICKY),
            Choice::Fewest => (all(), FEWEST),
        };
        let mut gone = BTreeSet::new();
        if former & FEWEST != 0 {
            for i in 0..before {
                let there = self.backends.get(&service_key(network, address, i))?;
                let there = there.and_then(|b| address_of(&b));
                gone.extend(there.filter(|b| !backends.contains(b)));
            }
        }
        for (i, backend) in (0..).zip(&places) {
            self.backends
                .set(&service_key(network, address, i), &wide(*backend))?;
        }
        let now = places.len() as u32;
        match now {
            0 => self.services.remove(&service)?,
            _ => self.services.set(&service, &(now | flag).to_ne_bytes())?,
        }
        for i in now..before {
            self.backends.remove(&service_key(network, address, i))?;
        }
        for backend in gone {
            let key = [&network.to_ne_bytes()[..], &wide(backend)].concat();
            self.load.remove(&key)?;
        }
        Ok(())
    }

    /// Removes what is not among these; returns how many there were.
    pub fn retain(
        &self,
        subnets: &BTreeSet<(Cookie, IpNet)>,
        services: &BTreeSet<(u32, IpAddr)>,
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
            let Some((network, address)) = service_of(&key) else {
                continue;
            };
            if !services.contains(&(network, address)) {
                self.set_service(network, address, &BTreeSet::new(), Choice::Any)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
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

fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Prefix length (namespace and network part), namespace, address.
fn subnet_key(of: Cookie, subnet: IpNet) -> [u8; 28] {
    let mapped = 128 - u32::from(subnet.max_prefix_len());
    let mut key = [0; 28];
    key[..4].copy_from_slice(&(64 + mapped + u32::from(subnet.prefix_len())).to_ne_bytes());
    key[4..12].copy_from_slice(&of.to_ne_bytes());
    key[12..].copy_from_slice(&wide(subnet.network()));
    key
}

/// Network, address, number of the backend; under 0 how many there are.
fn service_key(network: u32, address: IpAddr, index: u32) -> [u8; 24] {
    let mut key = [0; 24];
    key[..4].copy_from_slice(&network.to_ne_bytes());
    key[4..20].copy_from_slice(&wide(address));
    key[20..].copy_from_slice(&index.to_ne_bytes());
    key
}

fn service_of(key: &[u8]) -> Option<(u32, IpAddr)> {
    let network = key.get(..4)?.try_into().ok()?;
    Some((u32::from_ne_bytes(network), address_of(key.get(4..20)?)?))
}

fn address_of(wide: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = wide.try_into().ok()?;
    Some(Ipv6Addr::from(octets).to_canonical())
}

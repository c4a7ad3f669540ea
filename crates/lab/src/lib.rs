//! Hosts made of network namespaces: for the tests, the demo and the benchmarks.
//!
//! ```text
//!   h1 eth0      h2 eth0            h3 eth0        outside eth0
//!      │            │                  │               │
//!  ┌───┴────────────┴───┐        ┌─────┴─────┐   ┌─────┴────┐
//!  │ seg1 198.18.1.0/24 │        │ seg2      │   │ seg0     │   one namespace: the switch
//!  └─────────┬──────────┘        └─────┬─────┘   └─────┬────┘
//!            └─────────────── router ──┴───────────────┘
//! ```
//!
//! Every box is a namespace of its own and no link or address is ever made outside of them, so nothing sends beyond
//! the lab. Addresses are of the range for benchmarks (RFC 2544), which neither Docker's pools nor a swarm's use.
//! A host runs its own daemon, Pontoon or Docker, with its own data, socket and cgroups, and is driven by the stock
//! `docker` CLI. [`Lab::partition`] and [`Lab::loss`] act in the switch: a host's own link stays up.
//!
//! A lab is a directory below [`ROOT`]. What a test made goes away with the [`Lab`], also on a panic; what a killed
//! test left is swept by the next; a named lab stays until [`Lab::down`]. The lab runs the `ip` and `nft` programs: it
//! is the measure of our own kernel code and must not depend on it.
//!
//! It knows nothing of networks inside the hosts, and it does not delay packets: the kernel at hand has no netem.
#![forbid(unsafe_code)]

mod cgroup;
mod cleanup;
mod daemon;
mod host;
mod image;
mod mounts;
mod process;
mod run;
mod state;
mod underlay;

pub use cleanup::{leftovers, sweep};
pub use host::Host;
pub use image::busybox_tar;
pub use run::Output;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use state::State;

/// Where labs live.
pub const ROOT: &str = "/run/pontoon-lab";

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    state: State,
    /// It ends with this value.
    owned: bool,
}

impl Lab {
    /// A lab of this process: `hosts_per_segment` `[2, 1]` makes h1 and h2 on segment 1 and h3 on segment 2.
    pub fn new(hosts_per_segment: &[usize]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep();
        let pid = std::process::id();
        let name = format!("t{pid}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self::build(
            State::new(&name, hosts_per_segment, process::Id::of(pid))?,
            true,
        )
    }

    /// A lab that outlives this process.
    pub fn up(name: &str, hosts_per_segment: &[usize]) -> Result<Self> {
        Self::build(State::new(name, hosts_per_segment, None)?, false)
    }

    fn build(state: State, owned: bool) -> Result<Self> {
        if state::names().contains(&state.name) {
            bail!("lab {} is up already: take it down first", state.name);
        }
        let mut lab = Self { state, owned };
        let built = lab.state.save().and_then(|()| underlay::build(&lab.state));
        if let Err(error) = built {
            lab.owned = true;
            return Err(error.context(format!("cannot build lab {}", lab.state.name)));
        }
        Ok(lab)
    }

    /// A lab that is up. It does not end with the value that this returns.
    pub fn open(name: &str) -> Result<Self> {
        let state = State::load(name).with_context(|| format!("no lab {name} is up"))?;
        Ok(Self {
            state,
            owned: false,
        })
    }

    /// Names of the labs that are up.
    pub fn list() -> Vec<String> {
        state::names()
    }

    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Names of the hosts, h1 first.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let mut hosts: Vec<_> = self.state.hosts.iter().collect();
        hosts.sort_by_key(|(_, host)| host.addr);
        hosts.into_iter().map(|(name, _)| name.as_str())
    }

    /// One of [`Self::hosts`], or `outside`: a client beyond the router that runs no daemon.
    pub fn host(&self, name: &str) -> Result<Host> {
        let addr = self.state.address(name)?;
        Ok(Host::new(&self.state.name, name, addr))
    }

    /// Cuts these hosts off from all the others and from outside; among themselves they still talk. Several
    /// partitions add up.
    pub fn partition(&mut self, hosts: &[&str]) -> Result<()> {
        for host in hosts {
            self.state.address(host)?;
        }
        let cut = hosts.iter().map(ToString::to_string).collect();
        self.state.cuts.push(cut);
        self.apply()
    }

    /// The router passes on no longer packets than these, and tells senders so.
    pub fn narrow(&mut self, mtu: u32) -> Result<()> {
        self.state.router_mtu = Some(mtu);
        self.apply()
    }

    /// Longer packets to and from the host are lost, and nobody is told; those of TCP get through.
    pub fn swallow(&mut self, host: &str, longer_than: u32) -> Result<()> {
        self.state.address(host)?;
        self.state.swallowed.insert(host.to_string(), longer_than);
        self.apply()
    }

    /// Ends all partitions and losses, and paths are wide again.
    pub fn heal(&mut self) -> Result<()> {
        self.state.cuts.clear();
        self.state.loss.clear();
        self.state.router_mtu = None;
        self.state.swallowed.clear();
        self.apply()
    }

    /// Loses that many percent of the packets to and from the host, at random; 0 ends it.
    pub fn loss(&mut self, host: &str, percent: u8) -> Result<()> {
        self.state.address(host)?;
        self.state.loss.insert(host.to_string(), percent.min(100));
        self.apply()
    }

    fn apply(&self) -> Result<()> {
        underlay::apply_faults(&self.state)?;
        underlay::apply_router_mtu(&self.state)?;
        self.state.save()
    }

    /// Takes the lab down and returns what could not be removed.
    pub fn down(mut self) -> Vec<String> {
        self.owned = true;
        let name = self.state.name.clone();
        drop(self);
        leftovers(&name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.owned {
            cleanup::down(&self.state.name);
        }
    }
}

fn dir(lab: &str) -> PathBuf {
    Path::new(ROOT).join(lab)
}

/// The bind mount of a namespace.
fn netns(lab: &str, name: &str) -> PathBuf {
    dir(lab).join("netns").join(name)
}

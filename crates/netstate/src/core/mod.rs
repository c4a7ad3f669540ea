//! The thread that owns the kernel sockets: it does the jobs, listens for foreign changes, heals and audits.

mod heal;
mod notice;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::apply::{Kernel, Mode, Outcome};
use crate::bpf::Balancer;
use crate::desired::{Change, Desired};
use crate::error::no_devices;
use crate::netlink::{Monitor, Protocol};
use crate::netns::Spaces;
use crate::nf::view::View;
use crate::rt::link;
use crate::{Config, Error, Flows, Ns, Owned, Stats, flows};

/// Jobs in a row, so that a flood of them does not keep foreign changes waiting.
const JOBS: usize = 64;
const AUDIT_EVERY: Duration = Duration::from_secs(30);

/// Multicast groups: link, neighbour, IPv4 addresses, routes and rules, IPv6 addresses and routes, nexthops.
const ROUTE_GROUPS: u32 =
    1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18 | 1 << 31;
/// `NFNLGRP_NFTABLES`
const NFTABLES_GROUP: u32 = 1 << 6;

/// Who waits for a `set`.
type Asker = oneshot::Sender<Result<(), Error>>;

pub enum Job {
    Set(Vec<Owned>, Asker),
    Run(Box<dyn FnOnce(&mut Core) + Send>),
    Stop,
}

#[derive(Debug, Default)]
pub struct Counters {
    pub rows: AtomicU64,
    pub applied: AtomicU64,
    pub healed: AtomicU64,
    pub failed: AtomicU64,
}

impl Counters {
    pub fn stats(&self) -> Stats {
        Stats {
            rows: self.rows.load(Ordering::Relaxed),
            applied: self.applied.load(Ordering::Relaxed),
            healed: self.healed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

/// What in a namespace may no longer be as it was left.
#[derive(Debug, Default)]
struct Dirty {
    /// Links that told something of themselves, as they also do when we change them: a look at each shows whether more
    /// is needed.
    links: BTreeSet<String>,
    rt: bool,
    nft: bool,
    /// Look for tables of a former run as well.
    unknown_tables: bool,
}

impl Dirty {
    fn all() -> Self {
        Dirty {
            rt: true,
            nft: true,
            ..Dirty::default()
        }
    }

    fn everything() -> Self {
        Dirty {
            unknown_tables: true,
            ..Dirty::all()
        }
    }
}

pub struct Core {
    kernel: Kernel,
    desired: Desired,
    counters: Arc<Counters>,
    /// Not everything has been declared yet: what nobody wants may still be wanted.
    adopting: bool,
    rt_monitor: Monitor,
    nft_monitor: Monitor,
    dirty: BTreeMap<Ns, Dirty>,
    /// When the first of the dirty ones became so.
    dirty_since: Option<Instant>,
    healed_at: BTreeMap<Ns, Instant>,
    /// Nothing is healed before this.
    held_until: Instant,
}

/// Without it services are reached by routes alone.
fn balancer(group: &Path) -> Option<Balancer> {
    match Balancer::start(group) {
        Ok(balancer) => Some(balancer),
        Err(error) => {
            tracing::info!(%error, group = %group.display(), "no balancing at connect time here");
            None
        }
    }
}

impl Core {
    pub fn new(config: &Config, counters: Arc<Counters>) -> Result<Self, Error> {
        let listen = |protocol, groups| {
            Monitor::open(protocol, groups).map_err(|e| {
                Error::new("cannot listen for changes of the kernel's network state", e)
            })
        };
        Ok(Core {
            kernel: Kernel {
                spaces: Spaces::new(config.netns_dir.clone())?,
                view: View::default(),
                mark: config.mark.clone(),
                balancer: config.cgroup.as_deref().and_then(balancer),
                names: BTreeMap::new(),
            },
            desired: Desired::default(),
            counters,
            adopting: true,
            rt_monitor: listen(Protocol::Route, ROUTE_GROUPS)?,
            nft_monitor: listen(Protocol::Netfilter, NFTABLES_GROUP)?,
            dirty: BTreeMap::new(),
            dirty_since: None,
            healed_at: BTreeMap::new(),
            held_until: Instant::now(),
        })
    }

    pub fn balances(&self) -> bool {
        self.kernel.balancer.is_some()
    }

    pub fn steers(&mut self) -> bool {
        let steers = self.kernel.try_egress();
        if let Err(error) = &steers {
            tracing::info!(%error, "no chains on the egress of links here (Linux 5.16 and later have them)");
        }
        steers.is_ok()
    }

    /// Until `Job::Stop`. `wake` is written to with every job.
    pub fn run(mut self, jobs: &mpsc::Receiver<Job>, wake: &OwnedFd) {
        let mut next_audit = Instant::now() + AUDIT_EVERY;
        let mut more = false;
        loop {
            let now = Instant::now();
            let audit = next_audit.max(self.held_until);
            let due = self.heal_due().map_or(audit, |due| due.min(audit));
            let idle = due.saturating_duration_since(now);
            self.wait(wake, if more { Duration::ZERO } else { idle });
            more = true;
            let mut sets = Vec::new();
            for _ in 0..JOBS {
                match jobs.try_recv() {
                    Ok(Job::Set(owners, done)) => sets.push((owners, done)),
                    Ok(Job::Run(job)) => {
                        self.set_all(std::mem::take(&mut sets));
                        job(&mut self);
                    }
                    Ok(Job::Stop) | Err(mpsc::TryRecvError::Disconnected) => {
                        return self.set_all(sets);
                    }
                    Err(mpsc::TryRecvError::Empty) => {
                        more = false;
                        break;
                    }
                }
            }
            self.set_all(sets);
            self.listen();
            let now = Instant::now();
            if self.heal_due().is_some_and(|due| due <= now) {
                self.heal_dirty(now);
            }
            if now >= next_audit.max(self.held_until) {
                self.audit();
                next_audit = Instant::now() + AUDIT_EVERY;
            }
        }
    }

    pub fn hold(&mut self, time: Duration) {
        self.held_until = Instant::now() + time;
    }

    fn wait(&self, wake: &OwnedFd, timeout: Duration) {
        let mut fds = [
            PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.rt_monitor.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.nft_monitor.as_fd(), PollFlags::IN),
        ];
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        // An interrupted wait is a short one.
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
        let mut count = [0; 8];
        let _ = rustix::io::read(wake, &mut count);
    }

    /// What was asked for while we were busy goes as one: the kernel's waits are shared. When one of them fails, each is
    /// tried for itself.
    fn set_all(&mut self, mut sets: Vec<(Vec<Owned>, Asker)>) {
        if sets.len() > 1 {
            let all = sets.iter().flat_map(|(owners, _)| owners.clone()).collect();
            if self.set(all).is_ok() {
                for (_, done) in sets.drain(..) {
                    let _ = done.send(Ok(()));
                }
            }
        }
        for (owners, done) in sets {
            let result = self.set(owners);
            if result.is_err() {
                count(&self.counters.failed, 1);
            }
            let _ = done.send(result);
        }
    }

    /// Whether one of these links is in the host's namespace; an error when the kernel has no links of that kind.
    pub fn has_parent(&mut self, kind: &str, links: &[String]) -> Result<bool, Error> {
        let rt = &mut self.kernel.spaces.get(&Ns::Host)?.rt;
        if let Err(nack) = rt.request(link::probe(kind))
            && nack.errno == Errno::OPNOTSUPP
        {
            let what = format!("cannot make links of type {kind}");
            return Err(Error::new(what, no_devices(kind)));
        }
        let names: Vec<&str> = links.iter().map(String::as_str).collect();
        let found = self.kernel.look(&Ns::Host, &names)?;
        Ok(found.iter().any(Option::is_some))
    }

    pub fn forget(&mut self, ns: &Ns, flows: &[Flows]) -> Result<usize, Error> {
        let what = "cannot forget connections";
        let space = self.kernel.spaces.get(ns)?;
        let socket = space.nft().map_err(|e| Error::new(what, e))?;
        flows::forget(socket, flows).map_err(|nack| Error::new(what, nack.errno))
    }

    fn set(&mut self, owners: Vec<Owned>) -> Result<(), Error> {
        let (changes, undo) = self.desired.set(owners);
        let total = changes.len();
        let mut out = self.kernel.apply(changes, &self.desired, Mode::Strict);
        let Some(error) = out.errors.pop() else {
            count(&self.counters.applied, total);
            let rows = self.desired.len() as u64;
            self.counters.rows.store(rows, Ordering::Relaxed);
            self.mend_quietly(&out);
            return Ok(());
        };
        self.desired.undo(undo);
        let done = std::mem::take(&mut out.done);
        let back = done.into_iter().rev().map(Change::reversed).collect();
        let undone = self.kernel.apply(back, &self.desired, Mode::Lenient);
        for error in &undone.errors {
            tracing::warn!(%error, "could not take back a change");
        }
        self.mend_quietly(&out);
        self.mend_quietly(&undone);
        Err(error)
    }

    fn mend_quietly(&mut self, out: &Outcome) {
        for error in self.mend(out).1 {
            tracing::warn!(%error, "could not put back what was on a link that was made anew");
        }
    }
}

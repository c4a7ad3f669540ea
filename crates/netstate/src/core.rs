//! The thread that owns the kernel sockets: it does the jobs, listens for foreign changes, heals and audits.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::apply::{Kernel, Mode, Outcome};
use crate::desired::{Change, Desired};
use crate::key::{Item, Key};
use crate::netlink::{Monitor, Protocol, wire};
use crate::netns::Spaces;
use crate::nf::diff::Fix;
use crate::nf::plan::Work;
use crate::nf::{self, view::View};
use crate::observe;
use crate::rt::{entry, link};
use crate::{Config, Error, Ns, Owned, Row, Stats};

/// Changes come in bursts: how long to wait for the rest.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Between two healings of one namespace, so that a fight with another program does not take a whole core.
const PATIENCE: Duration = Duration::from_millis(200);
const AUDIT_EVERY: Duration = Duration::from_secs(30);

/// Multicast groups: link, neighbour, IPv4 and IPv6 addresses and routes.
const ROUTE_GROUPS: u32 = 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10;
/// `NFNLGRP_NFTABLES`
const NFTABLES_GROUP: u32 = 1 << 6;

pub enum Job {
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
}

impl Dirty {
    fn rt() -> Self {
        Dirty {
            rt: true,
            ..Dirty::default()
        }
    }

    fn all() -> Self {
        Dirty {
            nft: true,
            ..Dirty::rt()
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
        })
    }

    /// Until `Job::Stop`. `wake` is written to with every job.
    pub fn run(mut self, jobs: &mpsc::Receiver<Job>, wake: &OwnedFd) {
        let mut next_audit = Instant::now() + AUDIT_EVERY;
        loop {
            let now = Instant::now();
            let due = self
                .heal_due()
                .map_or(next_audit, |due| due.min(next_audit));
            self.wait(wake, due.saturating_duration_since(now));
            loop {
                match jobs.try_recv() {
                    Ok(Job::Run(job)) => job(&mut self),
                    Ok(Job::Stop) | Err(mpsc::TryRecvError::Disconnected) => return,
                    Err(mpsc::TryRecvError::Empty) => break,
                }
            }
            self.listen();
            let now = Instant::now();
            if self.heal_due().is_some_and(|due| due <= now) {
                self.heal_dirty(now);
            }
            if now >= next_audit {
                self.audit();
                next_audit = Instant::now() + AUDIT_EVERY;
            }
        }
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

    pub fn set(&mut self, owners: Vec<Owned>) -> Result<(), Error> {
        let (changes, undo) = self.desired.set(owners);
        let total = changes.len();
        let mut out = self.kernel.apply(changes, &self.desired, Mode::Strict);
        let result = match out.errors.pop() {
            None => {
                count(&self.counters.applied, total);
                self.mend_shaken(&out);
                Ok(())
            }
            Some(error) => {
                count(&self.counters.failed, 1);
                self.desired.undo(undo);
                let back = out.done.into_iter().rev().map(Change::reversed).collect();
                let undone = self.kernel.apply(back, &self.desired, Mode::Lenient);
                for error in &undone.errors {
                    tracing::warn!(%error, "could not take back a change");
                }
                self.mend_shaken(&undone);
                Err(error)
            }
        };
        let rows = self.desired.len() as u64;
        self.counters.rows.store(rows, Ordering::Relaxed);
        result
    }

    /// A link that was made anew has lost what was on it.
    fn mend_shaken(&mut self, out: &Outcome) {
        for ns in &out.shaken {
            self.reconcile(ns, Dirty::rt());
        }
    }

    /// Everything, now.
    pub fn audit(&mut self) -> Vec<String> {
        let mut words = self.missing_namespaces();
        for ns in self.desired.namespaces() {
            words.extend(self.reconcile(&ns, Dirty::all()));
        }
        words
    }

    /// Puts back names of namespaces that somebody removed.
    fn missing_namespaces(&mut self) -> Vec<String> {
        let mut changes = Vec::new();
        for ns in self.desired.namespaces() {
            if let Ns::Named(name) = &ns
                && self.desired.has_netns(&ns)
                && !self.kernel.spaces.exists(name)
            {
                let row = Row::Netns(ns.clone());
                changes.push((
                    format!("{row} was missing"),
                    Change {
                        key: row.key(),
                        old: None,
                        new: Some(row),
                    },
                ));
            }
        }
        self.heal(changes, BTreeMap::new(), Vec::new())
    }

    /// From now on what carries our mark and nobody wants is removed. Returns how many such things there were.
    pub fn collect(&mut self) -> usize {
        self.adopting = false;
        let mut leftover = Vec::new();
        let mut namespaces = self.desired.namespaces();
        namespaces.insert(Ns::Host);
        for name in self.kernel.spaces.names() {
            let ns = Ns::Named(name);
            if namespaces.contains(&ns) {
                continue;
            }
            // Its devices first: the kernel ends a namespace in its own time, and a VXLAN device keeps its id till then.
            if self.kernel.spaces.get(&ns).is_ok() {
                namespaces.insert(ns.clone());
            }
            let row = Row::Netns(ns);
            leftover.push((
                format!("{row} was not wanted"),
                Change {
                    key: row.key(),
                    old: Some(row),
                    new: None,
                },
            ));
        }
        let mut removed = 0;
        for ns in namespaces {
            removed += self.reconcile(&ns, Dirty::all()).len();
        }
        removed + self.heal(leftover, BTreeMap::new(), Vec::new()).len()
    }

    /// Compares a namespace with what is wanted in it and mends the differences.
    fn reconcile(&mut self, ns: &Ns, mut dirty: Dirty) -> Vec<String> {
        let sweep = !self.adopting;
        let (mut drifts, mut tables, mut words) = (Vec::new(), BTreeMap::new(), Vec::new());
        if !dirty.rt && !dirty.links.is_empty() {
            dirty.rt = self.kernel.links_drifted(ns, &self.desired, &dirty.links);
        }
        if dirty.rt {
            match self.kernel.observe(ns, &self.desired, sweep) {
                Ok(seen) => {
                    let mark = &self.kernel.mark;
                    drifts = observe::diff(ns, &self.desired, &seen, mark, sweep);
                }
                Err(error) => {
                    count(&self.counters.failed, 1);
                    tracing::warn!(netns = %ns, %error, "cannot compare a namespace with what is wanted");
                    return vec![error.to_string()];
                }
            }
        }
        if dirty.nft {
            let mut work = Work::default();
            for (text, fix) in self.table_drifts(ns, sweep) {
                words.push(text);
                match fix {
                    Fix::Row(change) => work.changes.push(*change),
                    Fix::Rebuild(table) => drop(work.rebuild.insert(table)),
                    Fix::Reflow(table, chain) => drop(work.reflow.insert((table, chain))),
                }
            }
            if !work.is_empty() {
                tables.insert(ns.clone(), work);
            }
        }
        self.heal(drifts, tables, words)
    }

    fn table_drifts(&mut self, ns: &Ns, sweep: bool) -> Vec<(String, Fix)> {
        let mut tables: BTreeSet<_> = self
            .desired
            .in_ns(ns)
            .filter_map(|(key, _)| key.table())
            .collect();
        if sweep && self.may_have_tables(ns) {
            tables.extend(self.marked_tables(ns));
        }
        let mut found = Vec::new();
        for table in tables {
            match self.kernel.read_table(&table) {
                Ok(seen) => {
                    let drifts = nf::diff::diff(&table, &self.desired, seen.as_ref(), sweep);
                    // What was just read is the truth, whatever we remembered.
                    let none = BTreeSet::new();
                    let view = &mut self.kernel.view;
                    view.load(&table, seen, &self.desired, &none);
                    found.extend(drifts);
                }
                Err(error) => {
                    count(&self.counters.failed, 1);
                    tracing::warn!(netns = %ns, %error, "cannot compare a table with what is wanted");
                }
            }
        }
        found
    }

    /// Namespaces where we never wrote rules need no look, except once after a start.
    fn may_have_tables(&self, ns: &Ns) -> bool {
        self.kernel.spaces.opened(ns).is_some()
    }

    /// Tables whose name begins with our mark.
    fn marked_tables(&mut self, ns: &Ns) -> Vec<crate::nft::Table> {
        let mark = self.kernel.mark.clone();
        let socket = self.kernel.spaces.get(ns).map(|space| space.nft());
        let Ok(Ok(socket)) = socket else {
            return Vec::new();
        };
        let mut tables = nf::read::tables(socket, ns).unwrap_or_default();
        tables.retain(|table| table.name.starts_with(&mark));
        tables
    }

    fn heal(
        &mut self,
        drifts: Vec<observe::Drift>,
        tables: BTreeMap<Ns, Work>,
        mut words: Vec<String>,
    ) -> Vec<String> {
        let mut changes = Vec::new();
        for (text, change) in drifts {
            words.push(text);
            changes.push(change);
        }
        if words.is_empty() {
            return words;
        }
        let out = self
            .kernel
            .apply_work(changes, tables, &self.desired, Mode::Lenient);
        for text in &words {
            tracing::info!("healed: {text}");
        }
        for error in &out.errors {
            tracing::warn!(%error, "could not heal");
        }
        count(&self.counters.failed, out.errors.len());
        count(
            &self.counters.healed,
            words.len().saturating_sub(out.errors.len()),
        );
        // What was on a link that had to be made anew: one more look, which finds no link to make anew.
        for ns in out.shaken.clone() {
            let ns_words = self.again(&ns);
            words.extend(ns_words);
        }
        words.extend(out.errors.iter().map(ToString::to_string));
        words
    }

    fn again(&mut self, ns: &Ns) -> Vec<String> {
        let sweep = !self.adopting;
        let Ok(seen) = self.kernel.observe(ns, &self.desired, sweep) else {
            return Vec::new();
        };
        let drifts = observe::diff(ns, &self.desired, &seen, &self.kernel.mark, sweep);
        let (words, changes): (Vec<String>, Vec<Change>) = drifts.into_iter().unzip();
        let out = self.kernel.apply(changes, &self.desired, Mode::Lenient);
        for error in &out.errors {
            tracing::warn!(%error, "could not heal");
        }
        count(&self.counters.failed, out.errors.len());
        count(
            &self.counters.healed,
            words.len().saturating_sub(out.errors.len()),
        );
        words
    }

    // --- foreign changes ---

    /// Notes where something changed that is wanted otherwise. Events are a hint only; what is true is looked up later.
    fn listen(&mut self) {
        let Core {
            kernel,
            desired,
            rt_monitor,
            nft_monitor,
            dirty,
            ..
        } = self;
        let lost_rt = rt_monitor.drain(|(id, datagram)| {
            let Some(ns) = kernel.spaces.by_id(id) else {
                return;
            };
            for raw in wire::messages(datagram) {
                notice(kernel, desired, &ns, raw, dirty);
            }
        });
        let lost_nft = nft_monitor.drain(|(id, datagram)| {
            let Some(ns) = kernel.spaces.by_id(id) else {
                return;
            };
            for raw in wire::messages(datagram) {
                let own = kernel
                    .spaces
                    .opened(&ns)
                    .is_some_and(|s| s.is_nft_port(raw.port));
                let table = nf::read::notification(raw.kind, raw.body, &ns).filter(|_| !own);
                let wanted = |t: &crate::nft::Table| {
                    desired
                        .get(&Key::nft(t, crate::key::NftItem::Table))
                        .is_some()
                };
                if table.is_some_and(|t| wanted(&t)) {
                    dirty.entry(ns.clone()).or_default().nft = true;
                }
            }
        });
        if lost_rt.is_err() || lost_nft.is_err() {
            tracing::debug!("notifications were lost: comparing everything");
            for ns in self.desired.namespaces() {
                self.dirty.insert(ns, Dirty::all());
            }
        }
        if !self.dirty.is_empty() && self.dirty_since.is_none() {
            self.dirty_since = Some(Instant::now());
        }
    }

    fn heal_due(&self) -> Option<Instant> {
        let since = self.dirty_since?;
        let patience = |ns: &Ns| self.healed_at.get(ns).map_or(since, |at| *at + PATIENCE);
        let due = self.dirty.keys().map(patience).min()?;
        Some(due.max(since + DEBOUNCE))
    }

    fn heal_dirty(&mut self, now: Instant) {
        self.healed_at
            .retain(|_, at| now.duration_since(*at) < PATIENCE);
        let ready: Vec<Ns> = self
            .dirty
            .keys()
            .filter(|ns| !self.healed_at.contains_key(ns))
            .cloned()
            .collect();
        for ns in ready {
            if let Some(dirty) = self.dirty.remove(&ns)
                && !self.reconcile(&ns, dirty).is_empty()
            {
                self.healed_at.insert(ns, Instant::now());
            }
        }
        self.dirty_since = (!self.dirty.is_empty()).then_some(now);
    }
}

/// Notes a notification that tells of something wanted which now is, or may be, not as wanted.
fn notice(
    kernel: &mut Kernel,
    desired: &Desired,
    ns: &Ns,
    raw: wire::Raw<'_>,
    dirty: &mut BTreeMap<Ns, Dirty>,
) {
    if matches!(raw.kind, link::RTM_NEWLINK | link::RTM_DELLINK) {
        let Some(seen) = link::parse(raw.body) else {
            return;
        };
        let names = kernel.names.entry(ns.clone()).or_default();
        // Under the name that we knew it by, and under the one that it has now.
        let former = match raw.kind {
            link::RTM_DELLINK => names.remove(&seen.index),
            _ => names.get(&seen.index).cloned(),
        };
        for name in [Some(seen.name), former].into_iter().flatten() {
            let key = Key {
                ns: ns.clone(),
                item: Item::Link(name.clone()),
            };
            if desired.get(&key).is_some() || desired.link_of_peer(ns, &name).is_some() {
                dirty.entry(ns.clone()).or_default().links.insert(name);
            }
        }
        return;
    }
    let names = kernel.names.get(ns);
    let Some(seen) = names.and_then(|names| entry::parse(raw.kind, raw.body, ns, names)) else {
        return;
    };
    let gone = matches!(
        raw.kind,
        entry::RTM_DELADDR | entry::RTM_DELROUTE | entry::RTM_DELNEIGH
    );
    let wanted = desired.get(&seen.row.key());
    if wanted.is_some_and(|row| gone || !seen.whole || !entry::same(row, &seen.row)) {
        dirty.entry(ns.clone()).or_default().rt = true;
    }
}

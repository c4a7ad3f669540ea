//! Comparing with the kernel and putting right what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::{Core, Dirty, count};
use crate::apply::{Mode, Outcome};
use crate::bpf::Balancer;
use crate::desired::Change;
use crate::nf::diff::Fix;
use crate::nf::plan::Work;
use crate::nft::Table;
use crate::observe::{self, Drift};
use crate::{Comparison, Difference, Error, Ns, Row, nf};

/// What a look at a namespace found.
#[derive(Default)]
struct Look {
    drifts: Vec<Drift>,
    tables: Vec<(String, Fix)>,
    errors: Vec<Error>,
}

impl Difference {
    fn of((text, change): Drift) -> Option<Self> {
        let row = change.new.or(change.old)?;
        Some(Self { row, text })
    }
}

impl Core {
    /// A link that was made anew has lost what was on it: puts that back. Says what it was.
    pub(super) fn mend(&mut self, out: &Outcome) -> (Vec<String>, Vec<Error>) {
        let sweep = !self.adopting;
        let (mut words, mut errors) = (Vec::new(), Vec::new());
        for ns in &out.shaken {
            match self.kernel.observe(ns, &self.desired, sweep) {
                Ok(seen) => {
                    let mark = &self.kernel.mark;
                    let drifts = observe::diff(ns, &self.desired, &seen, mark, sweep);
                    let (text, changes): (Vec<String>, Vec<Change>) = drifts.into_iter().unzip();
                    let out = self.kernel.apply(changes, &self.desired, Mode::Lenient);
                    words.extend(text);
                    errors.extend(out.errors);
                }
                Err(error) => errors.push(error),
            }
        }
        (words, errors)
    }

    /// Everything, now.
    pub fn audit(&mut self) -> Vec<String> {
        let missing = self.missing_namespaces();
        let mut words = self.heal(missing, BTreeMap::new(), Vec::new());
        words.extend(self.missing_programs());
        for ns in self.desired.namespaces() {
            words.extend(self.reconcile(&ns, Dirty::all()));
        }
        words
    }

    /// Puts our programs back on the containers' cgroup.
    fn missing_programs(&mut self) -> Option<String> {
        let mended = self.broken_programs()?.mend();
        match mended {
            Ok(()) => {
                tracing::info!("healed: programs of the containers' cgroup were missing");
                count(&self.counters.healed, 1);
            }
            Err(error) => {
                tracing::warn!(%error, "programs of the containers' cgroup are missing");
                count(&self.counters.failed, 1);
            }
        }
        Some("programs of the containers' cgroup were missing".into())
    }

    fn broken_programs(&self) -> Option<&Balancer> {
        self.kernel.balancer.as_ref().filter(|b| !b.is_whole())
    }

    /// The same, without putting anything right.
    pub fn compare(&mut self) -> Comparison {
        let mut differences: Vec<Difference> = Vec::new();
        let drifts = self.missing_namespaces();
        differences.extend(drifts.into_iter().filter_map(Difference::of));
        differences.extend(self.broken_programs().map(|_| Difference {
            row: Row::Netns(Ns::Host),
            text: "programs of the containers' cgroup were missing".into(),
        }));
        for ns in self.desired.namespaces() {
            let look = self.look(&ns, &Dirty::all());
            differences.extend(look.drifts.into_iter().filter_map(Difference::of));
            differences.extend(look.tables.into_iter().filter_map(|(text, fix)| match fix {
                Fix::Row(change) => Difference::of((text, *change)),
                Fix::Rebuild(table) | Fix::Reflow(table, _) => {
                    let row = Row::NftTable(table);
                    Some(Difference { row, text })
                }
            }));
            differences.extend(look.errors.into_iter().map(|error| Difference {
                row: Row::Netns(ns.clone()),
                text: error.to_string(),
            }));
        }
        Comparison {
            stats: self.counters.stats(),
            held: self.held_until.saturating_duration_since(Instant::now()),
            differences,
        }
    }

    /// Names of namespaces that somebody removed.
    fn missing_namespaces(&mut self) -> Vec<Drift> {
        let mut drifts = Vec::new();
        for ns in self.desired.namespaces() {
            if let Ns::Named(name) = &ns
                && self.desired.has_netns(&ns)
                && !self.kernel.spaces.exists(name)
            {
                let row = Row::Netns(ns);
                let words = format!("{row} was missing");
                drifts.push((words, Change::to(None, row)));
            }
        }
        drifts
    }

    /// From now on what carries our mark and nobody wants is removed. Returns how many such things there were, and others
    /// that were put right on the way.
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
            let words = format!("{row} was not wanted");
            leftover.push((words, Change::away(row)));
        }
        let mut removed = 0;
        for ns in namespaces {
            removed += self.reconcile(&ns, Dirty::everything()).len();
        }
        removed += self.heal(leftover, BTreeMap::new(), Vec::new()).len();
        match self.kernel.sweep_balancer(&self.desired) {
            Ok(swept) => removed + swept,
            Err(error) => {
                tracing::warn!(%error, "services of a former run are left in the kernel");
                removed
            }
        }
    }

    /// Compares a namespace with what is wanted in it and mends the differences.
    pub(super) fn reconcile(&mut self, ns: &Ns, mut dirty: Dirty) -> Vec<String> {
        if !dirty.rt && !dirty.links.is_empty() {
            dirty.rt = self.kernel.links_drifted(ns, &self.desired, &dirty.links);
        }
        let look = self.look(ns, &dirty);
        let (mut tables, mut words) = (BTreeMap::new(), Vec::new());
        let mut work = Work::default();
        for (text, fix) in look.tables {
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
        let mut words = self.heal(look.drifts, tables, words);
        for error in look.errors {
            count(&self.counters.failed, 1);
            tracing::warn!(netns = %ns, %error, "cannot compare a namespace with what is wanted");
            words.push(error.to_string());
        }
        words
    }

    /// What differs in a namespace.
    fn look(&mut self, ns: &Ns, dirty: &Dirty) -> Look {
        let sweep = !self.adopting;
        let mut look = Look::default();
        if dirty.rt {
            match self.kernel.observe(ns, &self.desired, sweep) {
                Ok(seen) => {
                    let mark = &self.kernel.mark;
                    look.drifts = observe::diff(ns, &self.desired, &seen, mark, sweep);
                }
                Err(error) => look.errors.push(error),
            }
        }
        if dirty.nft {
            self.table_drifts(ns, dirty.unknown_tables, &mut look);
        }
        look
    }

    /// `unknown`: also tables of ours that nobody has declared.
    fn table_drifts(&mut self, ns: &Ns, unknown: bool, look: &mut Look) {
        let sweep = !self.adopting;
        let keys = self.desired.in_ns(ns);
        let mut tables: BTreeSet<Table> = keys.filter_map(|(key, _)| key.table()).collect();
        if unknown {
            tables.extend(self.marked_tables(ns));
        }
        for table in tables {
            match self.kernel.read_table(&table) {
                Ok(seen) => {
                    let drifts = nf::diff::diff(&table, &self.desired, seen.as_ref(), sweep);
                    // What was just read is the truth, whatever we remembered.
                    let none = BTreeSet::new();
                    let view = &mut self.kernel.view;
                    view.load(&table, seen, &self.desired, &none);
                    look.tables.extend(drifts);
                }
                Err(error) => look.errors.push(error),
            }
        }
    }

    /// Tables whose name begins with our mark.
    fn marked_tables(&mut self, ns: &Ns) -> Vec<Table> {
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
        drifts: Vec<Drift>,
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
        let (again, mut errors) = self.mend(&out);
        words.extend(again);
        errors.extend(out.errors);
        for error in &errors {
            tracing::warn!(%error, "could not heal");
        }
        let failed = errors.len();
        count(&self.counters.failed, failed);
        count(&self.counters.healed, words.len().saturating_sub(failed));
        words.extend(errors.iter().map(ToString::to_string));
        words
    }
}

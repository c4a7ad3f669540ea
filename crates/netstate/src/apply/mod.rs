//! From changed rows to a changed kernel.
//!
//! Order: entries and links go, namespaces come, nftables changes (each namespace's in one transaction), then links,
//! chains on links, sysctls, entries and services come, namespaces go. So rules stand before the traffic that they are for can flow.

mod balance;
mod entries;
mod links;
mod paths;
mod sysctl;
mod taken;

use std::collections::{BTreeMap, BTreeSet};

use rustix::io::Errno;

use crate::bpf::Balancer;
use crate::desired::{Change, Desired};
use crate::key::{Item, Key};
use crate::netlink::Nack;
use crate::netlink::wire::Msg;
use crate::netns::Spaces;
use crate::nf::object;
use crate::nf::plan::{self, Plan, Work};
use crate::nf::read;
use crate::nf::view::View;
use crate::nft::{Base, BaseKind, Chain, Family, Hook, Table};
use crate::rt::link;
use crate::{Error, Ns, Row};

pub use paths::forget_paths;
pub use sysctl::read_all as read_sysctls;

/// Everything that we hold of the kernel.
pub struct Kernel {
    pub spaces: Spaces,
    pub view: View,
    pub mark: String,
    pub balancer: Option<Balancer>,
    /// Names of links by index, of those that we have dealt with: notifications carry the index only.
    pub names: BTreeMap<Ns, BTreeMap<u32, String>>,
}

/// What an apply did and did not.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In the order of doing. Rows that were there already are not among them.
    pub done: Vec<Change>,
    pub errors: Vec<Error>,
    /// Namespaces where a link was made anew, so that what was on it is gone.
    pub shaken: BTreeSet<Ns>,
}

/// Whether to stop at the first error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Strict,
    Lenient,
}

impl Kernel {
    /// Makes the changes. With `Mode::Strict` what was done before the error is in `Outcome::done`.
    pub fn apply(&mut self, changes: Vec<Change>, desired: &Desired, mode: Mode) -> Outcome {
        let mut work: BTreeMap<Ns, Work> = BTreeMap::new();
        let mut rest = Vec::new();
        for change in changes {
            match change.key.item {
                Item::Nft(..) => {
                    let of_ns = work.entry(change.key.ns.clone()).or_default();
                    of_ns.changes.push(change);
                }
                _ => rest.push(change),
            }
        }
        self.apply_work(rest, work, desired, mode)
    }

    /// The same with nftables work already sorted out.
    pub fn apply_work(
        &mut self,
        changes: Vec<Change>,
        work: BTreeMap<Ns, Work>,
        desired: &Desired,
        mode: Mode,
    ) -> Outcome {
        let mut run = Run {
            kernel: self,
            desired,
            mode,
            out: Outcome::default(),
        };
        if let Err(error) = run.all(changes, work) {
            run.out.errors.push(error);
        }
        run.out
    }

    /// The links of these names, by the kernel's own description.
    pub fn look(&mut self, ns: &Ns, names: &[&str]) -> Result<Vec<Option<link::Seen>>, Error> {
        let space = self.spaces.get(ns)?;
        let messages = names.iter().map(|name| link::get(name)).collect();
        let answers = space.rt.batch(messages);
        let mut found = Vec::with_capacity(names.len());
        for (name, answer) in names.iter().zip(answers) {
            found.push(match answer {
                Ok(Some((_, body))) => link::parse(&body),
                Ok(None) => None,
                Err(nack) if nack.errno == Errno::NODEV => None,
                Err(nack) => {
                    return Err(Error::new(
                        format!("cannot look at link {name}"),
                        nack.errno,
                    ));
                }
            });
        }
        let known = self.names.entry(ns.clone()).or_default();
        for seen in found.iter().flatten() {
            known.insert(seen.index, seen.name.clone());
        }
        Ok(found)
    }

    /// Carries out nftables work in one transaction. When it fails (somebody else changed the tables), the tables are
    /// made anew, again in one transaction. Returns the rows that were there already.
    fn transact(
        &mut self,
        ns: &Ns,
        work: &mut Work,
        desired: &Desired,
    ) -> Result<BTreeSet<Key>, Error> {
        let adding: BTreeSet<&Key> = work.changes.iter().map(|c| &c.key).collect();
        for table in work.tables() {
            if !self.view.knows(&table) {
                let seen = self.read_table(&table)?;
                self.view.load(&table, seen, desired, &adding);
            }
        }
        let plan = plan::plan(work, desired, &self.view, &self.mark)?;
        let adopted = match self.commit(ns, plan)? {
            Ok(adopted) => adopted,
            Err(_) => {
                work.rebuild = work.tables();
                let plan = plan::plan(work, desired, &self.view, &self.mark)?;
                match self.commit(ns, plan)? {
                    Ok(adopted) => adopted,
                    Err((row, nack)) => {
                        let table = work.tables().into_iter().next();
                        let row = row
                            .or(table.map(Row::NftTable))
                            .unwrap_or_else(|| Row::Netns(ns.clone()));
                        return Err(Error::refused("apply", &row, &nack));
                    }
                }
            }
        };
        for change in &work.changes {
            self.view.claim(&change.key);
        }
        Ok(adopted)
    }

    /// Makes a chain on a link's egress and takes it back, in one transaction.
    pub fn try_egress(&mut self) -> Result<(), Error> {
        let what = "cannot make a chain on the egress of lo";
        let table = Table {
            ns: Ns::Host,
            family: Family::Netdev,
            name: format!("{}-probe", self.mark),
        };
        let chain = Chain {
            table: table.clone(),
            name: "out".into(),
            base: Some(Base {
                kind: BaseKind::Filter,
                hook: Hook::Egress,
                priority: 0,
                drop_by_default: false,
                device: Some("lo".into()),
            }),
        };
        let messages = object::transaction([
            object::add_table(&table),
            object::add_chain(&chain),
            object::delete_table(&table),
        ]);
        let space = self.spaces.get(&Ns::Host)?;
        let socket = space.nft().map_err(|e| Error::new(what, e))?;
        match socket.transact(&messages) {
            Ok(_) => Ok(()),
            Err((_, nack)) => Err(Error::new(what, nack.errno)),
        }
    }

    pub fn read_table(&mut self, table: &crate::nft::Table) -> Result<Option<read::Seen>, Error> {
        let failed = |e: std::io::Error| Error::new(format!("cannot read {table}"), e);
        let socket = self.spaces.get(&table.ns)?.nft().map_err(failed)?;
        read::table(socket, table).map_err(|nack| failed(nack.errno.into()))
    }

    #[expect(
        clippy::type_complexity,
        reason = "outer: no socket; inner: the kernel's refusal"
    )]
    fn commit(
        &mut self,
        ns: &Ns,
        plan: Plan,
    ) -> Result<Result<BTreeSet<Key>, (Option<Row>, Nack)>, Error> {
        let Plan {
            mut steps,
            adopted,
            rules,
        } = plan;
        if steps.is_empty() {
            return Ok(Ok(adopted));
        }
        let socket = self
            .spaces
            .get(ns)?
            .nft()
            .map_err(|e| Error::new(format!("cannot open nftables in netns {ns}"), e))?;
        let messages: Vec<Msg> = object::transaction(
            steps
                .iter_mut()
                .map(|s| std::mem::replace(&mut s.msg, Msg::new(0, 0, &[]))),
        );
        match socket.transact(&messages) {
            Ok(echoes) => {
                for step in &steps {
                    self.view.apply(&step.effect);
                }
                if self.view.learn(ns, &echoes) != rules {
                    // Handles were lost on the way: look at the tables again when they are next needed.
                    self.view.forget_ns(ns);
                }
                Ok(Ok(adopted))
            }
            Err((index, nack)) => {
                // The first message begins the batch.
                let row = index
                    .checked_sub(1)
                    .and_then(|i| steps.into_iter().nth(i))
                    .and_then(|step| step.row);
                Ok(Err((row, nack)))
            }
        }
    }
}

/// One apply under way.
struct Run<'a> {
    kernel: &'a mut Kernel,
    desired: &'a Desired,
    mode: Mode,
    out: Outcome,
}

impl Run<'_> {
    fn note(&mut self, error: Error) -> Result<(), Error> {
        match self.mode {
            Mode::Strict => Err(error),
            Mode::Lenient => {
                self.out.errors.push(error);
                Ok(())
            }
        }
    }

    fn all(&mut self, changes: Vec<Change>, mut work: BTreeMap<Ns, Work>) -> Result<(), Error> {
        let (gone, wanted): (Vec<Change>, Vec<Change>) =
            changes.into_iter().partition(|c| c.new.is_none());
        let dead: BTreeSet<Ns> = gone
            .iter()
            .filter(|c| c.key.item == Item::Netns)
            .map(|c| c.key.ns.clone())
            .collect();

        self.balance(&gone)?;
        self.delete_entries(&gone, &dead)?;
        self.delete_links(&gone)?;
        for change in wanted.iter().filter(|c| c.key.item == Item::Netns) {
            self.make_netns(change)?;
        }
        let mut of_link_chains = BTreeMap::new();
        for (ns, work) in &mut work {
            if !dead.contains(ns) {
                of_link_chains.insert(ns, work.split_of_links());
                self.nftables(ns, work)?;
            } else {
                // It goes with its namespace.
                self.out.done.append(&mut work.changes);
            }
        }
        let (of_links, plain): (Vec<&Change>, Vec<&Change>) = wanted
            .iter()
            .filter(|c| matches!(c.key.item, Item::Sysctl(_)))
            .partition(|c| sysctl::is_of_link(&c.key));
        self.write_sysctls(&plain)?;
        self.make_links(&wanted)?;
        for (ns, mut work) in of_link_chains {
            self.nftables(ns, &mut work)?;
        }
        self.write_sysctls(&of_links)?;
        self.make_entries(&wanted)?;
        self.balance(&wanted)?;
        for change in gone {
            if let (Item::Netns, Ns::Named(name)) = (&change.key.item, &change.key.ns) {
                let name = name.clone();
                self.kernel.view.forget_ns(&change.key.ns);
                self.kernel.names.remove(&change.key.ns);
                match self.kernel.spaces.remove(&name) {
                    Ok(()) => self.out.done.push(change),
                    Err(error) => self.note(error)?,
                }
            }
        }
        Ok(())
    }

    fn make_netns(&mut self, change: &Change) -> Result<(), Error> {
        let Ns::Named(name) = &change.key.ns else {
            return Ok(());
        };
        match self.kernel.spaces.ensure(name) {
            Ok(true) => self.out.done.push(change.clone()),
            Ok(false) => {}
            Err(error) => self.note(error)?,
        }
        Ok(())
    }

    fn nftables(&mut self, ns: &Ns, work: &mut Work) -> Result<(), Error> {
        if work.is_empty() {
            return Ok(());
        }
        match self.kernel.transact(ns, work, self.desired) {
            Ok(adopted) => {
                let changes = work.changes.drain(..);
                let done = changes.filter(|c| !adopted.contains(&c.key));
                self.out.done.extend(done);
                Ok(())
            }
            Err(error) => self.note(error),
        }
    }
}

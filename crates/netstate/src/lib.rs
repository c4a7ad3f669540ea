//! Desired kernel network state, kept true: rows in, kernel changes out.
//!
//! ```text
//!   owners ──rows──► Desired ──changes──► plan ──► one netlink batch, one nftables transaction per namespace
//!                       ▲                             │
//!                       │ compare, every 30 s and     ▼
//!                       └── when the kernel says ── kernel
//! ```
//!
//! Whoever wants something of the kernel says so in [`Row`]s under an owner's name, and says it again, whole, when it
//! changes. This crate makes the kernel so, keeps it so when others interfere, adopts what is there after a restart, and
//! removes what is left over. It is the only crate that speaks netlink or enters network namespaces.
//!
//! It decides nothing: no names, no addresses, no policy. It does not remove what it did not make: links carry an alias,
//! addresses, routes and neighbours a protocol number, rules a comment, tables a name, and named namespaces a directory
//! of their own. Two daemons on one host need two marks, neither of which begins with the other, and two directories.

mod apply;
mod bpf;
mod core;
mod desired;
mod error;
pub mod ethtool;
mod flows;
pub mod frame;
mod key;
mod netlink;
mod netns;
mod nf;
pub mod nft;
mod observe;
mod origins;
mod places;
mod row;
mod rt;
mod station;
mod text;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::event::EventfdFlags;
use tokio::sync::oneshot;

use crate::core::{Core, Counters, Job};
pub use apply::forget_paths;
pub use error::Error;
pub use flows::Flows;
pub use netns::move_into;
pub use origins::Origins;
pub use places::places;
pub use row::*;
pub use station::*;

/// Where this daemon keeps its named namespaces and how it marks what is its own.
#[derive(Clone, Debug)]
pub struct Config {
    /// `Ns::Named("x")` is the bind mount `netns_dir/x`. The directory is this daemon's alone.
    pub netns_dir: PathBuf,
    /// Alias of this daemon's links; its nftables tables have names that begin with it.
    pub mark: String,
    /// A group of the unified hierarchy that the containers' are below: where balancing at connect time takes place.
    pub cgroup: Option<PathBuf>,
}

/// A handle; all clones speak to the same thread, which ends with the last of them. What was made stays.
#[derive(Clone)]
pub struct NetState(Arc<Shared>);

struct Shared {
    jobs: mpsc::Sender<Job>,
    wake: Arc<OwnedFd>,
    counters: Arc<Counters>,
    balances: bool,
    steers: bool,
    /// The daemon's own namespace.
    host: OwnedFd,
    netns_dir: PathBuf,
}

/// The rows of one owner (`network/<id>`, `endpoint/<id>`, `peer/<net>/<endpoint>` …).
pub type Owned = (String, Vec<Row>);

impl NetState {
    /// The caller's network namespace becomes [`Ns::Host`]. Nothing in the kernel changes yet, apart from the directory of
    /// namespaces, which becomes a mount point.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let failed = |e: std::io::Error| Error::new("cannot start the kernel state keeper", e);
        let counters = Arc::new(Counters::default());
        let mut core = Core::new(&config, counters.clone())?;
        let (balances, steers) = (core.balances(), core.steers());
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| failed(e.into()))?;
        let wake = Arc::new(wake);
        let (jobs, queue) = mpsc::channel();
        let woken = wake.clone();
        std::thread::Builder::new()
            .name("netstate".into())
            .spawn(move || core.run(&queue, &woken))
            .map_err(failed)?;
        Ok(NetState(Arc::new(Shared {
            jobs,
            wake,
            counters,
            balances,
            steers,
            host: netns::current().map_err(failed)?,
            netns_dir: config.netns_dir,
        })))
    }

    /// Makes `rows` the whole of what `owner` wants and returns when the kernel has it. On failure the owner's former rows
    /// hold again.
    pub async fn set(&self, owner: &str, rows: Vec<Row>) -> Result<(), Error> {
        self.set_many(vec![(owner.to_owned(), rows)]).await
    }

    /// Several owners in one batch: all or nothing.
    pub async fn set_many(&self, owners: Vec<Owned>) -> Result<(), Error> {
        let (done, result) = oneshot::channel();
        self.send(Job::Set(owners, done))?;
        result.await.map_err(|_| stopped())?
    }

    /// `set` with no rows.
    pub async fn remove(&self, owner: &str) -> Result<(), Error> {
        self.set(owner, Vec::new()).await
    }

    /// After a restart, once every owner has declared its rows again: removes what carries our mark and nobody wants, and
    /// goes on doing so. Returns how many things it removed or put right.
    pub async fn collect(&self) -> Result<usize, Error> {
        self.call(Core::collect).await
    }

    /// Makes a namespace's connection tracking forget these, once. Returns how many there were.
    pub async fn forget(&self, ns: Ns, flows: Vec<Flows>) -> Result<usize, Error> {
        self.call(move |core| core.forget(&ns, &flows)).await?
    }

    /// Whether one of these links is in the host's namespace, to make links of that kind on; an error when the kernel has
    /// no such kind.
    pub async fn has_parent(&self, kind: &'static str, links: Vec<String>) -> Result<bool, Error> {
        self.call(move |core| core.has_parent(kind, &links)).await?
    }

    /// A path that leads to the namespace, for the OCI runtime.
    pub fn netns_path(&self, ns: &Ns) -> PathBuf {
        match ns {
            Ns::Host => format!("/proc/{}/ns/net", std::process::id()).into(),
            Ns::Named(name) => self.0.netns_dir.join(name),
        }
    }

    /// Runs `f` on a short-lived thread inside `ns`: to open a socket there. Waiting for it does not hold up the runtime.
    pub async fn run_in<T: Send + 'static>(
        &self,
        ns: &Ns,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let failed = |e: std::io::Error| Error::new(format!("cannot enter netns {ns}"), e);
        let fd = match ns {
            Ns::Host => self.0.host.try_clone().map_err(failed)?,
            Ns::Named(name) => {
                netns::open(&netns::checked(&self.0.netns_dir, name)?).map_err(failed)?
            }
        };
        let (done, result) = oneshot::channel();
        std::thread::Builder::new()
            .name("netns".into())
            .spawn(move || done.send(netns::within(fd.as_fd(), f)))
            .map_err(failed)?;
        let panicked = |_| Error::new(format!("a task in netns {ns}"), "panicked");
        result.await.map_err(panicked)?.map_err(failed)
    }

    /// Whether `Row::Client` and `Row::Service` can be had: it takes a group of the unified cgroup hierarchy and a kernel
    /// with cgroup programs.
    pub fn balances(&self) -> bool {
        self.0.balances
    }

    /// Whether chains on a link's egress can be had.
    pub fn steers(&self) -> bool {
        self.0.steers
    }

    /// Counters since start.
    pub fn stats(&self) -> Stats {
        self.0.counters.stats()
    }

    /// Compares everything with the kernel now; returns the differences that it found and healed, in words.
    pub async fn audit(&self) -> Result<Vec<String>, Error> {
        self.call(Core::audit).await
    }

    /// Compares everything with the kernel now and leaves it as it is.
    pub async fn compare(&self) -> Result<Comparison, Error> {
        self.call(Core::compare).await
    }

    /// Puts nothing right for so long, so that somebody can try something by hand; nought ends it. What owners ask for is
    /// still done, and afterwards everything is put right that happened meanwhile.
    pub async fn hold(&self, time: Duration) -> Result<(), Error> {
        self.call(move |core| core.hold(time)).await
    }

    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (done, result) = oneshot::channel();
        let job = Job::Run(Box::new(move |core| drop(done.send(job(core)))));
        self.send(job)?;
        result.await.map_err(|_| stopped())
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        self.0.jobs.send(job).map_err(|_| stopped())?;
        self.0.wake();
        Ok(())
    }
}

fn stopped() -> Error {
    Error::new("the kernel state keeper", "has stopped")
}

impl Shared {
    fn wake(&self) {
        // Fails only when the counter is full, and then the thread is awake anyway.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.jobs.send(Job::Stop);
        self.wake();
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Objects that are wanted now.
    pub rows: u64,
    /// Changes that owners asked for and got.
    pub applied: u64,
    /// Rows that somebody else had changed or removed, put right again.
    pub healed: u64,
    /// Rows that could not be made or put right.
    pub failed: u64,
}

/// Something in the kernel that is not as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is wanted; of what nobody wants, what is there. The table, where rules of a chain are missing or out of order.
    pub row: Row,
    pub text: String,
}

/// What is wanted against what is there, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub stats: Stats,
    /// How long healing is still held.
    pub held: Duration,
    pub differences: Vec<Difference>,
}

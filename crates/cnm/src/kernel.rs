//! The kernel as the controller sees it: a seam, so that everything above runs without root as well.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use engine_types::{Error, Result};
use netstate::{Comparison, Flows, NetState, Ns, Owned};

#[async_trait]
pub(crate) trait Kernel: Send + Sync + 'static {
    /// All or nothing.
    async fn set_many(&self, owners: Vec<Owned>) -> Result<(), netstate::Error>;
    /// Removes what carries our mark and no owner wants.
    async fn collect(&self) -> Result<usize, netstate::Error>;
    /// Ends connections of a namespace's connection tracking.
    async fn forget(&self, ns: Ns, flows: Vec<Flows>) -> Result<usize, netstate::Error>;
    /// Whether one of these links is on the host; an error when the kernel can make no links of that kind.
    async fn has_parent(
        &self,
        kind: &'static str,
        links: Vec<String>,
    ) -> Result<bool, netstate::Error>;
    /// Connections can be balanced when they are made.
    fn balances(&self) -> bool;
    /// Frames can be given another destination when they leave.
    fn steers(&self) -> bool;
    /// What differs, left as it is.
    async fn compare(&self) -> Result<Comparison, netstate::Error>;
    /// Puts nothing right for so long.
    async fn hold(&self, time: Duration) -> Result<(), netstate::Error>;
    fn netns_path(&self, ns: &Ns) -> PathBuf;
    /// Runs `job` on a thread inside `ns`.
    async fn enter(&self, ns: &Ns, job: Box<dyn FnOnce() + Send>) -> Result<(), netstate::Error>;
}

#[async_trait]
impl Kernel for NetState {
    async fn set_many(&self, owners: Vec<Owned>) -> Result<(), netstate::Error> {
        NetState::set_many(self, owners).await
    }
    async fn collect(&self) -> Result<usize, netstate::Error> {
        NetState::collect(self).await
    }
    async fn forget(&self, ns: Ns, flows: Vec<Flows>) -> Result<usize, netstate::Error> {
        NetState::forget(self, ns, flows).await
    }
    async fn has_parent(
        &self,
        kind: &'static str,
        links: Vec<String>,
    ) -> Result<bool, netstate::Error> {
        NetState::has_parent(self, kind, links).await
    }
    fn balances(&self) -> bool {
        NetState::balances(self)
    }
    fn steers(&self) -> bool {
        NetState::steers(self)
    }
    async fn compare(&self) -> Result<Comparison, netstate::Error> {
        NetState::compare(self).await
    }
    async fn hold(&self, time: Duration) -> Result<(), netstate::Error> {
        NetState::hold(self, time).await
    }
    fn netns_path(&self, ns: &Ns) -> PathBuf {
        NetState::netns_path(self, ns)
    }
    async fn enter(&self, ns: &Ns, job: Box<dyn FnOnce() + Send>) -> Result<(), netstate::Error> {
        self.run_in(ns, job).await
    }
}

/// What `f` returns when run inside `ns`.
pub(crate) async fn run_in<T: Send + 'static>(
    kernel: &dyn Kernel,
    ns: &Ns,
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (send, receive) = tokio::sync::oneshot::channel();
    let job = Box::new(move || drop(send.send(f())));
    kernel.enter(ns, job).await.map_err(Error::system)?;
    let lost = |_| Error::system("a job inside a network namespace ended without a result");
    receive.await.map_err(lost)
}

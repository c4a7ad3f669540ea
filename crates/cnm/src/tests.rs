//! The controller above a kernel that only remembers rows.

mod bridge;
mod crashes;
mod flows;
mod mesh;
mod model;
mod relay;
mod swarm;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine_types::network::{CreateOptions, IPAM, IPAMConfig};
use engine_types::{Error, ErrorKind, Result};
use netstate::{Ns, Owned, Row};
use tokio::sync::mpsc;

use crate::driver::{Capability, Driver, Gateway, Host, MeshPort, MeshRows, Registry, Service};
use crate::kernel::Kernel;
use crate::model::{Endpoint, Mapping, Network, Scope};
use crate::{Config, ConnectRequest, Controller, NetworkEvent, Peer, SandboxSpec};

/// Remembers what is wanted, and refuses when told to.
#[derive(Default)]
pub struct FakeKernel {
    pub owners: Mutex<BTreeMap<String, Vec<Row>>>,
    /// The so-many-th batch from now fails; 0 is never.
    pub fail_in: AtomicUsize,
    /// At the so-many-th step from now the daemon dies, before or after it has changed something; 0 is never.
    pub die_in: AtomicUsize,
    pub died: tokio::sync::Notify,
    pub batches: AtomicUsize,
    /// Owners, batch by batch.
    pub sent: Mutex<Vec<String>>,
    pub forgotten: Mutex<Vec<netstate::Flows>>,
    /// What a comparison finds.
    pub differences: Mutex<Vec<netstate::Difference>>,
}

#[async_trait]
impl Kernel for FakeKernel {
    async fn set_many(&self, owners: Vec<Owned>) -> Result<(), netstate::Error> {
        tokio::task::yield_now().await;
        self.step().await;
        self.batches.fetch_add(1, Ordering::SeqCst);
        let left = self.fail_in.load(Ordering::SeqCst);
        if left > 0 {
            self.fail_in.store(left - 1, Ordering::SeqCst);
            if left == 1 {
                return Err(netstate::Error("the kernel said no".into()));
            }
        }
        {
            let mut all = self.owners.lock().unwrap();
            for (owner, rows) in owners {
                self.sent.lock().unwrap().push(owner.clone());
                match rows.is_empty() {
                    true => all.remove(&owner),
                    false => all.insert(owner, rows),
                };
            }
        }
        self.step().await;
        Ok(())
    }
    async fn collect(&self) -> Result<usize, netstate::Error> {
        self.step().await;
        Ok(0)
    }
    async fn forget(&self, _ns: Ns, flows: Vec<netstate::Flows>) -> Result<usize, netstate::Error> {
        self.step().await;
        self.forgotten.lock().unwrap().extend(flows);
        Ok(0)
    }
    async fn has_parent(
        &self,
        _kind: &'static str,
        _links: Vec<String>,
    ) -> Result<bool, netstate::Error> {
        Ok(true)
    }
    fn balances(&self) -> bool {
        true
    }
    fn steers(&self) -> bool {
        true
    }
    async fn compare(&self) -> Result<netstate::Comparison, netstate::Error> {
        let differences = self.differences.lock().unwrap().clone();
        Ok(netstate::Comparison {
            differences,
            ..netstate::Comparison::default()
        })
    }
    async fn hold(&self, _time: std::time::Duration) -> Result<(), netstate::Error> {
        Ok(())
    }
    fn netns_path(&self, ns: &Ns) -> PathBuf {
        PathBuf::from(format!("/netns/{ns:?}"))
    }
    async fn enter(&self, _ns: &Ns, job: Box<dyn FnOnce() + Send>) -> Result<(), netstate::Error> {
        self.step().await;
        job();
        self.step().await;
        Ok(())
    }
}

impl FakeKernel {
    async fn step(&self) {
        let left = self.die_in.load(Ordering::SeqCst);
        self.die_in.store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }
    pub fn rows(&self, prefix: &str) -> Vec<String> {
        let all = self.owners.lock().unwrap();
        let of = all.iter().filter(|(owner, _)| owner.starts_with(prefix));
        of.flat_map(|(_, rows)| rows.iter().map(|r| format!("{r:?}")))
            .collect()
    }
    pub fn has(&self, text: &str) -> bool {
        self.rows("").iter().any(|row| row.contains(text))
    }
}

/// A driver whose rows are notes about what it was asked.
pub struct Noted(&'static str, Capability, Gateway);

fn note(text: String) -> Row {
    Row::Sysctl {
        ns: Ns::Host,
        key: text,
        value: String::new(),
    }
}

impl Driver for Noted {
    fn name(&self) -> &'static str {
        self.0
    }
    fn capability(&self) -> Capability {
        self.1
    }
    fn gateway(&self, _network: &Network) -> Gateway {
        self.2
    }
    fn validate(&self, network: &Network, _others: &[&Network]) -> Result<()> {
        match network.option("bad") {
            Some(value) => Err(Error::invalid(format!("bad option {value}"))),
            None => Ok(()),
        }
    }
    fn network_rows(&self, network: &Network, host: &Host) -> Vec<Row> {
        // As with the real ones, only tunnels depend on the node's address.
        let vtep = host.vtep.filter(|_| self.1.lazy);
        vec![note(format!("network {} vtep {vtep:?}", network.name))]
    }
    fn endpoint_rows(&self, network: &Network, endpoint: &Endpoint, _sandbox: &Ns) -> Vec<Row> {
        vec![note(format!(
            "{} {} {:?}",
            network.name, endpoint.ifname, endpoint.ipv4
        ))]
    }
    fn publish_rows(&self, _network: &Network, to: &Endpoint, ports: &[Mapping]) -> Vec<Row> {
        let rows = ports.iter().map(|p| {
            note(format!(
                "publish {}:{} to {:?}:{}",
                p.host_ip,
                p.host_port.unwrap_or_default(),
                to.ipv4,
                p.target
            ))
        });
        rows.collect()
    }
    fn service_rows(&self, network: &Network, service: &Service, _host: &Host) -> Vec<Row> {
        ASKED.set(ASKED.get() + 1);
        vec![note(format!(
            "service {} {}{} {:?}",
            network.name,
            service.address,
            match service.choice {
                netstate::Choice::Any => "",
                netstate::Choice::Sticky => " sticky",
                netstate::Choice::Fewest => " fewest",
            },
            service.backends
        ))]
    }
    fn mesh_rows(
        &self,
        network: &Network,
        port: &MeshPort,
        _outside: &Endpoint,
        _sandbox: &Ns,
    ) -> MeshRows {
        ASKED.set(ASKED.get() + 1);
        let of = port.backends.len();
        let text = format!("mesh {} {} {:?}", network.name, port.first, port.backends);
        MeshRows {
            own: vec![note(text)],
            shared: [(format!("any-{of}"), vec![note(format!("of {of}"))])].into(),
        }
    }
    fn peer_rows(&self, network: &Network, peer: &Peer, address: IpAddr) -> Vec<Row> {
        vec![note(format!(
            "peer {} {} via {}",
            network.name, address, peer.vtep
        ))]
    }
}

thread_local! {
    /// How often a driver was asked for the rows of a service.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

fn drivers() -> Vec<Arc<dyn Driver>> {
    let noted = |name, scope, addresses, gateway, lazy| -> Arc<dyn Driver> {
        let capability = Capability {
            scope,
            addresses,
            macs: addresses,
            spans: matches!(gateway, Gateway::Shared | Gateway::Router),
            lazy,
        };
        Arc::new(Noted(name, capability, gateway))
    };
    vec![
        noted("bridge", Scope::Local, true, Gateway::Own, false),
        noted("overlay", Scope::Swarm, true, Gateway::Shared, true),
        noted("macvlan", Scope::Local, true, Gateway::Router, false),
        noted("host", Scope::Local, false, Gateway::Nowhere, false),
        noted("null", Scope::Local, false, Gateway::Nowhere, false),
    ]
}

/// A controller in a folder of its own, restartable.
pub struct World {
    pub dir: tempfile::TempDir,
    pub kernel: Arc<FakeKernel>,
    pub controller: Controller,
    pub events: mpsc::UnboundedReceiver<NetworkEvent>,
}

impl World {
    pub async fn new() -> Self {
        let config = Config {
            default_binding: [127, 0, 0, 1].into(),
            ..Config::default()
        };
        Self::with(config).await
    }

    pub async fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Arc::new(FakeKernel::default());
        let (controller, events) = start(&dir, kernel.clone(), config).await;
        Self {
            dir,
            kernel,
            controller,
            events,
        }
    }

    /// A daemon that was killed: a new process, and a netstate that has yet to be told everything.
    pub async fn restart(self, alive: &[String]) -> Self {
        let config = self.controller.0.config.clone();
        let dir = self.kill().await;
        let kernel = Arc::new(FakeKernel::default());
        let (controller, events) = start(&dir, kernel.clone(), config).await;
        controller.restore(alive).await.unwrap();
        Self {
            dir,
            kernel,
            controller,
            events,
        }
    }

    /// The same, and the new process is killed as well when it has come to its `at`-th step.
    pub async fn restart_twice(self, alive: &[String], at: usize) -> Self {
        let config = self.controller.0.config.clone();
        let dir = self.kill().await;
        let kernel = Arc::new(FakeKernel::default());
        kernel.die_in.store(at, Ordering::SeqCst);
        let whole = async {
            let (controller, _) = start(&dir, kernel.clone(), config.clone()).await;
            controller.restore(alive).await.unwrap();
        };
        tokio::select! {
            () = whole => {}
            () = kernel.died.notified() => {}
        }
        let (controller, events) = start(&dir, Arc::default(), config).await;
        let world = Self {
            dir,
            kernel,
            controller,
            events,
        };
        world.restart(alive).await
    }

    async fn kill(self) -> tempfile::TempDir {
        let Self {
            dir, controller, ..
        } = self;
        drop(controller);
        // The refresh task holds the controller for a moment when it wakes.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        dir
    }

    pub fn spec(&self, name: &str) -> SandboxSpec {
        SandboxSpec {
            container_id: container_id(name),
            container_name: format!("/{name}"),
            hostname: format!("host-{name}"),
            dir: self.dir.path().join(name),
            ..SandboxSpec::default()
        }
    }

    /// A running container on these networks.
    pub async fn run(&self, name: &str, networks: &[&str]) -> Result<String> {
        let id = container_id(name);
        self.controller.sandbox_create(self.spec(name)).await?;
        for network in networks {
            self.controller.connect(&id, to(network)).await?;
        }
        self.controller.activate(&id).await?;
        Ok(id)
    }

    pub fn ip(&self, container: &str, network: &str) -> String {
        let endpoints = self.controller.endpoints(container);
        endpoints[network].ip_address.clone()
    }

    /// What the resolver of a container answers.
    pub fn lookup(&self, container: &str, name: &str) -> Vec<String> {
        let state = self.controller.0.state();
        let Some(running) = state.resolvers.get(container) else {
            return vec!["no resolver".into()];
        };
        let view = running.view.load();
        let found = view.lookup(name, Clone::clone).unwrap_or_default();
        found.iter().map(|ip| ip.to_string()).collect()
    }
}

async fn start(
    dir: &tempfile::TempDir,
    kernel: Arc<FakeKernel>,
    config: Config,
) -> (Controller, mpsc::UnboundedReceiver<NetworkEvent>) {
    let config = Config {
        dir: dir.path().join("network"),
        ..config
    };
    let (send, events) = mpsc::unbounded_channel();
    let controller =
        Controller::start_with(config, kernel, Registry::new(drivers(), None), send).await;
    (controller.unwrap(), events)
}

pub fn container_id(name: &str) -> String {
    format!("{}{}", hex::encode(name), "f".repeat(64 - 2 * name.len()))
}

pub fn to(network: &str) -> ConnectRequest {
    ConnectRequest {
        network: network.into(),
        ..ConnectRequest::default()
    }
}

pub fn to_at(network: &str, ip: &str) -> ConnectRequest {
    let mut request = to(network);
    let config = request.settings.ipam_config.get_or_insert_default();
    config.ipv4_address = ip.into();
    request
}

pub fn with_subnet(subnet: &str) -> CreateOptions {
    CreateOptions {
        ipam: Some(IPAM {
            config: Some(vec![IPAMConfig {
                subnet: subnet.into(),
                ..IPAMConfig::default()
            }]),
            ..IPAM::default()
        }),
        ..CreateOptions::default()
    }
}

/// Kind and text of the error that a call has to end with.
pub fn text<T: std::fmt::Debug>(result: Result<T>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, error.message)
}

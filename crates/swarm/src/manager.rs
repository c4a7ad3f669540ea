//! A manager: the store, the loops that drive it, and the gRPC services on 2377.
//!
//! ```text
//!  nodes ──TLS──► certificates  dispatcher  resources  logs  health      (services)
//!                       │           │           │        │
//!                       └───────────┴── store ──┴────────┘◄── loops: allocator, scheduler, orchestrators
//!                                         ▲
//!                       Control (this process)                keys: every 12 h
//! ```
//!
//! There is one manager per swarm for now: its store is a Raft group of one, and a second is refused when it joins.

mod certificates;
mod dispatcher;
pub(crate) mod follow;
mod gate;
mod health;
pub mod keys;
mod logs;
mod objects;
mod resources;
mod rotation;
#[cfg(test)]
mod tests;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raft_store::{Store, Tx};
use swarm_wire::pb;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Server;
use tracing::{error, info};

use self::certificates::{Certificates, sign};
use self::dispatcher::Dispatcher;
use self::gate::{ANY_NODE, Gate, MANAGERS};
use self::logs::Logs;
use crate::ca::Identity;
use crate::ca::root::{Request, RootCa};
use crate::control::Control;
use crate::id::new_id;
use crate::loops::{self, Loops};
use crate::tls::listen;

/// How long connections may take to end when the manager stops.
const FAREWELL: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How the first manager of a new swarm starts.
#[derive(Clone, Debug)]
pub struct Init {
    pub spec: pb::ClusterSpec,
    pub default_addr_pool: Vec<String>,
    pub subnet_size: u32,
    pub data_path_port: u32,
    pub availability: i32,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// `<data-root>/swarm`
    pub dir: PathBuf,
    pub listen: SocketAddr,
    /// Where nodes find it; port 0 stands for the port that it listens on.
    pub advertise: SocketAddr,
}

#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    store: Store,
    cluster_id: String,
    addr: SocketAddr,
    logs: Logs,
    stop: CancellationToken,
    running: Mutex<Option<Running>>,
}

struct Running {
    server: JoinHandle<()>,
    accept: JoinHandle<()>,
    loops: Loops,
}

impl Manager {
    /// Makes a new cluster: root CA, tokens, cluster object, this node's identity, ingress network, gossip keys.
    /// When it fails, nothing is left of it in `dir`.
    pub async fn init(mut config: Config, init: Init) -> Result<(Self, Identity), Error> {
        let listener = bind(&mut config).await?;
        if Identity::load(&config.dir)?.is_some() || config.dir.join("raft").exists() {
            let dir = config.dir.display();
            return Err(Error::Other(format!(
                "{dir}: this node is part of a swarm already; leave it first"
            )));
        }
        let made = async {
            let identity = create(&config, &init).await?;
            let manager = Self::start(listener, &config, &identity).await?;
            Ok((manager, identity))
        };
        let made = made.await;
        if made.is_err() {
            for part in ["raft", "certificates"] {
                // What was never made is not there.
                let _ = fs::remove_dir_all(config.dir.join(part));
            }
        }
        made
    }

    /// Starts again from what `dir` holds.
    pub async fn restart(mut config: Config, identity: Identity) -> Result<Self, Error> {
        let listener = bind(&mut config).await?;
        if !config.dir.join("raft").exists() {
            let dir = config.dir.display();
            return Err(Error::Other(format!(
                "{dir}: the managers' store is gone; leave the swarm with --force"
            )));
        }
        Self::start(listener, &config, &identity).await
    }

    async fn start(
        listener: TcpListener,
        config: &Config,
        identity: &Identity,
    ) -> Result<Self, Error> {
        let store = Store::open(config.dir.join("raft")).await?;
        let started = Self::serve(store.clone(), listener, config, identity).await;
        if started.is_err() {
            store.close().await;
        }
        started
    }

    async fn serve(
        store: Store,
        listener: TcpListener,
        config: &Config,
        identity: &Identity,
    ) -> Result<Self, Error> {
        let gate = Gate {
            store: store.clone(),
            cluster_id: identity.cluster_id.clone(),
        };
        store
            .update(|tx: &mut Tx| take_office(tx, identity, config.advertise))
            .await?;
        let stop = CancellationToken::new();
        let dispatcher = Dispatcher::start(gate.clone(), &identity.node_id, stop.clone()).await?;
        let logs = Logs::new(gate.clone(), stop.clone());
        let (connections, accept) = listen::accept(listener, identity.live.clone(), stop.clone());
        let server = serve(
            gate.clone(),
            dispatcher,
            logs.clone(),
            connections,
            stop.clone(),
        );
        let keys = keys::run(store.clone(), identity.cluster_id.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(keys));
        let root = rotation::run(gate.clone(), identity.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(root));
        info!(addr = %config.listen, node.id = identity.node_id, "manager is listening");
        Ok(Self(Arc::new(Inner {
            cluster_id: identity.cluster_id.clone(),
            addr: config.listen,
            logs,
            stop,
            running: Mutex::new(Some(Running {
                server,
                accept,
                loops: loops::spawn(store.clone()),
            })),
            store,
        })))
    }

    pub fn control(&self) -> Control {
        Control::new(self.0.store.clone())
    }

    /// Where it listens: the port that was given out when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// Log lines of services, tasks and nodes, as `docker service logs` wants them. An error at the end names what could
    /// not be had.
    pub fn subscribe_logs(
        &self,
        selector: pb::LogSelector,
        options: pb::LogSubscriptionOptions,
    ) -> Result<mpsc::Receiver<Result<pb::SubscribeLogsMessage, Status>>, Status> {
        self.0.logs.subscribe(selector, options)
    }

    /// Replaces the oldest gossip and IPsec keys now, out of turn.
    pub async fn rotate_network_keys(&self) -> Result<(), Error> {
        Ok(keys::rotate(&self.0.store, &self.0.cluster_id).await?)
    }

    /// Closes the listener and the store; returns when the port is free.
    pub async fn stop(self) {
        let running = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut running) = running else {
            return;
        };
        self.0.stop.cancel();
        if tokio::time::timeout(FAREWELL, &mut running.server)
            .await
            .is_err()
        {
            running.server.abort();
        }
        if let Err(error) = running.accept.await {
            error!(%error, "the listener did not stop in good order");
        }
        running.loops.stop().await;
        self.0.store.clone().close().await;
    }
}

/// Takes the port; a port of 0 becomes the one that was given out.
async fn bind(config: &mut Config) -> Result<TcpListener, Error> {
    let addr = config.listen;
    let failed = |error| Error::Listen {
        addr,
        source: Arc::new(error),
    };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    config.listen = listener.local_addr().map_err(failed)?;
    if config.advertise.port() == 0 {
        config.advertise.set_port(config.listen.port());
    }
    Ok(listener)
}

/// The new cluster's objects, and the first node's identity.
async fn create(config: &Config, init: &Init) -> Result<Identity, Error> {
    private_dir(&config.dir)?;
    let root = RootCa::create()?;
    let request = Request::create()?;
    let (cluster_id, node_id) = (new_id(), new_id());
    let mut cluster = objects::cluster(&cluster_id, init, &root);
    keys::first(&mut cluster);
    let certificate = sign(&cluster, &node_id, pb::NodeRole::Manager, request.csr_pem)
        .map_err(|status| Error::Other(status.message().to_owned()))?;
    let identity = Identity::new(
        &config.dir,
        root.cert_pem,
        certificate.certificate.clone(),
        request.key_pem,
    )?;
    let node = objects::manager_node(&node_id, init, certificate, config.advertise);
    let networks = objects::networks();

    let store = Store::open(config.dir.join("raft")).await?;
    let fill = |tx: &mut Tx| {
        tx.create(cluster.clone())?;
        tx.create(node.clone())?;
        networks
            .iter()
            .try_for_each(|network| tx.create(network.clone()))
    };
    let filled = store.update(fill).await;
    store.close().await;
    filled?;
    identity.save()?;
    Ok(identity)
}

fn private_dir(dir: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(|error| Error::Other(format!("{}: {error}", dir.display())))
}

/// Checks that the store is this node's, and says where this manager is found now.
fn take_office(tx: &mut Tx, identity: &Identity, advertise: SocketAddr) -> Result<(), Error> {
    if !tx.state().clusters.contains_key(&identity.cluster_id) {
        return Err(Error::Other(format!(
            "the managers' store is not of cluster {}",
            identity.cluster_id
        )));
    }
    let stored = tx.state().nodes.get(&identity.node_id).cloned();
    let stored = stored.ok_or_else(|| {
        Error::Other(format!(
            "node {} is not in the managers' store",
            identity.node_id
        ))
    })?;
    let mut node = Arc::unwrap_or_clone(stored);
    let status = Some(objects::manager_status(advertise));
    if node.manager_status != status {
        node.manager_status = status;
        tx.update(node)?;
    }
    Ok(())
}

fn serve(
    gate: Gate,
    dispatcher: Dispatcher,
    logs: Logs,
    connections: mpsc::Receiver<std::io::Result<listen::Connection>>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let certificates = Certificates { gate: gate.clone() };
    let resources = resources::Resources { gate: gate.clone() };
    let (nodes, managers) = (gate.require(ANY_NODE), gate.require(MANAGERS));
    let services = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(pb::ca_server::CaServer::new(certificates.clone()))
        .add_service(pb::node_ca_server::NodeCaServer::new(certificates))
        .add_service(pb::dispatcher_server::DispatcherServer::with_interceptor(
            dispatcher,
            nodes.clone(),
        ))
        .add_service(
            pb::resource_allocator_server::ResourceAllocatorServer::with_interceptor(
                resources,
                nodes.clone(),
            ),
        )
        .add_service(pb::log_broker_server::LogBrokerServer::with_interceptor(
            logs.clone(),
            nodes,
        ))
        .add_service(pb::logs_server::LogsServer::with_interceptor(
            logs,
            managers.clone(),
        ))
        .add_service(pb::health_server::HealthServer::with_interceptor(
            health::Health,
            managers,
        ));
    tokio::spawn(async move {
        let stopped = stop.cancelled_owned();
        let served =
            services.serve_with_incoming_shutdown(ReceiverStream::new(connections), stopped);
        if let Err(error) = served.await {
            error!(%error, "the manager's server ended");
        }
    })
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Ca(#[from] crate::ca::Error),
    #[error("{0}")]
    Store(#[from] raft_store::Error),
    #[error("listen on {addr}: {source}")]
    Listen {
        addr: SocketAddr,
        source: std::sync::Arc<std::io::Error>,
    },
    #[error("{0}")]
    Other(String),
}

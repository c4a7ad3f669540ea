//! Becoming a member, coming back, leaving.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_types::{Error, Result, swarm as api};
use serde::{Deserialize, Serialize};
use swarm::agent::{self, Agent};
use swarm::ca::Identity;
use swarm::control::Control;
use swarm::manager::{self, Manager};
use swarm_wire::pb;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::addresses::{self, DEFAULT_PORT};
use crate::convert::{NODE_AVAILABILITY, cluster_info, cluster_spec_pb};
use crate::executor::NodeExecutor;
use crate::gossip_glue;
use crate::networks::Networks;
use crate::{Cluster, Config, errors};

/// How long `swarm join` waits before it goes on in the background.
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);

pub struct Inner {
    pub config: Config,
    pub engine: engine::Engine,
    pub networks: cnm::Controller,
    /// One init, join or leave at a time.
    busy: tokio::sync::Mutex<()>,
    standing: Mutex<Standing>,
}

/// Where this node stands.
enum Standing {
    Inactive {
        error: String,
    },
    /// A join that has not come through yet.
    Pending(JoinHandle<()>),
    Member(Arc<Member>),
}

/// A member of a swarm, with its running parts.
pub struct Member {
    pub identity: Identity,
    pub manager: Option<Manager>,
    pub agent: Agent,
    pub executor: Arc<NodeExecutor>,
    stored: Stored,
    /// Keeps gossip's way in up to date.
    bootstrap: JoinHandle<()>,
}

/// `docker-state.json`, with Docker's names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Stored {
    local_addr: String,
    remote_addr: String,
    listen_addr: String,
    advertise_addr: String,
    data_path_addr: String,
    default_address_pool: Option<Vec<String>>,
    subnet_size: u32,
    data_path_port: u32,
    join_in_progress: bool,
}

/// The addresses of a member, resolved.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    listen: SocketAddr,
    advertise: SocketAddr,
    data_path: IpAddr,
}

impl Addresses {
    fn choose(listen: &str, advertise: &str, data_path: &str, config: &Config) -> Result<Self> {
        let interfaces = addresses::interfaces()?;
        let listen = addresses::listen(listen, &interfaces)?;
        let advertise = addresses::advertise(
            advertise,
            listen,
            config.default_advertise_addr.as_deref(),
            &interfaces,
        )?;
        let data_path = if data_path.is_empty() {
            advertise.ip()
        } else {
            addresses::data_path(data_path, &interfaces)?
        };
        Ok(Self {
            listen,
            advertise,
            data_path,
        })
    }

    fn stored(&self) -> Stored {
        Stored {
            local_addr: self.advertise.ip().to_string(),
            listen_addr: self.listen.to_string(),
            advertise_addr: self.advertise.to_string(),
            data_path_addr: self.data_path.to_string(),
            ..Default::default()
        }
    }

    fn load(stored: &Stored) -> Option<Self> {
        Some(Self {
            listen: stored.listen_addr.parse().ok()?,
            advertise: stored.advertise_addr.parse().ok()?,
            data_path: stored.data_path_addr.parse().ok()?,
        })
    }
}

impl Cluster {
    /// Takes up again what `config.dir` says this node was part of. A failure there is the node's state, not the daemon's.
    pub async fn start(
        config: Config,
        engine: engine::Engine,
        networks: cnm::Controller,
    ) -> Result<Self> {
        let inner = Arc::new(Inner {
            config,
            engine,
            networks,
            busy: tokio::sync::Mutex::new(()),
            standing: Mutex::new(Standing::Inactive {
                error: String::new(),
            }),
        });
        let cluster = Self { inner };
        if let Err(e) = cluster.inner.resume().await {
            warn!(error = %e, "this node cannot take up its place in the swarm");
            cluster.inner.set(Standing::Inactive { error: e.message });
        }
        Ok(cluster)
    }

    pub async fn init(&self, request: api::InitRequest) -> Result<String> {
        let _busy = self.inner.busy.lock().await;
        self.inner.must_be_free()?;
        if request.force_new_cluster {
            return Err(Error::not_implemented(
                "--force-new-cluster is not supported: a swarm has one manager here",
            ));
        }
        if request.auto_lock_managers || request.spec.encryption_config.auto_lock_managers {
            return Err(Error::not_implemented("--autolock is not supported"));
        }
        check_data_path_port(request.data_path_port)?;
        let pools = request.default_addr_pool.clone().unwrap_or_default();
        check_pools(&pools, request.subnet_size)?;
        let config = &self.inner.config;
        let addresses = Addresses::choose(
            &request.listen_addr,
            &request.advertise_addr,
            &request.data_path_addr,
            config,
        )?;
        let init = manager::Init {
            spec: cluster_spec_pb(request.spec)?,
            default_addr_pool: pools,
            subnet_size: request.subnet_size,
            data_path_port: request.data_path_port,
            availability: NODE_AVAILABILITY.value(&request.availability)?,
        };
        let availability = init.availability;
        let manager_config = manager::Config {
            dir: config.dir.clone(),
            listen: addresses.listen,
            advertise: addresses.advertise,
        };
        let made = Manager::init(manager_config, init).await;
        let (manager, identity) = match made {
            Ok(made) => made,
            Err(e) => {
                remove_dir(&config.dir)?;
                return Err(manager_error(e));
            }
        };
        let node_id = identity.node_id.clone();
        let stored = Stored {
            default_address_pool: request.default_addr_pool,
            subnet_size: request.subnet_size,
            data_path_port: request.data_path_port,
            ..addresses.stored()
        };
        let managers = vec![addresses.advertise.to_string()];
        self.inner
            .become_member(
                identity,
                Some(manager),
                addresses,
                stored,
                managers,
                availability,
            )
            .await?;
        self.inner.connected(JOIN_TIMEOUT).await;
        info!(node = node_id, "swarm initialized");
        Ok(node_id)
    }

    pub async fn join(&self, request: api::JoinRequest) -> Result<()> {
        let _busy = self.inner.busy.lock().await;
        self.inner.must_be_free()?;
        let remotes = remotes(request.remote_addrs.unwrap_or_default())?;
        if request.join_token.is_empty() {
            return Err(errors::from_ca(swarm::ca::Error::InvalidToken));
        }
        let config = &self.inner.config;
        let addresses = Addresses::choose(
            &request.listen_addr,
            &request.advertise_addr,
            &request.data_path_addr,
            config,
        )?;
        let availability = NODE_AVAILABILITY.value(&request.availability)?;
        let stored = Stored {
            remote_addr: remotes[0].clone(),
            ..addresses.stored()
        };
        let (done, outcome) = tokio::sync::oneshot::channel();
        let inner = self.inner.clone();
        let attempt = tokio::spawn(async move {
            let result = inner
                .try_join(
                    &remotes,
                    &request.join_token,
                    addresses,
                    stored,
                    availability,
                )
                .await;
            if let Err(e) = &result {
                let _ = remove_dir(&inner.config.dir);
                inner.set(Standing::Inactive {
                    error: e.message.clone(),
                });
            }
            let _ = done.send(result);
        });
        self.inner.set(Standing::Pending(attempt));
        match tokio::time::timeout(JOIN_TIMEOUT, outcome).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(e))) => {
                // The caller has the reason; nothing is left of the attempt.
                self.inner.set(Standing::Inactive {
                    error: String::new(),
                });
                Err(e)
            }
            Ok(Err(_)) => Err(Error::system("the attempt to join was cancelled")),
            Err(_) => Err(errors::join_timeout()),
        }
    }

    pub async fn leave(&self, force: bool) -> Result<()> {
        let _busy = self.inner.busy.lock().await;
        let inner = &self.inner;
        if let Some(member) = inner.member() {
            if member.manager.is_some() && !force {
                return Err(errors::manager_leaves());
            }
            let networks = inner.local_swarm_networks().await;
            member.bootstrap.abort();
            member.agent.clone().stop(true).await;
            inner.disconnect_all(&networks).await;
            if let Some(glue) = member.executor.glue.lock().await.take() {
                glue.gossip.leave().await;
            }
            if let Some(manager) = &member.manager {
                manager.clone().stop().await;
            }
            for network in networks {
                if let Err(e) = inner.networks.forget_swarm_network(&network).await {
                    warn!(network, error = %e, "network of the swarm stays");
                }
            }
            inner.networks.set_swarm(None);
            inner.networks.set_vtep(None).await;
        } else if !inner.abort_join() {
            return Err(errors::no_swarm());
        }
        inner.set(Standing::Inactive {
            error: String::new(),
        });
        remove_dir(&inner.config.dir)?;
        info!("left the swarm");
        Ok(())
    }

    /// `Swarm` of `docker info`.
    pub async fn info(&self) -> api::Info {
        let mut info = api::Info {
            local_node_state: self.state_word().into(),
            ..Default::default()
        };
        let Some(member) = self.inner.member() else {
            if let Standing::Inactive { error } = &*self.inner.standing() {
                info.error.clone_from(error);
            }
            return info;
        };
        let status = member.agent.status().borrow().clone();
        info.node_id.clone_from(&member.identity.node_id);
        info.node_addr.clone_from(&member.stored.local_addr);
        info.error = status.error;
        info.remote_managers = Some(
            status
                .managers
                .iter()
                .map(|p| api::Peer {
                    node_id: p.node_id.clone(),
                    addr: p.addr.clone(),
                })
                .collect(),
        );
        if let Some(manager) = &member.manager {
            let view = manager.control().view();
            info.control_available = true;
            info.nodes = i64::try_from(view.nodes.len()).unwrap_or(i64::MAX);
            info.managers = view
                .nodes
                .values()
                .filter(|n| n.role == i32::from(pb::NodeRole::Manager))
                .count() as i64;
            info.cluster = view.clusters.values().next().map(|c| cluster_info(c));
        }
        info
    }

    /// The `Swarm` header of `/_ping`: inactive, pending, error, locked, active/worker, active/manager.
    pub fn ping_header(&self) -> String {
        let role = match self.inner.member() {
            Some(m) if m.manager.is_some() => "/manager",
            Some(_) => "/worker",
            None => "",
        };
        format!("{}{role}", self.state_word())
    }

    fn state_word(&self) -> &'static str {
        match &*self.inner.standing() {
            Standing::Inactive { error } if error.is_empty() => "inactive",
            Standing::Inactive { .. } => "error",
            Standing::Pending(_) => "pending",
            Standing::Member(_) => "active",
        }
    }

    /// The address that this node's tunnels use, while in a swarm.
    pub fn data_path_addr(&self) -> Option<IpAddr> {
        self.inner.member().map(|m| m.executor.vtep)
    }

    /// Stops manager and agent; tasks keep running.
    pub async fn shutdown(&self) {
        let _busy = self.inner.busy.lock().await;
        self.inner.abort_join();
        let Some(member) = self.inner.member() else {
            return;
        };
        member.bootstrap.abort();
        member.agent.clone().stop(false).await;
        if let Some(manager) = &member.manager {
            manager.clone().stop().await;
        }
    }

    /// The managers' verbs, or why this node has none.
    pub(crate) fn control(&self) -> Result<Control> {
        self.inner.control()
    }
}

impl Inner {
    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, standing: Standing) {
        *self.standing() = standing;
    }

    pub fn member(&self) -> Option<Arc<Member>> {
        match &*self.standing() {
            Standing::Member(member) => Some(member.clone()),
            _ => None,
        }
    }

    pub fn control(&self) -> Result<Control> {
        let member = self.member().ok_or_else(errors::inactive)?;
        Ok(member
            .manager
            .as_ref()
            .ok_or_else(errors::not_manager)?
            .control())
    }

    fn must_be_free(&self) -> Result<()> {
        match &*self.standing() {
            Standing::Inactive { .. } => Ok(()),
            _ => Err(errors::already_member()),
        }
    }

    fn abort_join(&self) -> bool {
        match &*self.standing() {
            Standing::Pending(attempt) => {
                attempt.abort();
                true
            }
            _ => false,
        }
    }

    async fn try_join(
        self: &Arc<Self>,
        remotes: &[String],
        token: &str,
        addresses: Addresses,
        stored: Stored,
        availability: i32,
    ) -> Result<()> {
        let dir = &self.config.dir;
        let identity = Identity::request(dir, remotes, token, availability)
            .await
            .map_err(errors::from_ca)?;
        info!(node = identity.node_id, "joined the swarm");
        self.become_member(
            identity,
            None,
            addresses,
            stored,
            remotes.to_vec(),
            availability,
        )
        .await?;
        self.connected(JOIN_TIMEOUT).await;
        Ok(())
    }

    async fn resume(self: &Arc<Self>) -> Result<()> {
        let dir = &self.config.dir;
        let Some(stored) = load(dir)? else {
            return Ok(());
        };
        let addresses = Addresses::load(&stored).ok_or_else(|| {
            Error::system(format!(
                "{}: addresses are not readable",
                state_file(dir).display()
            ))
        })?;
        let Some(identity) = Identity::load(dir).map_err(errors::from_ca)? else {
            return Err(Error::system(format!(
                "{}: this node's certificate is missing: leave the swarm and join again",
                dir.display()
            )));
        };
        let manager = if identity.manager {
            let config = manager::Config {
                dir: dir.clone(),
                listen: addresses.listen,
                advertise: addresses.advertise,
            };
            Some(
                Manager::restart(config, identity.clone())
                    .await
                    .map_err(manager_error)?,
            )
        } else {
            None
        };
        let managers = if manager.is_some() {
            vec![addresses.advertise.to_string()]
        } else {
            vec![stored.remote_addr.clone()]
        };
        self.become_member(identity, manager, addresses, stored, managers, 0)
            .await
    }

    async fn become_member(
        self: &Arc<Self>,
        identity: Identity,
        manager: Option<Manager>,
        addresses: Addresses,
        stored: Stored,
        managers: Vec<String>,
        availability: i32,
    ) -> Result<()> {
        save(&self.config.dir, &stored)?;
        let hostname = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let executor = Arc::new(NodeExecutor {
            engine: self.engine.clone(),
            networks: self.networks.clone(),
            shared: NodeExecutor::shared(hostname),
            exec_root: self.config.exec_root.clone(),
            engine_version: self.config.engine_version.clone(),
            labels: self.config.engine_labels.clone(),
            bind: addresses.listen.ip(),
            advertise: addresses.advertise.ip(),
            vtep: addresses.data_path,
            glue: gossip_glue::Slot::default(),
        });
        self.networks.set_vtep(Some(addresses.data_path)).await;
        let agent_config = agent::Config {
            dir: self.config.dir.clone(),
            managers,
            availability,
        };
        let agent = Agent::start(agent_config, identity.clone(), executor.clone())
            .await
            .map_err(errors::from_ca)?;
        let bootstrap = tokio::spawn(follow_managers(agent.clone(), executor.clone()));
        self.set(Standing::Member(Arc::new(Member {
            identity,
            manager,
            agent,
            executor,
            stored,
            bootstrap,
        })));
        self.networks
            .set_swarm(Some(Arc::new(Networks(Arc::downgrade(self)))));
        Ok(())
    }

    /// Waits until the managers have this node as ready.
    async fn connected(&self, limit: Duration) {
        let Some(member) = self.member() else { return };
        let mut status = member.agent.status();
        let ready = tokio::time::timeout(limit, status.wait_for(|s| s.connected)).await;
        if !matches!(ready, Ok(Ok(_))) {
            warn!("no session with a manager yet: going on in the background");
        }
    }

    async fn local_swarm_networks(&self) -> Vec<String> {
        let view = self.networks.overlay_view().borrow().clone();
        let mut ids: Vec<_> = view.networks.keys().cloned().collect();
        if let Ok(all) = self.networks.list(&engine_types::Filters::default()).await {
            ids.extend(all.into_iter().filter(|n| n.scope == "swarm").map(|n| n.id));
        }
        ids.sort();
        ids.dedup();
        ids
    }

    /// Standalone containers lose their places on the swarm's networks; they keep running.
    async fn disconnect_all(&self, networks: &[String]) {
        for network in networks {
            let Ok(n) = self.networks.inspect(network, false, "").await else {
                continue;
            };
            for container in n.containers.unwrap_or_default().into_keys() {
                if let Err(e) = self.networks.disconnect(&container, network, true).await {
                    warn!(network, container, error = %e, "cannot disconnect");
                }
            }
        }
    }
}

/// Gossip joins through the managers, whoever they are at the moment.
async fn follow_managers(agent: Agent, executor: Arc<NodeExecutor>) {
    let mut status = agent.status();
    loop {
        let managers = status.borrow_and_update().managers.clone();
        if let Some(glue) = &*executor.glue.lock().await {
            glue.gossip
                .set_bootstrap(gossip_glue::bootstrap(&managers, executor.advertise));
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

fn remotes(addrs: Vec<String>) -> Result<Vec<String>> {
    if addrs.is_empty() {
        return Err(Error::invalid("at least 1 RemoteAddr is required to join"));
    }
    let with_port = |a: &String| match addresses::split(a, DEFAULT_PORT)? {
        ("", _) => Err(Error::invalid(format!("invalid remote address \"{a}\""))),
        (host, port) if host.contains(':') => Ok(format!("[{host}]:{port}")),
        (host, port) => Ok(format!("{host}:{port}")),
    };
    addrs.iter().map(with_port).collect()
}

fn check_data_path_port(port: u32) -> Result<()> {
    if port != 0 && !(1024..=49151).contains(&port) {
        return Err(Error::invalid(format!(
            "Datapath port number is not in valid range (1024-49151) : {port}"
        )));
    }
    Ok(())
}

fn check_pools(pools: &[String], size: u32) -> Result<()> {
    if size > 29 {
        return Err(Error::system(format!(
            "subnet size is out of range: {size}"
        )));
    }
    for pool in pools {
        let net: ipnet::IpNet = pool.parse().map_err(|_| {
            Error::system(format!(
                "invalid base pool {pool}: want a network such as 10.20.0.0/16"
            ))
        })?;
        if size != 0 && u32::from(net.prefix_len()) > size {
            return Err(Error::system(format!(
                "invalid CIDR: \"{pool}\". Subnet size is too small for pool: {size}"
            )));
        }
    }
    Ok(())
}

fn manager_error(error: manager::Error) -> Error {
    match error {
        manager::Error::Listen { addr, source } => {
            let reason = match source.kind() {
                std::io::ErrorKind::AddrInUse => "address already in use".to_owned(),
                std::io::ErrorKind::AddrNotAvailable => {
                    "cannot assign requested address".to_owned()
                }
                _ => source.to_string(),
            };
            Error::system(format!(
                "manager stopped: failed to listen on remote API address: listen tcp {addr}: bind: {reason}"
            ))
        }
        manager::Error::Ca(e) => errors::from_ca(e),
        other => Error::system(other),
    }
}

fn state_file(dir: &Path) -> std::path::PathBuf {
    dir.join("docker-state.json")
}

fn load(dir: &Path) -> Result<Option<Stored>> {
    let path = state_file(dir);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Error::system(format!("{}: {e}", path.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::system(format!("{}: {e}", path.display()))),
    }
}

fn save(dir: &Path, stored: &Stored) -> Result<()> {
    let path = state_file(dir);
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("tmp");
        std::fs::write(&temporary, serde_json::to_vec(stored)?)?;
        std::fs::rename(&temporary, &path)
    };
    write().map_err(|e| Error::system(format!("write {}: {e}", path.display())))
}

fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::system(format!(
            "remove the swarm's state {}: {e}",
            dir.display()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_addresses_get_the_port() {
        assert_eq!(
            remotes(vec!["10.0.0.1".into(), "h1:99".into()]).unwrap(),
            ["10.0.0.1:2377", "h1:99"]
        );
        assert_eq!(remotes(vec!["fd00::1".into()]).unwrap(), ["[fd00::1]:2377"]);
        assert_eq!(
            remotes(Vec::new()).unwrap_err().message,
            "at least 1 RemoteAddr is required to join"
        );
    }

    #[test]
    fn bounds() {
        assert!(check_data_path_port(0).is_ok() && check_data_path_port(4789).is_ok());
        assert_eq!(
            check_data_path_port(80).unwrap_err().message,
            "Datapath port number is not in valid range (1024-49151) : 80"
        );
        assert!(check_pools(&["10.20.0.0/16".into()], 24).is_ok());
        assert!(check_pools(&["10.20.0.0/16".into()], 30).is_err());
        assert!(check_pools(&["10.20.0.0/25".into()], 24).is_err());
        assert!(check_pools(&["pool".into()], 24).is_err());
    }

    #[test]
    fn state_file_keeps_dockers_names_and_survives_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let stored = Stored {
            remote_addr: "10.0.0.1:2377".into(),
            data_path_port: 4789,
            ..Default::default()
        };
        save(dir.path(), &stored).unwrap();
        assert_eq!(load(dir.path()).unwrap(), Some(stored));
        let text = std::fs::read_to_string(dir.path().join("docker-state.json")).unwrap();
        assert!(text.contains("\"RemoteAddr\":\"10.0.0.1:2377\""), "{text}");
        std::fs::write(dir.path().join("docker-state.json"), "{").unwrap();
        assert!(load(dir.path()).is_err());
    }
}

//! A node's standing, and a member's running parts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_types::{Error, Result};
use swarm::agent::{self, Agent};
use swarm::ca::Identity;
use swarm::control::Control;
use swarm::manager::{self, Manager};
use swarm_wire::pb::node_spec::Availability;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

use crate::executor::NodeExecutor;
use crate::networks::Networks;
use crate::stored::{self, Addresses, Stored};
use crate::{Config, checks, errors, events, gossip_glue};

/// How long `swarm join` waits before it goes on in the background.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How often gossip's way in is looked at anew, even if the managers are the same.
const WAY_IN: Duration = Duration::from_secs(10);

pub struct Inner {
    pub config: Config,
    pub engine: engine::Engine,
    pub networks: cnm::Controller,
    /// One init, join or leave at a time.
    pub busy: tokio::sync::Mutex<()>,
    pub standing: Mutex<Standing>,
}

/// Where this node stands.
pub enum Standing {
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
    pub stored: Stored,
    /// Keeps gossip's way in up to date, and tells what a manager's store commits.
    _followers: JoinSet<()>,
}

impl Member {
    /// The managers have taken all tasks from this node.
    pub fn is_drained(&self) -> bool {
        let status = self.agent.status();
        let status = status.borrow();
        let spec = status.node.as_ref().and_then(|node| node.spec.as_ref());
        spec.is_some_and(|spec| spec.availability() == Availability::Drain)
    }
}

impl Inner {
    pub fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn set(&self, standing: Standing) {
        *self.standing() = standing;
    }

    pub fn member(&self) -> Option<Arc<Member>> {
        match &*self.standing() {
            Standing::Member(member) => Some(member.clone()),
            _ => None,
        }
    }

    pub fn manager(&self) -> Result<Manager> {
        let member = self.member().ok_or_else(errors::inactive)?;
        member.manager.clone().ok_or_else(errors::not_manager)
    }

    pub fn control(&self) -> Result<Control> {
        Ok(self.manager()?.control())
    }

    pub fn must_be_free(&self) -> Result<()> {
        match &*self.standing() {
            Standing::Inactive { .. } => Ok(()),
            _ => Err(errors::already_member()),
        }
    }

    pub fn abort_join(&self) -> bool {
        match &*self.standing() {
            Standing::Pending(attempt) => {
                attempt.abort();
                true
            }
            _ => false,
        }
    }

    pub async fn try_join(
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

    pub async fn resume(self: &Arc<Self>) -> Result<()> {
        let dir = &self.config.dir;
        let Some(stored) = stored::load(dir)? else {
            return self.networks.set_ingress(None).await;
        };
        let addresses = Addresses::load(&stored).ok_or_else(|| {
            Error::system(format!(
                "{}: addresses are not readable",
                stored::state_file(dir).display()
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
                    .map_err(checks::manager_error)?,
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

    pub async fn become_member(
        self: &Arc<Self>,
        identity: Identity,
        manager: Option<Manager>,
        addresses: Addresses,
        stored: Stored,
        managers: Vec<String>,
        availability: i32,
    ) -> Result<()> {
        stored::save(&self.config.dir, &stored)?;
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
        let mut followers = JoinSet::new();
        followers.spawn(keep_way_in(
            agent.clone(),
            manager.clone(),
            executor.clone(),
        ));
        let (networks, vtep) = (self.networks.clone(), addresses.data_path);
        followers.spawn(async move { networks.follow_paths(vtep).await });
        let networks = self.networks.clone();
        followers.spawn(async move { networks.follow_offloads().await });
        if let Some(manager) = &manager {
            let store = manager.control().store().clone();
            followers.spawn(events::publish(store, self.engine.events().clone()));
        }
        self.set(Standing::Member(Arc::new(Member {
            identity,
            manager,
            agent,
            executor,
            stored,
            _followers: followers,
        })));
        self.networks
            .set_swarm(Some(Arc::new(Networks(Arc::downgrade(self)))));
        Ok(())
    }

    /// Waits until the managers have this node as ready.
    pub async fn connected(&self, limit: Duration) {
        let Some(member) = self.member() else { return };
        let mut status = member.agent.status();
        let ready = tokio::time::timeout(limit, status.wait_for(|s| s.connected)).await;
        if !matches!(ready, Ok(Ok(_))) {
            warn!("no session with a manager yet: going on in the background");
        }
    }

    pub async fn local_swarm_networks(&self) -> Vec<String> {
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
    pub async fn disconnect_all(&self, networks: &[String]) {
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

/// Gossip joins through the managers, whoever they are at the moment. The only manager has nobody to join through, so it
/// asks a few of its nodes: after a restart the others hold it for gone, and might not call it for half a minute.
async fn keep_way_in(agent: Agent, manager: Option<Manager>, executor: Arc<NodeExecutor>) {
    let mut status = agent.status();
    loop {
        let managers = status.borrow_and_update().managers.clone();
        let mut addrs = gossip_glue::bootstrap(&managers, executor.advertise);
        if let (true, Some(manager)) = (addrs.is_empty(), &manager) {
            addrs = gossip_glue::some_nodes(&manager.control().view(), executor.advertise);
        }
        if let Some(glue) = &*executor.glue.lock().await {
            glue.gossip.set_bootstrap(addrs);
        }
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(WAY_IN) => {}
        }
    }
}

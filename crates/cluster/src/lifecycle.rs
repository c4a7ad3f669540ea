//! Becoming a member, coming back, leaving.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use engine_types::{Error, Result, swarm as api};
use swarm::control::Control;
use swarm::manager::{self, Manager};
use swarm_wire::pb;
use tracing::{info, warn};

use crate::checks::remotes;
use crate::convert::{NODE_AVAILABILITY, cluster_info, cluster_spec_pb};
use crate::member::{Inner, JOIN_TIMEOUT, Standing};
use crate::stored::{Addresses, Stored};
use crate::{Cluster, Config, checks, errors, stored};

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
        checks::data_path_port(request.data_path_port)?;
        let pools = request.default_addr_pool.clone().unwrap_or_default();
        checks::pools(&pools, request.subnet_size)?;
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
                stored::remove_dir(&config.dir)?;
                return Err(checks::manager_error(e));
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
                let _ = stored::remove_dir(&inner.config.dir);
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
            member.agent.clone().stop(true).await;
            if let Err(e) = inner.networks.set_ingress(None).await {
                warn!(error = %e, "this node's way into the routing mesh stays");
            }
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
        stored::remove_dir(&inner.config.dir)?;
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
        member.agent.clone().stop(false).await;
        // Others keep the rows of a node that is silent for a while: it may come back, and until then it is a way into the
        // mesh all the same. Where it is to have nothing they need not wait.
        let networks = self.inner.networks.overlay_view().borrow().clone();
        let mut endpoints = networks.networks.values().flat_map(|n| n.values());
        if member.is_drained()
            && endpoints.all(|e| e.record.is_none())
            && let Some(glue) = member.executor.glue.lock().await.take()
        {
            glue.gossip.leave().await;
        }
        if let Some(manager) = &member.manager {
            manager.clone().stop().await;
        }
    }

    pub(crate) fn manager(&self) -> Result<Manager> {
        self.inner.manager()
    }

    /// The managers' verbs, or why this node has none.
    pub(crate) fn control(&self) -> Result<Control> {
        self.inner.control()
    }
}

//! The swarm's side: its networks, its peers, its names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use engine_types::network::{ConfigReference, CreateOptions, IPAM, IPAMConfig};
use engine_types::{Error, Result};
use tokio::sync::watch;

use crate::controller::Inner;
use crate::model::{Network, Pool, Scope};
use crate::state::{Entry, State};
use crate::store::{NAMES, PEERS, VTEP};
use crate::{Controller, NameRecord, OverlayView, Peer, SwarmNetwork, SwarmNetworks};

const VXLAN_IDS: &str = "com.docker.network.driver.overlay.vxlanid_list";

impl Controller {
    pub fn set_swarm(&self, swarm: Option<Arc<dyn SwarmNetworks>>) {
        *self.0.swarm.lock().unwrap_or_else(|e| e.into_inner()) = swarm;
    }

    /// The address that other nodes' tunnels send to. Tunnels that are up follow; a node in a swarm has
    /// `docker_gwbridge`.
    pub async fn set_vtep(&self, vtep: Option<IpAddr>) {
        let inner = &self.0;
        if vtep.is_some()
            && let Err(error) = inner.ensure_gateway_bridge().await
        {
            tracing::error!(%error, "containers of overlay networks will have no way out");
        }
        if vtep.is_none() {
            inner.state().nodes.clear();
        }
        inner.discover.notify_one();
        if inner.state().host.vtep == vtep {
            return;
        }
        let changed = inner.change_tunnels(|state| {
            state.host.vtep = vtep;
            inner.discover.notify_one();
            if let Err(error) = inner.store.set(VTEP, "", vtep.as_ref()) {
                tracing::warn!(%error, "tunnel address is not stored");
            }
        });
        if let Err(error) = changed.await {
            tracing::error!(%error, "tunnels do not follow the node's new address");
        }
    }

    /// Makes the network known here. One whose addresses the managers give is nothing in the kernel until an endpoint joins;
    /// another is made as a network of this node, under the managers' id.
    pub async fn swarm_network(&self, network: SwarmNetwork) -> Result<()> {
        self.0.add_swarm_network(network).await
    }

    /// Forgets it when no endpoint is left; an error while one is.
    pub async fn forget_swarm_network(&self, id: &str) -> Result<()> {
        let inner = &self.0;
        let _turn = inner.needed_turn.lock().await;
        let network = inner.state().network(id).cloned();
        let Ok(network) = network else {
            return Ok(());
        };
        inner.drop_network(&network).await?;
        let keys: Vec<String> = {
            let mut state = inner.state();
            let remote = state.remote.remove(id).unwrap_or_default();
            let endpoints: BTreeSet<_> = remote
                .peers
                .into_keys()
                .chain(remote.names.into_keys())
                .collect();
            endpoints.into_iter().map(|e| format!("{id}/{e}")).collect()
        };
        for key in keys {
            inner.store.set::<Peer>(PEERS, &key, None)?;
            inner.store.set::<NameRecord>(NAMES, &key, None)?;
        }
        Ok(())
    }

    pub fn overlay_view(&self) -> watch::Receiver<Arc<OverlayView>> {
        self.0.view.subscribe()
    }

    pub async fn set_peer(&self, network: &str, endpoint: &str, peer: Option<Peer>) {
        let inner = &self.0;
        let _turn = inner.network_turns(&[network.to_string()]).await;
        let (changes, gone) = {
            let mut state = inner.state();
            let remote = state.remote.entry(network.to_string()).or_default();
            if remote.peers.get(endpoint) == peer.as_ref() {
                return;
            }
            let changed: Vec<_> = remote
                .set_peer(endpoint, peer.clone())
                .into_iter()
                .collect();
            let claimed = |ip: &&IpAddr| remote.claims.contains_key(*ip);
            let gone: Vec<IpAddr> = changed.iter().filter(|ip| !claimed(ip)).copied().collect();
            let changes = match state.endpoints_on(network).next() {
                Some(_) => state.peer_rows(network, &changed),
                None => Vec::new(),
            };
            (changes, gone)
        };
        let key = format!("{network}/{endpoint}");
        if let Err(error) = inner.store.set(PEERS, &key, peer.as_ref()) {
            tracing::warn!(network, endpoint, %error, "peer is not stored: a restart forgets it until gossip tells again");
        }
        if !changes.is_empty()
            && let Err(error) = inner.kernel.set_many(changes).await
        {
            tracing::error!(network, endpoint, %error, "way to a peer is not in the kernel");
        }
        if !gone.is_empty() {
            inner.forget_backends(network, &gone).await;
        }
    }

    /// Names of remote endpoints.
    pub async fn set_record(&self, network: &str, endpoint: &str, record: Option<NameRecord>) {
        let inner = &self.0;
        if !inner.state().set_name(network, endpoint, record.clone()) {
            return;
        }
        let key = format!("{network}/{endpoint}");
        if let Err(error) = inner.store.set(NAMES, &key, record.as_ref()) {
            tracing::warn!(network, endpoint, %error, "name is not stored: a restart forgets it until gossip tells again");
        }
        inner.refresh_later(network);
    }

    /// Waits until nobody on these networks is led to a name that is not there any more, in the kernel either; false where
    /// that failed.
    pub async fn catch_up(&self, networks: &[String]) -> bool {
        self.0.catch_up(networks).await
    }

    /// Peers and names of a network that are not of these endpoints go: after a restart the store still has what went
    /// while the daemon was down. To be called once gossip has told all that it knows of the network.
    pub async fn retain_remote(&self, network: &str, endpoints: &BTreeSet<String>) {
        let stale: Vec<String> = {
            let state = self.0.state();
            let remote = state.remote.get(network);
            let known = remote
                .into_iter()
                .flat_map(|r| r.peers.keys().chain(r.names.keys()));
            known.filter(|e| !endpoints.contains(*e)).cloned().collect()
        };
        for endpoint in stale {
            self.set_peer(network, &endpoint, None).await;
            self.set_record(network, &endpoint, None).await;
        }
    }
}

impl Inner {
    /// Tunnels that are up follow the change.
    pub async fn change_tunnels(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let overlays: Vec<String> = {
            let state = self.state();
            let lazy = |e: &&Entry| state.capability(&e.network).is_some_and(|c| c.lazy);
            let overlays = state.networks.values().filter(lazy);
            overlays.map(|e| e.network.id.clone()).collect()
        };
        let turns = self.network_turns(&overlays).await;
        let rows: BTreeMap<_, _> = {
            let mut state = self.state();
            change(&mut state);
            let mut rows: Vec<_> = Vec::new();
            for id in &overlays {
                if let Some(entry) = state.networks.get_mut(id) {
                    entry.stale.all = true;
                }
                let records = state.endpoints_on(id).map(|(record, _)| record);
                rows.extend(records.flat_map(|r| state.sandbox_rows(r)));
                rows.extend(state.peer_rows(id, &state.claimed(id)));
            }
            rows.into_iter().collect()
        };
        let set = match rows.is_empty() {
            true => Ok(()),
            false => self.kernel.set_many(rows.into_iter().collect()).await,
        };
        drop(turns);
        self.balance(&overlays).await;
        set.map_err(Error::system)
    }

    pub async fn add_swarm_network(&self, network: SwarmNetwork) -> Result<()> {
        self.find_driver(&network.driver).await?;
        let reach = self
            .state()
            .drivers
            .get(&network.driver)?
            .capability()
            .scope;
        if reach == Scope::Local {
            return self.make_own(network).await;
        }
        let mut network = from_swarm(network);
        network.tunnel_v6 = self.state().host.has_v6_tunnel();
        {
            let mut state = self.state();
            state.driver(&network)?.validate(&network, &[])?;
            if let Some(entry) = state.networks.get(&network.id) {
                if entry.network == network {
                    return Ok(());
                }
                if state.endpoints_on(&network.id).next().is_some() {
                    return Err(Error::forbidden(format!(
                        "network {} cannot change while it has endpoints here",
                        network.name
                    )));
                }
            }
            state
                .networks
                .insert(network.id.clone(), Entry::new(network.clone()));
            state.refresh_zone(&network.id);
        }
        self.store_network(&network.id, Some(&network)).await
    }

    /// A network of the swarm as this node has it: with the settings, and from the pools, of this node.
    async fn make_own(&self, network: SwarmNetwork) -> Result<()> {
        let _turn = self.needed_turn.lock().await;
        if self.state().network(&network.id).is_ok() {
            return Ok(());
        }
        let mut options = CreateOptions {
            driver: network.driver,
            scope: Scope::Swarm.as_str().into(),
            internal: network.internal,
            attachable: network.attachable,
            enable_ipv6: Some(network.enable_ipv6),
            options: Some(network.options),
            labels: Some(network.labels),
            ipam: Some(IPAM {
                config: Some(network.ipam),
                ..IPAM::default()
            }),
            config_from: Some(ConfigReference {
                network: network.config_from,
            }),
            ..CreateOptions::default()
        };
        self.fill_in(&mut options)?;
        self.make_network(network.id, &network.name, options)
            .await
            .map(drop)
    }

    /// Answers, and the ways to services, are what the networks' names say. False where the kernel has others still.
    async fn catch_up(&self, networks: &[String]) -> bool {
        let balanced = self.balance(networks).await;
        {
            let state = self.state();
            networks.iter().for_each(|n| state.refresh_zone(n));
        }
        self.refresh_views("");
        balanced
    }

    /// Many names come at once: zones are built again as often as time allows, not as often as names come.
    fn refresh_later(&self, network: &str) {
        self.stale_zones
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .insert(network.to_string());
        self.refresh.notify_one();
    }
}

/// Rebuilds zones until the controller is dropped.
pub(crate) async fn refresh_zones(inner: std::sync::Weak<Inner>, wake: Arc<tokio::sync::Notify>) {
    loop {
        wake.notified().await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let stale: Vec<String> = {
            let mut stale = inner.stale_zones.lock().unwrap_or_else(|e| e.into_inner());
            std::mem::take(&mut *stale).into_iter().collect()
        };
        inner.catch_up(&stale).await;
    }
}

fn from_swarm(network: SwarmNetwork) -> Network {
    let vnis: Vec<String> = network
        .subnets
        .iter()
        .filter(|s| s.vni > 0)
        .map(|s| s.vni.to_string())
        .collect();
    let mut options = network.options;
    options
        .entry(VXLAN_IDS.into())
        .or_insert_with(|| vnis.join(","));
    let config = |pool: &Pool| IPAMConfig {
        subnet: pool.subnet.to_string(),
        gateway: pool.gateway.map(|g| g.to_string()).unwrap_or_default(),
        ..IPAMConfig::default()
    };
    let pools: Vec<Pool> = network
        .subnets
        .into_iter()
        .map(|subnet| Pool {
            subnet: subnet.subnet.trunc(),
            range: None,
            gateway: subnet.gateway,
            aux: BTreeMap::new(),
            // Docker allocates from 4096; 0 is what an absent number reads as: it shares the network's first.
            vni: Some(subnet.vni).filter(|vni| *vni > 0),
            chosen: true,
            id: None,
        })
        .collect();
    Network {
        id: network.id,
        name: network.name,
        driver: network.driver,
        created: network.created,
        scope: Scope::Swarm,
        internal: network.internal,
        attachable: network.attachable,
        ingress: network.ingress,
        config_only: false,
        config_from: String::new(),
        enable_ipv4: pools.iter().any(|pool| pool.subnet.addr().is_ipv4()),
        enable_ipv6: network.enable_ipv6,
        options,
        labels: network.labels,
        ipam: IPAM {
            driver: "default".into(),
            options: None,
            config: Some(pools.iter().map(config).collect()),
        },
        pools,
        vxlan_port: network.vxlan_port,
        tunnel_v6: false,
        address_space: String::new(),
    }
}

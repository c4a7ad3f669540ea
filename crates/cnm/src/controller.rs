use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use dns::Caches;
use engine_types::Result;
use engine_types::network::CreateOptions;
use ipnet::IpNet;
use netstate::{NetState, Row};
use tokio::sync::{Notify, mpsc, watch};

use crate::create::random_id;
use crate::default_bridge::DefaultBridge;
use crate::driver::{Driver, Firewall, Host, Registry};
use crate::kernel::Kernel;
use crate::model::{Network, Record, Scope};
use crate::network_files::parse_servers;
use crate::ports::Ports;
use crate::remote::Plugins;
use crate::resolv_conf::Overrides;
use crate::state::{Entry, Remote, State};
use crate::store::{HOST_ID, NAMES, NETWORKS, PEERS, SANDBOXES, Store, VTEP};
use crate::{NameRecord, OverlayView, Peer, Relay, SwarmNetworks, nodes, resolver, swarm};

/// The daemon's network settings (flags and daemon.json).
#[derive(Clone, Debug)]
pub struct Config {
    /// `<data-root>/network`
    pub dir: PathBuf,
    pub bridge: DefaultBridge,
    pub mtu: u32,
    pub default_address_pools: Vec<ipam::DefaultPool>,
    /// What no subnet of a default pool may overlap, besides what the host has routes to.
    pub excluded: Vec<IpNet>,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    /// What `host-gateway` means; empty: the default bridge's addresses.
    pub host_gateway: Vec<IpAddr>,
    pub firewall: Firewall,
    pub default_binding: IpAddr,
    /// By driver, options of networks that are made without them (`--default-network-opt`).
    pub network_options: BTreeMap<String, BTreeMap<String, String>>,
    pub labels: Vec<String>,
    /// Who passes on connections to tasks that want a header; without it none gets there.
    pub relay: Option<Arc<dyn Relay>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: PathBuf::new(),
            bridge: DefaultBridge::default(),
            mtu: 1500,
            default_address_pools: Vec::new(),
            excluded: Vec::new(),
            dns: Vec::new(),
            dns_options: Vec::new(),
            dns_search: Vec::new(),
            firewall: Firewall::default(),
            default_binding: Ipv4Addr::UNSPECIFIED.into(),
            host_gateway: Vec::new(),
            network_options: BTreeMap::new(),
            labels: Vec::new(),
            relay: None,
        }
    }
}

/// Something that happened to a network, for `docker events`.
#[derive(Clone, Debug)]
pub struct NetworkEvent {
    /// create, connect, disconnect, destroy, remove, prune, and path_mtu, which is ours
    pub action: &'static str,
    pub network_id: String,
    pub attributes: BTreeMap<String, String>,
    pub scope: &'static str,
}

/// The networks of this host. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Controller(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub config: Config,
    pub dns: Overrides,
    pub kernel: Arc<dyn Kernel>,
    pub store: Arc<Store>,
    pub events: mpsc::UnboundedSender<NetworkEvent>,
    pub swarm: Mutex<Option<Arc<dyn SwarmNetworks>>>,
    pub view: watch::Sender<Arc<OverlayView>>,
    /// Whose turn it is, by container.
    pub turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Networks that are made because something needs them come and go one at a time.
    pub needed_turn: tokio::sync::Mutex<()>,
    pub stale_zones: Mutex<BTreeSet<String>>,
    pub refresh: Arc<Notify>,
    /// Plugins may have to be told of nodes.
    pub discover: Arc<Notify>,
    /// Those that hold now, locked while they change.
    pub link_rows: tokio::sync::Mutex<Vec<Row>>,
    state: Mutex<State>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.refresh.notify_one();
        self.discover.notify_one();
    }
}

impl Inner {
    /// Never held across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
    pub fn swarm(&self) -> Option<Arc<dyn SwarmNetworks>> {
        self.swarm.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    pub fn emit(&self, action: &'static str, network: &Network, container: Option<&str>) {
        let container = container.map(|c| ("container".to_string(), c.to_string()));
        self.emit_with(action, network, container.into_iter().collect());
    }

    pub fn emit_with(
        &self,
        action: &'static str,
        network: &Network,
        mut attributes: BTreeMap<String, String>,
    ) {
        attributes.insert("name".into(), network.name.clone());
        attributes.insert("type".into(), network.driver.clone());
        self.tell(NetworkEvent {
            action,
            network_id: network.id.clone(),
            attributes,
            scope: network.scope.as_str(),
        });
    }

    pub fn emit_pruned(&self) {
        self.tell(NetworkEvent {
            action: "prune",
            network_id: String::new(),
            attributes: [("reclaimed".to_string(), "0".to_string())].into(),
            scope: Scope::Local.as_str(),
        });
    }

    fn tell(&self, event: NetworkEvent) {
        if self.events.send(event).is_err() {
            tracing::debug!("nobody listens to network events");
        }
    }
}

impl Controller {
    /// Opens the local store, makes the predefined networks, declares the rows of every network that was there before.
    /// Sandboxes follow with [`Self::restore`].
    pub async fn start(
        config: Config,
        netstate: NetState,
        drivers: Vec<Arc<dyn Driver>>,
        plugins: Option<Arc<dyn Plugins>>,
        events: mpsc::UnboundedSender<NetworkEvent>,
    ) -> Result<Self> {
        let registry = Registry::new(drivers, plugins);
        Self::start_with(config, Arc::new(netstate), registry, events).await
    }

    pub(crate) async fn start_with(
        config: Config,
        kernel: Arc<dyn Kernel>,
        drivers: Registry,
        events: mpsc::UnboundedSender<NetworkEvent>,
    ) -> Result<Self> {
        let store = Arc::new(Store::open(&config.dir)?);
        let dns = Overrides {
            nameservers: parse_servers(&config.dns)?,
            search: config.dns_search.clone(),
            options: config.dns_options.clone(),
        };
        let ports = Arc::new(Ports::over(kernel.clone()));
        let state = load(&config, &store, drivers, ports, kernel.as_ref())?;
        let (view, _) = watch::channel(Arc::new(state.overlay_view()));
        let refresh = Arc::new(Notify::new());
        let discover = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            config,
            dns,
            kernel,
            store,
            events,
            swarm: Mutex::default(),
            view,
            turns: Mutex::default(),
            needed_turn: tokio::sync::Mutex::default(),
            stale_zones: Mutex::default(),
            refresh: refresh.clone(),
            discover: discover.clone(),
            link_rows: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        });
        tokio::spawn(swarm::refresh_zones(Arc::downgrade(&inner), refresh));
        tokio::spawn(nodes::follow(Arc::downgrade(&inner), discover));
        tokio::spawn(resolver::follow_host(Arc::downgrade(&inner)));
        inner.declare_networks().await;
        inner.make_predefined().await?;
        Ok(Self(inner))
    }

    /// The network of containers that name none: the default bridge, where there is one.
    pub fn default_network(&self) -> &'static str {
        match self.0.config.bridge.disabled {
            true => "none",
            false => "bridge",
        }
    }

    /// Names of the drivers (`docker info`): our own, and of plugins those that have networks here.
    pub fn driver_names(&self) -> Vec<String> {
        let state = self.0.state();
        let networks = state.networks.values().map(|e| &e.network);
        let used = networks.filter(|n| !n.config_only).map(|n| &n.driver);
        let names: BTreeSet<_> = state.drivers.own_names().chain(used).collect();
        names.into_iter().cloned().collect()
    }
}

/// Everything that is stored, with what follows from it.
fn load(
    config: &Config,
    store: &Store,
    drivers: Registry,
    ports: Arc<Ports>,
    kernel: &dyn Kernel,
) -> Result<State> {
    let mut pools = match config.default_address_pools.is_empty() {
        true => ipam::Pools::local(),
        false => ipam::Pools::new(config.default_address_pools.clone()),
    };
    let has_ipv6 = |p: &ipam::DefaultPool| p.base.addr().is_ipv6();
    if !config.default_address_pools.iter().any(has_ipv6) {
        pools.add_default(ipam::DefaultPool::unique_local(&host_id(store)?));
    }
    let zone = config.labels.iter().find_map(|l| l.strip_prefix("zone="));
    let mut state = State {
        drivers,
        host: Host {
            firewall: config.firewall.clone(),
            vtep: store.all(VTEP)?.pop().map(|(_, vtep)| vtep),
            balances: kernel.balances(),
            steers: kernel.steers(),
            default_binding: config.default_binding,
        },
        soft: None,
        zone: zone.unwrap_or_default().to_owned(),
        networks: BTreeMap::new(),
        records: BTreeMap::new(),
        nodes: BTreeSet::new(),
        remote: BTreeMap::new(),
        pools,
        ports,
        mesh: BTreeMap::new(),
        resolvers: BTreeMap::new(),
        caches: Caches::default(),
        host_gateway: config.host_gateway.clone(),
    };
    for (id, network) in store.all::<Network>(NETWORKS)? {
        state.drivers.plug(&network.driver, network.scope);
        for subnet in state.held_pools(&network) {
            if let Err(error) = state.pools.claim(subnet) {
                tracing::warn!(network = %network.name, %subnet, %error, "subnet of a stored network cannot be claimed");
            }
        }
        state.networks.insert(id, Entry::new(network));
    }
    for (container, record) in store.all::<Record>(SANDBOXES)? {
        for endpoint in &record.endpoints {
            state.claim_stored(endpoint);
        }
        state.records.insert(container, record);
    }
    for (key, peer) in store.all::<Peer>(PEERS)? {
        if let Some((network, endpoint)) = key.split_once('/') {
            let remote: &mut Remote = state.remote.entry(network.into()).or_default();
            remote.set_peer(endpoint, Some(peer));
        }
    }
    for (key, record) in store.all::<NameRecord>(NAMES)? {
        if let Some((network, endpoint)) = key.split_once('/') {
            state.set_name(network, endpoint, Some(record));
        }
    }
    for network in state.networks.keys() {
        state.refresh_zone(network);
    }
    Ok(state)
}

/// What this host's own IPv6 prefix follows from, the same after every restart.
fn host_id(store: &Store) -> Result<String> {
    if let Some((_, id)) = store.all(HOST_ID)?.pop() {
        return Ok(id);
    }
    let id = random_id()?;
    store.set(HOST_ID, "", Some(&id))?;
    Ok(id)
}

impl Inner {
    /// One that the host can no longer carry (a link is missing that it hangs on) keeps neither the others nor the daemon
    /// from starting.
    async fn declare_networks(&self) {
        let rows: Vec<_> = {
            let state = self.state();
            let networks = state
                .networks
                .values()
                .map(|e| state.network_rows(&e.network));
            networks.filter(|(_, rows)| !rows.is_empty()).collect()
        };
        if rows.is_empty() || self.kernel.set_many(rows.clone()).await.is_ok() {
            return;
        }
        for (owner, rows) in rows {
            if let Err(error) = self.kernel.set_many(vec![(owner.clone(), rows)]).await {
                tracing::error!(owner, %error, "network is not in the kernel");
            }
        }
    }

    async fn make_predefined(&self) -> Result<()> {
        let bridge = self.default_bridge().await?;
        let stored = self.state().resolve("bridge").ok().cloned();
        // The flags decide, not what they were when the store was made; what uses it now keeps it as it is.
        if let Some(stored) = stored
            && !bridge
                .as_ref()
                .is_some_and(|bridge| is_made_of(&stored, bridge))
        {
            match self.drop_network(&stored).await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "default bridge keeps its former settings"),
            }
        }
        let simple = |driver: &str| CreateOptions {
            driver: driver.into(),
            ..CreateOptions::default()
        };
        for (name, options) in [
            ("bridge", bridge),
            ("host", Some(simple("host"))),
            ("none", Some(simple("null"))),
        ] {
            let Some(options) = options else { continue };
            let exists = self
                .state()
                .networks
                .values()
                .any(|e| e.network.name == name);
            if !exists && self.state().drivers.get(&options.driver).is_ok() {
                self.make_network(random_id()?, name, options).await?;
            }
        }
        Ok(())
    }
}

/// A default subnet may be any, so it may stay what it is.
fn is_made_of(network: &Network, options: &CreateOptions) -> bool {
    let ipam = options.ipam.clone().unwrap_or_default();
    network.options == options.options.clone().unwrap_or_default()
        && network.enable_ipv6 == options.enable_ipv6.unwrap_or(false)
        && network.ipam.config == ipam.config
}

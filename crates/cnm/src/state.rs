//! All that this host knows, and the rows that follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use dns::{Caches, Zone};
use engine_types::{Error, Result};
use ipam::{Addresses, Pools};
use ipnet::IpNet;
use netstate::ethtool::Offload;
use netstate::{Ns, Owned, Route, Row};

use crate::driver::{Capability, Driver, Gateway, Host, Registry};
use crate::mesh::{Held, PortRange};
use crate::model::{Endpoint, Network, Record, Scope};
use crate::options;
use crate::paths::offloads;
use crate::ports::Ports;
use crate::resolver::Running;
use crate::services::Declared;
use crate::ways::{Stale, Way};
use crate::{NameRecord, Peer};

/// Rows by owner.
pub(crate) type Rows = BTreeMap<String, Vec<Row>>;

pub(crate) const GATEWAY_BRIDGE: &str = "docker_gwbridge";

pub(crate) struct State {
    pub drivers: Registry,
    pub host: Host,
    /// What hardware does wrong for packets in tunnels: the kernel does it before they enter one.
    pub soft: Option<Offload>,
    /// The daemon's label `zone`; empty for none.
    pub zone: String,
    pub networks: BTreeMap<String, Entry>,
    /// By container.
    pub records: BTreeMap<String, Record>,
    /// Others of the swarm.
    pub nodes: BTreeSet<IpAddr>,
    /// By network, known or not yet.
    pub remote: BTreeMap<String, Remote>,
    pub pools: Pools,
    pub ports: Arc<Ports>,
    /// Of the mesh, each with what keeps it from others.
    pub mesh: BTreeMap<PortRange, Held>,
    /// By container.
    pub resolvers: BTreeMap<String, Running>,
    /// Of the host's own servers.
    pub caches: Caches,
    pub host_gateway: Vec<IpAddr>,
}

/// A network with what is derived from it.
pub(crate) struct Entry {
    pub network: Network,
    /// As many as the network has pools.
    pub addresses: Vec<Addresses>,
    pub zone: Arc<ArcSwap<Zone>>,
    /// Ways to services that the kernel has, by owner of their rows.
    pub services: BTreeMap<String, Declared>,
    pub stale: Stale,
    /// Held while endpoints or peers of a lazy network change, so that nobody declares a peer of a network that goes.
    pub turn: Arc<tokio::sync::Mutex<()>>,
}

impl Entry {
    pub fn new(network: Network) -> Self {
        let mut addresses: Vec<_> = network
            .pools
            .iter()
            .map(|pool| Addresses::new(pool.subnet, pool.range))
            .collect();
        for (pool, space) in network.pools.iter().zip(&mut addresses) {
            for taken in pool.gateway.iter().chain(pool.aux.values()) {
                if let Err(error) = space.claim(*taken) {
                    tracing::debug!(network = %network.id, address = %taken, %error, "address is not to be reserved");
                }
            }
        }
        Self {
            network,
            addresses,
            zone: Arc::default(),
            services: BTreeMap::new(),
            stale: Stale::all(),
            turn: Arc::default(),
        }
    }
}

/// What other hosts have on a network.
#[derive(Default)]
pub(crate) struct Remote {
    /// By endpoint.
    pub peers: BTreeMap<String, Peer>,
    /// Who said that it has this address, the latest last: it is the one that is believed.
    pub claims: BTreeMap<IpAddr, Vec<String>>,
    /// By endpoint.
    pub names: BTreeMap<String, NameRecord>,
    /// Endpoints of these by what leads to them.
    pub tasks: BTreeMap<Way, BTreeSet<String>>,
}

impl Remote {
    /// Returns the addresses whose holder may have changed.
    pub fn set_peer(&mut self, endpoint: &str, peer: Option<Peer>) -> BTreeSet<IpAddr> {
        let mut changed = BTreeSet::new();
        let former = self.peers.remove(endpoint);
        for ip in former.iter().flat_map(Peer::addresses).map(|a| a.addr()) {
            if let Some(claims) = self.claims.get_mut(&ip) {
                claims.retain(|claim| claim != endpoint);
                if claims.is_empty() {
                    self.claims.remove(&ip);
                }
            }
            changed.insert(ip);
        }
        if let Some(peer) = peer {
            for ip in peer.addresses().map(|a| a.addr()) {
                self.claims.entry(ip).or_default().push(endpoint.into());
                changed.insert(ip);
            }
            self.peers.insert(endpoint.into(), peer);
        }
        changed
    }
}

impl State {
    pub fn network(&self, id: &str) -> Result<&Network> {
        match self.networks.get(id) {
            Some(entry) => Ok(&entry.network),
            None => Err(Error::not_found(format!("network {id} not found"))),
        }
    }
    pub fn driver(&self, network: &Network) -> Result<&dyn Driver> {
        self.drivers.get(&network.driver)
    }
    pub fn capability(&self, network: &Network) -> Option<Capability> {
        self.driver(network).ok().map(|d| d.capability())
    }
    /// The managers of the swarm give its addresses. Other networks of the swarm each node makes for itself.
    pub fn is_managed(&self, network: &Network) -> bool {
        let reach = self.capability(network).map(|c| c.scope);
        network.scope == Scope::Swarm && reach != Some(Scope::Local)
    }
    pub fn record(&self, container: &str) -> Result<&Record> {
        let missing = || Error::not_found(format!("sandbox for container {container} not found"));
        self.records.get(container).ok_or_else(missing)
    }
    /// Local endpoints on a network with their sandboxes.
    pub fn endpoints_on(&self, network: &str) -> impl Iterator<Item = (&Record, &Endpoint)> {
        let of = move |r: &&Record| r.endpoint_on(network).is_some();
        let records = self.records.values().filter(of);
        records.filter_map(move |r| Some((r, r.endpoint_on(network)?)))
    }

    /// Full id, full name, unique id prefix, in this order.
    pub fn resolve(&self, term: &str) -> Result<&Network> {
        let networks = || self.networks.values().map(|e| &e.network);
        if let Some(entry) = self.networks.get(term) {
            return Ok(&entry.network);
        }
        let ambiguous = |n: usize, how: &str| {
            Error::invalid(format!(
                "network {term} is ambiguous ({n} matches found {how})"
            ))
        };
        let named: Vec<_> = networks().filter(|n| n.name == term).collect();
        match named[..] {
            [network] => return Ok(network),
            [] => {}
            _ => return Err(ambiguous(named.len(), "on name")),
        }
        let prefixed: Vec<_> = networks().filter(|n| n.id.starts_with(term)).collect();
        match prefixed[..] {
            [network] if !term.is_empty() => Ok(network),
            [] | [_] => Err(Error::not_found(format!("network {term} not found"))),
            _ => Err(ambiguous(prefixed.len(), "based on ID prefix")),
        }
    }

    /// The endpoint that gives the default route of a family: the highest priority, then one that has both families, then
    /// by the network's name, ours last.
    pub fn gateway_of<'a>(
        &'a self,
        record: &'a Record,
        v6: bool,
    ) -> Option<(&'a Endpoint, &'a Network)> {
        let candidates = record.endpoints.iter().filter_map(|endpoint| {
            let network = self.network(&endpoint.network).ok()?;
            let through = self.gateway(network) == Gateway::Interface;
            let hops = self.driver(network).ok()?.next_hops(network, endpoint);
            let leads = match through {
                true => endpoint.address(v6).is_some(),
                false => hops.iter().any(|hop| hop.is_ipv6() == v6),
            };
            (leads && self.routes_outside(network, endpoint)).then_some((endpoint, network))
        });
        candidates.min_by_key(|(endpoint, network)| {
            let priority = std::cmp::Reverse(endpoint.settings.gw_priority);
            let single = endpoint.ipv4.is_none() || endpoint.ipv6.is_none();
            (endpoint.is_gateway, priority, single, &network.name)
        })
    }

    /// Whether any network takes the sandbox's packets outside.
    pub fn has_way_out(&self, record: &Record) -> bool {
        [false, true]
            .iter()
            .any(|v6| self.gateway_of(record, *v6).is_some())
    }

    /// The endpoint's way out is its network's, not `docker_gwbridge`.
    pub fn routes_outside(&self, network: &Network, endpoint: &Endpoint) -> bool {
        self.endpoint_gateway(network, endpoint).leads_out()
    }

    /// What the network does for a container's way out.
    pub fn gateway(&self, network: &Network) -> Gateway {
        match self.driver(network) {
            Ok(driver) if !network.internal => driver.gateway(network),
            _ => Gateway::Nowhere,
        }
    }

    pub fn endpoint_gateway(&self, network: &Network, endpoint: &Endpoint) -> Gateway {
        match self.driver(network) {
            Ok(driver) if !network.internal => driver.endpoint_gateway(network, endpoint),
            _ => Gateway::Nowhere,
        }
    }

    /// A plugin drives it.
    pub fn is_plugged(&self, network: &Network) -> bool {
        !network.config_only && !self.drivers.is_own(&network.driver)
    }

    /// True when only an endpoint on `docker_gwbridge` can take the sandbox's packets outside.
    pub fn needs_gateway(&self, record: &Record) -> bool {
        let any = |is: fn(Gateway) -> bool| {
            let mut others = record.endpoints.iter().filter(|e| !e.is_gateway);
            others.any(|e| {
                let network = self.network(&e.network);
                network.is_ok_and(|n| is(self.endpoint_gateway(n, e)))
            })
        };
        let shared = |g: Gateway| g == Gateway::Shared;
        any(shared) && !any(Gateway::leads_out)
    }

    pub fn network_rows(&self, network: &Network) -> Owned {
        let owner = format!("network/{}", network.id);
        let rows = match self.driver(network) {
            Ok(driver) if !driver.capability().lazy && !network.config_only => {
                driver.network_rows(network, &self.host)
            }
            _ => Vec::new(),
        };
        (owner, rows)
    }

    /// Everything that a sandbox wants: itself, and each endpoint.
    pub fn sandbox_rows(&self, record: &Record) -> Rows {
        let mut owners = Rows::new();
        let Some(ns) = record.ns() else {
            return owners;
        };
        let mut own = vec![Row::Netns(ns.clone())];
        let sysctls = record.spec.sysctls.iter();
        own.extend(sysctls.map(|(key, value)| Row::Sysctl {
            ns: ns.clone(),
            key: key.clone(),
            value: value.clone(),
        }));
        if let Some(running) = self.resolvers.get(&record.spec.container_id) {
            own.extend(running.rows(&ns));
        }
        owners.insert(format!("sandbox/{}", record.id), own);
        for endpoint in &record.endpoints {
            let rows = self.endpoint_rows(record, endpoint, &ns);
            owners.insert(format!("endpoint/{}", endpoint.id), rows);
        }
        owners
    }

    fn endpoint_rows(&self, record: &Record, endpoint: &Endpoint, ns: &Ns) -> Vec<Row> {
        let Ok(network) = self.network(&endpoint.network) else {
            return Vec::new();
        };
        let Ok(driver) = self.driver(network) else {
            return Vec::new();
        };
        let mut rows = match driver.capability().lazy {
            true => driver.network_rows(network, &self.host),
            false => Vec::new(),
        };
        if let Some(offload) = self.soft {
            let tunnels = driver.tunnels(network).into_iter();
            rows.extend(tunnels.map(|tunnel| offloads::without(offload, tunnel)));
        }
        rows.extend(driver.endpoint_rows(network, endpoint, ns));
        if network.ingress {
            rows.extend(self.task_rows(record, network, endpoint, ns));
        }
        if self.host.balances {
            rows.extend(driver.client_rows(network, ns));
        }
        rows.extend(options::rows(endpoint, ns));
        let hops = driver.next_hops(network, endpoint);
        for v6 in [false, true] {
            let gateway = self.gateway_of(record, v6).map(|(e, _)| &e.id);
            if gateway != Some(&endpoint.id) {
                continue;
            }
            rows.push(Row::Route(Route {
                ns: ns.clone(),
                dst: default_route(v6),
                via: hops.iter().find(|hop| hop.is_ipv6() == v6).copied(),
                link: endpoint.ifname.clone(),
                table: None,
            }));
            let mappings = record.mappings.iter();
            let of_family = mappings.filter(|m| m.host_ip.is_ipv6() == v6);
            let of_family: Vec<_> = of_family.cloned().collect();
            rows.extend(driver.publish_rows(network, endpoint, &of_family));
        }
        rows
    }

    /// The ways to remote addresses: none while no endpoint is here, none to what is here itself or behind our tunnel.
    pub fn peer_rows(&self, network: &str, ips: &[IpAddr]) -> Vec<Owned> {
        let local: BTreeSet<IpAddr> = self
            .endpoints_on(network)
            .flat_map(|(_, e)| e.addresses().map(|a| a.addr()).collect::<Vec<_>>())
            .collect();
        let rows = |ip: &IpAddr| match local.is_empty() || local.contains(ip) {
            true => None,
            false => self.peer(network, ip),
        };
        let owner = |ip: &IpAddr| format!("peer/{network}/{ip}");
        ips.iter()
            .map(|ip| (owner(ip), rows(ip).unwrap_or_default()))
            .collect()
    }

    /// Who on another host has the address.
    pub fn peer_at(&self, network: &str, ip: &IpAddr) -> Option<&Peer> {
        let remote = self.remote.get(network)?;
        let claims = remote.claims.get(ip)?.iter().rev();
        let mut peers = claims.filter_map(|endpoint| remote.peers.get(endpoint));
        peers.find(|peer| Some(peer.vtep) != self.host.vtep)
    }

    fn peer(&self, network: &str, ip: &IpAddr) -> Option<Vec<Row>> {
        let known = self.network(network).ok()?;
        let peer = self.peer_at(network, ip)?;
        Some(self.driver(known).ok()?.peer_rows(known, peer, *ip))
    }

    /// Addresses that peers on a network have claimed.
    pub fn claimed(&self, network: &str) -> Vec<IpAddr> {
        let claims = self.remote.get(network).map(|r| &r.claims);
        claims.into_iter().flat_map(|c| c.keys().copied()).collect()
    }
}

fn default_route(v6: bool) -> IpNet {
    match v6 {
        false => IpNet::V4(ipnet::Ipv4Net::default()),
        true => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

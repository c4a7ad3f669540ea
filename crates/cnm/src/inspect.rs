//! Networks as the API shows them.

use std::collections::BTreeMap;

use engine_types::container::PortBinding;
use engine_types::network::{
    ConfigReference, EndpointResource, EndpointSettings, IPAM, IPAMConfig, Inspect, ServiceInfo,
    Task,
};
use engine_types::{Error, Filters, Result, Time};

use crate::Controller;
use crate::model::{Endpoint, Network, Pool, Record, Scope};
use crate::state::State;
use crate::{NameRecord, filter};

impl Controller {
    pub async fn list(&self, filters: &Filters) -> Result<Vec<Inspect>> {
        filter::validate(filters)?;
        let all = self.visible().await?;
        let state = self.0.state();
        let in_use = |n: &Inspect| state.endpoints_on(&n.id).next().is_some();
        let kept = all
            .into_iter()
            .filter(|n| filter::matches(filters, n, in_use(n)));
        Ok(kept.collect())
    }

    pub async fn inspect(&self, id_or_name: &str, verbose: bool, scope: &str) -> Result<Inspect> {
        let all = self.visible().await?;
        let of_scope = all
            .into_iter()
            .filter(|n| scope.is_empty() || n.scope == scope);
        let mut found = pick(of_scope.collect(), id_or_name)?;
        {
            let state = self.0.state();
            found.containers = Some(state.containers(&found.id));
            if verbose {
                found.services = Some(state.services(&found.id)).filter(|s| !s.is_empty());
            }
        }
        if let (Some(swarm), "swarm") = (self.0.swarm(), found.scope.as_str()) {
            let peers = swarm.peers(&found.id).await;
            found.peers = Some(peers).filter(|p| !p.is_empty());
        }
        Ok(found)
    }

    /// A manager sees all of the swarm's networks, a worker those that are in use here.
    async fn visible(&self) -> Result<Vec<Inspect>> {
        let swarm = self.0.swarm();
        let mut all = match &swarm {
            Some(swarm) if swarm.is_manager() => swarm.list().await?,
            _ => Vec::new(),
        };
        let state = self.0.state();
        for entry in state.networks.values() {
            let network = &entry.network;
            let used = || state.endpoints_on(&network.id).next().is_some();
            if network.scope == Scope::Swarm && !network.ingress && !used() {
                continue;
            }
            match all.iter_mut().find(|n| n.id == network.id) {
                Some(_) if state.is_managed(network) => {}
                // What this node has made of it.
                Some(known) => *known = shape(network),
                None => all.push(shape(network)),
            }
        }
        for network in &mut all {
            network.containers.get_or_insert_default();
        }
        Ok(all)
    }

    /// Network name to its settings, filled in with what was allocated.
    pub fn endpoints(&self, container_id: &str) -> BTreeMap<String, EndpointSettings> {
        let state = self.0.state();
        let endpoints = state.records.get(container_id).map(|r| r.endpoints.iter());
        let shown = endpoints.into_iter().flatten().filter(|e| !e.is_gateway);
        shown
            .filter_map(|e| Some((state.network(&e.network).ok()?, e)))
            .map(|(network, e)| (network.name.clone(), settings(network, e, &state)))
            .collect()
    }

    /// `80/tcp` to where it is published, ephemeral ports resolved.
    pub fn ports(&self, container_id: &str) -> BTreeMap<String, Option<Vec<PortBinding>>> {
        let mut ports = BTreeMap::<_, Option<Vec<_>>>::new();
        let state = self.0.state();
        let record = state.records.get(container_id).into_iter();
        let mappings = record.flat_map(|r| {
            let plugins = r.endpoints.iter().filter_map(|e| e.joined.as_ref());
            r.mappings.iter().chain(plugins.flat_map(|j| &j.ports))
        });
        for mapping in mappings {
            let targets = mapping.target..=mapping.last_target();
            for (i, target) in (0..).zip(targets) {
                let host_port = mapping.host_port.map(|first| first.saturating_add(i));
                ports
                    .entry(format!("{target}/{}", mapping.protocol))
                    .or_default()
                    .get_or_insert_default()
                    .push(PortBinding {
                        host_ip: mapping.host_ip.to_string(),
                        host_port: host_port.map(|p| p.to_string()).unwrap_or_default(),
                    });
            }
        }
        ports
    }
}

/// Full id, full name, unique id prefix, in this order.
pub(crate) fn pick(mut all: Vec<Inspect>, term: &str) -> Result<Inspect> {
    if let Some(i) = all.iter().position(|n| n.id == term) {
        return Ok(all.swap_remove(i));
    }
    let (mut named, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|n| n.name == term);
    let mut prefixed: Vec<_> = rest
        .into_iter()
        .filter(|n| !term.is_empty() && n.id.starts_with(term))
        .collect();
    let ambiguous = |n: usize, how: &str| {
        Err(Error::invalid(format!(
            "network {term} is ambiguous ({n} matches found {how})"
        )))
    };
    match (named.len(), prefixed.len()) {
        (1, _) => Ok(named.remove(0)),
        (0, 1) => Ok(prefixed.remove(0)),
        (0, 0) => Err(Error::not_found(format!("network {term} not found"))),
        (0, n) => ambiguous(n, "based on ID prefix"),
        (n, _) => ambiguous(n, "on name"),
    }
}

fn shape(network: &Network) -> Inspect {
    Inspect {
        name: network.name.clone(),
        id: network.id.clone(),
        created: Time(network.created.clone()),
        scope: network.scope.as_str().into(),
        driver: network.driver.clone(),
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        ipam: IPAM {
            driver: network.ipam.driver.clone(),
            options: network.ipam.options.clone(),
            config: shown_pools(network),
        },
        internal: network.internal,
        attachable: network.attachable,
        ingress: network.ingress,
        config_from: ConfigReference {
            network: network.config_from.clone(),
        },
        config_only: network.config_only,
        containers: Some(BTreeMap::new()),
        options: Some(network.options.clone()),
        labels: Some(network.labels.clone()),
        peers: None,
        services: None,
    }
}

/// The user's settings as he wrote them; for a family that he left out, what it got.
fn shown_pools(network: &Network) -> Option<Vec<IPAMConfig>> {
    let given = network.ipam.config.as_deref().unwrap_or_default();
    let mut shown = Vec::new();
    for v6 in [false, true] {
        let of_family = |c: &&IPAMConfig| c.subnet.contains(':') == v6 && !c.subnet.is_empty();
        let written = given.iter().filter(of_family).cloned().map(|mut config| {
            if config.gateway.is_empty() {
                let mut pools = network.pools.iter();
                let pool = pools.find(|p| p.subnet.to_string() == config.subnet);
                config.gateway = pool
                    .and_then(|p| p.gateway)
                    .map(|g| g.to_string())
                    .unwrap_or_default();
            }
            config
        });
        let before = shown.len();
        shown.extend(written);
        if shown.len() == before {
            let pools = network
                .pools
                .iter()
                .filter(|p| p.subnet.addr().is_ipv6() == v6);
            shown.extend(pools.map(as_config));
        }
    }
    Some(shown).filter(|s| !s.is_empty())
}

fn as_config(pool: &Pool) -> IPAMConfig {
    IPAMConfig {
        subnet: pool.subnet.to_string(),
        gateway: pool.gateway.map(|g| g.to_string()).unwrap_or_default(),
        ..IPAMConfig::default()
    }
}

fn settings(network: &Network, endpoint: &Endpoint, state: &State) -> EndpointSettings {
    // Shown where the network itself routes outside: not on overlays, not on internal networks.
    let hops = match state.driver(network) {
        Ok(driver) if state.routes_outside(network, endpoint) => {
            driver.next_hops(network, endpoint)
        }
        _ => Vec::new(),
    };
    let gateway = |v6: bool| {
        let hop = hops.iter().find(|hop| hop.is_ipv6() == v6);
        hop.map(|hop| hop.to_string()).unwrap_or_default()
    };
    let ip = |a: Option<ipnet::IpNet>| a.map(|a| a.addr().to_string()).unwrap_or_default();
    let prefix = |a: Option<ipnet::IpNet>| a.map(|a| i64::from(a.prefix_len())).unwrap_or_default();
    EndpointSettings {
        mac_address: endpoint.mac_text(),
        network_id: endpoint.network.clone(),
        endpoint_id: endpoint.id.clone(),
        gateway: gateway(false),
        ip_address: ip(endpoint.ipv4),
        ip_prefix_len: prefix(endpoint.ipv4),
        ipv6_gateway: gateway(true),
        global_ipv6_address: ip(endpoint.ipv6),
        global_ipv6_prefix_len: prefix(endpoint.ipv6),
        dns_names: Some(endpoint.names.clone()).filter(|_| !network.is_predefined()),
        ..endpoint.settings.clone()
    }
}

impl State {
    fn containers(&self, network: &str) -> BTreeMap<String, EndpointResource> {
        let all = self.endpoints_on(network);
        all.map(|(record, endpoint)| (record.spec.container_id.clone(), resource(record, endpoint)))
            .collect()
    }

    /// Services with tasks on a network of the swarm, here and elsewhere. Standalone containers are tasks of the service
    /// without a name, and an address that is not there is Go's `<nil>`, both as in Docker.
    fn services(&self, network: &str) -> BTreeMap<String, ServiceInfo> {
        let mut services = BTreeMap::<String, ServiceInfo>::new();
        if !self.network(network).is_ok_and(|n| n.scope == Scope::Swarm) {
            return services;
        }
        let mut add = |id: &str, record: &NameRecord, host: String| {
            let info = services.entry(record.service.name.clone()).or_default();
            let vip = record.service.virtual_ips().next();
            info.vip = vip.map_or("<nil>".to_string(), |vip| vip.to_string());
            info.ports.get_or_insert_default();
            info.tasks.get_or_insert_default().push(Task {
                name: record.name.clone(),
                endpoint_id: id.to_string(),
                endpoint_ip: record.address.map(|a| a.to_string()).unwrap_or_default(),
                info: Some([("Host IP".to_string(), host)].into()),
            });
        };
        let vtep = self.host.vtep.map(|v| v.to_string()).unwrap_or_default();
        for (record, endpoint) in self.endpoints_on(network) {
            if let Some(names) = self.record_of(record, endpoint) {
                add(&endpoint.id, &names, vtep.clone());
            }
        }
        if let Some(remote) = self.remote.get(network) {
            for (id, record) in &remote.names {
                let host = remote.peers.get(id).map(|p| p.vtep.to_string());
                add(id, record, host.unwrap_or_default());
            }
        }
        services
    }
}

fn resource(record: &Record, endpoint: &Endpoint) -> EndpointResource {
    let text = |a: Option<ipnet::IpNet>| a.map(|a| a.to_string()).unwrap_or_default();
    EndpointResource {
        name: match endpoint.is_gateway {
            true if record.is_entry() => format!("gateway_{}", record.spec.container_id),
            true => format!("gateway_{:.12}", record.id),
            false => record.spec.container_name.trim_start_matches('/').into(),
        },
        endpoint_id: endpoint.id.clone(),
        mac_address: endpoint.mac_text(),
        ipv4_address: text(endpoint.ipv4),
        ipv6_address: text(endpoint.ipv6),
    }
}

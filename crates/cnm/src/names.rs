//! Names: from containers and remote records to zones, and what others are told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use dns::Zone;

use crate::driver::Capability;
use crate::model::{Endpoint, Record, Scope};
use crate::overlay::OverlayView;
use crate::state::State;
use crate::{LocalEndpoint, NameRecord, SandboxSpec};

/// Container name, aliases, short id, host name, each once (daemon/container_operations.go).
pub(crate) fn dns_names(spec: &SandboxSpec, aliases: Option<&[String]>) -> Vec<String> {
    let name = spec.container_name.trim_start_matches('/');
    let short: String = spec.container_id.chars().take(12).collect();
    let mut names: Vec<String> = Vec::new();
    let aliases = aliases.unwrap_or_default().iter().map(String::as_str);
    let all = std::iter::once(name).chain(aliases);
    for name in all.chain([short.as_str(), spec.hostname.as_str()]) {
        if !name.is_empty() && !names.iter().any(|n| n == name) {
            names.push(name.to_string());
        }
    }
    names
}

/// `virtual_ip`: the service's own address beside one of a task's, where it leads somewhere.
fn add(zone: &mut Zone, record: &NameRecord, mut virtual_ip: impl FnMut(IpAddr) -> Option<IpAddr>) {
    let service = &record.service;
    let names = std::iter::once(&record.name).chain(&record.task_aliases);
    let mut own: Vec<String> = names.map(|n| n.to_lowercase()).collect();
    let mut shared = Vec::new();
    if !service.name.is_empty() {
        own.push(format!("tasks.{}", service.name.to_lowercase()));
        shared.push(service.name.to_lowercase());
        shared.extend(service.aliases.iter().map(|a| a.to_lowercase()));
    }
    let mut name = |names: &[String], address: IpAddr| {
        for name in names.iter().filter(|n| !n.is_empty()) {
            zone.names.entry(name.clone()).or_default().insert(address);
        }
    };
    for address in record.addresses() {
        name(&own, address);
        name(&shared, virtual_ip(address).unwrap_or(address));
        let primary = zone.reverse.entry(address);
        primary.or_insert_with(|| record.name.clone());
    }
}

impl State {
    /// What an endpoint is called, while its container may be found.
    pub fn record_of(&self, record: &Record, endpoint: &Endpoint) -> Option<NameRecord> {
        if !record.active || endpoint.is_gateway {
            return None;
        }
        let (name, others) = endpoint.names.split_first()?;
        let service = endpoint.service.clone().unwrap_or_default();
        let of_mesh = !service.ingress_ports.is_empty();
        // Who has no way to anybody answers nobody.
        let answers = |a: &IpAddr| !of_mesh || self.gateway_of(record, a.is_ipv6()).is_some();
        let addresses = endpoint.addresses().map(|a| a.addr());
        let mut addresses = addresses.filter(|a| a.is_ipv4() || answers(a));
        Some(NameRecord {
            name: name.clone(),
            task_aliases: others.to_vec(),
            address: Some(addresses.next()?),
            address_v6: addresses.next(),
            direct: endpoint.virtual_ips().next().is_some() && (self.host.steers || !of_mesh),
            zone: self.zone.clone(),
            service,
        })
    }

    /// Nobody asks for names of the mesh: its network's is empty.
    fn zone(&self, network: &str) -> Zone {
        let mut zone = Zone::default();
        match self.network(network) {
            Ok(known) if known.ingress => return zone,
            Ok(known) => zone.network = known.name.clone(),
            Err(_) => {}
        }
        let here = self.here(network);
        let mut known = BTreeMap::<IpAddr, bool>::new();
        let mut reached = |record: &NameRecord, task: IpAddr| {
            let address = record.service.virtual_ip_beside(task)?;
            let reached = known.entry(address).or_insert_with(|| {
                let service = self.service_at(network, &here, address);
                service.is_some_and(|service| self.reaches(&service))
            });
            reached.then_some(address)
        };
        for (record, endpoint) in here.endpoints.values() {
            if let Some(names) = self.record_of(record, endpoint) {
                add(&mut zone, &names, |task| reached(&names, task));
            }
        }
        let remote = self.remote.get(network).into_iter().flat_map(|r| &r.names);
        for (_, record) in remote.filter(|(id, _)| !here.has(id)) {
            add(&mut zone, record, |task| reached(record, task));
        }
        zone
    }

    /// Answers change from here on; unchanged zones stay the same object.
    pub fn refresh_zone(&self, network: &str) {
        if let Some(entry) = self.networks.get(network) {
            let zone = self.zone(network);
            if **entry.zone.load() != zone {
                entry.zone.store(Arc::new(zone));
            }
        }
    }

    pub fn overlay_view(&self) -> OverlayView {
        let mut view = OverlayView::default();
        let networks = self.networks.values().map(|entry| &entry.network);
        let of_swarm = networks.filter(|n| n.scope == Scope::Swarm);
        let spanning: BTreeMap<&str, Capability> = of_swarm
            .filter_map(|n| Some((n.id.as_str(), self.capability(n).filter(|c| c.spans)?)))
            .collect();
        for record in self.records.values() {
            for endpoint in &record.endpoints {
                let mut addresses = endpoint.addresses();
                let capability = spanning.get(endpoint.network.as_str());
                let (Some(address), Some(capability)) = (addresses.next(), capability) else {
                    continue;
                };
                let endpoints = view.networks.entry(endpoint.network.clone()).or_default();
                endpoints.insert(
                    endpoint.id.clone(),
                    LocalEndpoint {
                        address,
                        address_v6: addresses.next(),
                        mac: endpoint.mac,
                        tunnelled: capability.scope == Scope::Swarm,
                        record: self.record_of(record, endpoint),
                    },
                );
            }
        }
        view
    }
}

//! Networks.

use std::sync::Arc;

use ipnet::IpNet;
use raft_store::{Kind, State};
use swarm_wire::pb;
use tonic::Status;

use super::refusal::Refusal;
use super::{Control, names};
use crate::allocator::{check_network, is_v6};
use crate::ext::{NetworkExt, ServiceExt, TaskExt};
use crate::id::new_id;

const PREDEFINED: &str = "com.docker.swarm.predefined";

/// Drivers that every node has.
const DRIVERS: [&str; 5] = ["overlay", "macvlan", "bridge", "ipvlan", "host"];

impl Control {
    /// A network is usable as soon as the allocator has given it a subnet; that there is one is checked here.
    pub async fn create_network(&self, spec: pb::NetworkSpec) -> Result<Arc<pb::Network>, Status> {
        check(&spec)?;
        let id = new_id();
        self.update(|tx| {
            let name = spec.annotations.as_ref().map_or("", |a| &a.name);
            let mut networks = tx.state().networks.values();
            if let Some(other) =
                networks.find(|n| n.name() == name || spec.ingress && n.is_ingress())
            {
                return Err(match spec.ingress && other.is_ingress() {
                    true => Refusal::exists(format!(
                        "ingress network ({}) is already present",
                        other.id
                    )),
                    false => Refusal::exists(format!("network with name {name} already exists")),
                });
            }
            check_network(tx.state(), &spec).map_err(no_room)?;
            tx.create(pb::Network {
                id: id.clone(),
                spec: Some(spec.clone()),
                ..Default::default()
            })?;
            Ok(())
        })
        .await?;
        let network = self.view().networks.get(&id).cloned();
        network.ok_or_else(|| Refusal::not_found(format!("network {id} not found")).into())
    }

    pub async fn remove_network(&self, id: &str) -> Result<(), Status> {
        self.update(|tx| {
            let state = tx.state();
            let network = state.networks.get(id);
            let network =
                network.ok_or_else(|| Refusal::not_found(format!("network {id} not found")))?;
            let annotations = network
                .spec
                .as_ref()
                .and_then(|spec| spec.annotations.as_ref());
            if annotations.is_some_and(|a| a.labels.get(PREDEFINED).is_some_and(|on| on == "true"))
            {
                return Err(Refusal::precondition(format!(
                    "network {id} ({}) is a swarm predefined network and cannot be removed",
                    network.name()
                )));
            }
            match network.is_ingress() {
                true => check_ingress_unused(state)?,
                false => check_unused(state, id)?,
            }
            Ok(tx.remove(Kind::Network, id)?)
        })
        .await
    }
}

fn check_ingress_unused(state: &State) -> Result<(), Refusal> {
    match state
        .services
        .values()
        .find(|service| service.needs_ingress())
    {
        Some(service) => Err(Refusal::precondition(format!(
            "ingress network cannot be removed because service {} depends on it",
            service.id
        ))),
        None => Ok(()),
    }
}

fn check_unused(state: &State, id: &str) -> Result<(), Refusal> {
    let on_it = |config: &pb::NetworkAttachmentConfig| config.target == id;
    let by_service = |service: &&Arc<pb::Service>| {
        let spec = service.spec.as_ref();
        service.networks().iter().any(on_it)
            || spec.is_some_and(|spec| spec.networks.iter().any(on_it))
    };
    if let Some(service) = state.services.values().find(by_service) {
        return Err(Refusal::precondition(format!(
            "network {id} is in use by service {}",
            service.id
        )));
    }
    let by_task = |task: &&Arc<pb::Task>| {
        let attached = |attachment: &pb::NetworkAttachment| {
            attachment
                .network
                .as_ref()
                .is_some_and(|network| network.id == id)
        };
        let planned = task.spec.iter().flat_map(|spec| &spec.networks).any(on_it);
        task.wanted() && !task.ended() && (planned || task.networks.iter().any(attached))
    };
    match state.tasks.values().find(by_task) {
        Some(task) => Err(Refusal::precondition(format!(
            "network {id} is in use by task {}",
            task.id
        ))),
        None => Ok(()),
    }
}

/// libnetwork's codes for what stands in a network's way.
fn no_room(reason: String) -> Refusal {
    match reason == ipam::Error::Overlap.to_string() {
        true => Refusal::denied(reason),
        false => Refusal::invalid(reason),
    }
}

fn check(spec: &pb::NetworkSpec) -> Result<(), Refusal> {
    if spec.attachable && spec.ingress {
        return Err(Refusal::invalid("ingress network cannot be attachable"));
    }
    names::check(spec.annotations.as_ref())?;
    if spec
        .annotations
        .as_ref()
        .is_some_and(|a| a.labels.contains_key(PREDEFINED))
    {
        return Err(Refusal::denied(format!(
            "label {PREDEFINED} is for internally created predefined networks and cannot be applied by users"
        )));
    }
    if let Some(driver) = &spec.driver_config {
        check_driver(&driver.name, spec.ingress)?;
    }
    let Some(ipam) = &spec.ipam else {
        return Ok(());
    };
    match ipam.driver.as_ref().map(|driver| driver.name.as_str()) {
        None => {}
        Some("") => {
            return Err(Refusal::invalid(
                "driver name: if driver is specified name is required",
            ));
        }
        Some(name) if name.eq_ignore_ascii_case("default") => {}
        Some(name) => return Err(Refusal::invalid(format!("plugin {name} not supported"))),
    }
    ipam.configs.iter().try_for_each(check_config)?;
    let v4 = ipam.configs.iter().find(|c| !is_v6(c));
    match v4.filter(|_| spec.ipv4_disabled) {
        Some(config) => Err(Refusal::invalid(format!(
            "ipam configuration: IPv4 is disabled, and {} is a subnet of it",
            config.subnet
        ))),
        None => Ok(()),
    }
}

fn check_driver(name: &str, ingress: bool) -> Result<(), Refusal> {
    if ingress && name != "overlay" {
        return Err(Refusal::unimplemented(
            "only overlay driver is currently supported for ingress network",
        ));
    }
    match name {
        "" => Err(Refusal::invalid(
            "driver name: if driver is specified name is required",
        )),
        name if DRIVERS.contains(&name.to_ascii_lowercase().as_str()) => Ok(()),
        // Found on this manager, or it would not be asked for. Docker takes plugins of its second kind only.
        name => Err(Refusal::invalid(format!(
            "legacy plugin {name} of type NetworkDriver is not supported in swarm mode"
        ))),
    }
}

/// An empty subnet asks for one of the default pools.
fn check_config(config: &pb::IpamConfig) -> Result<(), Refusal> {
    let invalid = |text: String| Refusal::invalid(format!("ipam configuration: {text}"));
    let named = [&config.range, &config.gateway]
        .into_iter()
        .any(|text| !text.is_empty());
    if config.subnet.is_empty() && !named {
        return Ok(());
    }
    let subnet = &config.subnet;
    let net: IpNet = subnet
        .parse()
        .map_err(|_| invalid(format!("invalid subnet {subnet}")))?;
    if !config.range.is_empty() {
        let range = &config.range;
        let parsed: IpNet = range
            .parse()
            .map_err(|_| invalid(format!("invalid range {range}")))?;
        if !net.contains(&parsed.addr()) {
            return Err(invalid(format!(
                "subnet {subnet} does not contain range {range}"
            )));
        }
    }
    if !config.gateway.is_empty() {
        let gateway = &config.gateway;
        let parsed = gateway
            .parse()
            .map_err(|_| invalid(format!("invalid gateway {gateway}")))?;
        if !net.contains::<&std::net::IpAddr>(&parsed) {
            return Err(invalid(format!(
                "subnet {subnet} does not contain gateway {gateway}"
            )));
        }
    }
    Ok(())
}

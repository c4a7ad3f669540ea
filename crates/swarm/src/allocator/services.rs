//! A service's endpoint: virtual addresses in each of its networks, and its published ports.

use raft_store::{Error, Kind, State};
use swarm_wire::pb;
use swarm_wire::pb::endpoint::VirtualIp;
use swarm_wire::pb::endpoint_spec::ResolutionMode;

use super::addresses::{Holder, of_service};
use super::{Allocator, addresses};
use crate::ext::{NetworkExt, ServiceExt};
use crate::turn::Turn;

impl Allocator {
    pub(super) fn allocate_services(&mut self, turn: &mut Turn) -> Result<(), Error> {
        for id in std::mem::take(&mut self.todo.services) {
            self.blocked.remove(&id);
            let state = turn.state();
            let Some(service) = state.services.get(&id) else {
                continue;
            };
            let holder: Holder = (Kind::Service, id.clone());
            let before = (self.networks.held(&holder), self.ports.held(&id));
            match self.endpoint(state, service, &holder) {
                Ok(endpoint) => {
                    let mut new = service.as_ref().clone();
                    new.endpoint = endpoint;
                    self.networks.hold(holder, of_service(&new));
                    if new != **service {
                        turn.update(new)?;
                    }
                }
                Err(reason) => {
                    self.networks.hold(holder, before.0);
                    self.ports.hold(&id, before.1);
                    tracing::warn!(service = id, reason, "a service waits");
                    self.blocked.insert(id.clone(), reason);
                    self.waiting.services.insert(id);
                }
            }
        }
        Ok(())
    }

    /// What the endpoint has to be; what is right about the present one stays.
    fn endpoint(
        &mut self,
        state: &State,
        service: &pb::Service,
        holder: &Holder,
    ) -> Result<Option<pb::Endpoint>, String> {
        let spec = service.endpoint_spec();
        let wanted_ports = spec.map_or(&[][..], |spec| &spec.ports);
        let vip = spec.is_none_or(|spec| spec.mode() == ResolutionMode::Vip);
        if service.endpoint.is_none() && service.networks().is_empty() && wanted_ports.is_empty() {
            return Ok(None);
        }
        let old = service.endpoint.clone().unwrap_or_default();
        let ports = self.ports.resolve(&service.id, wanted_ports, &old.ports)?;
        let mut virtual_ips = Vec::new();
        if vip {
            let ingress = state.networks.values().find(|network| network.is_ingress());
            let ingress = match service.needs_ingress() {
                true => Some(ingress.ok_or("ingress network is missing")?.id.as_str()),
                false => None,
            };
            let targets = service
                .networks()
                .iter()
                .map(|config| config.target.as_str());
            for network in ingress.into_iter().chain(targets) {
                virtual_ips.extend(self.virtual_ips(holder, network, &old.virtual_ips)?);
            }
        }
        Ok(Some(pb::Endpoint {
            spec: spec.cloned(),
            ports,
            virtual_ips,
        }))
    }

    /// One of each family that the network has, IPv4 first: Docker's nodes look no further.
    fn virtual_ips(
        &mut self,
        holder: &Holder,
        network: &str,
        had: &[VirtualIp],
    ) -> Result<Vec<VirtualIp>, String> {
        let made = |addr: String| VirtualIp {
            network_id: network.to_owned(),
            addr,
        };
        // Addresses there are the node's affair.
        if self.networks.is_node_local(network) {
            return Ok(vec![made(String::new())]);
        }
        let held = self.networks.held(holder);
        let mut own = Vec::new();
        for v6 in self.networks.families(network)? {
            let kept = had.iter().find(|vip| {
                let address = addresses::parse(&vip.addr).filter(|a| a.is_ipv6() == v6);
                address.is_some_and(|a| held.contains(&(network.to_owned(), a)))
            });
            own.push(made(match kept {
                Some(vip) => vip.addr.clone(),
                None => self.networks.take(holder, network, v6, None)?,
            }));
        }
        Ok(own)
    }
}

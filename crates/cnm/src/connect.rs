//! A sandbox joins a network, and leaves it.

use std::net::UdpSocket;

use engine_types::network::EndpointSettings;
use engine_types::{Error, ErrorKind, Result};
use netstate::Mac;

use crate::address;
use crate::controller::Inner;
use crate::create::random_id;
use crate::driver::Gateway;
use crate::grants::Grant;
use crate::kernel::run_in;
use crate::model::{Endpoint, Network, Record, Scope, is_predefined};
use crate::names::dns_names;
use crate::options;
use crate::state::{GATEWAY_BRIDGE, State};
use crate::transition::Scene;
use crate::{ConnectRequest, Controller, Mode};

const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";
/// RFC 863
const DISCARD: u16 = 9;

impl Controller {
    pub async fn connect(&self, container_id: &str, mut request: ConnectRequest) -> Result<()> {
        let inner = &self.0;
        let _turn = inner.turn(container_id).await;
        inner.state().record(container_id)?;
        let (network, attached) = inner.find(container_id, &mut request).await?;
        let joined = inner.join(container_id, &network, request, attached).await;
        match &joined {
            Ok(()) => {
                inner.announce(container_id, &network).await;
                inner.emit("connect", &network, Some(container_id));
            }
            Err(_) if attached => inner.detach(&network.id, container_id).await,
            Err(_) => {}
        }
        joined
    }

    /// Whether a container may ask for these settings on the network, as far as this is known before it runs.
    pub fn check_settings(&self, network: &str, settings: &EndpointSettings) -> Result<()> {
        let state = self.0.state();
        let known = state.resolve(network).ok();
        let known = known.filter(|n| n.scope != Scope::Swarm && !n.config_only);
        let name = known.map_or(network, |n| &n.name);
        let mut faults = address::faults(known, name, settings);
        if is_predefined(name) && settings.aliases.as_ref().is_some_and(|a| !a.is_empty()) {
            faults.push(
                "network-scoped alias is supported only for containers in user defined networks"
                    .to_string(),
            );
        }
        address::refuse(&faults)
    }

    pub async fn disconnect(&self, container_id: &str, network: &str, force: bool) -> Result<()> {
        let inner = &self.0;
        let _turn = inner.turn(container_id).await;
        let (network, endpoint) = {
            let state = inner.state();
            let network = state.resolve(network)?.clone();
            let record = state.record(container_id)?;
            let endpoint = record.endpoint_on(&network.id).filter(|e| !e.is_gateway);
            let missing = || {
                let name = record.spec.container_name.trim_start_matches('/');
                Error::system(format!(
                    "container {name} is not connected to network {}",
                    network.name
                ))
            };
            let endpoint = endpoint.ok_or_else(missing)?.clone();
            (network, endpoint)
        };
        if network.driver == "host" {
            return Err(Error::invalid(
                "cannot disconnect container from host network - container was created in host network mode",
            ));
        }
        let left = inner.leave(container_id, &network.id, force).await;
        if left.is_ok() || force {
            if endpoint.attached {
                inner.detach(&network.id, container_id).await;
            }
            inner.emit("disconnect", &network, Some(container_id));
        }
        left
    }
}

impl Inner {
    /// The network of a request; one of the swarm's gives a standalone container its address through the managers.
    async fn find(&self, container: &str, request: &mut ConnectRequest) -> Result<(Network, bool)> {
        let known = self.state().resolve(&request.network).cloned();
        let swarm = self.swarm().filter(|_| !request.preallocated);
        let target = match (known, &swarm) {
            (Ok(network), _) if network.scope != Scope::Swarm || request.preallocated => {
                return Ok((network, false));
            }
            (Ok(network), Some(_)) => {
                self.state().check_not_on(container, &network)?;
                // As the user called it: the managers' refusals repeat it.
                request.network.clone()
            }
            (Err(error), Some(_)) if error.kind == ErrorKind::NotFound => request.network.clone(),
            (Ok(network), None) => {
                return Err(Error::unavailable(format!(
                    "network {} belongs to a swarm and this node is not part of one",
                    network.name
                )));
            }
            (Err(error), _) => return Err(error),
        };
        let Some(swarm) = swarm else {
            return Err(Error::not_found(format!("network {target} not found")));
        };
        let wanted = match &request.settings.ipam_config {
            Some(config) => address::requested(config)?,
            None => Vec::new(),
        };
        let wanted = wanted.iter().map(|ip| ip.to_string()).collect();
        let (network, granted) = swarm.attach(&target, container, wanted).await?;
        let id = network.id.clone();
        if !granted.is_empty() {
            request.settings.ipam_config = Some(address::as_requested(granted));
        }
        let made = self.add_swarm_network(network).await;
        let known = made.and_then(|()| self.state().network(&id).cloned());
        match known {
            Ok(network) => Ok((network, true)),
            Err(error) => {
                self.detach(&id, container).await;
                Err(error)
            }
        }
    }

    async fn join(
        &self,
        container: &str,
        network: &Network,
        request: ConnectRequest,
        attached: bool,
    ) -> Result<()> {
        let gateway = self.state().driver(network)?.gateway(network);
        if gateway == Gateway::Shared && !network.internal {
            self.ensure_gateway_bridge().await?;
            if network.ingress && network.enable_ipv6 {
                self.widen_gateway_bridge().await?;
            }
        }
        let mut touched = vec![network.id.clone()];
        touched.extend(
            self.state()
                .resolve(GATEWAY_BRIDGE)
                .ok()
                .map(|n| n.id.clone()),
        );
        let scene = Scene {
            container,
            touched,
            force: false,
        };
        let check = |state: &State, record: &Record, settings: &EndpointSettings| {
            state.check_join(record, network)?;
            match state.is_managed(network) {
                true => Ok(()),
                false => address::refuse(&address::faults(Some(network), &network.name, settings)),
            }
        };
        if network.has_plugin_ipam() {
            let state = self.state();
            check(&state, state.record(container)?, &request.settings)?;
        }
        let grant = self
            .request_grant(network, container, &request.settings)
            .await?;
        let joined = self.transition(scene, |state, record| {
            let mut record = record.ok_or_else(|| gone(container))?;
            check(state, &record, &request.settings)?;
            let mut endpoint =
                state.new_endpoint(&record, network, request.settings, grant.as_ref())?;
            endpoint.service = request.service;
            endpoint.attached = attached;
            record.endpoints.push(endpoint);
            Ok(Some(record))
        });
        let joined = joined.await;
        if let (Err(_), Some(grant)) = (&joined, &grant) {
            self.release_grant(network, &grant.addresses).await;
        }
        joined
    }

    async fn leave(&self, container: &str, network: &str, force: bool) -> Result<()> {
        let scene = Scene {
            container,
            touched: vec![network.to_string()],
            force,
        };
        self.transition(scene, |_, record| {
            let mut record = record.ok_or_else(|| gone(container))?;
            record.endpoints.retain(|e| e.network != network);
            Ok(Some(record))
        })
        .await
    }

    /// On a network that reaches other hosts: makes the kernel ask for an address by ARP (or what IPv6 has for it), which tells
    /// every bridge and neighbour where the asking address is now: it may have been another host's a moment ago.
    async fn announce(&self, container: &str, network: &Network) {
        let found = {
            let state = self.state();
            let driver = state.driver(network).ok();
            let shared = driver
                .is_some_and(|d| d.capability().lazy || d.gateway(network) == Gateway::Router);
            let record = state.records.get(container).filter(|_| shared);
            record.and_then(|r| {
                let own = r.endpoint_on(&network.id)?.addresses().next()?;
                Some((r.ns()?, own.addr()))
            })
        };
        let Some((ns, own)) = found else {
            return;
        };
        let pool = network.pool_of(&own).map(|(_, pool)| pool);
        let Some(other) = pool.and_then(|p| p.gateway.or_else(|| p.subnet.hosts().next())) else {
            return;
        };
        let ask = move || UdpSocket::bind((own, 0))?.send_to(&[], (other, DISCARD));
        match run_in(self.kernel.as_ref(), &ns, ask).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(container, %error, "address is not announced"),
            Err(error) => tracing::debug!(container, %error, "address is not announced"),
        }
    }

    /// Tells the managers that an address is free again. They also notice when this node is gone.
    pub async fn detach(&self, network: &str, container: &str) {
        if let Some(swarm) = self.swarm()
            && let Err(error) = swarm.detach(network, container).await
        {
            tracing::warn!(network, container, %error, "managers were not told that a container left its network");
        }
    }
}

fn gone(container: &str) -> Error {
    Error::not_found(format!("sandbox for container {container} not found"))
}

impl State {
    fn check_not_on(&self, container: &str, network: &Network) -> Result<()> {
        let record = self.record(container)?;
        match record.endpoint_on(&network.id) {
            Some(_) => Err(Error::forbidden(format!(
                "endpoint with name {} already exists in network {}",
                record.spec.container_name.trim_start_matches('/'),
                network.name
            ))),
            None => Ok(()),
        }
    }

    /// Which networks go together (runconfig/errors.go).
    fn check_join(&self, record: &Record, network: &Network) -> Result<()> {
        if network.config_only {
            return Err(Error::forbidden(
                "cannot create endpoint on configuration-only network",
            ));
        }
        self.network(&network.id)?;
        self.check_not_on(&record.spec.container_id, network)?;
        match (&record.spec.mode, network.driver.as_str()) {
            (Mode::Host, "host") => {}
            (Mode::Private, "host") => {
                return Err(Error::invalid(
                    "cannot connect container to host network - container must be created in host network mode",
                ));
            }
            (Mode::Private, _) => {}
            (Mode::Host | Mode::Container(_), _) => return Err(Error::invalid(SHARED)),
        }
        let is_null = |n: &Network| n.driver == "null";
        let mut others = record
            .endpoints
            .iter()
            .filter_map(|e| self.network(&e.network).ok());
        let has_others = !record.endpoints.is_empty();
        if (has_others && is_null(network)) || others.any(is_null) {
            return Err(Error::invalid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            ));
        }
        Ok(())
    }

    /// An endpoint with its addresses; nothing else refers to it yet.
    fn new_endpoint(
        &mut self,
        record: &Record,
        network: &Network,
        settings: EndpointSettings,
        grant: Option<&Grant>,
    ) -> Result<Endpoint> {
        let id = random_id()?;
        let mut endpoint = Endpoint {
            id,
            network: network.id.clone(),
            ifname: String::new(),
            mac: Mac([0; 6]),
            ipv4: None,
            ipv6: None,
            names: dns_names(&record.spec, settings.aliases.as_deref()),
            settings,
            service: None,
            is_gateway: false,
            attached: false,
            joined: None,
        };
        if !self.driver(network)?.capability().addresses {
            return Ok(endpoint);
        }
        let macs = self.driver(network)?.capability().macs;
        if !macs && !endpoint.settings.mac_address.is_empty() {
            return Err(Error::system(format!(
                "{} interfaces do not support custom mac address assignment",
                network.driver
            )));
        }
        endpoint.ifname = options::interface(record, network, &endpoint.settings)?;
        let wanted = match (grant, &endpoint.settings.ipam_config) {
            (Some(grant), _) => grant.addresses.clone(),
            (None, Some(config)) => address::requested(config)?,
            (None, None) => Vec::new(),
        };
        if wanted.is_empty() && self.is_managed(network) {
            return Err(Error::system(format!(
                "network {}: the managers allocated no address",
                network.name
            )));
        }
        let allocated = self.allocate(&network.id, &wanted)?;
        (endpoint.ipv4, endpoint.ipv6) = (allocated.ipv4, allocated.ipv6);
        if !macs {
            return Ok(endpoint);
        }
        let mac = match grant.and_then(|g| g.mac) {
            Some(mac) => Ok(mac),
            // A plugin's interface has one, unless the user wants another.
            None if self.is_plugged(network) && endpoint.settings.mac_address.is_empty() => {
                Ok(endpoint.mac)
            }
            None => {
                // Elsewhere its end may be another network's as well, on the same wire.
                let ipv6 = endpoint.ipv6.filter(|_| self.is_managed(network));
                let address = endpoint.ipv4.or(ipv6);
                address::mac(&endpoint.settings, address, &endpoint.id)
            }
        };
        match mac {
            Ok(mac) => endpoint.mac = mac,
            Err(error) => {
                self.release(&network.id, endpoint.addresses());
                return Err(error);
            }
        }
        Ok(endpoint)
    }

    /// Adds or removes the endpoint on `docker_gwbridge`.
    pub fn settle_gateway(&mut self, record: &mut Record) -> Result<()> {
        if !self.needs_gateway(record) {
            record.endpoints.retain(|e| !e.is_gateway);
        } else if !record.endpoints.iter().any(|e| e.is_gateway) {
            let bridge = self.resolve(GATEWAY_BRIDGE)?.clone();
            if record.endpoint_on(&bridge.id).is_none() {
                let mut endpoint =
                    self.new_endpoint(record, &bridge, EndpointSettings::default(), None)?;
                endpoint.is_gateway = true;
                endpoint.names.clear();
                record.endpoints.push(endpoint);
            }
        }
        Ok(())
    }
}

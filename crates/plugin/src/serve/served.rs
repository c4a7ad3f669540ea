//! What an engine has asked for, and is there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cnm::driver::Driver as _;
use cnm::model::{Endpoint, Joined, Mapping, Network};
use cnm::ports::{Ports, Way, Ways};
use engine_types::{Error, Result};
use netstate::{Flows, NetState, Ns};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::files::Files;
use super::leases::Leases;
use super::read;
use super::rows::{self, DRIVER};
use crate::options::{self, MAC, PORTMAP};
use crate::wire::network as wire;

/// After a restart: until then an engine may come for the link of an endpoint that it was making.
const GRACE: Duration = Duration::from_secs(60);
const IFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";

#[derive(Clone, Debug)]
pub struct Config {
    /// What outlives the host: networks, address pools and addresses.
    pub data: PathBuf,
    /// What outlives the process: endpoints. Gone with the host's power, as they are.
    pub run: PathBuf,
    pub grace: Duration,
}

impl Config {
    pub fn new(data: PathBuf, run: PathBuf) -> Self {
        Self {
            data,
            run,
            grace: GRACE,
        }
    }
}

/// Networks and endpoints of one engine. Calls are done one after the other.
pub struct Served {
    kernel: NetState,
    ports: Ports,
    networks: Files<Network>,
    endpoints: Files<Endpoint>,
    state: Mutex<State>,
    pub(super) leases: Arc<Leases>,
}

#[derive(Default)]
struct State {
    networks: BTreeMap<String, Network>,
    endpoints: BTreeMap<String, Endpoint>,
    closed: bool,
}

impl State {
    fn network(&self, id: &str) -> Result<&Network> {
        let missing = || Error::not_found(format!("network {id} not found"));
        self.networks.get(id).ok_or_else(missing)
    }
    fn endpoint(&self, id: &str) -> Result<&Endpoint> {
        let missing = || Error::not_found(format!("endpoint {id} not found"));
        self.endpoints.get(id).ok_or_else(missing)
    }
    fn on<'a>(&'a self, network: &'a str) -> impl Iterator<Item = &'a Endpoint> {
        self.endpoints
            .values()
            .filter(move |e| e.network == network)
    }
}

impl Served {
    /// Takes up what a former run has left: packets flow on meanwhile.
    pub async fn start(config: Config, kernel: NetState) -> Result<Arc<Self>> {
        let served = Self {
            ports: Ports::new(kernel.clone()),
            networks: Files::open(config.data.join("networks"), true)?,
            endpoints: Files::open(config.run.join("endpoints"), false)?,
            state: Mutex::default(),
            leases: Arc::new(Leases::open(
                &config.data,
                &host_id(&config.data)?,
                config.grace,
            )?),
            kernel,
        };
        served.take_up().await?;
        let served = Arc::new(served);
        let known: Vec<String> = {
            let state = served.state.lock().await;
            state.endpoints.keys().cloned().collect()
        };
        let sweep = served.clone();
        tokio::spawn(async move {
            tokio::time::sleep(config.grace).await;
            sweep.drop_abandoned(known).await;
        });
        Ok(served)
    }

    async fn take_up(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        let networks = self.networks.all()?.into_iter();
        state.networks = networks.map(|n| (n.id.clone(), n)).collect();
        for endpoint in self.endpoints.all()? {
            match state.networks.contains_key(&endpoint.network) {
                true => drop(state.endpoints.insert(endpoint.id.clone(), endpoint)),
                false => self.endpoints.remove(&endpoint.id)?,
            }
        }
        let mut owned = vec![rows::of_host()];
        owned.extend(state.networks.values().map(rows::of_network));
        for endpoint in state.endpoints.values() {
            owned.push(rows::of_endpoint(
                state.network(&endpoint.network)?,
                endpoint,
            ));
        }
        if self.kernel.set_many(owned.clone()).await.is_err() {
            for (owner, rows) in owned {
                if let Err(error) = self.kernel.set(&owner, rows).await {
                    tracing::error!(owner, %error, "not in the kernel");
                }
            }
        }
        for endpoint in state.endpoints.values() {
            let Some(joined) = &endpoint.joined else {
                continue;
            };
            let ways = ways(state.network(&endpoint.network)?, endpoint);
            for error in self.ports.hold_again(&joined.ports, &ways).await {
                tracing::warn!(endpoint = %endpoint.id, %error, "published port is also somebody else's");
            }
        }
        let removed = self.kernel.collect().await.map_err(Error::system)?;
        let (networks, endpoints) = (state.networks.len(), state.endpoints.len());
        tracing::info!(networks, endpoints, removed, "networks are whole again");
        Ok(())
    }

    /// An engine that broke off, or died, while it made an endpoint or gave it back does not come again for it. The link of
    /// such an endpoint is on the host; a container's never is.
    async fn drop_abandoned(&self, known: Vec<String>) {
        let mut state = self.state.lock().await;
        for id in known {
            let Some(endpoint) = state.endpoints.get(&id) else {
                continue;
            };
            let link = vec![endpoint.ifname.clone()];
            if let Ok(true) = self.kernel.has_parent("veth", link).await {
                tracing::warn!(
                    endpoint = id,
                    "no container has this endpoint: it is removed"
                );
                if let Err(error) = self.remove_endpoint(&mut state, &id).await {
                    tracing::warn!(endpoint = id, %error, "endpoint is not removed");
                }
            }
        }
    }

    /// Waits until what has begun is done, and refuses what comes.
    pub(super) async fn close(&self) {
        self.state.lock().await.closed = true;
        self.leases.close().await;
    }

    async fn turn(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock().await;
        match state.closed {
            true => Err(Error::system("the plugin is stopping")),
            false => Ok(state),
        }
    }

    pub(super) fn checks_gateway(
        &self,
        request: &wire::GwAllocCheck,
    ) -> Result<wire::GwAllocChecked> {
        let network = read::of_options(&request.options)?;
        Ok(wire::GwAllocChecked {
            skip_ipv4: !DRIVER.has_gateway(&network, false),
            skip_ipv6: !DRIVER.has_gateway(&network, true),
        })
    }

    pub(super) async fn create_network(&self, request: &wire::CreateNetwork) -> Result<()> {
        let network = read::network(request)?;
        let mut state = self.turn().await?;
        if state.networks.contains_key(&network.id) {
            let id = network.id;
            return Err(Error::forbidden(format!("network {id} already exists")));
        }
        self.clear(&mut state, &network).await?;
        let others: Vec<_> = state.networks.values().collect();
        DRIVER.validate(&network, &others)?;
        self.networks.write(&network.id, &network)?;
        let (owner, rows) = rows::of_network(&network);
        if let Err(error) = self.kernel.set(&owner, rows).await {
            self.networks.remove(&network.id)?;
            return Err(Error::system(error));
        }
        state.networks.insert(network.id.clone(), network);
        Ok(())
    }

    /// No two networks of an engine have an address in common. One that is in the way is there because the engine never
    /// learned that it was made: it died, or we did.
    async fn clear(&self, state: &mut State, network: &Network) -> Result<()> {
        let clash = |other: &&Network| {
            let mut pairs = other
                .pools
                .iter()
                .flat_map(|a| network.pools.iter().map(move |b| (a, b)));
            pairs.any(|(a, b)| a.subnet.contains(&b.subnet) || b.subnet.contains(&a.subnet))
        };
        let in_the_way: Vec<String> = state
            .networks
            .values()
            .filter(clash)
            .map(|n| n.id.clone())
            .collect();
        for id in in_the_way {
            if state.on(&id).next().is_some() {
                return Err(Error::forbidden(format!(
                    "subnets of network {} overlap those of network {id}, which has endpoints",
                    network.id
                )));
            }
            tracing::warn!(
                network = id,
                "network has no endpoints and its subnet is given again: it is removed"
            );
            self.remove_network(state, &id).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_network(&self, id: &str) -> Result<()> {
        let mut state = self.turn().await?;
        self.remove_network(&mut state, id).await
    }

    /// Its endpoints, too: an engine has taken back those that it knows of. What is not there is gone already.
    async fn remove_network(&self, state: &mut State, id: &str) -> Result<()> {
        let Some(network) = state.networks.get(id) else {
            return Ok(());
        };
        let (owner, _) = rows::of_network(network);
        let left: Vec<String> = state.on(id).map(|e| e.id.clone()).collect();
        for endpoint in left {
            tracing::warn!(
                network = id,
                endpoint,
                "endpoint is left on a network that goes"
            );
            self.remove_endpoint(state, &endpoint).await?;
        }
        self.kernel.remove(&owner).await.map_err(Error::system)?;
        self.networks.remove(id)?;
        state.networks.remove(id);
        Ok(())
    }

    pub(super) async fn create_endpoint(
        &self,
        request: &wire::CreateEndpoint,
    ) -> Result<wire::CreatedEndpoint> {
        let mut state = self.turn().await?;
        let network = state.network(&request.network)?;
        let (endpoint, mac) = read::endpoint(request, network)?;
        if state.endpoints.contains_key(&endpoint.id) {
            let id = endpoint.id;
            return Err(Error::forbidden(format!("endpoint {id} already exists")));
        }
        let (owner, rows) = rows::of_endpoint(network, &endpoint);
        self.endpoints.write(&endpoint.id, &endpoint)?;
        if let Err(error) = self.kernel.set(&owner, rows).await {
            self.endpoints.remove(&endpoint.id)?;
            return Err(Error::system(error));
        }
        state.endpoints.insert(endpoint.id.clone(), endpoint);
        Ok(wire::CreatedEndpoint {
            interface: wire::Interface {
                mac: mac.map(|mac| mac.to_string()).unwrap_or_default(),
                ..Default::default()
            },
        })
    }

    pub(super) async fn delete_endpoint(&self, id: &str) -> Result<()> {
        let mut state = self.turn().await?;
        self.remove_endpoint(&mut state, id).await
    }

    /// Its file first: the engine asks once, and a restart collects what is left.
    async fn remove_endpoint(&self, state: &mut State, id: &str) -> Result<()> {
        let Some(endpoint) = state.endpoints.get(id) else {
            return Ok(());
        };
        self.endpoints.remove(id)?;
        let (owner, _) = rows::of_endpoint(state.network(&endpoint.network)?, endpoint);
        self.kernel.remove(&owner).await.map_err(Error::system)?;
        let Some(endpoint) = state.endpoints.remove(id) else {
            return Ok(());
        };
        let mappings = endpoint
            .joined
            .as_ref()
            .map(|j| &j.ports[..])
            .unwrap_or_default();
        let addresses = endpoint.addresses().map(|a| Flows::Of(a.addr()));
        let flows = addresses.chain(flows(mappings)).collect();
        self.forget(flows).await;
        mappings.iter().for_each(|m| self.ports.release(m));
        Ok(())
    }

    pub(super) async fn join(&self, request: &wire::Join) -> Result<wire::Joined> {
        let mut state = self.turn().await?;
        let mut endpoint = state.endpoint(&request.endpoint)?.clone();
        let network = state.network(&endpoint.network)?;
        let gateways = match network.internal {
            true => Vec::new(),
            false => DRIVER.next_hops(network, &endpoint),
        };
        let of = |v6| {
            let found = gateways.iter().find(|ip| ip.is_ipv6() == v6);
            found.map(|ip| ip.to_string()).unwrap_or_default()
        };
        let answer = wire::Joined {
            interface: wire::InterfaceName {
                src_name: endpoint.ifname.clone(),
                dst_prefix: network.option(IFACE_PREFIX).unwrap_or("eth").to_string(),
            },
            gateway: of(false),
            gateway_ipv6: of(true),
            routes: Vec::new(),
            // A network without a way outside is meant to have none.
            no_gateway: gateways.is_empty(),
        };
        endpoint.joined = Some(Joined {
            link: Some(endpoint.ifname.clone()),
            gateways,
            no_gateway: answer.no_gateway,
            ..Joined::default()
        });
        self.endpoints.write(&endpoint.id, &endpoint)?;
        state.endpoints.insert(endpoint.id.clone(), endpoint);
        Ok(answer)
    }

    pub(super) async fn leave(&self, id: &str) -> Result<()> {
        let mut state = self.turn().await?;
        let Some(endpoint) = state.endpoints.get(id).cloned() else {
            return Ok(());
        };
        self.publish(&mut state, endpoint.clone(), Vec::new())
            .await?;
        if let Some(endpoint) = state.endpoints.get_mut(id) {
            endpoint.joined = None;
            self.endpoints.write(id, endpoint)?;
        }
        Ok(())
    }

    pub(super) async fn program(&self, request: &wire::OfEndpoint) -> Result<()> {
        let wanted = read::ports(&request.options)?;
        let mut state = self.turn().await?;
        let endpoint = state.endpoint(&request.endpoint)?.clone();
        let Some(joined) = &endpoint.joined else {
            let id = endpoint.id;
            return Err(Error::forbidden(format!(
                "endpoint {id} has joined no container"
            )));
        };
        let ways = ways(state.network(&endpoint.network)?, &endpoint);
        let firewall = rows::host().firewall;
        let published = self.ports.publish(&wanted, &ways, &firewall, &joined.ports);
        let mappings = published.await?;
        let done = self
            .publish(&mut state, endpoint.clone(), mappings.clone())
            .await;
        if done.is_err() {
            let new = mappings.iter().filter(|m| !joined.ports.contains(m));
            new.for_each(|m| self.ports.release(m));
        }
        done
    }

    pub(super) async fn revoke(&self, id: &str) -> Result<()> {
        let mut state = self.turn().await?;
        match state.endpoints.get(id).cloned() {
            Some(endpoint) => self.publish(&mut state, endpoint, Vec::new()).await,
            None => Ok(()),
        }
    }

    /// From the mappings that it has to these; on failure it keeps them.
    async fn publish(
        &self,
        state: &mut State,
        mut endpoint: Endpoint,
        mappings: Vec<Mapping>,
    ) -> Result<()> {
        let Some(joined) = endpoint.joined.as_mut().filter(|j| j.ports != mappings) else {
            return Ok(());
        };
        let former = std::mem::replace(&mut joined.ports, mappings.clone());
        let (owner, rows) = rows::of_endpoint(state.network(&endpoint.network)?, &endpoint);
        self.kernel.set(&owner, rows).await.map_err(Error::system)?;
        self.endpoints.write(&endpoint.id, &endpoint)?;
        state.endpoints.insert(endpoint.id.clone(), endpoint);
        let turned = flows(&former).chain(flows(&mappings)).collect();
        self.forget(turned).await;
        let gone = former.iter().filter(|m| !mappings.contains(m));
        gone.for_each(|m| self.ports.release(m));
        Ok(())
    }

    async fn forget(&self, flows: Vec<Flows>) {
        if let Err(error) = self.kernel.forget(Ns::Host, flows).await {
            tracing::debug!(%error, "connections of what has gone live on");
        }
    }

    pub(super) async fn info(&self, id: &str) -> Result<wire::Info> {
        let state = self.turn().await?;
        let endpoint = state.endpoint(id)?;
        let joined = endpoint.joined.iter();
        let ports = joined.flat_map(|j| &j.ports).flat_map(bindings);
        let mac = endpoint.mac.to_string();
        let value = [
            (MAC.to_string(), Value::from(mac)),
            (PORTMAP.to_string(), json!(ports.collect::<Vec<_>>())),
        ];
        Ok(wire::Info {
            value: value.into_iter().collect(),
        })
    }
}

/// Made once, the same after every restart.
fn host_id(data: &std::path::Path) -> Result<String> {
    let file = Files::<String>::open(data.join("host"), true)?;
    if let Some(id) = file.all()?.pop() {
        return Ok(id);
    }
    let id = cnm::random_id()?;
    file.write("id", &id)?;
    Ok(id)
}

fn ways(network: &Network, endpoint: &Endpoint) -> Ways {
    let way = |v6| Way::by(endpoint, network, &DRIVER, &rows::host(), v6);
    [false, true].map(|v6| way(v6).filter(|_| !network.internal))
}

/// UDP senders that have to notice that a port leads elsewhere now.
fn flows(mappings: &[Mapping]) -> impl Iterator<Item = Flows> {
    let udp = mappings.iter().filter(|m| m.protocol == "udp");
    udp.filter_map(|m| {
        let (first, last) = m.host_ports()?;
        Some(Flows::ToUdp(m.host_ip, first, last))
    })
}

fn bindings(mapping: &Mapping) -> impl Iterator<Item = wire::PortBinding> {
    let number = options::number_of(&mapping.protocol).unwrap_or_default();
    let host_ip = mapping.host_ip.to_string();
    let (first, target, count) = (mapping.host_port, mapping.target, mapping.count);
    first.into_iter().flat_map(move |first| {
        let host_ip = host_ip.clone();
        (0..count).map(move |i| wire::PortBinding {
            protocol: number,
            ip: String::new(),
            port: target.saturating_add(i),
            host_ip: host_ip.clone(),
            host_port: first.saturating_add(i),
            host_port_end: first.saturating_add(i),
        })
    })
}

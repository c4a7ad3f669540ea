//! What an engine has asked for, and is there.

mod endpoints;
mod networks;
mod publish;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cnm::model::{Endpoint, Network};
use cnm::ports::Ports;
use engine_types::{Error, Result};
use netstate::NetState;
use tokio::sync::{Mutex, MutexGuard};

use super::files::Files;
use super::leases::Leases;
use super::rows;
use publish::ways;

/// After a restart: until then an engine may come for the link of an endpoint that it was making.
const GRACE: Duration = Duration::from_secs(60);

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

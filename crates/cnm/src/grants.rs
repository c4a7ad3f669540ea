//! Addresses that IPAM plugins give endpoints.

use std::net::IpAddr;
use std::sync::Arc;

use engine_types::network::EndpointSettings;
use engine_types::{Error, Result};
use netstate::Mac;

use crate::address::requested;
use crate::controller::Inner;
use crate::model::{Network, Record};
use crate::remote::{AddressRequest, IpamPlugin, PoolRequest, Purpose};

/// What a plugin has given an endpoint that is yet to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grant {
    pub addresses: Vec<IpAddr>,
    /// As the plugin was told it.
    pub mac: Option<Mac>,
}

impl Inner {
    /// An address of each family that the network has; `None` when no plugin has a part in it.
    pub async fn request_grant(
        &self,
        network: &Network,
        container: &str,
        settings: &EndpointSettings,
    ) -> Result<Option<Grant>> {
        let Some(ipam) = self.ipam_plugin(network).await? else {
            return Ok(None);
        };
        let name = {
            let state = self.state();
            let name = &state.record(container)?.spec.container_name;
            name.trim_start_matches('/').to_string()
        };
        let wanted = match &settings.ipam_config {
            Some(config) => requested(config)?,
            None => Vec::new(),
        };
        let mac = match (Mac::parse(&settings.mac_address), ipam.requires_mac()) {
            (Some(mac), _) => Some(mac),
            (None, true) => Some(random_mac()?),
            (None, false) => None,
        };
        let mut grant = Grant {
            addresses: Vec::new(),
            mac: mac.filter(|_| ipam.requires_mac()),
        };
        for v6 in [false, true] {
            let wanted = wanted.iter().find(|ip| ip.is_ipv6() == v6).copied();
            let purpose = Purpose::Endpoint {
                name: &name,
                mac: grant.mac,
            };
            match request(network, ipam.as_ref(), v6, wanted, &purpose).await {
                Ok(address) => grant.addresses.extend(address),
                Err(error) => {
                    self.release_grant(network, &grant.addresses).await;
                    return Err(error);
                }
            }
        }
        Ok(Some(grant))
    }

    pub async fn release_grant(&self, network: &Network, addresses: &[IpAddr]) {
        if addresses.is_empty() {
            return;
        }
        let ipam = match self.ipam_plugin(network).await {
            Ok(Some(ipam)) => Ok(ipam),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        for address in addresses {
            let pool = network.pool_of(address).and_then(|(_, p)| p.id.as_deref());
            let released = match &ipam {
                Ok(ipam) => {
                    ipam.release_address(pool.unwrap_or_default(), *address)
                        .await
                }
                Err(error) => Err(error.clone()),
            };
            if let Err(error) = released {
                tracing::warn!(network = %network.name, %address, %error, "address is not given back to its plugin");
            }
        }
    }

    /// Gives back what endpoints had that are in `from` and not in `to`.
    pub async fn release_grants(&self, from: Option<&Record>, to: Option<&Record>) {
        let kept = |id: &str| to.is_some_and(|r| r.endpoints.iter().any(|e| e.id == id));
        let gone = from.into_iter().flat_map(|r| &r.endpoints);
        for endpoint in gone.filter(|e| !kept(&e.id)) {
            let network = self.state().network(&endpoint.network).cloned();
            if let Ok(network) = network
                && network.has_plugin_ipam()
            {
                let addresses: Vec<_> = endpoint.addresses().map(|a| a.addr()).collect();
                self.release_grant(&network, &addresses).await;
            }
        }
    }

    /// After a restart: tells the IPAM plugins that want it what they have given. Nobody waits for it.
    pub fn replay_grants(self: &Arc<Self>) {
        let networks: Vec<Network> = {
            let state = self.state();
            let all = state.networks.values().map(|e| e.network.clone());
            all.filter(Network::has_plugin_ipam).collect()
        };
        for network in networks {
            let inner = self.clone();
            tokio::spawn(async move {
                if let Err(error) = inner.replay(&network).await {
                    tracing::warn!(network = %network.name, ipam = %network.ipam.driver, %error, "IPAM plugin was not told what it had given");
                }
            });
        }
    }

    async fn replay(&self, network: &Network) -> Result<()> {
        let Some(ipam) = self.ipam_plugin(network).await? else {
            return Ok(());
        };
        if !ipam.requires_replay() {
            return Ok(());
        }
        let endpoints: Vec<_> = {
            let state = self.state();
            let all = state.endpoints_on(&network.id);
            let name = |r: &Record| r.spec.container_name.trim_start_matches('/').to_string();
            all.map(|(r, e)| (name(r), e.clone())).collect()
        };
        for pool in &network.pools {
            let range = pool.range.map(|r| r.to_string()).unwrap_or_default();
            let request = PoolRequest {
                network,
                subnet: &pool.subnet.to_string(),
                range: &range,
                v6: pool.subnet.addr().is_ipv6(),
            };
            let given = ipam.request_pool(request).await?;
            if Some(&given.id) != pool.id.as_ref() {
                let was = pool.id.as_deref().unwrap_or_default();
                return Err(Error::system(format!(
                    "pool {was} is called {} now",
                    given.id
                )));
            }
            let request = |wanted, purpose| AddressRequest {
                pool: &given.id,
                wanted: Some(wanted),
                purpose,
            };
            if let Some(gateway) = pool.gateway {
                ipam.request_address(request(gateway, Purpose::Gateway))
                    .await?;
            }
            for aux in pool.aux.values() {
                ipam.request_address(request(*aux, Purpose::Reserved))
                    .await?;
            }
            for (name, endpoint) in &endpoints {
                let mac = endpoint.known_mac().filter(|_| ipam.requires_mac());
                for address in endpoint.addresses().map(|a| a.addr()) {
                    if pool.subnet.contains(&address) {
                        let purpose = Purpose::Endpoint { name, mac };
                        ipam.request_address(request(address, purpose)).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// From the pool that holds the wanted address, or from the first that has one.
async fn request(
    network: &Network,
    ipam: &dyn IpamPlugin,
    v6: bool,
    wanted: Option<IpAddr>,
    purpose: &Purpose<'_>,
) -> Result<Option<IpAddr>> {
    let of_family = network
        .pools
        .iter()
        .filter(|p| p.subnet.addr().is_ipv6() == v6);
    let mut last = Ok(None);
    for pool in of_family.filter(|p| wanted.is_none_or(|ip| p.subnet.contains(&ip))) {
        let request = AddressRequest {
            pool: pool.id.as_deref().unwrap_or_default(),
            wanted,
            purpose: purpose.clone(),
        };
        last = match ipam.request_address(request).await {
            Err(error) => Err(error),
            Ok(given) if pool.subnet.contains(&given.addr()) => return Ok(Some(given.addr())),
            Ok(given) => {
                return Err(Error::system(format!(
                    "ipam driver {} gave the address {}, which is not in its pool {}",
                    network.ipam.driver,
                    given.addr(),
                    pool.subnet
                )));
            }
        };
    }
    last
}

/// Locally administered, of one interface.
fn random_mac() -> Result<Mac> {
    let mut mac = [0x02, 0x42, 0, 0, 0, 0];
    getrandom::fill(&mut mac[2..]).map_err(|e| Error::system(format!("no random numbers: {e}")))?;
    Ok(Mac(mac))
}

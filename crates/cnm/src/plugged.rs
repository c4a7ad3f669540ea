//! Networks of plugins, and pools of plugins: what they are asked and told when a network comes and goes.

use std::net::IpAddr;
use std::sync::Arc;

use engine_types::network::IPAMConfig;
use engine_types::{Error, Result};

use crate::controller::Inner;
use crate::driver::plugin_not_found;
use crate::model::{Network, Pool};
use crate::remote::{AddressRequest, IpamPlugin, NetworkPlugin, Plugins, PoolRequest, Purpose};

impl Network {
    /// A plugin gives its addresses.
    pub(crate) fn has_plugin_ipam(&self) -> bool {
        !self.config_only && !matches!(self.ipam.driver.as_str(), "default" | "null")
    }
}

impl Inner {
    fn plugins(&self, name: &str) -> Result<Arc<dyn Plugins>> {
        let plugins = self.state().drivers.plugins.clone();
        plugins.ok_or_else(|| plugin_not_found(name))
    }

    /// A driver that is not one of ours is a plugin's, which is looked for now.
    pub async fn find_driver(&self, name: &str) -> Result<()> {
        if !self.state().drivers.is_own(name) {
            let scope = self.plugin_named(name).await?.scope();
            self.state().drivers.plug(name, scope);
            self.discover.notify_one();
        }
        Ok(())
    }

    pub async fn plugin_named(&self, name: &str) -> Result<Arc<dyn NetworkPlugin>> {
        self.plugins(name)?.network(name).await
    }

    /// The plugin that drives the network, when it is none of our drivers.
    pub async fn network_plugin(
        &self,
        network: &Network,
    ) -> Result<Option<Arc<dyn NetworkPlugin>>> {
        if !self.state().is_plugged(network) {
            return Ok(None);
        }
        self.plugin_named(&network.driver).await.map(Some)
    }

    pub async fn ipam_plugin(&self, network: &Network) -> Result<Option<Arc<dyn IpamPlugin>>> {
        if !network.has_plugin_ipam() {
            return Ok(None);
        }
        let name = &network.ipam.driver;
        self.plugins(name)?.ipam(name).await.map(Some)
    }

    /// Asks the network's IPAM plugin for pools, gateways and reserved addresses. What it gave is in `network`, also when it
    /// fails on the way.
    pub async fn request_pools(
        &self,
        network: &mut Network,
        ipam: &dyn IpamPlugin,
        skip_gateway: (bool, bool),
    ) -> Result<()> {
        network.address_space = ipam.address_space(network.scope).await?;
        let configs = network.ipam.config.clone().unwrap_or_default();
        for (v6, enabled, skip) in [
            (false, network.enable_ipv4, skip_gateway.0),
            (true, network.enable_ipv6, skip_gateway.1),
        ] {
            let of_family = |c: &&IPAMConfig| !c.subnet.is_empty() && c.subnet.contains(':') == v6;
            let mut wanted: Vec<_> = configs.iter().filter(of_family).cloned().collect();
            if wanted.is_empty() {
                wanted.push(IPAMConfig::default());
            }
            for config in wanted.iter().filter(|_| enabled) {
                request_pool(network, ipam, config, v6, skip).await?;
            }
        }
        Ok(())
    }

    /// Gives pools back to the plugin that gave them.
    pub async fn release_pools(&self, network: &Network) {
        let given: Vec<_> = network.pools.iter().filter(|p| p.id.is_some()).collect();
        if given.is_empty() {
            return;
        }
        let failed = |error: &Error| {
            tracing::warn!(network = %network.name, ipam = %network.ipam.driver, %error, "address pool is not given back to its plugin");
        };
        let ipam = match self.ipam_plugin(network).await {
            Ok(Some(ipam)) => ipam,
            Ok(None) => return,
            Err(error) => return failed(&error),
        };
        for pool in given {
            let id = pool.id.as_deref().unwrap_or_default();
            let mut released = Ok(());
            for address in pool.gateway.iter().chain(pool.aux.values()) {
                released = released.and(ipam.release_address(id, *address).await);
            }
            if let Err(error) = released.and(ipam.release_pool(id).await) {
                failed(&error);
            }
        }
    }

    /// Tells the plugin that a network is gone. One that is not installed any more cannot mind.
    pub async fn delete_at_plugin(&self, network: &Network) -> Result<()> {
        match self.network_plugin(network).await {
            Ok(Some(plugin)) => plugin.delete_network(&network.id).await,
            Ok(None) => Ok(()),
            Err(error) if error.kind == engine_types::ErrorKind::NotFound => {
                tracing::warn!(network = %network.name, %error, "network is removed without its plugin");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

async fn request_pool(
    network: &mut Network,
    ipam: &dyn IpamPlugin,
    config: &IPAMConfig,
    v6: bool,
    skip_gateway: bool,
) -> Result<()> {
    let request = PoolRequest {
        network,
        subnet: &config.subnet,
        range: &config.ip_range,
        v6,
    };
    let given = ipam.request_pool(request).await?;
    let subnet = given.subnet;
    let fault = fault(network, &subnet, v6);
    network.pools.push(Pool {
        subnet,
        range: config.ip_range.parse().ok(),
        gateway: None,
        aux: Default::default(),
        vni: None,
        chosen: !config.subnet.is_empty(),
        id: Some(given.id.clone()),
    });
    let driver = network.ipam.driver.clone();
    if let Some(why) = fault {
        return Err(Error::system(format!(
            "ipam driver {driver} gave the pool {subnet}, {why}"
        )));
    }
    let inside = |address: IpAddr| match subnet.contains(&address) {
        true => Ok(address),
        false => Err(Error::system(format!(
            "ipam driver {driver} gave the address {address}, which is not in its pool {subnet}"
        ))),
    };
    let request = |wanted: Option<IpAddr>, purpose| AddressRequest {
        pool: &given.id,
        wanted,
        purpose,
    };
    let chosen = config.gateway.parse().ok();
    let gateway = match given.gateway.filter(|_| chosen.is_none()) {
        Some(gateway) => Some(inside(gateway)?),
        None if chosen.is_none() && skip_gateway => None,
        None => {
            let fail =
                |e: Error| e.context(format!("failed to allocate gateway ({})", config.gateway));
            let got = ipam
                .request_address(request(chosen, Purpose::Gateway))
                .await;
            Some(inside(got.map_err(fail)?.addr())?)
        }
    };
    let mut aux = Vec::new();
    for (name, text) in config.auxiliary_addresses.iter().flatten() {
        let fail = |e: Error| {
            e.context(format!(
                "failed to allocate secondary ip address ({name}:{text})"
            ))
        };
        let got = ipam
            .request_address(request(text.parse().ok(), Purpose::Reserved))
            .await;
        aux.push((name.clone(), inside(got.map_err(fail)?.addr())?));
    }
    if let Some(pool) = network.pools.last_mut() {
        pool.gateway = gateway;
        pool.aux = aux.into_iter().collect();
    }
    Ok(())
}

/// What is wrong with a pool that a plugin gave.
fn fault(network: &Network, subnet: &ipnet::IpNet, v6: bool) -> Option<String> {
    if subnet.addr().is_ipv6() != v6 {
        return Some(format!("which is not IPv{}", if v6 { 6 } else { 4 }));
    }
    let overlaps = |other: &&Pool| {
        other.subnet.contains(&subnet.addr()) || subnet.contains(&other.subnet.addr())
    };
    let other = network.pools.iter().find(overlaps)?;
    Some(format!("which overlaps with {}", other.subnet))
}

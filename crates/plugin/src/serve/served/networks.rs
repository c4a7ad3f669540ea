//! Networks come and go.

use cnm::driver::Driver as _;
use cnm::model::Network;
use engine_types::{Error, Result};

use super::{Served, State};
use crate::serve::read;
use crate::serve::rows::{self, DRIVER};
use crate::wire::network as wire;

impl Served {
    pub(in crate::serve) fn checks_gateway(
        &self,
        request: &wire::GwAllocCheck,
    ) -> Result<wire::GwAllocChecked> {
        let network = read::of_options(&request.options)?;
        Ok(wire::GwAllocChecked {
            skip_ipv4: !DRIVER.has_gateway(&network, false),
            skip_ipv6: !DRIVER.has_gateway(&network, true),
        })
    }

    pub(in crate::serve) async fn create_network(
        &self,
        request: &wire::CreateNetwork,
    ) -> Result<()> {
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

    pub(in crate::serve) async fn delete_network(&self, id: &str) -> Result<()> {
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
}

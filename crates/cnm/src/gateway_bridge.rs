//! `docker_gwbridge`: what leads containers of networks that span hosts outside, and the host's ports into the mesh.

use engine_types::network::CreateOptions;
use engine_types::{Error, Result};
use ipnet::IpNet;

use crate::controller::Inner;
use crate::create::random_id;
use crate::model::Network;
use crate::state::{Entry, GATEWAY_BRIDGE, State};
use crate::subnets::choose_gateways;

const OPTIONS: [(&str, &str); 3] = [
    ("com.docker.network.bridge.name", GATEWAY_BRIDGE),
    ("com.docker.network.bridge.enable_icc", "false"),
    ("com.docker.network.bridge.enable_ip_masquerade", "true"),
];

impl Inner {
    /// Made, unless somebody did before us.
    pub async fn ensure_gateway_bridge(&self) -> Result<()> {
        let _turn = self.needed_turn.lock().await;
        let exists = |e: &Entry| e.network.name == GATEWAY_BRIDGE;
        if self.state().networks.values().any(exists) {
            return Ok(());
        }
        let option = |(key, value): (&str, &str)| (key.to_string(), value.to_string());
        let options = CreateOptions {
            driver: "bridge".into(),
            options: Some(OPTIONS.into_iter().map(option).collect()),
            ..CreateOptions::default()
        };
        let network = self
            .make_network(random_id()?, GATEWAY_BRIDGE, options)
            .await?;
        self.emit("create", &network, None);
        Ok(())
    }

    /// An ingress network with IPv6 is reached through a `docker_gwbridge` with IPv6: the one that we have made gets a subnet
    /// of that family as well. What is on it already stays as it is, and so does one that somebody else has made.
    pub async fn widen_gateway_bridge(&self) -> Result<()> {
        let _turn = self.needed_turn.lock().await;
        let avoid = self.host_subnets().await;
        let Some((before, after)) = self.state().widen(&avoid)? else {
            return Ok(());
        };
        let rows = self.state().network_rows(&after);
        let set = self.kernel.set_many(vec![rows]).await;
        let stored = match set.map_err(Error::system) {
            Ok(()) => self.store_network(&after.id, Some(&after)).await,
            failed => failed,
        };
        if stored.is_err() {
            self.state().narrow(before, &after);
        }
        stored
    }
}

impl State {
    /// The bridge as it was and as it is; `None` when it has IPv6 already.
    fn widen(&mut self, avoid: &[IpNet]) -> Result<Option<(Network, Network)>> {
        let before = self.resolve(GATEWAY_BRIDGE)?.clone();
        if before.enable_ipv6 {
            return Ok(None);
        }
        let ours = |(key, value): &(&str, &str)| before.option(key) == Some(value);
        let chosen = before.ipam.config.as_ref().is_some_and(|c| !c.is_empty());
        if chosen || before.options.len() != OPTIONS.len() || !OPTIONS.iter().all(ours) {
            tracing::warn!(
                "{GATEWAY_BRIDGE} is somebody's own, without IPv6, and so are published ports of services on this node: make it with --ipv6"
            );
            return Ok(None);
        }
        let mut six = Network {
            enable_ipv4: false,
            enable_ipv6: true,
            pools: Vec::new(),
            ..before.clone()
        };
        self.take_pools(&mut six, avoid)?;
        choose_gateways(&mut six, (false, false))?;
        let spaces = Entry::new(six.clone()).addresses;
        let after = Network {
            enable_ipv6: true,
            pools: before.pools.iter().cloned().chain(six.pools).collect(),
            ..before.clone()
        };
        if let Some(entry) = self.networks.get_mut(&after.id) {
            entry.network = after.clone();
            entry.addresses.extend(spaces);
        }
        Ok(Some((before, after)))
    }

    fn narrow(&mut self, before: Network, after: &Network) {
        let added = after.pools.iter().skip(before.pools.len());
        added.for_each(|pool| self.pools.release(&pool.subnet));
        if let Some(entry) = self.networks.get_mut(&before.id) {
            entry.addresses.truncate(before.pools.len());
            entry.network = before;
        }
    }
}

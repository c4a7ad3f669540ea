//! Endpoints of plugins: told to the plugin on the way in and on the way out of a transition.
//!
//! ```text
//!   in    CreateEndpoint, Join        before the rows, which follow from the answers
//!   way   Revoke, Program             behind the rows, when another endpoint gives the default route
//!   out   Leave, DeleteEndpoint       when the rows are gone and the interface is back on the host
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use engine_types::{Error, Result};

use crate::controller::Inner;
use crate::driver::Gateway;
use crate::model::{Endpoint, Network, Record};
use crate::options::wanted_name;
use crate::remote::{Answer, Assigned, NetworkPlugin};
use crate::state::State;
use crate::store::SANDBOXES;

impl Inner {
    /// Creates and joins the endpoints of plugins that the sandbox has now and had not `before`.
    pub async fn plug_in(&self, container: &str, before: Option<&Record>) -> Result<()> {
        let (record, fresh) = {
            let state = self.state();
            let record = state.records.get(container).cloned();
            let fresh = state.plugged(record.as_ref(), before);
            (record, fresh)
        };
        let (Some(record), false) = (record, fresh.is_empty()) else {
            return Ok(());
        };
        // Whatever happens from here on, a restart knows what the plugin may have to be told.
        self.store.set(SANDBOXES, container, Some(&record))?;
        for (endpoint, network) in fresh {
            let Some(plugin) = self.network_plugin(&network).await? else {
                continue;
            };
            self.plug_in_one(&record, endpoint, plugin).await?;
        }
        Ok(())
    }

    async fn plug_in_one(
        &self,
        record: &Record,
        mut endpoint: Endpoint,
        plugin: Arc<dyn NetworkPlugin>,
    ) -> Result<()> {
        let container = &record.spec.container_id;
        let assigned = plugin.create_endpoint(&endpoint, &record.spec).await?;
        let taken = self
            .state()
            .take_assigned(container, &mut endpoint, assigned);
        let sandbox = record.ns().map(|ns| self.kernel.netns_path(&ns));
        let joined = match (taken, sandbox) {
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(Error::system("the sandbox has no namespace of its own")),
            (Ok(()), Some(path)) => plugin.join(&endpoint, &path, &record.spec).await,
        };
        let joined = match joined {
            Ok(answer) => {
                let shared = self.state().take_answer(container, &mut endpoint, answer);
                match shared {
                    true => self.ensure_gateway_bridge().await,
                    false => Ok(()),
                }
            }
            Err(error) => {
                self.forget_endpoint(&endpoint, plugin.as_ref()).await;
                return Err(error);
            }
        };
        joined?;
        let mut state = self.state();
        if let Some(mut record) = state.records.get(container).cloned() {
            state.settle_gateway(&mut record)?;
            state.records.insert(container.clone(), record);
        }
        Ok(())
    }

    /// Another endpoint may be the sandbox's way outside: its plugin programs it, and publishes ports.
    pub async fn hand_gateway(&self, container: &str, before: Option<&Record>) -> Result<()> {
        let (record, old, new) = {
            let state = self.state();
            let record = state.records.get(container).cloned();
            let old = before.and_then(|r| state.plugged_gateway(r));
            let new = record.as_ref().and_then(|r| state.plugged_gateway(r));
            (record, old, new)
        };
        if old.as_ref().map(|(e, _)| &e.id) == new.as_ref().map(|(e, _)| &e.id) {
            return Ok(());
        }
        if let Some((endpoint, network)) = old {
            let revoked = match self.network_plugin(&network).await {
                Ok(Some(plugin)) => plugin.revoke(&endpoint).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = revoked {
                tracing::warn!(container, network = %network.name, %error, "plugin was not told that an endpoint is no way outside any more");
            }
        }
        if let (Some((endpoint, network)), Some(record)) = (new, record)
            && let Some(plugin) = self.network_plugin(&network).await?
        {
            let ports = plugin.program(&endpoint, &record.spec).await?;
            let mut state = self.state();
            let endpoints = state.records.get_mut(container).map(|r| &mut r.endpoints);
            let mut endpoints = endpoints.into_iter().flatten();
            if let Some(joined) = endpoints
                .find(|e| e.id == endpoint.id)
                .and_then(|e| e.joined.as_mut())
            {
                joined.ports = ports;
            }
        }
        Ok(())
    }

    /// Tells plugins of the endpoints that one record has and the other has not. One that never joined is a former run's.
    pub async fn unplug(&self, from: Option<&Record>, to: Option<&Record>) {
        let gone = self.state().plugged(from, to);
        for (endpoint, network) in gone {
            self.unplug_one(&endpoint, &network).await;
        }
    }

    /// The same for what a transition that failed has made: what did not join was taken back at once.
    pub async fn unplug_joined(&self, from: Option<&Record>, to: Option<&Record>) {
        let gone = self.state().plugged(from, to);
        for (endpoint, network) in gone.into_iter().filter(|(e, _)| e.joined.is_some()) {
            self.unplug_one(&endpoint, &network).await;
        }
    }

    pub async fn unplug_one(&self, endpoint: &Endpoint, network: &Network) {
        match self.network_plugin(network).await {
            Ok(Some(plugin)) => self.forget_endpoint(endpoint, plugin.as_ref()).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(endpoint = %endpoint.id, network = %network.name, %error, "plugin is not told that an endpoint is gone");
            }
        }
    }

    /// After a restart: endpoints that a plugin was told of while the former daemon died are taken back.
    pub fn drop_unfinished(self: &Arc<Self>) {
        let unfinished: Vec<_> = {
            let mut state = self.state();
            let records = state.records.values();
            let all = records.flat_map(|r| state.plugged(Some(r), None));
            let unfinished: Vec<_> = all.filter(|(e, _)| e.joined.is_none()).collect();
            for (container, record) in &mut state.records {
                let half = |id: &String| unfinished.iter().any(|(e, _)| e.id == *id);
                let before = record.endpoints.len();
                record.endpoints.retain(|e| !half(&e.id));
                if record.endpoints.len() < before
                    && let Err(error) = self.store.set(SANDBOXES, container, Some(&*record))
                {
                    tracing::warn!(container, %error, "sandbox is not stored");
                }
            }
            for (endpoint, network) in &unfinished {
                state.release(&network.id, endpoint.addresses());
            }
            unfinished
        };
        for (endpoint, network) in unfinished {
            let inner = self.clone();
            tokio::spawn(async move {
                inner.unplug_one(&endpoint, &network).await;
                let addresses: Vec<_> = endpoint.addresses().map(|a| a.addr()).collect();
                if network.has_plugin_ipam() {
                    inner.release_grant(&network, &addresses).await;
                }
            });
        }
    }

    async fn forget_endpoint(&self, endpoint: &Endpoint, plugin: &dyn NetworkPlugin) {
        for error in plugin.forget(endpoint).await {
            tracing::warn!(endpoint = %endpoint.id, %error, "plugin does not let go of an endpoint");
        }
    }
}

impl State {
    /// Endpoints of plugins that are in `of` and not in `but`, with their networks.
    pub fn plugged(&self, of: Option<&Record>, but: Option<&Record>) -> Vec<(Endpoint, Network)> {
        let kept = |id: &str| but.is_some_and(|r| r.endpoints.iter().any(|e| e.id == id));
        let endpoints = of.into_iter().flat_map(|r| &r.endpoints);
        endpoints
            .filter(|e| !kept(&e.id))
            .filter_map(|e| Some((e.clone(), self.network(&e.network).ok()?.clone())))
            .filter(|(_, network)| self.is_plugged(network))
            .collect()
    }

    fn plugged_gateway(&self, record: &Record) -> Option<(Endpoint, Network)> {
        let gateway = self.gateway_of(record, false);
        let (endpoint, network) = gateway.or_else(|| self.gateway_of(record, true))?;
        self.is_plugged(network)
            .then(|| (endpoint.clone(), network.clone()))
    }

    /// What the plugin gives an endpoint that it was created without, and nothing else.
    fn take_assigned(
        &mut self,
        container: &str,
        endpoint: &mut Endpoint,
        assigned: Assigned,
    ) -> Result<()> {
        let changed = |what: &str, has: String, gets: String| {
            Err(Error::forbidden(format!(
                "driver modified interface {what}: endpoint interface {what} present ({has}). Cannot be modified with ({gets})."
            )))
        };
        for (slot, gets) in [
            (&mut endpoint.ipv4, assigned.ipv4),
            (&mut endpoint.ipv6, assigned.ipv6),
        ] {
            match (&slot, gets) {
                (Some(has), Some(gets)) => {
                    return changed("address", has.to_string(), gets.to_string());
                }
                (None, Some(gets)) => {
                    self.check_assigned(&endpoint.network, gets.addr())?;
                    *slot = Some(gets);
                }
                (_, None) => {}
            }
        }
        match (endpoint.known_mac(), assigned.mac) {
            (Some(has), Some(gets)) => {
                return changed("MAC address", has.to_string(), gets.to_string());
            }
            (None, Some(gets)) => endpoint.mac = gets,
            (_, None) => {}
        }
        self.replace(container, endpoint);
        Ok(())
    }

    /// Whether an address that no pool of ours gave can be an endpoint's.
    fn check_assigned(&self, network: &str, ip: IpAddr) -> Result<()> {
        let mut others = self.endpoints_on(network);
        let why = match ip {
            _ if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() => {
                "it cannot be an interface's"
            }
            _ if others.any(|(_, e)| e.has(&ip)) => "another endpoint of the network has it",
            _ => return Ok(()),
        };
        Err(Error::system(format!(
            "plugin gave the address {ip}: {why}"
        )))
    }

    /// Returns whether the way outside is to be `docker_gwbridge`.
    fn take_answer(&mut self, container: &str, endpoint: &mut Endpoint, answer: Answer) -> bool {
        let record = self.records.get(container);
        let named = wanted_name(&endpoint.settings).is_some();
        if answer.joined.link.is_none() {
            endpoint.ifname.clear();
        } else if let (Some(record), false) = (record, named || answer.prefix.is_empty()) {
            let others = record.endpoints.iter().filter(|e| e.id != endpoint.id);
            let used: Vec<&str> = others.map(|e| e.ifname.as_str()).collect();
            let mut names = (0..=used.len()).map(|i| format!("{}{i}", answer.prefix));
            if let Some(name) = names.find(|name| !used.contains(&name.as_str())) {
                endpoint.ifname = name;
            }
        }
        endpoint.joined = Some(answer.joined);
        self.replace(container, endpoint);
        let network = self.network(&endpoint.network);
        network.is_ok_and(|n| self.endpoint_gateway(n, endpoint) == Gateway::Shared)
    }

    fn replace(&mut self, container: &str, endpoint: &Endpoint) {
        let endpoints = self.records.get_mut(container).map(|r| &mut r.endpoints);
        let mut endpoints = endpoints.into_iter().flatten();
        if let Some(slot) = endpoints.find(|e| e.id == endpoint.id) {
            *slot = endpoint.clone();
        }
    }
}

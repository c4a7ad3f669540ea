//! Networks come and go.

use engine_types::network::{CreateOptions, CreateResponse, IPAM};
use engine_types::{Error, Result, Time};
use ipnet::IpNet;

use crate::Controller;
use crate::controller::Inner;
use crate::driver::Gateway;
use crate::model::{Network, Scope, is_predefined};
use crate::remote::NetworkPlugin;
use crate::state::{Entry, State};
use crate::store::NETWORKS;
use crate::{ipam_check, subnets};

const NO_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
const WORKER: &str = "Cannot create a multi-host network from a worker node. Please create the network from a manager node.";
const NO_FAMILY: &str = "IPv4 or IPv6 must be enabled";
const CONFIG_ONLY_FIELDS: &str = "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.";

impl Controller {
    pub async fn create(&self, name: &str, options: CreateOptions) -> Result<CreateResponse> {
        let inner = &self.0;
        let mut options = options;
        if options.driver.is_empty() {
            options.driver = "bridge".into();
        }
        if is_predefined(name) {
            return Err(Error::forbidden(format!(
                "operation is not permitted on predefined {name} network "
            )));
        }
        if name.trim().is_empty() {
            return Err(Error::invalid("invalid name: name is empty"));
        }
        inner.fill_in(&mut options)?;
        let ipv6 = options.enable_ipv6.unwrap_or(false);
        inner.find_driver(&options.driver).await?;
        let scope = inner.state().scope_of(&options)?;
        let swarm = inner.swarm();
        let manages = swarm.as_ref().is_some_and(|s| s.is_manager());
        if scope == Scope::Swarm {
            if !manages && options.driver == "overlay" {
                return Err(Error::forbidden(NO_MANAGER));
            }
            inner.state().check_swarm(name, &mut options)?;
            if !manages {
                return Err(Error::forbidden(match swarm {
                    Some(_) => WORKER,
                    None => "cannot create a swarm scoped network when swarm is not active",
                }));
            }
        }
        ipam_check::check(options.ipam.as_ref(), ipv6)?;
        let manager = swarm.filter(|_| manages);
        if let Some(swarm) = &manager
            && swarm.list().await?.iter().any(|n| n.name == name)
        {
            return Err(exists(name));
        }
        if let (Scope::Swarm, Some(swarm)) = (scope, manager) {
            let known = |e: &Entry| e.network.name == name;
            if inner.state().networks.values().any(known) {
                return Err(exists(name));
            }
            let id = swarm.create(name, options).await?;
            return Ok(CreateResponse {
                id,
                warning: String::new(),
            });
        }
        let network = inner.make_network(random_id()?, name, options).await?;
        inner.emit("create", &network, None);
        Ok(CreateResponse {
            id: network.id,
            warning: String::new(),
        })
    }

    pub async fn remove(&self, id_or_name: &str) -> Result<()> {
        let inner = &self.0;
        let local = inner.state().resolve(id_or_name).cloned();
        if let Some(swarm) = inner.swarm() {
            let id = match &local {
                Ok(network) if network.scope != Scope::Swarm => None,
                Ok(network) => Some(network.id.clone()),
                Err(_) if swarm.is_manager() => {
                    let found = crate::inspect::pick(swarm.list().await?, id_or_name)?;
                    Some(found.id)
                }
                Err(_) => None,
            };
            if let Some(id) = id {
                return swarm.remove(&id).await;
            }
        }
        let network = local?;
        if network.is_predefined() {
            return Err(Error::forbidden(format!(
                "{} is a pre-defined network and cannot be removed",
                network.name
            )));
        }
        inner
            .drop_network(&network)
            .await
            .map_err(|e| e.context("error while removing network"))?;
        inner.emit("destroy", &network, None);
        Ok(())
    }
}

fn exists(name: &str) -> Error {
    Error::conflict(format!("network with name {name} already exists"))
}

impl State {
    /// What kind of network is asked for, with Docker's refusals.
    fn scope_of(&self, options: &CreateOptions) -> Result<Scope> {
        if options.config_only
            && (options.ingress
                || options.internal
                || options.attachable
                || !options.scope.is_empty())
        {
            return Err(Error::forbidden(CONFIG_ONLY_FIELDS));
        }
        let capability = self.drivers.get(&options.driver)?.capability();
        let asked = match options.scope.as_str() {
            "" => capability.scope,
            "local" => Scope::Local,
            "global" if capability.scope == Scope::Global => Scope::Global,
            "swarm" | "global" => Scope::Swarm,
            other => {
                return Err(Error::invalid(format!(
                    "invalid scope {other:?}: must be one of \"local\", \"swarm\", \"global\""
                )));
            }
        };
        if asked == Scope::Local && capability.scope != Scope::Local {
            return Err(Error::forbidden(format!(
                "cannot downgrade network scope for {} networks",
                options.driver
            )));
        }
        if options.ingress && asked != Scope::Swarm {
            return Err(Error::forbidden(
                "Ingress network can only be global scope network",
            ));
        }
        // Docker refuses it for all. What each node makes for itself has what the node's own settings say.
        let given = capability.scope != Scope::Local;
        if asked == Scope::Swarm && options.enable_ipv4 == Some(false) && !given {
            return Err(Error::invalid(
                "IPv4 cannot be disabled in a Swarm scoped network",
            ));
        }
        Ok(match options.config_only {
            true => Scope::Local,
            false => asked,
        })
    }

    /// Options that no node could carry out are refused here, where somebody reads the answer. Borrowed settings are each
    /// node's own, but for networks whose addresses the managers give.
    fn check_swarm(&self, name: &str, options: &mut CreateOptions) -> Result<()> {
        let driver = self.drivers.get(&options.driver)?;
        let capability = driver.capability();
        let mut all = options.clone();
        let lender = self.borrow_settings(&mut all)?;
        let network = Network {
            scope: Scope::Swarm,
            tunnel_v6: self.host.has_v6_tunnel(),
            ..new_network(String::new(), name, all.clone())
        };
        if capability.addresses && !network.enable_ipv4 && !network.enable_ipv6 {
            return Err(Error::invalid(NO_FAMILY));
        }
        let own = capability.scope == Scope::Local;
        let ipam = network.ipam.config.as_ref();
        let has_settings = !network.options.is_empty() || ipam.is_some_and(|c| !c.is_empty());
        if own && capability.spans && lender.is_empty() && has_settings {
            return Err(Error::invalid(format!(
                "the nodes of a swarm share the addresses of a {} network: give each node its part by a network made there with --config-only, and name that with --config-from",
                options.driver
            )));
        }
        // What a host has only once, it has already.
        let others = self.networks.values().map(|e| &e.network);
        let others = others.filter(|n| !capability.addresses && n.driver == network.driver);
        driver.validate(&network, &others.collect::<Vec<_>>())?;
        if !own {
            *options = all;
        }
        Ok(())
    }

    /// The network that `--config-from` names lends its settings.
    fn borrow_settings(&self, options: &mut CreateOptions) -> Result<String> {
        let Some(from) = options.config_from.take().filter(|c| !c.network.is_empty()) else {
            return Ok(String::new());
        };
        if options.config_only {
            return Err(Error::forbidden(
                "a configuration network cannot depend on another configuration network",
            ));
        }
        let configured = options.ipam.as_ref().is_some_and(|i| {
            i.config.as_ref().is_some_and(|c| !c.is_empty())
                || !matches!(i.driver.as_str(), "" | "default")
        });
        if configured
            || options.labels.as_ref().is_some_and(|l| !l.is_empty())
            || options.enable_ipv4 == Some(false)
            || options.enable_ipv6 == Some(true)
        {
            return Err(Error::forbidden(
                "user specified configurations are not supported if the network depends on a configuration network",
            ));
        }
        if options.options.as_ref().is_some_and(|o| !o.is_empty()) {
            return Err(Error::forbidden(
                "network driver options are not supported if the network depends on a configuration network",
            ));
        }
        let mut all = self.networks.values().map(|e| &e.network);
        let missing = || {
            Error::not_found(format!(
                "configuration network {:?} does not exist",
                from.network
            ))
        };
        let lender = all
            .find(|n| n.config_only && (n.name == from.network || n.id == from.network))
            .ok_or_else(missing)?;
        options.ipam = Some(lender.ipam.clone());
        options.options = Some(lender.options.clone());
        options.labels = Some(lender.labels.clone());
        options.enable_ipv4 = Some(lender.enable_ipv4);
        options.enable_ipv6 = Some(lender.enable_ipv6);
        Ok(lender.name.clone())
    }
}

impl Inner {
    /// What the daemon's defaults, and driver options that are no driver's, say of a network.
    pub fn fill_in(&self, options: &mut CreateOptions) -> Result<()> {
        let borrows = options
            .config_from
            .as_ref()
            .is_some_and(|c| !c.network.is_empty());
        let defaults = self.config.network_options.get(&options.driver);
        if let Some(defaults) = defaults.filter(|_| !options.config_only && !borrows) {
            let given = options.options.get_or_insert_default();
            for (key, value) in defaults {
                given.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        let given = options.options.iter().flatten();
        for (key, value) in given {
            let enable = match key.as_str() {
                "com.docker.network.enable_ipv4" => &mut options.enable_ipv4,
                "com.docker.network.enable_ipv6" => &mut options.enable_ipv6,
                _ => continue,
            };
            if enable.is_none() {
                let bad = || Error::invalid(format!("driver-opt {key:?} is not a valid bool"));
                *enable = Some(crate::filter::parse_bool(value).ok_or_else(bad)?);
            }
        }
        Ok(())
    }

    /// Makes a network of this host: claimed, told to its plugins, stored, in the kernel. On failure nothing is left.
    pub async fn make_network(
        &self,
        id: String,
        name: &str,
        mut options: CreateOptions,
    ) -> Result<Network> {
        let avoid = self.host_subnets().await;
        let mut network = {
            let state = self.state();
            state.check_name(name)?;
            let config_from = state.borrow_settings(&mut options)?;
            let mut network = new_network(id, name, options);
            network.config_from = config_from;
            if network.scope != Scope::Swarm {
                network.scope = state.scope_of_local(&network);
            }
            network
        };
        let plugin = self.network_plugin(&network).await?;
        let made = self.settle(&mut network, plugin.as_deref(), &avoid).await;
        let made = match (made, &plugin) {
            (Ok(()), Some(plugin)) => plugin.create_network(&network).await,
            (made, _) => made,
        };
        if let Err(error) = made {
            self.unmake(&network).await;
            return Err(error);
        }
        let put = self.put_network(&network).await;
        if put.is_err() {
            if let Err(error) = self.delete_at_plugin(&network).await {
                tracing::warn!(network = name, %error, "plugin keeps a network that could not be made");
            }
            self.unmake(&network).await;
        }
        put.map(|()| network)
    }

    /// Pools, gateways and what the driver checks.
    async fn settle(
        &self,
        network: &mut Network,
        plugin: Option<&dyn NetworkPlugin>,
        avoid: &[IpNet],
    ) -> Result<()> {
        let skip_gateway = match plugin {
            Some(plugin) => plugin.skips_gateway(network).await?,
            None => (false, false),
        };
        if let Some(ipam) = self.ipam_plugin(network).await? {
            self.request_pools(network, ipam.as_ref(), skip_gateway)
                .await?;
        }
        self.state().settle_network(network, avoid, skip_gateway)
    }

    /// Into the state, the kernel and the store, or nowhere.
    async fn put_network(&self, network: &Network) -> Result<()> {
        {
            let mut state = self.state();
            state.check_name(&network.name)?;
            let entry = Entry::new(network.clone());
            state.networks.insert(network.id.clone(), entry);
            state.refresh_zone(&network.id);
        }
        if let Err(error) = self.put_in_kernel(network).await {
            self.state().networks.remove(&network.id);
            return Err(error);
        }
        if let Err(error) = self.store_network(&network.id, Some(network)).await {
            let owner = format!("network/{}", network.id);
            if let Err(error) = self.kernel.set_many(vec![(owner, Vec::new())]).await {
                tracing::error!(network = %network.id, %error, "network that could not be stored is still in the kernel");
            }
            self.state().networks.remove(&network.id);
            return Err(error);
        }
        Ok(())
    }

    async fn put_in_kernel(&self, network: &Network) -> Result<()> {
        let (parent, owned) = {
            let state = self.state();
            let driver = state.driver(network)?;
            let parent = driver.parent(network).filter(|_| !network.config_only);
            (parent, state.network_rows(network))
        };
        if let Some(parent) = parent {
            let none_needed = parent.links.is_empty();
            let found = self.kernel.has_parent(parent.kind, parent.links).await;
            if !found.map_err(Error::system)? && !none_needed {
                return Err(Error::system(parent.missing));
            }
        }
        self.kernel
            .set_many(vec![owned])
            .await
            .map_err(Error::system)
    }

    /// Gives back what the network has claimed.
    async fn unmake(&self, network: &Network) {
        self.state().release_pools(network);
        self.release_pools(network).await;
    }

    /// Removes a network that nobody uses.
    pub async fn drop_network(&self, network: &Network) -> Result<()> {
        let entry = {
            let mut state = self.state();
            let in_use: Vec<_> = state
                .endpoints_on(&network.id)
                .map(|(record, endpoint)| {
                    let (name, id) = (&record.spec.container_name, &endpoint.id);
                    format!("name:\"{}\" id:\"{id:.12}\"", name.trim_start_matches('/'))
                })
                .collect();
            if !in_use.is_empty() {
                return Err(Error::forbidden(format!(
                    "network {} has active endpoints ({})",
                    network.name,
                    in_use.join(", ")
                )));
            }
            let depends = |e: &Entry| e.network.config_from == network.name;
            if network.config_only && state.networks.values().any(depends) {
                return Err(Error::forbidden(format!(
                    "configuration network {:?} is in use",
                    network.name
                )));
            }
            let gone = || Error::not_found(format!("network {} not found", network.name));
            state.networks.remove(&network.id).ok_or_else(gone)?
        };
        let owner = format!("network/{}", network.id);
        if let Err(error) = self.kernel.set_many(vec![(owner, Vec::new())]).await {
            self.state().networks.insert(network.id.clone(), entry);
            return Err(Error::system(error));
        }
        if let Err(error) = self.delete_at_plugin(network).await {
            // A plugin's network has no rows of its own.
            self.state().networks.insert(network.id.clone(), entry);
            return Err(error);
        }
        self.unmake(network).await;
        self.store_network(&network.id, None).await
    }

    /// Networks are synced to disk, which takes its time.
    pub async fn store_network(&self, id: &str, network: Option<&Network>) -> Result<()> {
        let (store, id, network) = (self.store.clone(), id.to_string(), network.cloned());
        let write = tokio::task::spawn_blocking(move || store.set(NETWORKS, &id, network.as_ref()));
        write.await.map_err(Error::system)?
    }
}

impl State {
    fn check_name(&self, name: &str) -> Result<()> {
        match self.networks.values().any(|e| e.network.name == name) {
            true => Err(exists(name)),
            false => Ok(()),
        }
    }

    /// A network that no manager has made reaches as far as its driver does.
    fn scope_of_local(&self, network: &Network) -> Scope {
        match self.capability(network) {
            Some(c) if c.scope == Scope::Global && !network.config_only => Scope::Global,
            _ => Scope::Local,
        }
    }

    fn settle_network(
        &mut self,
        network: &mut Network,
        avoid: &[IpNet],
        skip_gateway: (bool, bool),
    ) -> Result<()> {
        if network.config_only {
            return Ok(());
        }
        let driver = self.drivers.get(&network.driver)?;
        let capability = driver.capability();
        let plugged = self.is_plugged(network);
        if capability.addresses {
            if !network.enable_ipv4 && !network.enable_ipv6 {
                return Err(Error::invalid(NO_FAMILY));
            }
            match network.has_plugin_ipam() {
                // Networks of ours share the host; what a plugin does with its addresses is its own affair.
                true if plugged => {}
                true => self.claim_given(network)?,
                false if plugged && network.ipam.driver == "null" => {}
                false => self.take_pools(network, avoid)?,
            }
        }
        let driver = self.drivers.get(&network.driver)?;
        if matches!(driver.gateway(network), Gateway::Own | Gateway::Router) {
            let skip = |skip, v6| skip || !driver.has_gateway(network, v6);
            let skip = (skip(skip_gateway.0, false), skip(skip_gateway.1, true));
            subnets::choose_gateways(network, skip)?;
        }
        let others: Vec<_> = self.networks.values().map(|e| &e.network).collect();
        let same =
            |n: &&Network| n.driver == network.driver && !n.config_only && n.id != network.id;
        let others: Vec<_> = others.into_iter().filter(same).collect();
        self.drivers
            .get(&network.driver)?
            .validate(network, &others)
    }
}

fn new_network(id: String, name: &str, options: CreateOptions) -> Network {
    let mut ipam = options.ipam.unwrap_or_default();
    if ipam.driver.is_empty() {
        ipam = IPAM {
            driver: "default".into(),
            ..ipam
        };
    }
    Network {
        id,
        name: name.to_string(),
        driver: match options.config_only {
            true => "null".into(),
            false => options.driver,
        },
        created: Time::now().0,
        scope: match options.scope.as_str() {
            "swarm" => Scope::Swarm,
            _ => Scope::Local,
        },
        internal: options.internal,
        attachable: options.attachable,
        ingress: options.ingress,
        config_only: options.config_only,
        config_from: String::new(),
        enable_ipv4: options.enable_ipv4.unwrap_or(true),
        enable_ipv6: options.enable_ipv6.unwrap_or(false),
        options: options.options.unwrap_or_default(),
        labels: options.labels.unwrap_or_default(),
        ipam,
        pools: Vec::new(),
        vxlan_port: 0,
        tunnel_v6: false,
        address_space: String::new(),
    }
}

/// 64 hex characters. Never all digits in the first twelve: a short id must not read as a number.
pub fn random_id() -> Result<String> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|e| Error::system(format!("no random numbers: {e}")))?;
        let id = hex::encode(bytes);
        if !id.bytes().take(12).all(|b| b.is_ascii_digit()) {
            return Ok(id);
        }
    }
}

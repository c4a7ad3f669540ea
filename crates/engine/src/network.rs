//! The seam to the container network model: sandboxes, connections, and what inspect shows of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cnm::{ConnectRequest, Known, Mode, Sandbox, SandboxSpec, Target};
use engine_types::container::{DefaultNetworkSettings, NetworkSettings, NetworkSettingsBase};
use engine_types::network::{ConnectOptions, DisconnectOptions, EndpointSettings};
use engine_types::pontoon::Explanation;
use engine_types::{Error, PortMap, PortSet, Result};

use crate::Engine;
use crate::inner::{Container, Inner};
use crate::record::{NetworkMode, Record};

impl Inner {
    /// The namespace and every connection that the record asks for. Nothing is left when it fails.
    pub async fn network_up(&self, container: &Container) -> Result<Sandbox> {
        let record = container.record();
        let spec = sandbox_spec(&container.id, &record, self.data_dir(&container.id))?;
        let sandbox = self.networks.sandbox_create(spec).await.map_err(prefixed)?;
        for request in record.networks.values() {
            let request = with_short_id(request, &container.id);
            if let Err(error) = self.networks.connect(&container.id, request).await {
                self.network_down(&container.id).await;
                return Err(prefixed(error));
            }
        }
        Ok(sandbox)
    }

    /// Finds the running container whose network `container` joins, which may have been made after it. That it is missing
    /// is no fault of the request to start: the kind is a system error, so that no client goes looking for an image.
    pub fn find_donor(&self, container: &Container) -> Result<()> {
        let mode = container.with(|record| record.host_config.network_mode.clone());
        let Some(name) = mode.strip_prefix("container:") else {
            return Ok(());
        };
        let donor = self.find(name).map_err(|error| {
            Error::system(error).context("joining network namespace of container")
        })?;
        if donor.id == container.id {
            return Err(Error::system("cannot join own network namespace"));
        }
        if donor.with(|record| record.state.restarting) {
            return Err(Error::conflict(format!(
                "cannot join network namespace of container: Container {name} is restarting, wait until the container is \
                 running"
            )));
        }
        if donor.live().is_none() {
            let (name, status) = donor.with(|r| (r.name.clone(), r.state.status()));
            return Err(Error::conflict(format!(
                "cannot join network namespace of a non running container: container {name} is {status}"
            )));
        }
        let mode = format!("container:{}", donor.id);
        container.change(|record| record.host_config.network_mode = mode);
        Ok(())
    }

    pub async fn network_down(&self, id: &str) {
        if let Err(error) = self.networks.deactivate(id).await {
            tracing::debug!(id, %error, "names were not withdrawn");
        }
        for error in self.networks.sandbox_remove(id).await {
            tracing::warn!(id, %error, "the sandbox was not removed cleanly");
        }
    }

    /// `NetworkSettings.Networks`: what is allocated while it runs, what is wished otherwise.
    pub fn endpoints(
        &self,
        container: &Container,
        record: &Record,
    ) -> BTreeMap<String, EndpointSettings> {
        let mut endpoints: BTreeMap<String, EndpointSettings> = record
            .networks
            .iter()
            .map(|(name, request)| (name.clone(), request.settings.clone()))
            .collect();
        let live = self.networks.endpoints(&container.id);
        for (name, settings) in &live {
            // The record may know the network by its id.
            endpoints.remove(&settings.network_id);
            endpoints.insert(name.clone(), settings.clone());
        }
        if !live.is_empty() {
            endpoints.retain(|name, _| live.contains_key(name) || !is_id_of(name, &live));
        }
        endpoints
    }

    pub fn network_settings(&self, container: &Container, record: &Record) -> NetworkSettings {
        let networks = self.endpoints(container, record);
        let sandbox = self.networks.sandbox(&container.id);
        let mut ports = self.networks.ports(&container.id);
        if sandbox.is_some() {
            for port in record.config.exposed_ports.iter().flat_map(PortSet::names) {
                ports.entry(port).or_insert(None);
            }
        }
        // The old top-level fields show the default bridge's endpoint.
        let bridge = networks.get("bridge").cloned().unwrap_or_default();
        let (id, key) = match sandbox {
            Some(sandbox) => (
                sandbox.id,
                sandbox
                    .netns
                    .map_or_else(String::new, |path| path.to_string_lossy().into_owned()),
            ),
            None => (String::new(), String::new()),
        };
        NetworkSettings {
            base: NetworkSettingsBase {
                sandbox_id: id,
                sandbox_key: key,
                ports: Some(ports),
                ..NetworkSettingsBase::default()
            },
            default_network_settings: DefaultNetworkSettings {
                endpoint_id: bridge.endpoint_id,
                gateway: bridge.gateway,
                global_ipv6_address: bridge.global_ipv6_address,
                global_ipv6_prefix_len: bridge.global_ipv6_prefix_len,
                ip_address: bridge.ip_address,
                ip_prefix_len: bridge.ip_prefix_len,
                ipv6_gateway: bridge.ipv6_gateway,
                mac_address: bridge.mac_address,
            },
            networks: Some(networks),
        }
    }
}

impl Engine {
    /// `docker network connect` and `disconnect`, on running and stopped containers.
    pub async fn network_connect(&self, network: &str, request: ConnectOptions) -> Result<()> {
        let container = self.inner.find(&request.container)?;
        let _changing = container.changing.lock().await;
        let info = self.inner.networks.inspect(network, false, "").await;
        // An attachable network of the swarm is not known here before its first use.
        let name = info
            .as_ref()
            .map_or(network, |info| info.name.as_str())
            .to_owned();
        let record = container.record();
        check_connect(&record, &name)?;
        let known = record.networks.contains_key(&name)
            || info
                .as_ref()
                .is_ok_and(|info| record.networks.contains_key(&info.id));
        if known {
            return Err(Error::forbidden(format!(
                "endpoint with name {} already exists in network {name}",
                record.name
            )));
        }
        let request = ConnectRequest {
            network: name.clone(),
            settings: request.endpoint_config.unwrap_or_default(),
            ..ConnectRequest::default()
        };
        let networks = &self.inner.networks;
        networks.check_settings(&name, &request.settings)?;
        if record.state.running {
            let request = with_short_id(&request, &container.id);
            self.inner.networks.connect(&container.id, request).await?;
            self.announce(&container).await;
        } else {
            info?;
        }
        container.change(|record| record.networks.insert(name, request));
        self.inner.save(&container)?.await
    }

    pub async fn network_disconnect(
        &self,
        network: &str,
        request: DisconnectOptions,
    ) -> Result<()> {
        let container = match self.inner.find(&request.container) {
            Err(_) if request.force => {
                // What a dead container left on the network.
                return self
                    .inner
                    .networks
                    .disconnect(&request.container, network, true)
                    .await;
            }
            other => other?,
        };
        let _changing = container.changing.lock().await;
        let info = self.inner.networks.inspect(network, false, "").await;
        let names = match &info {
            Ok(info) => vec![info.name.clone(), info.id.clone(), network.to_owned()],
            Err(_) => vec![network.to_owned()],
        };
        if names.iter().any(|name| name == "host") {
            return Err(Error::invalid(
                "cannot disconnect container from host network - container was created in host network mode",
            ));
        }
        let key = names
            .iter()
            .find(|name| container.with(|record| record.networks.contains_key(*name)));
        let Some(key) = key else {
            info?;
            // Docker's daemon and its network library each have their own words.
            let the = if container.live().is_some() {
                ""
            } else {
                "the "
            };
            return Err(Error::system(format!(
                "container {} is not connected to {the}network {}",
                container.id, names[0]
            )));
        };
        if container.with(|record| record.state.running) {
            self.inner
                .networks
                .disconnect(&container.id, network, request.force)
                .await?;
        }
        container.change(|record| record.networks.remove(key));
        self.inner.save(&container)?.await
    }

    /// Why a container reaches another one of this host, or a name or an address, or does not.
    pub async fn explain(&self, from: &str, to: &str) -> Result<Explanation> {
        let name = |container: &Container| container.with(|record| record.name.clone());
        let source = self.inner.find(from)?;
        let source_name = name(&source);
        let networks = &self.inner.networks;
        let from = known(&source.id, &source_name);
        match self.inner.find(to) {
            Ok(target) => {
                let target_name = name(&target);
                let to = Target::Container(known(&target.id, &target_name));
                networks.explain(from, to).await
            }
            Err(_) => networks.explain(from, Target::Named(to)).await,
        }
    }

    /// Tells the networks that the container is up, unless the swarm does it.
    pub(crate) async fn announce(&self, container: &Container) {
        if container.with(|record| record.managed) {
            return;
        }
        if let Err(error) = self.inner.networks.activate(&container.id).await {
            tracing::warn!(id = container.id, %error, "the container's names were not announced");
        }
    }
}

fn known<'a>(id: &'a str, name: &'a str) -> Known<'a> {
    let name = name.trim_start_matches('/');
    Known { id, name }
}

fn check_connect(record: &Record, network: &str) -> Result<()> {
    let invalid = |text: &str| Err(Error::invalid(text));
    match record.network_mode() {
        NetworkMode::Host | NetworkMode::Container(_) => invalid(
            "container sharing network namespace with another container or host cannot be connected to any other \
             network",
        ),
        NetworkMode::None if record.networks.contains_key("none") => invalid(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ),
        _ if network == "host" => invalid(
            "cannot connect container to host network - container must be created in host network mode",
        ),
        _ if network == "none" && !record.networks.is_empty() => invalid(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ),
        _ => Ok(()),
    }
}

fn sandbox_spec(id: &str, record: &Record, dir: PathBuf) -> Result<SandboxSpec> {
    let host = &record.host_config;
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let exposed = record.config.exposed_ports.iter().flat_map(PortSet::names);
    Ok(SandboxSpec {
        container_id: id.to_owned(),
        container_name: record.name.clone(),
        mode: match record.network_mode() {
            NetworkMode::Host => Mode::Host,
            NetworkMode::Container(other) => Mode::Container(other.to_owned()),
            NetworkMode::None | NetworkMode::Network(_) => Mode::Private,
        },
        hostname: record.config.hostname.clone(),
        domainname: record.config.domainname.clone(),
        dir,
        dns: list(&host.dns),
        dns_options: list(&host.dns_options),
        dns_search: list(&host.dns_search),
        extra_hosts: list(&host.extra_hosts),
        ipv6_disabled: disables_ipv6(host.sysctls.as_ref()),
        // The runtime sets them once, inside the container, which may change them later if it is privileged; as desired
        // rows they would be set back.
        sysctls: BTreeMap::new(),
        ports: cnm::published(&published(record))?,
        exposed: cnm::exposed(exposed),
    })
}

/// Loopback keeps no IPv6 address.
fn disables_ipv6(sysctls: Option<&BTreeMap<String, String>>) -> bool {
    let set = |key: &str| sysctls.and_then(|s| s.get(key)).is_some_and(|v| v == "1");
    set("net.ipv6.conf.all.disable_ipv6") || set("net.ipv6.conf.lo.disable_ipv6")
}

/// The ports to publish: bindings, and with `-P` every exposed port on one of the kernel's choice.
pub(crate) fn published(record: &Record) -> PortMap {
    let mut ports = record.host_config.port_bindings.clone().unwrap_or_default();
    if record.host_config.publish_all_ports {
        for port in record.config.exposed_ports.iter().flat_map(PortSet::names) {
            if ports.get(&port).is_none() {
                ports.insert(&port, None);
            }
        }
    }
    ports
}

/// A container answers to its short id as well.
fn with_short_id(request: &ConnectRequest, id: &str) -> ConnectRequest {
    let mut request = request.clone();
    let special = matches!(request.network.as_str(), "bridge" | "host" | "none");
    if !special {
        let aliases = request.settings.aliases.get_or_insert_default();
        let short = id[..12].to_owned();
        if !aliases.contains(&short) {
            aliases.push(short);
        }
    }
    request
}

fn is_id_of(name: &str, live: &BTreeMap<String, EndpointSettings>) -> bool {
    live.values()
        .any(|settings| settings.network_id.starts_with(name))
}

fn prefixed(error: Error) -> Error {
    error.context("failed to set up container networking")
}

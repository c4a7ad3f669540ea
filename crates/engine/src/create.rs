//! `docker create`: a request becomes a checked, complete record.

use std::collections::BTreeMap;
use std::sync::Arc;

use cnm::ConnectRequest;
use engine_types::container::{CreateRequest, CreateResponse, HostConfig};
use engine_types::network::EndpointSettings;
use engine_types::{Error, Result, Time};

use crate::error::{Doing, blocking};
use crate::image::layers::set_mode;
use crate::inner::Container;
use crate::merge::merge;
use crate::record::{NetworkMode, Record};
use crate::spec::{capabilities, devices, resources, seccomp};
use crate::validate::{
    check_health, check_log, check_modes, check_network, check_restart, defaults,
};
use crate::{Engine, mount_points, names, signal};

impl Engine {
    pub async fn create(
        &self,
        name: Option<&str>,
        request: CreateRequest,
    ) -> Result<CreateResponse> {
        let networks = request
            .networking_config
            .as_ref()
            .and_then(|config| config.endpoints_config.clone())
            .unwrap_or_default();
        self.create_record(name, request, networks, None).await
    }

    /// A swarm task's container: its connections were allocated by the manager, its names are announced by the caller.
    pub async fn create_managed(
        &self,
        name: &str,
        request: CreateRequest,
        networks: Vec<ConnectRequest>,
    ) -> Result<CreateResponse> {
        self.create_record(Some(name), request, BTreeMap::new(), Some(networks))
            .await
    }

    async fn create_record(
        &self,
        name: Option<&str>,
        request: CreateRequest,
        endpoints: BTreeMap<String, EndpointSettings>,
        managed: Option<Vec<ConnectRequest>>,
    ) -> Result<CreateResponse> {
        let inner = &self.inner;
        // From here until the record is stored no sweep may take the image's layers.
        let _changing = inner.images.changing.read().await;
        let _volumes = inner.volumes.changing.read().await;
        let name = name.filter(|name| !name.is_empty());
        let wanted = name.map(names::validate).transpose()?;
        let image = inner.images.find(&request.config.image)?;
        let file = image.parsed()?;
        let mut record = Record {
            created: Time::now(),
            image_id: image.id.clone(),
            layers: file.rootfs.diff_ids,
            config: request.config,
            host_config: request.host_config.unwrap_or_default(),
            managed: managed.is_some(),
            ..Record::default()
        };
        merge(&mut record.config, &file.config.unwrap_or_default());
        let warnings = self.check(&mut record)?;
        self.check_endpoints(&endpoints)?;
        self.resolve_joined(&mut record.host_config)?;
        record.networks = match managed {
            Some(requests) => requests
                .into_iter()
                .map(|request| (request.network.clone(), request))
                .collect(),
            None => connections(&record, endpoints)?,
        };

        let id = names::random_id()?;
        if record.config.hostname.is_empty() {
            let shares =
                record.host_config.uts_mode == "host" || record.network_mode() == NetworkMode::Host;
            record.config.hostname = if shares {
                host_name()
            } else {
                id[..12].to_owned()
            };
        }
        record.name = self.reserve_name(wanted, &id)?;
        let container = match self.materialize(&id, record).await {
            Ok(container) => container,
            Err((name, error)) => {
                inner.release(&name);
                crate::image::layers::remove_dir(&inner.data_dir(&id));
                return Err(error);
            }
        };
        inner.insert(container.clone());
        inner.event(&container, "create", &[]);
        Ok(CreateResponse {
            id,
            warnings: Some(warnings),
        })
    }

    /// Folders, volumes, then the record on disk: what a crash leaves before the last step is swept at the next start.
    async fn materialize(
        &self,
        id: &str,
        mut record: Record,
    ) -> std::result::Result<Arc<Container>, (String, Error)> {
        let name = record.name.clone();
        let with_name = |error| (name.clone(), error);
        let borrowed = self.volumes_from(&record).map_err(with_name)?;
        let inner = self.inner.clone();
        let dir = self.inner.data_dir(id);
        let record = blocking(move || {
            record.mounts = inner.volumes.resolve(&record, &borrowed)?;
            for folder in ["", "upper", "work", "rootfs"] {
                let path = dir.join(folder);
                std::fs::create_dir(&path).doing(format!("create {}", path.display()))?;
            }
            set_mode(&dir, 0o710)?;
            set_mode(&dir.join("upper"), 0o755)?;
            Ok(record)
        })
        .await
        .map_err(with_name)?;
        let container = Arc::new(Container::new(id.to_owned(), record));
        let saved = self.inner.save(&container).map_err(with_name)?;
        saved.await.map_err(with_name)?;
        Ok(container)
    }

    fn reserve_name(&self, wanted: Option<&str>, id: &str) -> Result<String> {
        if let Some(name) = wanted {
            self.inner.reserve(name, id)?;
            return Ok(name.to_owned());
        }
        for attempt in 0..16 {
            let name = names::random(attempt)?;
            if self.inner.reserve(&name, id).is_ok() {
                return Ok(name);
            }
        }
        self.inner.reserve(&id[..12], id)?;
        Ok(id[..12].to_owned())
    }

    fn volumes_from(&self, record: &Record) -> Result<Vec<crate::spec::mounts::Mounted>> {
        let mut mounts = Vec::new();
        for from in record.host_config.volumes_from.iter().flatten() {
            let (name, mode) = from.split_once(':').unwrap_or((from, ""));
            let other = self.inner.find(name)?;
            mounts.extend(mount_points::borrowed(
                &other.with(|r| r.mounts.clone()),
                mode,
            )?);
        }
        Ok(mounts)
    }

    /// What can be known of them before the start.
    fn check_endpoints(&self, endpoints: &BTreeMap<String, EndpointSettings>) -> Result<()> {
        let check = |(network, settings): (&String, &EndpointSettings)| {
            let checked = self.inner.networks.check_settings(network, settings);
            let error = checked
                .err()?
                .context(format!("invalid config for network {network}"));
            Some(error.message)
        };
        let faults: Vec<String> = endpoints.iter().filter_map(check).collect();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid(faults.join("\n"))),
        }
    }

    /// `container:<name>` modes are kept by full id: names may change. Whose network it joins may be made later.
    fn resolve_joined(&self, host: &mut HostConfig) -> Result<()> {
        let resolved = |mode: &str| -> Result<Option<String>> {
            let name = mode.strip_prefix("container:");
            let found = name.map(|name| self.inner.find(name)).transpose()?;
            Ok(found.map(|other| format!("container:{}", other.id)))
        };
        for mode in [&mut host.pid_mode, &mut host.ipc_mode] {
            if let Some(resolved) = resolved(mode)? {
                *mode = resolved;
            }
        }
        if let Ok(Some(resolved)) = resolved(&host.network_mode) {
            host.network_mode = resolved;
        }
        Ok(())
    }

    /// Docker's checks and defaults; returns what deserves a warning.
    fn check(&self, record: &mut Record) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        defaults(record, self.inner.networks.default_network())?;
        let host = &record.host_config;
        let config = &record.config;
        if record.argv().is_empty() {
            return Err(Error::invalid("no command specified"));
        }
        if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
            return Err(Error::invalid(format!(
                "the working directory '{}' is invalid, it needs to be an absolute path",
                config.working_dir
            )));
        }
        for variable in config.env.iter().flatten() {
            if variable.is_empty() || variable.starts_with('=') {
                return Err(Error::invalid(format!(
                    "invalid environment variable: {variable}"
                )));
            }
        }
        if !config.stop_signal.is_empty() {
            signal::parse(&config.stop_signal)?;
        }
        if let Some(health) = &config.healthcheck {
            check_health(health)?;
        }
        self.inner.runtimes.binary(&host.runtime)?;
        resources::validate(&host.resources)?;
        seccomp::filter(host, &capabilities::effective(host)?)?;
        devices::collect(host)?;
        check_modes(host)?;
        check_network(record)?;
        cnm::published(&crate::network::published(record))?;
        self.inner.check_links(record)?;
        check_restart(host)?;
        warnings.extend(check_log(host)?);
        if host.init == Some(true) {
            init_program()?;
        }
        if host.resources.memory > 0 && !crate::cgroup::limits_swap() {
            record.host_config.resources.memory_swap = 0;
            warnings.push(
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted. \
                 Memory limited without swap."
                    .to_owned(),
            );
        }
        Ok(warnings)
    }
}

/// The init that `--init` puts in front, where the host has one.
pub(crate) fn init_program() -> Result<std::path::PathBuf> {
    ["docker-init", "tini-static", "tini", "catatonit"]
        .iter()
        .find_map(|name| crate::runtime::find_program(name))
        .ok_or_else(|| {
            Error::invalid("--init needs an init program on the host (docker-init, tini or catatonit): install one")
        })
}

/// The networks to connect at the start: what was asked for, or the network mode's own.
fn connections(
    record: &Record,
    mut endpoints: BTreeMap<String, EndpointSettings>,
) -> Result<BTreeMap<String, ConnectRequest>> {
    let mode = record.host_config.network_mode.clone();
    let main = match record.network_mode() {
        NetworkMode::Container(_) => {
            if !endpoints.is_empty() {
                return Err(Error::invalid(
                    "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
                ));
            }
            return Ok(BTreeMap::new());
        }
        _ => mode.as_str(),
    };
    // Clients say `default` for the mode's own network.
    if let Some(settings) = endpoints.remove("default") {
        endpoints.insert(main.to_owned(), settings);
    }
    let special = |name: &str| matches!(name, "host" | "none");
    if (special(main) && endpoints.keys().any(|name| name != main))
        || (!special(main) && endpoints.keys().any(|name| special(name)))
    {
        return Err(Error::invalid(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ));
    }
    let settings = endpoints.entry(main.to_owned()).or_default();
    if settings.mac_address.is_empty() {
        settings.mac_address.clone_from(&record.config.mac_address);
    }
    for link in record.host_config.links.iter().flatten() {
        settings.links.get_or_insert_default().push(link.clone());
    }
    Ok(endpoints
        .into_iter()
        .map(|(network, settings)| {
            let request = ConnectRequest {
                network: network.clone(),
                settings,
                ..ConnectRequest::default()
            };
            (network, request)
        })
        .collect())
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

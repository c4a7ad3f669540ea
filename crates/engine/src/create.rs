//! `docker create`: a request becomes a checked, complete record.

use std::collections::BTreeMap;
use std::sync::Arc;

use cnm::ConnectRequest;
use engine_types::container::{Config, CreateRequest, CreateResponse, HealthConfig, HostConfig};
use engine_types::network::EndpointSettings;
use engine_types::{Error, Result, Time};

use crate::error::{Doing, blocking};
use crate::image::layers::set_mode;
use crate::inner::Container;
use crate::record::{NetworkMode, Record};
use crate::spec::{capabilities, devices, resources, seccomp};
use crate::volumes::{self, Volumes};
use crate::{Engine, names, signal};

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
        let volumes = Volumes::new(&self.inner.config.data_root);
        let dir = self.inner.data_dir(id);
        let record = blocking(move || {
            record.mounts = volumes.resolve(&record, &borrowed)?;
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
            mounts.extend(volumes::borrowed(&other.with(|r| r.mounts.clone()), mode)?);
        }
        Ok(mounts)
    }

    /// `container:<name>` modes are kept by full id: names may change.
    fn resolve_joined(&self, host: &mut HostConfig) -> Result<()> {
        for mode in [
            &mut host.network_mode,
            &mut host.pid_mode,
            &mut host.ipc_mode,
        ] {
            if let Some(name) = mode.strip_prefix("container:") {
                *mode = format!("container:{}", self.inner.find(name)?.id);
            }
        }
        Ok(())
    }

    /// Docker's checks and defaults; returns what deserves a warning.
    fn check(&self, record: &mut Record) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        defaults(record)?;
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

/// What the image says, where the request does not (Docker's `merge`).
fn merge(config: &mut Config, image: &Config) {
    fn fill<T: Clone + Default + PartialEq>(value: &mut T, from: &T) {
        if *value == T::default() {
            value.clone_from(from);
        }
    }
    fn union<T: Clone>(
        value: &mut Option<BTreeMap<String, T>>,
        from: &Option<BTreeMap<String, T>>,
    ) {
        for (key, item) in from.iter().flatten() {
            let map = value.get_or_insert_default();
            map.entry(key.clone()).or_insert_with(|| item.clone());
        }
    }
    fill(&mut config.user, &image.user);
    fill(&mut config.working_dir, &image.working_dir);
    fill(&mut config.stop_signal, &image.stop_signal);
    fill(&mut config.stop_timeout, &image.stop_timeout);
    fill(&mut config.shell, &image.shell);
    union(&mut config.exposed_ports, &image.exposed_ports);
    union(&mut config.labels, &image.labels);
    union(&mut config.volumes, &image.volumes);
    for variable in image.env.iter().flatten() {
        let env = config.env.get_or_insert_default();
        let key = |text: &str| text.split('=').next().map(str::to_owned);
        if !env.iter().any(|have| key(have) == key(variable)) {
            env.push(variable.clone());
        }
    }
    let empty = |slice: &Option<Vec<String>>| slice.as_ref().is_none_or(Vec::is_empty);
    if empty(&config.entrypoint) {
        if empty(&config.cmd) {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    // `--entrypoint ""` takes the image's away.
    if config.entrypoint.as_deref() == Some(&[String::new()]) {
        config.entrypoint = None;
    }
    match (&mut config.healthcheck, &image.healthcheck) {
        (Some(own), Some(image)) => {
            fill(&mut own.test, &image.test);
            fill(&mut own.interval, &image.interval);
            fill(&mut own.timeout, &image.timeout);
            fill(&mut own.start_period, &image.start_period);
            fill(&mut own.start_interval, &image.start_interval);
            fill(&mut own.retries, &image.retries);
        }
        (own @ None, Some(image)) => *own = Some(image.clone()),
        _ => {}
    }
}

fn defaults(record: &mut Record) -> Result<()> {
    let host = &mut record.host_config;
    if matches!(host.network_mode.as_str(), "" | "default") {
        host.network_mode = if record.config.network_disabled {
            "none".to_owned()
        } else {
            "bridge".to_owned()
        };
    }
    if host.ipc_mode.is_empty() {
        host.ipc_mode = "private".to_owned();
    }
    if host.log_config.r#type.is_empty() {
        host.log_config.r#type = "json-file".to_owned();
    }
    if host.restart_policy.name.is_empty() {
        host.restart_policy.name = "no".to_owned();
    }
    if host.shm_size < 0 {
        return Err(Error::invalid("SHM size can not be less than 0"));
    }
    if host.shm_size == 0 {
        host.shm_size = 64 << 20;
    }
    let resources = &mut host.resources;
    if resources.memory > 0 && resources.memory_swap == 0 {
        resources.memory_swap = resources.memory.saturating_mul(2);
    }
    if resources.pids_limit.is_some_and(|limit| limit <= 0) {
        resources.pids_limit = None;
    }
    Ok(())
}

fn check_modes(host: &HostConfig) -> Result<()> {
    let invalid =
        |what: &str, value: &str| Err(Error::invalid(format!("invalid {what} mode: {value}")));
    match host.ipc_mode.as_str() {
        "private" | "host" | "shareable" | "none" => {}
        mode if mode.starts_with("container:") => {}
        other => return invalid("IPC", other),
    }
    match host.pid_mode.as_str() {
        "" | "host" => {}
        mode if mode.starts_with("container:") => {}
        other => return invalid("PID", other),
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return invalid("UTS", &host.uts_mode);
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "private" | "host") {
        return invalid("cgroup namespace", &host.cgroupns_mode);
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return invalid("user namespace", &host.userns_mode);
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        return Err(Error::invalid(format!(
            "invalid isolation '{}' on linux",
            host.isolation
        )));
    }
    if !matches!(host.volume_driver.as_str(), "" | "local") {
        return Err(Error::not_implemented(format!(
            "volume driver {:?} is not supported by this build",
            host.volume_driver
        )));
    }
    if !host.cgroup.is_empty() {
        return Err(Error::invalid(format!("invalid cgroup: {}", host.cgroup)));
    }
    if host
        .storage_opt
        .as_ref()
        .is_some_and(|options| !options.is_empty())
    {
        return Err(Error::invalid(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ));
    }
    for option in host.security_opt.iter().flatten() {
        let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        let known = match name {
            "no-new-privileges" => matches!(value, "" | "true" | "false"),
            "seccomp" => true,
            "apparmor" => value == "unconfined",
            "label" => value == "disable",
            _ => false,
        };
        if !known {
            return Err(Error::invalid(format!(
                "invalid --security-opt 2: {option:?}"
            )));
        }
    }
    Ok(())
}

fn check_network(record: &Record) -> Result<()> {
    let host = &record.host_config;
    let config = &record.config;
    let conflict = |text: &str| Err(Error::invalid(format!("conflicting options: {text}")));
    if let NetworkMode::Container(_) = record.network_mode() {
        let set = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
        if !config.hostname.is_empty() {
            return conflict("hostname and the network mode");
        }
        if set(&host.links) {
            return conflict(
                "container type network can't be used with links. This would result in undefined behavior",
            );
        }
        if set(&host.dns) {
            return conflict("dns and the network mode");
        }
        if set(&host.extra_hosts) {
            return conflict("custom host-to-IP mapping and the network mode");
        }
        if !config.mac_address.is_empty() {
            return conflict("mac-address and the network mode");
        }
        if host.publish_all_ports || host.port_bindings.as_ref().is_some_and(|p| !p.is_empty()) {
            return conflict("port publishing and the container type network mode");
        }
        if config.exposed_ports.as_ref().is_some_and(|p| !p.is_empty()) {
            return conflict("port exposing and the container type network mode");
        }
    }
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return conflict("hostname and the UTS mode");
    }
    for sysctl in host.sysctls.iter().flatten().map(|(key, _)| key) {
        let net = sysctl.starts_with("net.");
        let known = net
            || sysctl.starts_with("fs.mqueue.")
            || matches!(
                sysctl.as_str(),
                "kernel.msgmax"
                    | "kernel.msgmnb"
                    | "kernel.msgmni"
                    | "kernel.sem"
                    | "kernel.shmall"
                    | "kernel.shmmax"
                    | "kernel.shmmni"
                    | "kernel.shm_rmid_forced"
                    | "kernel.domainname"
            );
        if !known {
            return Err(Error::invalid(format!("sysctl '{sysctl}' is not allowed")));
        }
        if net && record.network_mode() == NetworkMode::Host {
            return Err(Error::invalid(format!(
                "sysctl '{sysctl}' not allowed in host network namespace"
            )));
        }
    }
    Ok(())
}

pub(crate) fn check_restart(host: &HostConfig) -> Result<()> {
    let policy = &host.restart_policy;
    let has_count = policy.maximum_retry_count != 0;
    match policy.name.as_str() {
        "no" | "always" | "unless-stopped" if has_count => Err(Error::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        )),
        "on-failure" if policy.maximum_retry_count < 0 => Err(Error::invalid(
            "invalid restart policy: maximum retry count cannot be negative",
        )),
        "no" | "always" | "unless-stopped" | "on-failure" => {
            if host.auto_remove && policy.name != "no" {
                return Err(Error::invalid(
                    "can't create 'AutoRemove' container with restart policy",
                ));
            }
            Ok(())
        }
        other => Err(Error::invalid(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
             'unless-stopped'"
        ))),
    }
}

fn check_log(host: &HostConfig) -> Result<Option<String>> {
    let log = &host.log_config;
    if !matches!(log.r#type.as_str(), "json-file" | "local" | "none") {
        return Err(Error::invalid(format!(
            "logger: no log driver named '{}' is registered",
            log.r#type
        )));
    }
    let mut warning = None;
    for (option, value) in log.config.iter().flatten() {
        match option.as_str() {
            "max-size" => {
                log_size(value)?;
            }
            "max-file" if value != "1" => {
                warning = Some(
                    "log option max-file is not supported: one file of max-size is kept".to_owned(),
                );
            }
            "max-file" => {}
            "mode" | "compress" | "labels" | "labels-regex" | "env" | "env-regex" | "tag"
            | "max-buffer-size" => {
                warning = Some(format!("log option {option} has no effect in this build"));
            }
            other => {
                return Err(Error::invalid(format!(
                    "unknown log opt '{other}' for {} log driver",
                    log.r#type
                )));
            }
        }
    }
    Ok(warning)
}

/// `10m`, `512k`, `1g`, or bytes.
pub(crate) fn log_size(text: &str) -> Result<i64> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_suffix('b').unwrap_or(&lower);
    let (number, shift) = match bare.as_bytes().last() {
        Some(b'k') => (&bare[..bare.len() - 1], 10),
        Some(b'm') => (&bare[..bare.len() - 1], 20),
        Some(b'g') => (&bare[..bare.len() - 1], 30),
        _ => (bare, 0),
    };
    number
        .parse::<i64>()
        .ok()
        .filter(|n| (0..1 << 32).contains(n))
        .map(|n| n << shift)
        .ok_or_else(|| Error::invalid(format!("invalid size: '{text}'")))
}

fn check_health(health: &HealthConfig) -> Result<()> {
    let least = 1_000_000;
    for (name, value) in [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ] {
        if value != 0 && value < least {
            return Err(Error::invalid(format!(
                "{name} in Healthcheck cannot be less than 1ms"
            )));
        }
    }
    if health.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
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

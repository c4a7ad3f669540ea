//! Docker's rules for what a container may be configured to be.

use engine_types::container::{HealthConfig, HostConfig};
use engine_types::{Error, Result};

use crate::record::{NetworkMode, Record};

/// `network`: of containers that name none.
pub(crate) fn defaults(record: &mut Record, network: &str) -> Result<()> {
    let host = &mut record.host_config;
    if matches!(host.network_mode.as_str(), "" | "default") {
        host.network_mode = if record.config.network_disabled {
            "none".to_owned()
        } else {
            network.to_owned()
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

pub(crate) fn check_modes(host: &HostConfig) -> Result<()> {
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

pub(crate) fn check_network(record: &Record) -> Result<()> {
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
    let links = host.links.as_ref().is_some_and(|l| !l.is_empty());
    if links && record.network_mode() == NetworkMode::Host {
        return conflict(
            "host type networking can't be used with links. This would result in undefined behavior",
        );
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

pub(crate) fn check_log(host: &HostConfig) -> Result<Option<String>> {
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

pub(crate) fn check_health(health: &HealthConfig) -> Result<()> {
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

//! Which namespaces a container has for itself, and which it shares.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Facts;
use crate::record::{NetworkMode, Record};

/// Pids of the containers whose namespaces are joined.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Joined {
    pub pid: Option<i32>,
    pub ipc: Option<i32>,
}

pub(crate) fn list(record: &Record, facts: &Facts<'_>) -> Vec<Value> {
    let host = &record.host_config;
    let own = |kind: &str| json!({"type": kind});
    let join = |kind: &str, pid: i32| {
        let file = if kind == "network" { "net" } else { kind };
        json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")})
    };
    let mut namespaces = vec![own("mount")];
    if let Some(path) = &facts.netns {
        namespaces.push(json!({"type": "network", "path": path}));
    }
    if host.uts_mode != "host" {
        namespaces.push(own("uts"));
    }
    match (host.pid_mode.as_str(), facts.joined.pid) {
        ("host", _) => {}
        (_, Some(pid)) => namespaces.push(join("pid", pid)),
        _ => namespaces.push(own("pid")),
    }
    match (host.ipc_mode.as_str(), facts.joined.ipc) {
        ("host", _) => {}
        (_, Some(pid)) => namespaces.push(join("ipc", pid)),
        _ => namespaces.push(own("ipc")),
    }
    if private_cgroupns(record, facts.cgroup_v2) {
        namespaces.push(own("cgroup"));
    }
    namespaces
}

/// Docker's default: private on the unified hierarchy, the host's on the old one.
fn private_cgroupns(record: &Record, cgroup_v2: bool) -> bool {
    match record.host_config.cgroupns_mode.as_str() {
        "private" => true,
        "host" => false,
        _ => cgroup_v2 && !record.host_config.privileged,
    }
}

/// Docker's defaults for a network namespace of its own, then what was asked for.
pub(crate) fn sysctls(record: &Record) -> BTreeMap<String, String> {
    let mut sysctls = BTreeMap::new();
    let private = matches!(
        record.network_mode(),
        NetworkMode::None | NetworkMode::Network(_)
    );
    if private {
        for (key, value) in [
            ("net.ipv4.ip_unprivileged_port_start", "0"),
            ("net.ipv4.ping_group_range", "0 2147483647"),
        ] {
            sysctls.insert(key.to_owned(), value.to_owned());
        }
    }
    if !record.config.domainname.is_empty() && record.host_config.uts_mode != "host" {
        sysctls.insert(
            "kernel.domainname".to_owned(),
            record.config.domainname.clone(),
        );
    }
    sysctls.extend(record.host_config.sysctls.clone().unwrap_or_default());
    sysctls
}

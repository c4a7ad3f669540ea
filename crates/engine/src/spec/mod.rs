//! A container's configuration as the OCI runtime reads it (`config.json`, OCI runtime specification 1.0.2).
//!
//! Pure: all facts of the host and the image come in, so that the result can be compared word for word in a test.

pub(crate) mod capabilities;
pub(crate) mod devices;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod resources;
pub(crate) mod seccomp;
pub(crate) mod user;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use engine_types::Result;
use engine_types::container::Ulimit;
use serde_json::{Value, json};

use crate::record::Record;
use devices::Device;
use namespaces::Joined;
use user::User;

pub(crate) const DEFAULT_PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Everything that the record does not say itself.
pub(crate) struct Facts<'a> {
    pub id: &'a str,
    pub rootfs: &'a Path,
    /// Folder with `hosts`, `resolv.conf` and `hostname`.
    pub data_dir: &'a Path,
    pub user: User,
    /// The sandbox's namespace; `None` is the host's.
    pub netns: Option<PathBuf>,
    pub joined: Joined,
    pub devices: Vec<Device>,
    pub hostname: String,
    /// Variables that tell of linked containers.
    pub links: Vec<String>,
    /// The host has only the unified cgroup hierarchy.
    pub cgroup_v2: bool,
    pub cgroup_parent: &'a str,
    pub default_ulimits: &'a [Ulimit],
    /// `docker-init`'s path on the host, when `--init` was asked for.
    pub init: Option<PathBuf>,
}

pub(crate) fn generate(record: &Record, facts: &Facts<'_>) -> Result<Value> {
    let host = &record.host_config;
    let capabilities = capabilities::effective(host)?;
    let mut linux = json!({
        "namespaces": namespaces::list(record, facts),
        "cgroupsPath": cgroup_path(host, facts.cgroup_parent, facts.id),
        "resources": resources::limits(&host.resources, host.privileged, &facts.devices)?,
        "rootfsPropagation": mounts::rootfs_propagation(&record.mounts),
    });
    if !facts.devices.is_empty() {
        linux["devices"] = facts.devices.iter().map(Device::node).collect();
    }
    if !host.privileged {
        let paths = |own: &Option<Vec<String>>, default: &[&str]| match own {
            Some(own) => json!(own),
            None => json!(default),
        };
        linux["maskedPaths"] = paths(&host.masked_paths, MASKED);
        linux["readonlyPaths"] = paths(&host.readonly_paths, READONLY);
        if let Some(filter) = seccomp::filter(host, &capabilities)? {
            linux["seccomp"] = filter;
        }
    }
    let sysctls = namespaces::sysctls(record);
    if !sysctls.is_empty() {
        linux["sysctl"] = json!(sysctls);
    }
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": process(record, facts, &capabilities),
        "root": {"path": facts.rootfs, "readonly": host.readonly_rootfs},
        "mounts": mounts::list(record, facts),
        "linux": linux,
    });
    if host.uts_mode != "host" {
        spec["hostname"] = json!(facts.hostname);
    }
    if let Some(annotations) = &host.annotations {
        spec["annotations"] = json!(annotations);
    }
    Ok(spec)
}

fn process(record: &Record, facts: &Facts<'_>, capabilities: &[String]) -> Value {
    let config = &record.config;
    let host = &record.host_config;
    let mut argv = record.argv();
    if facts.init.is_some() {
        argv.splice(0..0, ["/sbin/docker-init".to_owned(), "--".to_owned()]);
    }
    let mut process = json!({
        "terminal": config.tty,
        "user": facts.user.spec(),
        "args": argv,
        "env": environment(record, &facts.hostname, &facts.links),
        "cwd": if config.working_dir.is_empty() { "/" } else { &config.working_dir },
        "capabilities": capabilities::sets(capabilities, facts.user.uid),
        "noNewPrivileges": no_new_privileges(host),
        "oomScoreAdj": host.oom_score_adj,
    });
    if let Some([height, width]) = host.console_size.as_deref()
        && config.tty
        && (*height, *width) != (0, 0)
    {
        process["consoleSize"] = json!({"height": height, "width": width});
    }
    let limits = resources::rlimits(&host.resources, facts.default_ulimits);
    if !limits.is_empty() {
        process["rlimits"] = json!(limits);
    }
    process
}

/// Docker's own variables first, then the configuration's, which win.
pub(crate) fn environment(record: &Record, hostname: &str, links: &[String]) -> Vec<String> {
    let config = &record.config;
    let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if config.tty {
        env.push("TERM=xterm".to_owned());
    }
    merge_env(&mut env, links);
    merge_env(&mut env, config.env.as_deref().unwrap_or_default());
    env
}

/// `KEY=value` replaces, a bare `KEY` removes.
pub(crate) fn merge_env(env: &mut Vec<String>, more: &[String]) {
    for item in more {
        let (key, value) = match item.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (item.as_str(), None),
        };
        let position = env
            .iter()
            .position(|have| have.split('=').next() == Some(key));
        match (position, value) {
            (Some(at), Some(_)) => env[at].clone_from(item),
            (Some(at), None) => drop(env.remove(at)),
            (None, Some(_)) => env.push(item.clone()),
            (None, None) => {}
        }
    }
}

pub(crate) fn no_new_privileges(host: &engine_types::container::HostConfig) -> bool {
    host.security_opt.iter().flatten().any(|option| {
        matches!(
            option.as_str(),
            "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true"
        )
    })
}

/// The container's group: below its own parent, or else the daemon's.
pub(crate) fn cgroup_path(
    host: &engine_types::container::HostConfig,
    parent: &str,
    id: &str,
) -> String {
    let parent = match host.resources.cgroup_parent.as_str() {
        "" => parent,
        own => own,
    };
    format!("/{}/{id}", parent.trim_matches('/'))
}

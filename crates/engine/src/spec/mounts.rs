//! What is mounted in a container: the system's file systems, and the user's binds, volumes and tmpfs.

use std::path::Path;

use engine_types::container::MountPoint;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Facts;
use crate::record::{NetworkMode, Record};

/// A mount of the user's, resolved at creation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Mounted {
    pub point: MountPoint,
    /// Options for tmpfs (`size=…`), beyond read-only.
    pub options: Vec<String>,
    pub non_recursive: bool,
    /// Volumes only: nobody named it, it goes with the container.
    pub anonymous: bool,
    /// Volumes only: still to be filled from the image at the first start.
    pub copy_up: bool,
}

/// Docker's, when `--shm-size` is not given.
const SHM_SIZE: i64 = 64 << 20;

/// Where a shareable `/dev/shm` is mounted on the host, in the container's data folder.
pub(crate) const SHM_DIR: &str = "shm";

pub(crate) fn list(record: &Record, facts: &Facts<'_>) -> Vec<Value> {
    let host = &record.host_config;
    let mut mounts = system(record);
    mounts.extend(ipc(record, facts));
    for file in ["resolv.conf", "hostname", "hosts"] {
        let target = format!("/etc/{file}");
        if record.mounts.iter().any(|m| m.point.destination == target) {
            continue;
        }
        let dir = match borrowed_files(record) {
            Some(other) if file != "hostname" => facts.data_dir.with_file_name(other),
            _ => facts.data_dir.to_owned(),
        };
        mounts.push(bind(&dir.join(file), &target, host.readonly_rootfs));
    }
    if let Some(init) = &facts.init {
        mounts.push(bind(init, "/sbin/docker-init", true));
    }
    let mut own: Vec<&Mounted> = record.mounts.iter().collect();
    // Outer before inner.
    own.sort_by_key(|m| Path::new(&m.point.destination).components().count());
    mounts.extend(own.into_iter().map(user_mount));
    // What the user mounts takes the place of the system's mount at the same point.
    let mut seen = std::collections::BTreeSet::new();
    let mut kept: Vec<Value> = mounts
        .into_iter()
        .rev()
        .filter(|mount| seen.insert(mount["destination"].as_str().unwrap_or_default().to_owned()))
        .collect();
    kept.reverse();
    kept
}

fn system(record: &Record) -> Vec<Value> {
    let privileged = record.host_config.privileged;
    let readonly = |options: &[&str]| {
        let mut options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        if !privileged {
            options.push("ro".to_owned());
        }
        options
    };
    vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc",
               "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
               "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
               "options": readonly(&["nosuid", "noexec", "nodev"])}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
               "options": readonly(&["nosuid", "noexec", "nodev"])}),
    ]
}

/// `/dev/shm` and `/dev/mqueue`, which belong to the IPC namespace.
fn ipc(record: &Record, facts: &Facts<'_>) -> Vec<Value> {
    let host = &record.host_config;
    let mqueue = json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                        "options": ["nosuid", "noexec", "nodev"]});
    match host.ipc_mode.as_str() {
        "host" => ["/dev/mqueue", "/dev/shm"]
            .into_iter()
            .filter(|path| Path::new(path).is_dir())
            .map(|path| bind(Path::new(path), path, false))
            .collect(),
        "none" => vec![mqueue],
        mode => {
            let shared = match mode.strip_prefix("container:") {
                Some(other) => facts.data_dir.with_file_name(other),
                None => facts.data_dir.to_owned(),
            };
            let shm = if mode == "shareable" || mode.starts_with("container:") {
                bind(&shared.join(SHM_DIR), "/dev/shm", false)
            } else {
                json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                       "options": ["nosuid", "noexec", "nodev", "mode=1777", shm_size(host.shm_size)]})
            };
            vec![mqueue, shm]
        }
    }
}

pub(crate) fn shm_size(bytes: i64) -> String {
    format!("size={}", if bytes > 0 { bytes } else { SHM_SIZE })
}

fn bind(source: &Path, target: &str, readonly: bool) -> Value {
    let access = if readonly { "ro" } else { "rw" };
    json!({"destination": target, "type": "bind", "source": source,
           "options": ["rbind", "rprivate", access]})
}

fn user_mount(mounted: &Mounted) -> Value {
    let point = &mounted.point;
    let access = if point.rw { "rw" } else { "ro" };
    if point.r#type == "tmpfs" {
        let mut options = vec!["noexec", "nosuid", "nodev", access]
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        for option in &mounted.options {
            // `exec` and the like take back a default.
            options.retain(|have| have.strip_prefix("no") != Some(option));
            options.push(option.clone());
        }
        return json!({"destination": point.destination, "type": "tmpfs", "source": "tmpfs", "options": options});
    }
    let propagation = match point.propagation.as_str() {
        "" => "rprivate",
        other => other,
    };
    let kind = if mounted.non_recursive {
        "bind"
    } else {
        "rbind"
    };
    json!({"destination": point.destination, "type": "bind", "source": point.source,
           "options": [kind, propagation, access]})
}

/// A mount that is to propagate needs a root that lets it.
pub(crate) fn rootfs_propagation(mounts: &[Mounted]) -> &'static str {
    let any = |ending: &str| mounts.iter().any(|m| m.point.propagation.ends_with(ending));
    if any("shared") {
        "shared"
    } else if any("slave") {
        "slave"
    } else {
        "private"
    }
}

/// True when `hosts` and `resolv.conf` are another container's.
pub(crate) fn borrowed_files(record: &Record) -> Option<&str> {
    match record.network_mode() {
        NetworkMode::Container(other) => Some(other),
        _ => None,
    }
}

//! `--device` and the devices of a privileged container.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use engine_types::container::{DeviceMapping, HostConfig};
use engine_types::{Error, Result};
use serde_json::{Value, json};

/// A device node that a container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub path: String,
    pub block: bool,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// `rwm`
    pub access: String,
}

impl Device {
    pub fn node(&self) -> Value {
        json!({
            "path": self.path,
            "type": if self.block { "b" } else { "c" },
            "major": self.major,
            "minor": self.minor,
            "fileMode": self.mode,
            "uid": self.uid,
            "gid": self.gid,
        })
    }

    pub fn rule(&self) -> Value {
        json!({
            "allow": true,
            "type": if self.block { "b" } else { "c" },
            "major": self.major,
            "minor": self.minor,
            "access": self.access,
        })
    }
}

/// Looks at the host's devices for everything that the configuration asks for.
pub(crate) fn collect(host: &HostConfig) -> Result<Vec<Device>> {
    let mut devices = Vec::new();
    if host.privileged {
        let all = DeviceMapping {
            path_on_host: "/dev".to_owned(),
            path_in_container: "/dev".to_owned(),
            cgroup_permissions: "rwm".to_owned(),
        };
        add(&all, Path::new("/dev"), "/dev", &mut devices)?;
        return Ok(devices);
    }
    for mapping in host.resources.devices.iter().flatten() {
        let path = Path::new(&mapping.path_on_host);
        if !path.exists() {
            return Err(Error::invalid(format!(
                "error gathering device information while adding custom device {:?}: no such file or directory",
                mapping.path_on_host
            )));
        }
        let before = devices.len();
        add(mapping, path, &mapping.path_in_container, &mut devices)?;
        if devices.len() == before {
            return Err(Error::invalid(format!(
                "error gathering device information while adding custom device {:?}: not a device node",
                mapping.path_on_host
            )));
        }
    }
    Ok(devices)
}

fn add(
    mapping: &DeviceMapping,
    path: &Path,
    inside: &str,
    devices: &mut Vec<Device>,
) -> Result<()> {
    // The device itself, not a link to it, except for the one that was named.
    let metadata = if path == Path::new(&mapping.path_on_host) {
        path.metadata()
    } else {
        path.symlink_metadata()
    };
    let Ok(metadata) = metadata else {
        return Ok(());
    };
    let kind = metadata.file_type();
    if kind.is_dir() {
        // The runtime makes these itself.
        let name = path.file_name().and_then(|name| name.to_str());
        if matches!(
            name,
            Some("pts" | "shm" | "fd" | "mqueue" | ".udev" | ".lxc")
        ) {
            return Ok(());
        }
        let Ok(entries) = std::fs::read_dir(path) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let inside = format!("{inside}/{}", entry.file_name().to_string_lossy());
            add(mapping, &entry.path(), &inside, devices)?;
        }
    } else if (kind.is_char_device() || kind.is_block_device()) && !inside.ends_with("/console") {
        let (major, minor) = (
            rustix::fs::major(metadata.rdev()),
            rustix::fs::minor(metadata.rdev()),
        );
        devices.push(Device {
            path: inside.to_owned(),
            block: kind.is_block_device(),
            major,
            minor,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            access: match mapping.cgroup_permissions.as_str() {
                "" => "rwm".to_owned(),
                access => access.to_owned(),
            },
        });
    }
    Ok(())
}

/// `c 1:3 rwm`, as `--device-cgroup-rule` gives it.
pub(crate) fn parse_rule(text: &str) -> Result<Value> {
    let invalid = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [kind @ ("a" | "b" | "c"), numbers, access] = parts.as_slice() else {
        return Err(invalid());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let number = |text: &str| match text {
        "*" => Ok(-1),
        text => text.parse::<i64>().map_err(|_| invalid()),
    };
    if access.is_empty() || !access.chars().all(|c| "rwm".contains(c)) {
        return Err(invalid());
    }
    Ok(json!({
        "allow": true,
        "type": kind,
        "major": number(major)?,
        "minor": number(minor)?,
        "access": access,
    }))
}

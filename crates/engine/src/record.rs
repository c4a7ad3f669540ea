//! What is remembered of a container: one JSON value in the store.

use std::collections::BTreeMap;

use engine_types::{PortMap, PortSet, Time, container, ports};
use serde::{Deserialize, Serialize};

use crate::spec::mounts::Mounted;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// Without the slash that Docker shows.
    pub name: String,
    pub created: Time,
    pub image_id: String,
    /// Diff ids, bottom first: they stay while the container does.
    pub layers: Vec<String>,
    pub config: container::Config,
    pub host_config: container::HostConfig,
    /// By the name that the user gave the network.
    pub networks: BTreeMap<String, cnm::ConnectRequest>,
    /// A swarm task's: its names are announced by the swarm, its restarts are the swarm's.
    pub managed: bool,
    pub mounts: Vec<Mounted>,
    pub state: State,
    pub restart_count: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    pub running: bool,
    pub paused: bool,
    /// Waiting for its next start.
    pub restarting: bool,
    pub removing: bool,
    pub oom_killed: bool,
    pub pid: i32,
    pub exit_code: i64,
    pub error: String,
    pub started_at: Time,
    pub finished_at: Time,
    /// `docker stop` or `kill` asked for the end: no restart policy but `always` at boot overrides it.
    pub manually_stopped: bool,
    pub health: Option<container::Health>,
}

impl State {
    /// Docker's `State.Status`.
    pub fn status(&self) -> &'static str {
        match self {
            Self { paused: true, .. } => "paused",
            Self {
                restarting: true, ..
            } => "restarting",
            Self { running: true, .. } => "running",
            Self { removing: true, .. } => "removing",
            _ if self.started_at.is_zero() && self.error.is_empty() => "created",
            _ if self.started_at.is_zero() && self.finished_at.is_zero() => "created",
            _ => "exited",
        }
    }

    pub fn shown(&self) -> container::State {
        container::State {
            status: self.status().to_owned(),
            running: self.running || self.restarting,
            paused: self.paused,
            restarting: self.restarting,
            oom_killed: self.oom_killed,
            dead: false,
            pid: i64::from(self.pid),
            exit_code: self.exit_code,
            error: self.error.clone(),
            started_at: self.started_at.as_str().to_owned(),
            finished_at: self.finished_at.as_str().to_owned(),
            health: self.health.clone(),
        }
    }
}

/// Ports as they are stored.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    #[serde(with = "ports::as_ranges")]
    exposed: Option<PortSet>,
    #[serde(with = "ports::as_ranges")]
    bindings: Option<PortMap>,
}

impl Record {
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut record = self.clone();
        let ports = Stored {
            exposed: record.config.exposed_ports.take(),
            bindings: record.host_config.port_bindings.take(),
        };
        serde_json::to_vec(&(record, ports))
    }

    /// Also one of a store that has every port by itself, inside of the record.
    pub fn decode(bytes: &[u8]) -> serde_json::Result<Self> {
        if bytes.starts_with(b"{") {
            return serde_json::from_slice(bytes);
        }
        let (mut record, ports): (Self, Stored) = serde_json::from_slice(bytes)?;
        record.config.exposed_ports = ports.exposed;
        record.host_config.port_bindings = ports.bindings;
        Ok(record)
    }

    /// The command line: entrypoint, then command.
    pub fn argv(&self) -> Vec<String> {
        let part = |part: &container::StrSlice| part.clone().unwrap_or_default();
        let mut argv = part(&self.config.entrypoint);
        argv.extend(part(&self.config.cmd));
        argv
    }

    /// `NetworkMode` as a kind: what is not one of the special ones is a network's name.
    pub fn network_mode(&self) -> NetworkMode<'_> {
        match self.host_config.network_mode.as_str() {
            "host" => NetworkMode::Host,
            "none" => NetworkMode::None,
            mode => match mode.strip_prefix("container:") {
                Some(other) => NetworkMode::Container(other),
                None => NetworkMode::Network(mode),
            },
        }
    }

    /// Log driver `none` keeps nothing to read.
    pub fn keeps_log(&self) -> bool {
        self.host_config.log_config.r#type != "none"
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkMode<'a> {
    Host,
    None,
    Container(&'a str),
    Network(&'a str),
}

#[cfg(test)]
mod tests {
    use engine_types::container::PortBinding;

    use super::*;

    #[test]
    fn a_range_of_ports_is_short_on_disk_and_an_older_record_is_read() {
        let port = |p: u16| {
            let binding = PortBinding {
                host_ip: String::new(),
                host_port: p.to_string(),
            };
            (format!("{p}/tcp"), Some(vec![binding]))
        };
        let bindings: PortMap = (20_000..36_200).map(port).collect();
        let mut record = Record::default();
        record.config.exposed_ports =
            Some(bindings.names().map(|p| (p, Default::default())).collect());
        record.host_config.port_bindings = Some(bindings);
        let stored = record.encode().unwrap();
        assert!(stored.len() < 5_000, "{} bytes", stored.len());
        for stored in [stored, serde_json::to_vec(&record).unwrap()] {
            let read = Record::decode(&stored).unwrap();
            assert_eq!(read.config.exposed_ports, record.config.exposed_ports);
            assert_eq!(
                read.host_config.port_bindings,
                record.host_config.port_bindings
            );
        }
    }
}

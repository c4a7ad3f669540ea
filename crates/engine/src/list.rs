//! `docker ps`: rows, filters and the texts of the status column.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_types::container::{NetworkSettingsSummary, Port, PortBinding, Summary};
use engine_types::{Error, Filters, Result, Time};

use crate::Engine;
use crate::error::blocking;
use crate::inner::{Container, Inner};
use crate::record::{Record, State};

const FILTERS: &[&str] = &[
    "ancestor", "before", "expose", "exited", "health", "id", "is-task", "label", "name",
    "network", "publish", "since", "status", "volume",
];

impl Engine {
    pub async fn list(
        &self,
        all: bool,
        limit: Option<usize>,
        size: bool,
        filters: &Filters,
    ) -> Result<Vec<Summary>> {
        filters.validate(FILTERS)?;
        for status in filters.get("status") {
            if !matches!(
                status.as_str(),
                "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead"
            ) {
                return Err(Error::invalid(format!("invalid filter 'status={status}'")));
            }
        }
        let time_of = |key: &str| -> Result<Option<Time>> {
            match filters.get(key).first() {
                None => Ok(None),
                Some(name) => Ok(Some(self.inner.find(name)?.with(|r| r.created.clone()))),
            }
        };
        let (before, since) = (time_of("before")?, time_of("since")?);
        let ancestors = self.ancestors(filters);
        let all = all
            || limit.is_some()
            || before.is_some()
            || since.is_some()
            || !filters.get("status").is_empty()
            || !filters.get("exited").is_empty();
        let mut found: Vec<(Arc<Container>, Record)> = self
            .inner
            .all()
            .into_iter()
            .map(|container| {
                let record = container.record();
                (container, record)
            })
            .filter(|(container, record)| {
                (all || record.state.running || record.state.restarting)
                    && before.as_ref().is_none_or(|limit| record.created < *limit)
                    && since.as_ref().is_none_or(|limit| record.created > *limit)
                    && ancestors
                        .as_ref()
                        .is_none_or(|ids| ids.contains(&record.image_id))
                    && self.matches(container, record, filters)
            })
            .collect();
        found.sort_by(|(_, a), (_, b)| b.created.cmp(&a.created));
        found.truncate(limit.unwrap_or(usize::MAX));
        let now = jiff::Timestamp::now();
        let mut rows = Vec::with_capacity(found.len());
        for (container, record) in found {
            let mut row = self.inner.summary(&container, &record, now);
            if size {
                row.size_rw = i64::try_from(self.inner.writable_size(&container.id).await)
                    .unwrap_or(i64::MAX);
                row.size_root_fs = row.size_rw + self.inner.image_size(&record);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// Ids of the images that `ancestor` filters name; an image that is not there matches nothing.
    fn ancestors(&self, filters: &Filters) -> Option<Vec<String>> {
        let names = filters.get("ancestor");
        (!names.is_empty()).then(|| {
            names
                .iter()
                .filter_map(|name| self.inner.images.find(name).ok())
                .map(|image| image.id.clone())
                .collect()
        })
    }

    fn matches(&self, container: &Container, record: &Record, filters: &Filters) -> bool {
        let labels = record.config.labels.clone().unwrap_or_default();
        let state = &record.state;
        let port = |want: &str| {
            if want.contains('/') {
                want.to_owned()
            } else {
                format!("{want}/tcp")
            }
        };
        filters.any("id", |want| container.id.starts_with(want))
            && filters.any("name", |want| name_matches(want, &record.name))
            && filters.labels_match("label", &labels)
            && filters.any("status", |want| state.status() == want)
            && filters.any("exited", |want| {
                !state.running
                    && !state.finished_at.is_zero()
                    && want.parse() == Ok(state.exit_code)
            })
            && filters.any("health", |want| {
                state
                    .health
                    .as_ref()
                    .map_or("none", |health| health.status.as_str())
                    == want
            })
            && filters.any("is-task", |want| {
                (want == "true" || want == "1") == record.managed
            })
            && filters.any("volume", |want| {
                record.mounts.iter().any(|m| {
                    m.point.name == want || m.point.destination == want || m.point.source == want
                })
            })
            && filters.any("network", |want| {
                self.inner
                    .endpoints(container, record)
                    .iter()
                    .any(|(name, settings)| {
                        name == want
                            || !settings.network_id.is_empty()
                                && settings.network_id.starts_with(want)
                    })
            })
            && filters.any("expose", |want| {
                record
                    .config
                    .exposed_ports
                    .iter()
                    .flatten()
                    .any(|(have, _)| *have == port(want))
            })
            && filters.any("publish", |want| {
                record
                    .host_config
                    .port_bindings
                    .iter()
                    .flatten()
                    .any(|(have, _)| *have == port(want))
            })
    }
}

impl Inner {
    fn summary(&self, container: &Container, record: &Record, now: jiff::Timestamp) -> Summary {
        let argv = record.argv();
        let command: Vec<String> = argv
            .iter()
            .map(|part| {
                if part.contains(' ') {
                    format!("'{part}'")
                } else {
                    part.clone()
                }
            })
            .collect();
        Summary {
            id: container.id.clone(),
            names: Some(vec![format!("/{}", record.name)]),
            image: self.image_name(record),
            image_id: record.image_id.clone(),
            command: command.join(" "),
            created: seconds(&record.created),
            ports: Some(ports(self.networks.ports(&container.id), record)),
            labels: Some(record.config.labels.clone().unwrap_or_default()),
            state: record.state.status().to_owned(),
            status: status_text(&record.state, now),
            network_settings: Some(NetworkSettingsSummary {
                networks: Some(self.endpoints(container, record)),
            }),
            mounts: Some(crate::volumes::shown(record)),
            ..Summary::default()
        }
    }

    /// The name that was given at creation, as long as it still means the same image.
    fn image_name(&self, record: &Record) -> String {
        match self.images.find(&record.config.image) {
            Ok(image) if image.id == record.image_id => record.config.image.clone(),
            _ => record.image_id.clone(),
        }
    }

    pub fn image_size(&self, record: &Record) -> i64 {
        let size: u64 = record
            .layers
            .iter()
            .filter_map(|diff_id| self.images.layers.meta(diff_id).ok())
            .map(|meta| meta.content_size)
            .sum();
        i64::try_from(size).unwrap_or(i64::MAX)
    }

    /// Bytes that the container has written.
    pub async fn writable_size(&self, id: &str) -> u64 {
        let upper = self.data_dir(id).join("upper");
        blocking(move || Ok(tree_size(&upper))).await.unwrap_or(0)
    }
}

fn tree_size(dir: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, metadata)| {
            if metadata.is_dir() {
                tree_size(&path)
            } else {
                metadata.len()
            }
        })
        .sum()
}

/// Docker's `Status`: "Up 3 seconds (healthy)", "Exited (0) 2 minutes ago", "Created".
pub(crate) fn status_text(state: &State, now: jiff::Timestamp) -> String {
    let since = |time: &Time| {
        let ago = time
            .as_str()
            .parse::<jiff::Timestamp>()
            .map_or(0, |time| now.duration_since(time).as_secs());
        human_duration(ago.max(0))
    };
    match state.status() {
        "paused" => format!("Up {} (Paused)", since(&state.started_at)),
        "restarting" => format!(
            "Restarting ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
        "running" => {
            let up = format!("Up {}", since(&state.started_at));
            match state.health.as_ref().map(|health| health.status.as_str()) {
                Some("starting") => format!("{up} (health: starting)"),
                Some(health @ ("healthy" | "unhealthy")) => format!("{up} ({health})"),
                _ => up,
            }
        }
        "removing" => "Removal In Progress".to_owned(),
        "created" => "Created".to_owned(),
        _ if state.finished_at.is_zero() => "Created".to_owned(),
        _ => format!(
            "Exited ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
    }
}

/// Go's `units.HumanDuration`.
fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Rounded, as Go does it.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

fn ports(published: BTreeMap<String, Option<Vec<PortBinding>>>, record: &Record) -> Vec<Port> {
    let mut rows = Vec::new();
    let mut ports = published;
    if record.state.running {
        for port in record
            .config
            .exposed_ports
            .iter()
            .flatten()
            .map(|(port, _)| port)
        {
            ports.entry(port.clone()).or_insert(None);
        }
    }
    for (port, bindings) in ports {
        let (number, protocol) = port.split_once('/').unwrap_or((&port, "tcp"));
        let row = |binding: Option<&PortBinding>| Port {
            ip: binding.map_or_else(String::new, |b| b.host_ip.clone()),
            private_port: number.parse().unwrap_or(0),
            public_port: binding.and_then(|b| b.host_port.parse().ok()).unwrap_or(0),
            r#type: protocol.to_owned(),
        };
        match bindings.as_deref() {
            None | Some([]) => rows.push(row(None)),
            Some(list) => rows.extend(list.iter().map(|binding| row(Some(binding)))),
        }
    }
    rows
}

/// Part of the name, or anchored with `^` and `$`; Docker shows names with a slash, so both forms count.
fn name_matches(want: &str, name: &str) -> bool {
    let (starts, rest) = match want.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, want),
    };
    let (ends, rest) = match rest.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let bare = rest.strip_prefix('/').unwrap_or(rest);
    match (starts || rest.len() != bare.len(), ends) {
        (true, true) => name == bare,
        (true, false) => name.starts_with(bare),
        (false, true) => name.ends_with(bare),
        (false, false) => name.contains(bare),
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(time: &Time) -> i64 {
    time.as_str()
        .parse::<jiff::Timestamp>()
        .map_or(0, jiff::Timestamp::as_second)
}

/// The `until` filter: seconds since 1970, a time, or a duration before now (`10m`).
pub(crate) fn until(filters: &Filters) -> Result<Option<i64>> {
    let [text] = filters.get("until") else {
        return match filters.get("until").len() {
            0 => Ok(None),
            _ => Err(Error::invalid("more than one until filter specified")),
        };
    };
    let invalid = || Error::invalid(format!("invalid filter 'until={text}'"));
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(Some(seconds as i64));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(Some(time.as_second()));
    }
    let nanos = crate::image::changes::duration(text).ok_or_else(invalid)?;
    Ok(Some(
        jiff::Timestamp::now().as_second() - nanos / 1_000_000_000,
    ))
}

/// `label!=…` filters: none of them may hold.
pub(crate) fn labels_exclude(filters: &Filters, labels: &BTreeMap<String, String>) -> bool {
    !filters
        .get("label!")
        .iter()
        .any(|want| match want.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
            None => labels.contains_key(want),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, expected) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (3 * 86400, "3 days"),
            (21 * 86400, "3 weeks"),
            (90 * 86400, "3 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn name_filters() {
        for (want, name, expected) in [
            ("web", "my-web-1", true),
            ("^/web$", "web", true),
            ("^web$", "web1", false),
            ("^web", "web1", true),
            ("/web", "xweb", false),
        ] {
            assert_eq!(name_matches(want, name), expected, "{want} {name}");
        }
    }

    #[test]
    fn statuses() {
        let now: jiff::Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let mut state = State::default();
        assert_eq!(status_text(&state, now), "Created");
        state.started_at = Time("2026-01-01T00:00:57Z".to_owned());
        state.running = true;
        assert_eq!(status_text(&state, now), "Up 3 seconds");
        state.running = false;
        state.exit_code = 3;
        state.finished_at = Time("2026-01-01T00:00:58Z".to_owned());
        assert_eq!(status_text(&state, now), "Exited (3) 2 seconds ago");
    }
}

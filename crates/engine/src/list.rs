//! `docker ps`: rows and filters.

use std::sync::Arc;

use engine_types::container::{NetworkSettingsSummary, Summary};
use engine_types::{Error, Filters, Result, Time};

use crate::Engine;
use crate::error::blocking;
use crate::filter::{name_matches, seconds};
use crate::inner::{Container, Inner};
use crate::ports;
use crate::record::Record;
use crate::status::status_text;

const FILTERS: &[&str] = &[
    "ancestor", "before", "expose", "exited", "health", "id", "is-task", "label", "name",
    "network", "publish", "since", "status", "volume",
];

const STATES: &[&str] = &[
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
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
            if !STATES.contains(&status.as_str()) {
                return Err(Error::invalid(format!(
                    "invalid filter 'status={status}': invalid value for state ({status}): must be one of {}",
                    STATES.join(", ")
                )));
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
        let selected_ports = ports::Selection::of(filters)?;
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
                    && self.matches(container, record, filters, selected_ports.as_ref())
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

    fn matches(
        &self,
        container: &Container,
        record: &Record,
        filters: &Filters,
        selected_ports: Option<&ports::Selection>,
    ) -> bool {
        let labels = record.config.labels.clone().unwrap_or_default();
        let state = &record.state;
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
            && selected_ports.is_none_or(|selected| {
                let published = self.inner.networks.ports(&container.id);
                selected.matches(&ports::rows(published, record))
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
            ports: Some(ports::rows(self.networks.ports(&container.id), record)),
            labels: Some(record.config.labels.clone().unwrap_or_default()),
            state: record.state.status().to_owned(),
            status: status_text(&record.state, now),
            network_settings: Some(NetworkSettingsSummary {
                networks: Some(self.endpoints(container, record)),
            }),
            mounts: Some(crate::mount_points::shown(record)),
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

pub(crate) fn tree_size(dir: &std::path::Path) -> u64 {
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

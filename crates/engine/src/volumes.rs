//! Volumes: folders below `<data-root>/volumes`, with what was said of them beside their data.
//!
//!     volumes/<name>/_data         what containers see
//!     volumes/<name>/labels.json   only where there are labels
//!
//! The folders are the only memory. Who uses a volume is what the containers' records say.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use engine_types::volume::{CreateRequest, PruneReport, Volume};
use engine_types::{Error, Filters, Result, Time};

use crate::error::{Doing, blocking};
use crate::filter::{labels_exclude, name_matches};
use crate::image::layers::{remove_dir, set_mode};
use crate::inner::Inner;
use crate::spec::mounts::Mounted;
use crate::{Engine, Events, names};

/// On volumes that nobody gave a name.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

pub(crate) type Labels = BTreeMap<String, String>;

pub(crate) struct Volumes {
    dir: PathBuf,
    events: Events,
    /// Held (shared) while a container is being made: its volumes are nobody's until its record is there.
    pub changing: tokio::sync::RwLock<()>,
}

impl Volumes {
    pub fn new(data_root: &Path, events: Events) -> Self {
        Self {
            dir: data_root.join("volumes"),
            events,
            changing: tokio::sync::RwLock::default(),
        }
    }

    /// Makes the volume unless it is there; an empty name means a new one. Returns its name.
    pub fn make(&self, name: &str, labels: &Labels) -> Result<String> {
        let mut labels = labels.clone();
        let name = if name.is_empty() {
            labels.insert(ANONYMOUS.to_owned(), String::new());
            names::random_id()?
        } else {
            name.to_owned()
        };
        check(&name)?;
        let data = self.data(&name);
        if data.is_dir() {
            return Ok(name);
        }
        let what = format!("create volume {name}");
        let folder = self.dir.join(&name);
        std::fs::create_dir_all(&folder).doing(&what)?;
        set_mode(&folder, 0o701)?;
        if !labels.is_empty() {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(folder.join("labels.json"))
                .doing(&what)?;
            let text = serde_json::to_vec(&labels).doing(&what)?;
            file.write_all(&text).doing(&what)?;
        }
        // Last: only with its data is it a volume.
        std::fs::create_dir_all(&data).doing(&what)?;
        set_mode(&data, 0o755)?;
        self.event("create", &name);
        Ok(name)
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.dir.join(name).join("_data")
    }

    fn get(&self, name: &str) -> Result<Volume> {
        let missing = || Error::not_found(format!("get {name}: no such volume"));
        check(name).map_err(|_| missing())?;
        let data = self.data(name);
        let folder = self.dir.join(name);
        let made = match std::fs::metadata(&folder) {
            Ok(metadata) if data.is_dir() => metadata.modified(),
            _ => return Err(missing()),
        };
        let made = made.ok().and_then(|time| time.try_into().ok());
        let labels = match std::fs::read(folder.join("labels.json")) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            text => {
                let what = format!("read the labels of volume {name}");
                serde_json::from_slice(&text.doing(&what)?).doing(&what)?
            }
        };
        Ok(Volume {
            created_at: made.map_or_else(Time::default, |time: jiff::Timestamp| {
                Time(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            }),
            driver: "local".to_owned(),
            labels,
            mountpoint: data.to_string_lossy().into_owned(),
            name: name.to_owned(),
            options: None,
            scope: "local".to_owned(),
        })
    }

    fn all(&self) -> Vec<Volume> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<Volume> = names.filter_map(|name| self.get(&name).ok()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn delete(&self, name: &str) {
        remove_dir(&self.dir.join(name));
        self.event("destroy", name);
    }

    fn event(&self, action: &str, name: &str) {
        let attributes = [("driver".to_owned(), "local".to_owned())].into();
        self.events
            .publish("volume", action, name, attributes, "local");
    }
}

fn check(name: &str) -> Result<()> {
    if name.len() == 1 {
        return Err(Error::invalid(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )));
    }
    if name.starts_with('/') || names::validate(name).is_err() {
        return Err(Error::invalid(format!(
            "create {name}: {name:?} includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    Ok(())
}

impl Inner {
    /// Ids of the containers that have the volume among their mounts.
    fn users(&self, volume: &str) -> Vec<String> {
        let uses = |m: &Mounted| m.point.r#type == "volume" && m.point.name == volume;
        let all = self.all().into_iter();
        all.filter(|container| container.with(|record| record.mounts.iter().any(uses)))
            .map(|container| container.id.clone())
            .collect()
    }

    /// Removes those of a container's anonymous volumes that no other container borrows.
    pub async fn remove_anonymous(&self, mounts: &[Mounted]) {
        let _changing = self.volumes.changing.write().await;
        for mounted in mounts.iter().filter(|m| m.anonymous) {
            let name = &mounted.point.name;
            if self.users(name).is_empty() {
                self.volumes.delete(name);
            }
        }
    }
}

impl Engine {
    pub async fn volume_create(&self, request: CreateRequest) -> Result<Volume> {
        let CreateRequest {
            driver,
            driver_opts,
            labels,
            name,
        } = request;
        if !matches!(driver.as_str(), "" | "local") {
            return Err(Error::not_found(format!(
                "create {name}: error looking up volume plugin {driver}: plugin {driver:?} not found"
            )));
        }
        if let Some((option, _)) = driver_opts.iter().flatten().next() {
            return Err(match option.as_str() {
                "type" | "o" | "device" | "size" => Error::not_implemented(format!(
                    "create {name}: a volume that is a mount is not supported by this engine: mount {option:?} on the host \
                     and bind it"
                )),
                _ => Error::invalid(format!("create {name}: invalid option: {option:?}")),
            });
        }
        let inner = self.inner.clone();
        let _changing = inner.volumes.changing.write().await;
        let inner = self.inner.clone();
        blocking(move || {
            let name = inner.volumes.make(&name, &labels.unwrap_or_default())?;
            inner.volumes.get(&name)
        })
        .await
    }

    pub async fn volumes(&self, filters: &Filters) -> Result<Vec<Volume>> {
        filters.validate(&["dangling", "driver", "label", "name"])?;
        let dangling = flag(filters, "dangling")?;
        let inner = self.inner.clone();
        let all = blocking(move || Ok(inner.volumes.all())).await?;
        let kept = all.into_iter().filter(|volume| {
            filters.any("name", |want| name_matches(want, &volume.name))
                && filters.any("driver", |want| want == volume.driver)
                && filters.labels_match("label", &volume.labels.clone().unwrap_or_default())
                && dangling.is_none_or(|want| want == self.inner.users(&volume.name).is_empty())
        });
        Ok(kept.collect())
    }

    pub fn volume(&self, name: &str) -> Result<Volume> {
        self.inner.volumes.get(name)
    }

    /// With `force`, a volume that is not there is no error; one that is in use is.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        let _changing = self.inner.volumes.changing.write().await;
        match self.inner.volumes.get(name) {
            Err(_) if force => return Ok(()),
            other => other?,
        };
        let users = self.inner.users(name);
        if !users.is_empty() {
            return Err(Error::conflict(format!(
                "remove {name}: volume is in use - [{}]",
                users.join(", ")
            )));
        }
        let (inner, name) = (self.inner.clone(), name.to_owned());
        blocking(move || {
            inner.volumes.delete(&name);
            Ok(())
        })
        .await
    }

    /// Removes what no container has: anonymous volumes, with the filter `all` others as well.
    pub async fn volume_prune(&self, filters: &Filters) -> Result<PruneReport> {
        filters.validate(&["all", "label", "label!"])?;
        let all = flag(filters, "all")?.unwrap_or(false);
        let _changing = self.inner.volumes.changing.write().await;
        let (inner, filters) = (self.inner.clone(), filters.clone());
        let report = blocking(move || {
            let mut report = PruneReport::default();
            for volume in inner.volumes.all() {
                let labels = volume.labels.unwrap_or_default();
                let wanted = (all || labels.contains_key(ANONYMOUS))
                    && filters.labels_match("label", &labels)
                    && labels_exclude(&filters, &labels)
                    && inner.users(&volume.name).is_empty();
                if wanted {
                    report.space_reclaimed += crate::list::tree_size(Path::new(&volume.mountpoint));
                    inner.volumes.delete(&volume.name);
                    report.volumes_deleted.push(volume.name);
                }
            }
            Ok(report)
        })
        .await?;
        let reclaimed = report.space_reclaimed.to_string();
        let attributes = [("reclaimed".to_owned(), reclaimed)].into();
        let events = &self.inner.events;
        events.publish("volume", "prune", "", attributes, "local");
        Ok(report)
    }
}

/// A filter that is true or false.
fn flag(filters: &Filters, key: &str) -> Result<Option<bool>> {
    match filters.get(key) {
        [] => Ok(None),
        [one] if matches!(one.as_str(), "1" | "true") => Ok(Some(true)),
        [one] if matches!(one.as_str(), "0" | "false") => Ok(Some(false)),
        other => Err(Error::invalid(format!(
            "invalid filter '{key}=[{}]'",
            other.join(" ")
        ))),
    }
}

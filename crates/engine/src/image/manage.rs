//! Images listed, looked at, named and removed.

use std::collections::{BTreeMap, BTreeSet};

use engine_types::{Error, Filters, Result, Time, container, image};
use serde_json::{Value, json};

use super::reference::Reference;
use super::remove::{User, deleted};
use super::{Image, ImageFile};
use crate::Engine;
use crate::error::blocking;

impl Engine {
    pub async fn images(&self, _all: bool, filters: &Filters) -> Result<Vec<image::Summary>> {
        filters.validate(&[
            "before",
            "containers",
            "dangling",
            "label",
            "label!",
            "reference",
            "since",
            "until",
        ])?;
        let before = self.created_of(filters.get("before"))?;
        let since = self.created_of(filters.get("since"))?;
        let until = crate::filter::until(filters)?;
        let dangling = flag(filters, "dangling")?;
        let images = &self.inner.images;
        let mut rows = Vec::new();
        for image in images.all() {
            let file = image.parsed()?;
            let created = created(&file);
            let labels = labels(&file);
            let mut names = images.references(&image.id);
            let keep = before.is_none_or(|limit| created < limit)
                && since.is_none_or(|limit| created > limit)
                && until.is_none_or(|limit| created < limit)
                && dangling.is_none_or(|want| names.is_empty() == want)
                && filters.labels_match("label", &labels)
                && crate::filter::labels_exclude(filters, &labels);
            if !filters.get("reference").is_empty() {
                names.retain(|name| filters.any("reference", |want| matches(want, name)));
                if names.is_empty() {
                    continue;
                }
            }
            if keep {
                rows.push(image::Summary {
                    containers: -1,
                    created,
                    id: image.id.clone(),
                    labels: Some(labels).filter(|labels| !labels.is_empty()),
                    repo_digests: Some(Vec::new()),
                    repo_tags: Some(names),
                    shared_size: -1,
                    size: images.size(&file),
                    ..image::Summary::default()
                });
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.created));
        Ok(rows)
    }

    pub async fn image_inspect(&self, name: &str) -> Result<image::Inspect> {
        let images = &self.inner.images;
        let image = images.find(name)?;
        let file = image.parsed()?;
        let size = images.size(&file);
        Ok(image::Inspect {
            id: image.id.clone(),
            repo_tags: Some(images.references(&image.id)),
            repo_digests: Some(Vec::new()),
            comment: file.comment,
            created: file.created.unwrap_or_default(),
            docker_version: file.docker_version,
            author: file.author,
            config: file.config,
            architecture: file.architecture,
            os: file.os,
            size,
            graph_driver: container::DriverData {
                data: Some(BTreeMap::new()),
                name: "overlay2".to_owned(),
            },
            root_fs: image::RootFs {
                r#type: file.rootfs.r#type,
                layers: Some(file.rootfs.diff_ids),
            },
            metadata: image::Metadata {
                last_tag_time: image.tagged.clone(),
            },
            ..image::Inspect::default()
        })
    }

    pub async fn image_history(&self, name: &str) -> Result<Value> {
        let images = &self.inner.images;
        let image = images.find(name)?;
        let file = image.parsed()?;
        let mut layers = file.rootfs.diff_ids.iter();
        let mut rows: Vec<Value> = file
            .history
            .iter()
            .map(|step| {
                let layer = if step.empty_layer {
                    None
                } else {
                    layers.next()
                };
                let size = layer
                    .and_then(|diff_id| images.layers.meta(diff_id).ok())
                    .map_or(0, |meta| meta.content_size);
                json!({
                    "Id": "<missing>",
                    "Created": seconds(step.created.as_ref()),
                    "CreatedBy": step.created_by,
                    "Tags": Value::Null,
                    "Size": size,
                    "Comment": step.comment,
                })
            })
            .collect();
        if let Some(top) = rows.last_mut() {
            top["Id"] = json!(image.id);
            top["Tags"] = json!(images.references(&image.id));
        }
        rows.reverse();
        Ok(Value::Array(rows))
    }

    pub async fn image_tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        let image = self.inner.images.find(name)?;
        let text = match tag {
            "" => repository.to_owned(),
            tag => format!("{repository}:{tag}"),
        };
        let reference = Reference::parse(&text)?;
        let name = self.inner.images.tag(&image.id, &reference).await?;
        self.image_event("tag", &image.id, Some(name));
        Ok(())
    }

    pub async fn image_remove(
        &self,
        name: &str,
        force: bool,
        _prune: bool,
    ) -> Result<Vec<image::DeleteItem>> {
        let image = self.inner.images.find(name)?;
        let mut items = self
            .inner
            .images
            .remove(name, force, &self.image_users())
            .await?;
        self.announce_removal(&image, &items);
        items.extend(self.sweep_layers().await?.iter().map(|id| deleted(id)));
        Ok(items)
    }

    pub async fn image_prune(&self, filters: &Filters) -> Result<(Vec<image::DeleteItem>, u64)> {
        filters.validate(&["dangling", "label", "label!", "until"])?;
        let all = flag(filters, "dangling")? == Some(false);
        let until = crate::filter::until(filters)?;
        let images = &self.inner.images;
        let users = self.image_users();
        let (mut items, mut freed) = (Vec::new(), 0);
        for image in images.all() {
            let file = image.parsed()?;
            let labels = labels(&file);
            let used = users.iter().any(|user| user.image == image.id);
            let named = !images.references(&image.id).is_empty();
            let wanted = !used
                && (all || !named)
                && until.is_none_or(|limit| created(&file) < limit)
                && filters.labels_match("label", &labels)
                && crate::filter::labels_exclude(filters, &labels);
            if !wanted {
                continue;
            }
            let size = images.size(&file);
            // Somebody may have begun to use it just now: it stays.
            if let Ok(removed) = images.remove(&image.id, all, &self.image_users()).await {
                self.announce_removal(&image, &removed);
                items.extend(removed);
                freed += u64::try_from(size).unwrap_or(0);
            }
        }
        items.extend(self.sweep_layers().await?.iter().map(|id| deleted(id)));
        Ok((items, freed))
    }

    /// Removes layers that neither an image nor a container needs.
    pub(crate) async fn sweep_layers(&self) -> Result<Vec<String>> {
        let inner = self.inner.clone();
        // No layer may arrive, and no container be created, between looking and removing. While one does, the sweep is
        // left to the next removal or start: nobody waits for a long load.
        let Ok(_changing) = self.inner.images.changing.try_write() else {
            return Ok(Vec::new());
        };
        let mut keep: BTreeSet<String> = inner.images.layers_in_use();
        for container in inner.all() {
            keep.extend(container.with(|record| record.layers.clone()));
        }
        blocking(move || Ok(inner.images.layers.sweep(&keep))).await
    }

    fn image_users(&self) -> Vec<User> {
        self.inner
            .all()
            .iter()
            .map(|container| {
                container.with(|record| User {
                    container: container.id.clone(),
                    image: record.image_id.clone(),
                    running: record.state.running,
                })
            })
            .collect()
    }

    fn announce_removal(&self, image: &Image, items: &[image::DeleteItem]) {
        for item in items {
            if item.untagged.is_empty() {
                self.image_event("delete", &image.id, None);
            } else {
                self.image_event("untag", &image.id, Some(item.untagged.clone()));
            }
        }
    }

    pub(super) fn image_event(&self, action: &str, id: &str, name: Option<String>) {
        let name = name.unwrap_or_else(|| id.to_owned());
        let attributes = BTreeMap::from([("name".to_owned(), name)]);
        self.inner
            .events
            .publish("image", action, id, attributes, "local");
    }

    fn created_of(&self, names: &[String]) -> Result<Option<i64>> {
        names
            .first()
            .map(|name| Ok(created(&self.inner.images.find(name)?.parsed()?)))
            .transpose()
    }
}

fn labels(file: &ImageFile) -> BTreeMap<String, String> {
    let config = file.config.as_ref();
    config.and_then(|c| c.labels.clone()).unwrap_or_default()
}

fn created(file: &ImageFile) -> i64 {
    seconds(file.created.as_ref())
}

fn seconds(time: Option<&Time>) -> i64 {
    time.and_then(|time| time.as_str().parse::<jiff::Timestamp>().ok())
        .map_or(0, jiff::Timestamp::as_second)
}

fn flag(filters: &Filters, key: &str) -> Result<Option<bool>> {
    match filters.get(key) {
        [] => Ok(None),
        [value] if value == "true" || value == "1" => Ok(Some(true)),
        [value] if value == "false" || value == "0" => Ok(Some(false)),
        values => Err(Error::invalid(format!("invalid filter '{key}={values:?}'"))),
    }
}

/// A `reference` filter: a pattern for the whole name or for the repository alone.
fn matches(pattern: &str, name: &str) -> bool {
    let repository = name.rsplit_once(':').map_or(name, |(r, _)| r);
    glob(pattern.as_bytes(), name.as_bytes()) || glob(pattern.as_bytes(), repository.as_bytes())
}

/// Shell patterns: `*` and `?` within one part of a path.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            glob(&pattern[1..], text)
                || text.first().is_some_and(|c| *c != b'/') && glob(pattern, &text[1..])
        }
        (Some(b'?'), Some(c)) if *c != b'/' => glob(&pattern[1..], &text[1..]),
        (Some(p), Some(c)) if p == c => glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

//! `docker rm` and `docker container prune`.

use std::sync::Arc;

use engine_types::{Error, Filters, Result};

use crate::error::{blocking, lock};
use crate::inner::Container;
use crate::store::{Table, Write};
use crate::{Engine, signal};

impl Engine {
    pub async fn remove(&self, id: &str, force: bool, volumes: bool) -> Result<()> {
        let container = self.inner.find(id)?;
        let was = container.change(|record| std::mem::replace(&mut record.state.removing, true));
        if was {
            return Err(Error::conflict(format!(
                "removal of container {id} is already in progress"
            )));
        }
        let removed = self.remove_marked(&container, force, volumes).await;
        removed.map_err(|error| {
            container.change(|record| record.state.removing = false);
            error.context(format!("cannot remove container {id:?}"))
        })
    }

    async fn remove_marked(
        &self,
        container: &Arc<Container>,
        force: bool,
        volumes: bool,
    ) -> Result<()> {
        // A start that was under way may have won the lock: then it runs, and is ended like any other.
        let _changing = loop {
            let changing = container.changing.lock().await;
            if container.live().is_none() && !container.with(|r| r.state.restarting) {
                break changing;
            }
            drop(changing);
            if !force {
                return Err(in_use(container));
            }
            self.send_signal(container, signal::KILL).await?;
            self.until_dead(container).await?;
        };
        let inner = &self.inner;
        let deleted = Write {
            table: Table::Containers,
            key: container.id.clone(),
            value: None,
        };
        inner.store.write(vec![deleted]).await?;
        inner.forget(container);
        lock(&container.pending).clear();
        lock(&inner.execs).retain(|_, exec| exec.container != container.id);
        let dir = inner.data_dir(&container.id);
        let mounts = container.with(|record| record.mounts.clone());
        let auto = container.with(|record| record.host_config.auto_remove);
        blocking(move || {
            crate::image::layers::remove_dir(&dir);
            Ok(())
        })
        .await?;
        if volumes || auto {
            inner.remove_anonymous(&mounts).await;
        }
        inner.event(container, "destroy", &[]);
        container.phase.send_modify(|phase| phase.removed = true);
        let image = container.with(|record| record.image_id.clone());
        if inner.images.find(&image).is_err() {
            // It was removed by force; this container may have been the last that needed its layers.
            self.sweep_layers().await?;
        }
        Ok(())
    }

    pub async fn prune(&self, filters: &Filters) -> Result<(Vec<String>, u64)> {
        filters.validate(&["label", "label!", "until"])?;
        let until = crate::filter::until(filters)?;
        let (mut removed, mut freed) = (Vec::new(), 0);
        for container in self.inner.all() {
            let record = container.record();
            let labels = record.config.labels.clone().unwrap_or_default();
            let wanted = !record.state.running
                && !record.state.restarting
                && until.is_none_or(|limit| crate::filter::seconds(&record.created) < limit)
                && filters.labels_match("label", &labels)
                && crate::filter::labels_exclude(filters, &labels);
            if !wanted {
                continue;
            }
            let size = self.inner.writable_size(&container.id).await;
            // Somebody may have started it just now: it stays.
            if self.remove(&container.id, false, false).await.is_ok() {
                removed.push(container.id.clone());
                freed += size;
            }
        }
        Ok((removed, freed))
    }
}

fn in_use(container: &Container) -> Error {
    let state = container.with(|record| record.state.clone());
    Error::conflict(if state.paused {
        "container is paused and must be unpaused first".to_owned()
    } else {
        let status = if state.restarting {
            "restarting"
        } else {
            "running"
        };
        format!("container is {status}: stop the container before removing or force remove")
    })
}

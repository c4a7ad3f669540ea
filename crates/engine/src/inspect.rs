//! `docker inspect`: a record and what is true of it now, in Docker's shape.

use std::collections::BTreeMap;

use engine_types::Result;
use engine_types::container::{ContainerJSONBase, DriverData, InspectResponse};

use crate::Engine;
use crate::error::lock;
use crate::spec::mounts::borrowed_files;

impl Engine {
    pub async fn inspect(&self, id: &str, size: bool) -> Result<InspectResponse> {
        let inner = &self.inner;
        let container = inner.find(id)?;
        let record = container.record();
        let dir = inner.data_dir(&container.id);
        let started = !record.state.started_at.is_zero();
        let file = |name: &str| {
            let dir = match borrowed_files(&record) {
                Some(other) if name != "hostname" => inner.data_dir(other),
                _ => dir.clone(),
            };
            if started {
                dir.join(name).to_string_lossy().into_owned()
            } else {
                String::new()
            }
        };
        let mut argv = record.argv().into_iter();
        let path = argv.next().unwrap_or_default();
        let execs: Vec<String> = lock(&inner.execs)
            .values()
            .filter(|exec| exec.container == container.id && exec.is_running())
            .map(|exec| exec.id.clone())
            .collect();
        let written = match size {
            true => {
                Some(i64::try_from(inner.writable_size(&container.id).await).unwrap_or(i64::MAX))
            }
            false => None,
        };
        let log_path = inner.log_path(&container.id);
        let show_log = started && record.keeps_log();
        let layers: Vec<String> = record
            .layers
            .iter()
            .rev()
            .map(|id| inner.images.layers.diff(id).to_string_lossy().into_owned())
            .collect();
        let text = |path: &str| dir.join(path).to_string_lossy().into_owned();
        let base = ContainerJSONBase {
            id: container.id.clone(),
            created: record.created.as_str().to_owned(),
            path,
            args: Some(argv.collect()),
            state: Some(record.state.shown()),
            image: record.image_id.clone(),
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path: if show_log {
                log_path.to_string_lossy().into_owned()
            } else {
                String::new()
            },
            name: format!("/{}", record.name),
            restart_count: record.restart_count,
            driver: "overlay2".to_owned(),
            platform: "linux".to_owned(),
            exec_ids: Some(execs).filter(|execs| !execs.is_empty()),
            host_config: Some(record.host_config.clone()),
            graph_driver: DriverData {
                data: Some(BTreeMap::from([
                    ("LowerDir".to_owned(), layers.join(":")),
                    ("MergedDir".to_owned(), text("rootfs")),
                    ("UpperDir".to_owned(), text("upper")),
                    ("WorkDir".to_owned(), text("work")),
                ])),
                name: "overlay2".to_owned(),
            },
            size_rw: written,
            size_root_fs: written.map(|written| written + inner.image_size(&record)),
            ..ContainerJSONBase::default()
        };
        Ok(InspectResponse {
            base,
            mounts: Some(crate::mount_points::shown(&record)),
            network_settings: Some(inner.network_settings(&container, &record)),
            config: Some(record.config),
            ..InspectResponse::default()
        })
    }
}

//! What stands around a container's process: bundle, root file system, shared memory. Set up before it, taken down after.

use std::path::Path;

use engine_types::Result;

use crate::error::{Doing, blocking};
use crate::image::overlay;
use crate::inner::{Container, Inner};
use crate::record::Record;
use crate::root::Root;
use crate::spec::mounts::{self, SHM_DIR};
use crate::spec::user;
use crate::{cgroup, copy};

const PASSWD_LIMIT: u64 = 4 << 20;

impl Inner {
    /// Bundle folder, root file system, the files under `/etc`, volumes; returns who the process is.
    pub fn prepare(&self, id: &str, record: &Record) -> Result<user::User> {
        let bundle = self.run_dir(id);
        if bundle.exists() {
            crate::image::layers::remove_dir(&bundle);
        }
        std::fs::create_dir_all(&bundle).doing("create the bundle")?;
        crate::image::layers::set_mode(&bundle, 0o700)?;
        self.mount_rootfs(id, record)?;
        let data = self.data_dir(id);
        std::fs::write(
            data.join("hostname"),
            format!("{}\n", record.config.hostname),
        )
        .doing("write the container's hostname")?;
        if record.host_config.ipc_mode == "shareable" {
            self.mount_shm(&data, record.host_config.shm_size)?;
        }
        let root = Root::open(&self.rootfs(id)).doing("open the root file system")?;
        for mounted in &record.mounts {
            if mounted.copy_up {
                let inside = Path::new(&mounted.point.destination);
                copy::fill(&root, inside, Path::new(&mounted.point.source))
                    .doing(format!("fill volume {}", mounted.point.name))?;
            }
        }
        let groups = record.host_config.group_add.as_deref().unwrap_or_default();
        resolve_user(&root, &record.config.user, groups)
    }

    pub fn mount_rootfs(&self, id: &str, record: &Record) -> Result<()> {
        let data = self.data_dir(id);
        let target = self.rootfs(id);
        overlay::unmount(&target).doing("unmount a stale root file system")?;
        let mut lower: Vec<_> = record
            .layers
            .iter()
            .rev()
            .map(|diff_id| self.images.layers.diff(diff_id))
            .collect();
        if lower.is_empty() {
            let empty = data.join("empty");
            std::fs::create_dir_all(&empty).doing("create an empty layer")?;
            lower.push(empty);
        }
        overlay::mount(&lower, &data.join("upper"), &data.join("work"), &target)
            .doing("mount the root file system")
    }

    fn mount_shm(&self, data: &Path, size: i64) -> Result<()> {
        let target = data.join(SHM_DIR);
        std::fs::create_dir_all(&target).doing("create the shared memory folder")?;
        overlay::unmount(&target).doing("unmount stale shared memory")?;
        let options = format!("mode=1777,{}", mounts::shm_size(size));
        let options = std::ffi::CString::new(options).doing("mount shared memory")?;
        rustix::mount::mount(
            "shm",
            &target,
            "tmpfs",
            rustix::mount::MountFlags::NOEXEC
                | rustix::mount::MountFlags::NOSUID
                | rustix::mount::MountFlags::NODEV,
            Some(options.as_c_str()),
        )
        .doing("mount shared memory")
    }

    pub fn log_path(&self, id: &str) -> std::path::PathBuf {
        self.data_dir(id).join("container.log")
    }

    /// Takes everything away that a running container has beyond its record. Every step is tried.
    pub async fn tear_down(&self, container: &Container) {
        let id = &container.id;
        let runtime = container.with(|record| record.host_config.runtime.clone());
        let files = async {
            // The runtime's state first: with it go the processes that hold the mounts.
            if let Err(error) = self.runtimes.delete(&runtime, id, true).await {
                tracing::warn!(id, %error, "the runtime did not delete the container");
            }
            let (rootfs, shm, bundle) = (
                self.rootfs(id),
                self.data_dir(id).join(SHM_DIR),
                self.run_dir(id),
            );
            let unmounted = blocking(move || {
                overlay::unmount(&rootfs).doing("unmount the root file system")?;
                overlay::unmount(&shm).doing("unmount shared memory")?;
                crate::image::layers::remove_dir(&bundle);
                Ok(())
            });
            if let Err(error) = unmounted.await {
                tracing::warn!(id, %error, "the container was not taken down cleanly");
            }
        };
        tokio::join!(files, self.network_down(id));
        // The parent group goes with the last container; never while one is being made in it.
        if let Ok(_cgroups) = self.cgroups.try_write()
            && !self.all().iter().any(|other| other.live().is_some())
        {
            let parent = &self.config.cgroup_parent;
            cgroup::remove_parent(parent, cgroup::unified(parent).as_deref());
        }
    }
}

pub(crate) fn resolve_user(root: &Root, text: &str, groups: &[String]) -> Result<user::User> {
    let passwd = root
        .read_text("/etc/passwd", PASSWD_LIMIT)
        .doing("read the image's passwd file")?;
    let group = root
        .read_text("/etc/group", PASSWD_LIMIT)
        .doing("read the image's group file")?;
    user::resolve(text, &passwd, &group, groups)
}

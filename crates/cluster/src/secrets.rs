//! A task's secrets and configs as files: on a file system in memory that only root can read, bound into the container.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use engine_types::{Error, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use swarm::agent::Dependencies;
use swarm_wire::pb;

pub struct TaskFiles {
    dir: PathBuf,
}

/// One file of a task: its name in the container, its data, owner and mode.
struct Item {
    target: PathBuf,
    data: Vec<u8>,
    file: pb::FileTarget,
}

impl TaskFiles {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Writes what the task refers to and returns the binds (`source:target:ro`). Nothing is left behind on failure.
    pub fn lay_out(
        &self,
        spec: &pb::ContainerSpec,
        dependencies: &dyn Dependencies,
    ) -> Result<Vec<String>> {
        let items = items(spec, dependencies)?;
        if items.is_empty() {
            return Ok(Vec::new());
        }
        self.write(&items)
            .inspect_err(|_| self.remove())
            .map_err(|e| {
                Error::system(format!(
                    "write the task's secrets and configs below {}: {e}",
                    self.dir.display()
                ))
            })
    }

    fn write(&self, items: &[Item]) -> std::io::Result<Vec<String>> {
        self.remove();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)?;
        mount(
            "tmpfs",
            &self.dir,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            c"mode=0700",
        )?;
        let mut binds = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let path = self.dir.join(i.to_string());
            let mode = item.file.mode & 0o777;
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&path)?;
            file.write_all(&item.data)?;
            let id = |text: &str| text.parse::<u32>().unwrap_or(0);
            chown(&path, Some(id(&item.file.uid)), Some(id(&item.file.gid)))?;
            binds.push(format!("{}:{}:ro", path.display(), item.target.display()));
        }
        Ok(binds)
    }

    /// Unmounts and removes; what is not there is no failure.
    pub fn remove(&self) {
        // Lazily: a container that is still ending may hold a bind of it.
        let _ = unmount(&self.dir, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.dir);
    }
}

fn items(spec: &pb::ContainerSpec, dependencies: &dyn Dependencies) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for r in &spec.secrets {
        let Some(pb::secret_reference::Target::File(file)) = &r.target else {
            continue;
        };
        let secret = dependencies.secret(&r.secret_id).ok_or_else(|| {
            Error::system(format!(
                "secret {} was not assigned to this node",
                r.secret_name
            ))
        })?;
        let data = secret.spec.map(|s| s.data).unwrap_or_default();
        items.push(Item {
            target: target("/run/secrets", &file.name),
            data,
            file: file.clone(),
        });
    }
    for r in &spec.configs {
        let Some(pb::config_reference::Target::File(file)) = &r.target else {
            continue;
        };
        let config = dependencies.config(&r.config_id).ok_or_else(|| {
            Error::system(format!(
                "config {} was not assigned to this node",
                r.config_name
            ))
        })?;
        let data = config.spec.map(|s| s.data).unwrap_or_default();
        items.push(Item {
            target: target("/", &file.name),
            data,
            file: file.clone(),
        });
    }
    Ok(items)
}

/// An absolute name stands for itself.
fn target(base: &str, name: &str) -> PathBuf {
    Path::new(base).join(name)
}

//! What Docker keeps on this host, read from its files: they are the same whether it runs or not.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Files that a running dockerd holds locked: its networks, its volumes, its tasks.
const LOCKED: [&str; 3] = [
    "network/files/local-kv.db",
    "volumes/metadata.db",
    "swarm/worker/tasks.db",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Image,
    Volume,
    Container,
    Network,
}

/// Something that does not move with the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Left {
    pub kind: Kind,
    pub name: String,
    /// How to move it by hand.
    pub how: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    /// The swarm makes it again.
    pub task: bool,
    pub runs: bool,
}

pub fn daemon_runs(root: &Path) -> bool {
    LOCKED.iter().any(|file| is_locked(&root.join(file)))
}

/// Whether a process holds the file's lock.
pub fn is_locked(path: &Path) -> bool {
    let Ok(file) = fs::File::open(path) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

/// Whether the process is alive and the container's: its cgroup is named after it.
pub fn runs(pid: u64, id: &str) -> bool {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup"));
    pid > 0 && cgroups.is_ok_and(|cgroups| cgroups.contains(id))
}

pub fn containers(root: &Path) -> Result<Vec<Container>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct File {
        name: String,
        #[serde(rename = "ID")]
        id: String,
        state: State,
        config: Config,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct State {
        running: bool,
        pid: u64,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        labels: Option<serde_json::Map<String, Value>>,
    }
    let mut found = Vec::new();
    for dir in entries(&root.join("containers"))? {
        // One that is being removed, or is no container's, has none.
        let Some(file) = json::<File>(&dir.join("config.v2.json"))? else {
            continue;
        };
        let labels = file.config.labels.unwrap_or_default();
        found.push(Container {
            name: file.name.trim_start_matches('/').to_owned(),
            task: labels.contains_key("com.docker.swarm.task.id"),
            runs: file.state.running && runs(file.state.pid, &file.id),
        });
    }
    Ok(found)
}

/// Everything that stays behind.
pub fn leaves(root: &Path, containers: &[Container]) -> Result<Vec<Left>, String> {
    let mut left = images(root)?;
    left.extend(volumes(root)?);
    let own = containers.iter().filter(|container| !container.task);
    left.extend(own.map(|container| Left {
        kind: Kind::Container,
        name: container.name.clone(),
        how: "docker run it again with its options (docker inspect shows them); what it wrote outside of volumes moves as an \
              image: docker commit"
            .into(),
    }));
    left.push(Left {
        kind: Kind::Network,
        name: "of this host only".into(),
        how: "docker network create them again (docker network ls -f scope=local shows them)"
            .into(),
    });
    Ok(left)
}

fn images(root: &Path) -> Result<Vec<Left>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct File {
        repositories:
            std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>>,
    }
    let how = |name: &str| {
        format!(
            "while dockerd runs: docker save -o FILE {name}; when pontoon runs: docker load -i FILE"
        )
    };
    let image = |name: &str| Left {
        kind: Kind::Image,
        name: name.into(),
        how: how(name),
    };
    let (mut left, mut kept) = (Vec::new(), false);
    for driver in entries(&root.join("image"))? {
        let Some(file) = json::<File>(&driver.join("repositories.json"))? else {
            continue;
        };
        kept = true;
        let names = file.repositories.values().flat_map(|names| names.keys());
        // A digest is a second name of what a tag names.
        left.extend(
            names
                .filter(|name| !name.contains('@'))
                .map(|name| image(name)),
        );
    }
    if !kept {
        // Docker 29 gives them to containerd.
        left.push(Left {
            kind: Kind::Image,
            name: "all (docker image ls shows them)".into(),
            how: how("NAME"),
        });
    }
    Ok(left)
}

fn volumes(root: &Path) -> Result<Vec<Left>, String> {
    let mut left = Vec::new();
    for dir in entries(&root.join("volumes"))? {
        let data = dir.join("_data");
        if !data.is_dir() {
            continue;
        }
        let name = dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let options = json::<Value>(&dir.join("opts.json"))?;
        let option = |(key, name)| {
            let value = options
                .as_ref()?
                .get(key)?
                .as_str()
                .filter(|v| !v.is_empty())?;
            Some(format!(" --opt {name}='{value}'"))
        };
        let mounted: String = [
            ("MountType", "type"),
            ("MountOpts", "o"),
            ("MountDevice", "device"),
        ]
        .into_iter()
        .filter_map(option)
        .collect();
        let how = match mounted.is_empty() {
            true => format!(
                "when pontoon runs: docker volume create {name}; cp -a {}/. \"$(docker volume inspect -f '{{{{.Mountpoint}}}}' {name})\"",
                data.display()
            ),
            false => format!("when pontoon runs: docker volume create{mounted} {name}"),
        };
        left.push(Left {
            kind: Kind::Volume,
            name,
            how,
        });
    }
    Ok(left)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let read = match fs::read_dir(dir) {
        Ok(read) => read,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("{}: {e}", dir.display())),
    };
    let mut paths: Vec<_> = read.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// `None`: there is no such file.
fn json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, String> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| format!("{}: {e}", path.display())),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_docker_keeps_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let container = |name: &str, labels: &str| {
            format!(
                r#"{{"ID":"c1","Name":"/{name}","State":{{"Running":true,"Pid":1}},"Config":{{"Labels":{labels}}}}}"#
            )
        };
        write(
            root,
            "containers/c1/config.v2.json",
            &container("lone", "null"),
        );
        let task = container("s.1.x", r#"{"com.docker.swarm.task.id":"x"}"#);
        write(root, "containers/c2/config.v2.json", &task);
        write(root, "containers/gone/hostname", "x");
        let repositories = r#"{"Repositories":{"busybox":{"busybox:latest":"sha256:1","busybox@sha256:2":"sha256:1"}}}"#;
        write(root, "image/overlay2/repositories.json", repositories);
        write(root, "volumes/v/_data/file", "x");
        fs::create_dir_all(root.join("volumes/nfs/_data")).unwrap();
        write(
            root,
            "volumes/nfs/opts.json",
            r#"{"MountType":"nfs","MountOpts":"addr=10.0.0.1","MountDevice":":/x"}"#,
        );
        write(root, "volumes/metadata.db", "");

        let found = containers(root).unwrap();
        let named: Vec<_> = found
            .iter()
            .map(|c| (c.name.as_str(), c.task, c.runs))
            .collect();
        assert_eq!(named, [("lone", false, false), ("s.1.x", true, false)]);
        let left = leaves(root, &found).unwrap();
        let named: Vec<_> = left.iter().map(|l| (l.kind, l.name.as_str())).collect();
        assert_eq!(
            named,
            [
                (Kind::Image, "busybox:latest"),
                (Kind::Volume, "nfs"),
                (Kind::Volume, "v"),
                (Kind::Container, "lone"),
                (Kind::Network, "of this host only"),
            ]
        );
        assert!(
            left[1]
                .how
                .contains("--opt type='nfs' --opt o='addr=10.0.0.1' --opt device=':/x' nfs"),
            "{}",
            left[1].how
        );
        write(root, "containers/c3/config.v2.json", "{");
        assert!(
            containers(root)
                .unwrap_err()
                .contains("c3/config.v2.json: ")
        );
    }

    #[test]
    fn a_lock_that_is_held_is_seen_and_not_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), LOCKED[1], "");
        assert!(!daemon_runs(dir.path()));
        let held = fs::File::open(dir.path().join(LOCKED[1])).unwrap();
        held.lock().unwrap();
        assert!(daemon_runs(dir.path()) && daemon_runs(dir.path()));
        drop(held);
        assert!(!daemon_runs(dir.path()));
    }
}

//! What a member keeps of itself on disk: `docker-state.json`, and the addresses in it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use engine_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{Config, addresses};

/// `docker-state.json`, with Docker's names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Stored {
    pub local_addr: String,
    pub remote_addr: String,
    pub listen_addr: String,
    pub advertise_addr: String,
    pub data_path_addr: String,
    pub default_address_pool: Option<Vec<String>>,
    pub subnet_size: u32,
    pub data_path_port: u32,
    pub join_in_progress: bool,
}

/// The addresses of a member, resolved.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub listen: SocketAddr,
    pub advertise: SocketAddr,
    pub data_path: IpAddr,
}

impl Addresses {
    pub fn choose(listen: &str, advertise: &str, data_path: &str, config: &Config) -> Result<Self> {
        let interfaces = addresses::interfaces()?;
        let listen = addresses::listen(listen, &interfaces)?;
        let advertise = addresses::advertise(
            advertise,
            listen,
            config.default_advertise_addr.as_deref(),
            &interfaces,
        )?;
        let listen = addresses::for_family(listen, advertise.ip());
        let data_path = if data_path.is_empty() {
            advertise.ip()
        } else {
            addresses::data_path(data_path, &interfaces)?
        };
        Ok(Self {
            listen,
            advertise,
            data_path,
        })
    }

    pub fn stored(&self) -> Stored {
        Stored {
            local_addr: self.advertise.ip().to_string(),
            listen_addr: self.listen.to_string(),
            advertise_addr: self.advertise.to_string(),
            data_path_addr: self.data_path.to_string(),
            ..Default::default()
        }
    }

    pub fn load(stored: &Stored) -> Option<Self> {
        Some(Self {
            listen: stored.listen_addr.parse().ok()?,
            advertise: stored.advertise_addr.parse().ok()?,
            data_path: stored.data_path_addr.parse().ok()?,
        })
    }
}

pub fn state_file(dir: &Path) -> PathBuf {
    dir.join("docker-state.json")
}

pub fn load(dir: &Path) -> Result<Option<Stored>> {
    let path = state_file(dir);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Error::system(format!("{}: {e}", path.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::system(format!("{}: {e}", path.display()))),
    }
}

pub fn save(dir: &Path, stored: &Stored) -> Result<()> {
    let path = state_file(dir);
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("tmp");
        std::fs::write(&temporary, serde_json::to_vec(stored)?)?;
        std::fs::rename(&temporary, &path)
    };
    write().map_err(|e| Error::system(format!("write {}: {e}", path.display())))
}

pub fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::system(format!(
            "remove the swarm's state {}: {e}",
            dir.display()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_file_keeps_dockers_names_and_survives_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let stored = Stored {
            remote_addr: "10.0.0.1:2377".into(),
            data_path_port: 4789,
            ..Default::default()
        };
        save(dir.path(), &stored).unwrap();
        assert_eq!(load(dir.path()).unwrap(), Some(stored));
        let text = std::fs::read_to_string(dir.path().join("docker-state.json")).unwrap();
        assert!(text.contains("\"RemoteAddr\":\"10.0.0.1:2377\""), "{text}");
        std::fs::write(dir.path().join("docker-state.json"), "{").unwrap();
        assert!(load(dir.path()).is_err());
    }
}

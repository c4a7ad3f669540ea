//! The plugins of this host: found by name, activated when they are first needed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cnm::driver::Driver;
use cnm::model::Scope;
use cnm::remote::{IpamPlugin, NetworkPlugin};
use engine_types::{Error, Result};

use crate::client::{Client, PATIENCE};
use crate::find::{Place, find};
use crate::ipam::IpamDriver;
use crate::network::NetworkDriver;
use crate::wire::Manifest;

/// Docker's: sockets are in the first, specifications in the others.
pub fn default_dirs() -> Vec<PathBuf> {
    [
        "/run/docker/plugins",
        "/etc/docker/plugins",
        "/usr/lib/docker/plugins",
    ]
    .map(PathBuf::from)
    .to_vec()
}

/// Plugins by name.
pub struct Plugins {
    dirs: Vec<PathBuf>,
    patience: Duration,
    /// A place for each name that was ever found: who activates a plugin holds it, others wait for that one only.
    slots: Mutex<BTreeMap<String, Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Active>>>;

/// A plugin that has said what it is.
#[derive(Clone)]
struct Active {
    place: Place,
    network: Option<Arc<NetworkDriver>>,
    ipam: Option<Arc<IpamDriver>>,
}

impl Plugins {
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self::with_patience(dirs, PATIENCE)
    }

    pub fn with_patience(dirs: Vec<PathBuf>, patience: Duration) -> Self {
        Self {
            dirs,
            patience,
            slots: Mutex::default(),
        }
    }

    async fn get(&self, name: &str) -> Result<Active> {
        let place = find(&self.dirs, name)
            .map_err(|why| Error::system(format!("specification of plugin {name:?}: {why}")))?;
        let place = place.ok_or_else(|| Error::not_found(format!("plugin {name:?} not found")))?;
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
            slots.entry(name.to_string()).or_default().clone()
        };
        let late = |_| {
            Error::system(format!(
                "plugin {name:?} is being activated and has not answered within {} seconds",
                self.patience.as_secs()
            ))
        };
        let mut slot = tokio::time::timeout(self.patience, slot.lock())
            .await
            .map_err(late)?;
        if let Some(active) = slot.as_ref().filter(|active| active.place == place) {
            return Ok(active.clone());
        }
        let active = self.activate(name, place).await?;
        *slot = Some(active.clone());
        Ok(active)
    }

    async fn activate(&self, name: &str, place: Place) -> Result<Active> {
        let client = Client::new(name, &place, self.patience)
            .map_err(|why| Error::system(format!("plugin {name:?}: {why}")))?;
        let manifest: Manifest = client.call("Plugin.Activate", &()).await?;
        let implements = |what: &str| manifest.implements.iter().any(|i| i == what);
        let network = match implements("NetworkDriver") {
            true => Some(Arc::new(NetworkDriver::start(client.clone()).await?)),
            false => None,
        };
        let ipam = match implements("IpamDriver") {
            true => Some(Arc::new(IpamDriver::start(client).await?)),
            false => None,
        };
        tracing::info!(plugin = name, address = %place.address, implements = ?manifest.implements, "plugin is active");
        Ok(Active {
            place,
            network,
            ipam,
        })
    }
}

fn lacks(name: &str, what: &str) -> Error {
    Error::system(format!(
        "plugin {name:?} does not implement the requested driver ({what})"
    ))
}

#[async_trait]
impl cnm::remote::Plugins for Plugins {
    fn rows(&self, name: &str, scope: Scope) -> Arc<dyn Driver> {
        Arc::new(drivers::Remote::new(name, scope))
    }

    async fn network(&self, name: &str) -> Result<Arc<dyn NetworkPlugin>> {
        match self.get(name).await?.network {
            Some(driver) => Ok(driver),
            None => Err(lacks(name, "NetworkDriver")),
        }
    }

    async fn ipam(&self, name: &str) -> Result<Arc<dyn IpamPlugin>> {
        match self.get(name).await?.ipam {
            Some(driver) => Ok(driver),
            None => Err(lacks(name, "IpamDriver")),
        }
    }
}

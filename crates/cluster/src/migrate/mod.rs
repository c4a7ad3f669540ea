//! Moving a node of a swarm from Docker's engine to this one, and back.
//!
//! ```text
//!   <docker>/swarm ──── certificate, key, root, managers, addresses ────► <pontoon>/swarm
//!         │                                                                     │
//!         └─► <docker>/swarm-moved-to-pontoon ◄──── what has been renewed ──────┘   (undo)
//! ```
//!
//! The same node under two engines at once would be a fault of the whole swarm. So Docker's copy is put aside before ours
//! is put in place, ours is taken away before Docker's is put back, and neither happens under a running engine. A crash in
//! between leaves a node that neither engine has, which `undo` mends.

mod addresses;
mod docker;
mod looks;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use engine_types::{Error, Result};
use serde::Serialize;
use swarm::agent::known_managers;
use swarm::ca::Identity;

use crate::{errors, stored};

pub use docker::{Kind, Left};

const SWARM: &str = "swarm";
const ASIDE: &str = "swarm-moved-to-pontoon";
/// A directory that is not complete yet, or not needed any more.
const PARTIAL: &str = "swarm.migrating";
/// The managers' addresses, in both engines' words.
const MANAGERS: &str = "state.json";

/// The directories of both engines.
#[derive(Clone, Debug)]
pub struct Roots {
    /// dockerd's `--data-root`
    pub docker: PathBuf,
    /// Our `--data-root`
    pub pontoon: PathBuf,
    /// Our `--exec-root`: what runs here is known by it.
    pub exec: PathBuf,
}

/// What a look at both engines found. Looking writes nothing.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plan {
    pub from: PathBuf,
    pub to: PathBuf,
    pub node: Option<Node>,
    /// What stays with the engine that the node leaves, and how to move it.
    pub leaves: Vec<Left>,
    /// To be done before anything is moved.
    pub first: Vec<String>,
    /// Why the node cannot be moved at all.
    pub refused: Vec<String>,
    /// To be done once it is moved.
    pub then: Vec<String>,
}

/// Whose identity it is.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "SwarmID")]
    pub swarm_id: String,
    #[serde(rename = "CertificateExpires")]
    pub expires: String,
    #[serde(rename = "Managers")]
    pub managers: Vec<String>,
    #[serde(rename = "ListenAddr")]
    pub listen: String,
    #[serde(rename = "AdvertiseAddr")]
    pub advertise: String,
    #[serde(rename = "DataPathAddr")]
    pub data_path: String,
}

impl Plan {
    pub fn is_ready(&self) -> bool {
        self.first.is_empty() && self.refused.is_empty()
    }
}

impl Roots {
    /// Takes the node over from Docker. Only after [`Self::look`] has found nothing that speaks against it.
    pub fn apply(&self) -> Result<()> {
        let (docker, pontoon) = (self.docker.join(SWARM), self.pontoon.join(SWARM));
        let partial = self.pontoon.join(PARTIAL);
        let identity = identity(&docker)?;
        let stored = addresses::complete(
            stored::load(&docker)?.unwrap_or_default(),
            &known_managers(&docker),
        )?;
        let copied = || {
            stored::remove_dir(&partial)?;
            private_dir(&partial)?;
            identity.save_in(&partial).map_err(errors::from_ca)?;
            copy(&docker.join(MANAGERS), &partial.join(MANAGERS))?;
            stored::save(&partial, &stored)?;
            rename(&docker, &self.docker.join(ASIDE))
        };
        if let Err(error) = copied() {
            let _ = stored::remove_dir(&partial);
            return Err(error);
        }
        rename(&partial, &pontoon)
    }

    /// Gives the node back to Docker, with what was renewed meanwhile, and makes the kernel forget what this engine made of
    /// links, rules and namespaces. Only after [`Self::look_back`] has found nothing that speaks against it.
    pub async fn undo(&self, kernel: &netstate::NetState) -> Result<()> {
        let (aside, pontoon) = (self.docker.join(ASIDE), self.pontoon.join(SWARM));
        let partial = self.pontoon.join(PARTIAL);
        if pontoon.exists() {
            let identity = identity(&pontoon)?;
            identity.save_in(&aside).map_err(errors::from_ca)?;
            copy(&pontoon.join(MANAGERS), &aside.join(MANAGERS))?;
            kernel.collect().await.map_err(Error::system)?;
            stored::remove_dir(&partial)?;
            rename(&pontoon, &partial)?;
        }
        rename(&aside, &self.docker.join(SWARM))?;
        stored::remove_dir(&partial)
    }
}

fn identity(dir: &Path) -> Result<Identity> {
    let found = Identity::load(dir).map_err(errors::from_ca)?;
    found.ok_or_else(|| Error::not_found(format!("{}: no certificate of a node", dir.display())))
}

fn private_dir(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let parent = dir.parent().unwrap_or(dir);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(parent)
        .and_then(|()| fs::DirBuilder::new().mode(0o700).create(dir))
        .map_err(|e| Error::system(format!("make {}: {e}", dir.display())))
}

/// What is not there is not copied.
fn copy(from: &Path, to: &Path) -> Result<()> {
    match fs::copy(from, to) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::system(format!(
            "copy {} to {}: {e}",
            from.display(),
            to.display()
        ))),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| {
        Error::system(format!(
            "rename {} to {}: {e}",
            from.display(),
            to.display()
        ))
    })
}

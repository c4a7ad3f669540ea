//! Sandboxes come and go, change their names, and are found again after a restart.

use std::collections::BTreeSet;

use engine_types::{Error, Result};

use crate::controller::Inner;
use crate::create::random_id;
use crate::model::Record;
use crate::names::dns_names;
use crate::store::SANDBOXES;
use crate::transition::Scene;
use crate::{Controller, Mode, Sandbox, SandboxSpec};

impl Controller {
    /// Makes the namespace and the files. Endpoints come with [`Self::connect`].
    pub async fn sandbox_create(&self, spec: SandboxSpec) -> Result<Sandbox> {
        let inner = &self.0;
        let container = spec.container_id.clone();
        let _turn = inner.turn(&container).await;
        if inner.state().records.contains_key(&container) {
            tracing::info!(
                container,
                "container left a sandbox behind; it gets a new one"
            );
            for error in inner.remove_sandbox(&container).await {
                tracing::warn!(container, %error, "former sandbox did not go cleanly");
            }
        }
        if let Mode::Container(target) = &spec.mode {
            inner.shared(target)?;
        }
        let record = Record::new(random_id()?, spec);
        let scene = Scene {
            container: &container,
            touched: Vec::new(),
            force: false,
        };
        inner.transition(scene, |_, _| Ok(Some(record))).await?;
        self.sandbox(&container).ok_or_else(|| missing(&container))
    }

    /// Disconnects what is connected and removes the namespace. Goes on past failures and returns them.
    pub async fn sandbox_remove(&self, container_id: &str) -> Vec<Error> {
        let _turn = self.0.turn(container_id).await;
        self.0.remove_sandbox(container_id).await
    }

    pub fn sandbox(&self, container_id: &str) -> Option<Sandbox> {
        let record = self.0.state().records.get(container_id).cloned()?;
        match &record.spec.mode {
            Mode::Container(target) => self.0.shared(target).ok(),
            _ => Some(record.sandbox(|ns| self.0.kernel.netns_path(ns))),
        }
    }

    /// Announces the container's names (it runs and is healthy).
    pub async fn activate(&self, container_id: &str) -> Result<()> {
        self.0
            .amend(container_id, |record| record.active = true)
            .await
    }

    /// Takes its names out of every answer, here and on all nodes; packets still flow.
    pub async fn deactivate(&self, container_id: &str) -> Result<()> {
        self.0
            .amend(container_id, |record| record.active = false)
            .await
    }

    pub async fn rename(&self, container_id: &str, name: &str) -> Result<()> {
        let rename = |record: &mut Record| {
            record.spec.container_name = name.to_string();
            for endpoint in record.endpoints.iter_mut().filter(|e| !e.is_gateway) {
                endpoint.names = dns_names(&record.spec, endpoint.settings.aliases.as_deref());
            }
        };
        self.0.amend(container_id, rename).await
    }

    /// After a restart: sandboxes of containers that are not in `alive` are removed, the rest is whole again.
    ///
    /// Nothing is taken from the kernel before everything has been declared again, so what lives loses no packet.
    pub async fn restore(&self, alive: &[String]) -> Result<()> {
        let inner = &self.0;
        let alive: BTreeSet<_> = alive.iter().map(String::as_str).collect();
        inner.replay_grants();
        inner.drop_unfinished();
        let known: Vec<Record> = inner.state().records.values().cloned().collect();
        let (living, dead): (Vec<_>, Vec<_>) = known
            .into_iter()
            .partition(|r| r.is_entry() || alive.contains(r.spec.container_id.as_str()));
        for record in &living {
            inner.adopt(record).await;
        }
        inner.refresh_links("").await;
        let peers = {
            let state = inner.state();
            let networks = state.remote.keys();
            networks
                .flat_map(|n| state.peer_rows(n, &state.claimed(n)))
                .collect()
        };
        inner.kernel.set_many(peers).await.map_err(Error::system)?;
        let networks: Vec<String> = inner.state().networks.keys().cloned().collect();
        inner.balance(&networks).await;
        for record in dead {
            let container = &record.spec.container_id;
            for error in self.sandbox_remove(container).await {
                tracing::warn!(container, %error, "sandbox of a container that is gone did not go cleanly");
            }
        }
        let removed = inner.kernel.collect().await.map_err(Error::system)?;
        tracing::info!(adopted = living.len(), removed, "networks are whole again");
        Ok(())
    }
}

fn missing(container: &str) -> Error {
    Error::not_found(format!("sandbox for container {container} not found"))
}

impl Inner {
    fn shared(&self, target: &str) -> Result<Sandbox> {
        let state = self.state();
        let running = state
            .records
            .get(target)
            .filter(|r| !matches!(r.spec.mode, Mode::Container(_)));
        let stopped = || {
            Error::conflict(format!(
                "cannot join network namespace of a non running container: {target}"
            ))
        };
        let record = running.ok_or_else(stopped)?;
        Ok(record.sandbox(|ns| self.kernel.netns_path(ns)))
    }

    async fn remove_sandbox(&self, container: &str) -> Vec<Error> {
        let Some(record) = self.state().records.get(container).cloned() else {
            return Vec::new();
        };
        let scene = Scene {
            container,
            touched: record.endpoints.iter().map(|e| e.network.clone()).collect(),
            force: true,
        };
        let removed = self.transition(scene, |_, _| Ok(None)).await;
        for endpoint in record.endpoints.iter().filter(|e| !e.is_gateway) {
            if endpoint.attached {
                self.detach(&endpoint.network, container).await;
            }
            let network = self.state().network(&endpoint.network).cloned();
            if let Ok(network) = network {
                self.emit("disconnect", &network, Some(container));
            }
        }
        removed.err().into_iter().collect()
    }

    /// A change to names only.
    async fn amend(&self, container: &str, change: impl FnOnce(&mut Record)) -> Result<()> {
        let _turn = self.turn(container).await;
        let touched = {
            let mut state = self.state();
            let before = state.records.get(container);
            let before = before.ok_or_else(|| missing(container))?;
            let mut record = before.clone();
            change(&mut record);
            if record == *before {
                return Ok(());
            }
            self.store.set(SANDBOXES, container, Some(&record))?;
            let touched = record.endpoints.iter().map(|e| e.network.clone());
            let touched: Vec<_> = touched.collect();
            state.put(container, Some(record));
            touched
        };
        self.balance(&touched).await;
        for network in &touched {
            self.state().refresh_zone(network);
        }
        self.refresh_views(container);
        Ok(())
    }

    /// Declares a living sandbox again. One that cannot be made whole is left as it is: its packets still flow.
    async fn adopt(&self, record: &Record) {
        let container = &record.spec.container_id;
        let resolver = self.state().needs_resolver(record);
        self.hold_again(record).await;
        if let (true, Some(ns)) = (resolver, record.ns())
            && let Err(error) = self.start_resolver(container, &ns).await
        {
            tracing::error!(container, %error, "sandbox has no resolver");
        }
        let rows = self.state().sandbox_rows(record).into_iter().collect();
        if let Err(error) = self.kernel.set_many(rows).await {
            tracing::error!(container, %error, "sandbox is not whole");
        }
        self.refresh_views(container);
    }
}

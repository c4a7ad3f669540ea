//! One way to change a sandbox: from one record to the next, with everything that follows from it.
//!
//! ```text
//!   turn of the sandbox, turns of the lazy networks that it touches
//!     state   change(record) → next record              addresses are taken
//!     plugins endpoints of theirs are created and joined
//!     host    ports, resolver sockets, files
//!     kernel  rows of the next minus rows of this       one batch
//!     store   next record
//!     state   what only the former had is given back, names, views
//! ```
//! A failure on the way down undoes what was done, in the other direction.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use engine_types::{Error, Result};
use netstate::{Flows, Ns, Owned};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::controller::Inner;
use crate::model::Record;
use crate::network_files;
use crate::state::{Rows, State};
use crate::store::SANDBOXES;

/// What a transition is about.
pub(crate) struct Scene<'a> {
    pub container: &'a str,
    /// Networks whose endpoints change.
    pub touched: Vec<String>,
    /// Go on when the kernel refuses, and say so at the end.
    pub force: bool,
}

impl Inner {
    /// Transitions of one container are in order; this is its turn until the guard is dropped.
    pub async fn turn(&self, container: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(|e| e.into_inner());
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(container.to_string()).or_default().clone()
        };
        turn.lock_owned().await
    }

    /// In the order of ids, so that two sandboxes never wait for each other.
    pub async fn network_turns(&self, networks: &[String]) -> Vec<OwnedMutexGuard<()>> {
        let ids: BTreeSet<_> = networks.iter().collect();
        let turns: Vec<Arc<Mutex<()>>> = {
            let state = self.state();
            let lazy = |id: &&String| {
                let network = state.network(id).ok();
                network
                    .and_then(|n| state.capability(n))
                    .is_some_and(|c| c.lazy)
            };
            let entries = ids.into_iter().filter(lazy);
            entries
                .filter_map(|id| Some(state.networks.get(id)?.turn.clone()))
                .collect()
        };
        let mut held = Vec::new();
        for turn in turns {
            held.push(turn.lock_owned().await);
        }
        held
    }

    /// The caller holds the container's turn. `change` makes the next record; when it fails it has taken nothing.
    pub async fn transition(
        &self,
        scene: Scene<'_>,
        change: impl FnOnce(&mut State, Option<Record>) -> Result<Option<Record>>,
    ) -> Result<()> {
        let _turns = self.network_turns(&scene.touched).await;
        let (before, old) = {
            let mut state = self.state();
            let before = state.records.get(scene.container).cloned();
            let old = rows(&state, before.as_ref());
            let mut after = change(&mut state, before.clone())?;
            if let Some(next) = &mut after
                && let Err(error) = state.settle_gateway(next)
            {
                state.release_difference(after.as_ref(), before.as_ref());
                return Err(error);
            }
            state.put(scene.container, after);
            (before, old)
        };
        let done = self.carry_out(&scene, before.as_ref(), old).await;
        if done.is_err() && !scene.force {
            self.roll_back(&scene, before).await;
            return done;
        }
        let (after, ended) = {
            let state = self.state();
            let after = state.records.get(scene.container).cloned();
            let ended = ended_flows(&state, before.as_ref(), after.as_ref());
            (after, ended)
        };
        // While nobody else can have the addresses and ports yet.
        if !ended.is_empty()
            && let Err(error) = self.kernel.forget(Ns::Host, ended).await
        {
            tracing::debug!(container = scene.container, %error, "connections of what has gone live on");
        }
        for network in &scene.touched {
            let on = |record: &Option<Record>| record.as_ref()?.endpoint_on(network).cloned();
            if let (Some(gone), None) = (on(&before), on(&after)) {
                let gone: Vec<IpAddr> = gone.addresses().map(|a| a.addr()).collect();
                self.forget_backends(network, &gone).await;
            }
        }
        self.unplug(before.as_ref(), after.as_ref()).await;
        {
            let mut state = self.state();
            state.release_difference(before.as_ref(), after.as_ref());
            if after.is_none() {
                state.resolvers.remove(scene.container);
            }
            for network in &scene.touched {
                state.refresh_zone(network);
            }
        }
        self.refresh_views(scene.container);
        self.release_grants(before.as_ref(), after.as_ref()).await;
        self.refresh_links(scene.container).await;
        done
    }

    async fn carry_out(&self, scene: &Scene<'_>, before: Option<&Record>, old: Rows) -> Result<()> {
        self.plug_in(scene.container, before).await?;
        self.prepare_host(scene.container).await?;
        let (changes, services) = {
            let mut state = self.state();
            let after = state.records.get(scene.container);
            let mut changes = difference(old, rows(&state, after));
            changes.extend(peers(&state, scene, before, after));
            let mut services = state.service_changes(&scene.touched);
            changes.extend(services.take_rows());
            (changes, services)
        };
        let mut set = self.set_rows(changes, scene.force).await;
        if set.is_ok() || scene.force {
            let new = self.state().declared(services);
            self.settle_mesh(&scene.touched, new).await;
            set = set.and(self.hand_gateway(scene.container, before).await);
        } else {
            self.state().undeclared(services);
        }
        if set.is_err() && !scene.force {
            return set;
        }
        let after = self.state().records.get(scene.container).cloned();
        set.and(self.store.set(SANDBOXES, scene.container, after.as_ref()))
    }

    /// With `force`, what can go goes even where something else cannot.
    async fn set_rows(&self, changes: Vec<Owned>, force: bool) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let whole = self.kernel.set_many(changes.clone()).await;
        if whole.is_ok() || !force {
            return whole.map_err(Error::system);
        }
        let mut failed = Ok(());
        for change in changes {
            if let Err(error) = self.kernel.set_many(vec![change]).await {
                failed = Err(Error::system(error));
            }
        }
        failed
    }

    /// What the record needs of the host outside of the kernel's tables: ports, resolver, files.
    async fn prepare_host(&self, container: &str) -> Result<()> {
        let Some(record) = self.state().records.get(container).cloned() else {
            return Ok(());
        };
        let mappings = self.publish(&record, &record.mappings).await?;
        let needs_resolver = {
            let mut state = self.state();
            if let Some(record) = state.records.get_mut(container) {
                record.mappings = mappings;
            }
            state.needs_resolver(&record)
        };
        if let (true, Some(ns)) = (needs_resolver, record.ns()) {
            self.start_resolver(container, &ns).await?;
        }
        self.write_files(&record)
    }

    pub fn write_files(&self, record: &Record) -> Result<()> {
        if record.is_entry() {
            return Ok(());
        }
        let (hosts, conf) = {
            let state = self.state();
            (state.hosts(record), state.resolv_conf(record, &self.dns)?)
        };
        network_files::write(&record.spec.dir, &record.spec.mode, &hosts, &conf.text)
    }

    async fn roll_back(&self, scene: &Scene<'_>, before: Option<Record>) {
        let (after, undo, services) = {
            let mut state = self.state();
            let after = state.records.get(scene.container).cloned();
            let failed = rows(&state, after.as_ref());
            state.put(scene.container, before.clone());
            let needs = before.as_ref().is_some_and(|r| state.needs_resolver(r));
            if !needs {
                state.resolvers.remove(scene.container);
            }
            let mut undo = difference(failed, rows(&state, before.as_ref()));
            undo.extend(peers(&state, scene, after.as_ref(), before.as_ref()));
            let mut services = state.service_changes(&scene.touched);
            undo.extend(services.take_rows());
            (after, undo, services)
        };
        // What the kernel refused is not there: undoing it says so again, and undoes what a failed store left behind.
        if !undo.is_empty()
            && let Err(error) = self.kernel.set_many(undo).await
        {
            tracing::error!(container = scene.container, %error, "failed connection cannot be undone in the kernel");
        }
        if let Err(error) = self.hand_gateway(scene.container, after.as_ref()).await {
            tracing::warn!(container = scene.container, %error, "former way outside is not programmed again");
        }
        self.unplug_joined(after.as_ref(), before.as_ref()).await;
        let new = {
            let mut state = self.state();
            state.release_difference(after.as_ref(), before.as_ref());
            state.declared(services)
        };
        self.settle_mesh(&scene.touched, new).await;
        if let Some(record) = &before
            && let Err(error) = self.write_files(record)
        {
            tracing::warn!(container = scene.container, %error, "files of a failed connection remain");
        }
    }

    /// What this sandbox and other hosts see of names. Zones change without it.
    pub fn refresh_views(&self, container: &str) {
        let state = self.state();
        if let Some(running) = state.resolvers.get(container)
            && let Some(record) = state.records.get(container)
            && let Ok(conf) = state.resolv_conf(record, &self.dns)
        {
            running.view.store(Arc::new(state.view(record, &conf)));
        }
        let view = Arc::new(state.overlay_view());
        drop(state);
        self.view.send_if_modified(|former| {
            let changed = *former != view;
            *former = view;
            changed
        });
    }
}

/// Connections that lead to what is no longer there, or past a UDP port that has come. Overlays are not tracked in the
/// host's namespace: their addresses may be somebody else's there.
fn ended_flows(state: &State, before: Option<&Record>, after: Option<&Record>) -> Vec<Flows> {
    let addresses = |record: Option<&Record>| -> BTreeSet<IpAddr> {
        let endpoints = record.into_iter().flat_map(|r| &r.endpoints);
        let tracked = endpoints.filter(|e| {
            let network = state.network(&e.network).ok();
            network
                .and_then(|n| state.capability(n))
                .is_some_and(|c| !c.lazy)
        });
        tracked
            .flat_map(|e| e.addresses().map(|a| a.addr()).collect::<Vec<_>>())
            .collect()
    };
    // A port that leads elsewhere now has gone and come.
    let ports = |record: Option<&Record>| -> BTreeSet<(String, IpAddr, u16, u16)> {
        let Some(record) = record else {
            return BTreeSet::new();
        };
        let udp = record.mappings.iter().filter(|m| m.protocol == "udp");
        udp.filter_map(|m| {
            let (first, last) = m.host_ports()?;
            let (gateway, _) = state.gateway_of(record, m.host_ip.is_ipv6())?;
            Some((gateway.id.clone(), m.host_ip, first, last))
        })
        .collect()
    };
    let gone = addresses(before)
        .difference(&addresses(after))
        .copied()
        .map(Flows::Of)
        .collect::<Vec<_>>();
    let (old, new) = (ports(before), ports(after));
    let turned = old
        .symmetric_difference(&new)
        .map(|(_, ip, first, last)| Flows::ToUdp(*ip, *first, *last));
    let turned: BTreeSet<Flows> = turned.collect();
    gone.into_iter().chain(turned).collect()
}

fn rows(state: &State, record: Option<&Record>) -> Rows {
    record.map(|r| state.sandbox_rows(r)).unwrap_or_default()
}

fn difference(old: Rows, mut new: Rows) -> Vec<Owned> {
    let mut changes = Vec::new();
    for (owner, rows) in old {
        match new.remove(&owner) {
            Some(next) if next == rows => {}
            Some(next) => changes.push((owner, next)),
            None => changes.push((owner, Vec::new())),
        }
    }
    changes.extend(new);
    changes
}

/// Peers whose rows may change: all of a network that gets its first endpoint or loses its last, else those whose
/// address comes here or goes from here.
fn peers(
    state: &State,
    scene: &Scene,
    before: Option<&Record>,
    after: Option<&Record>,
) -> Vec<Owned> {
    let mut changes = Vec::new();
    for network in &scene.touched {
        let on = |record: Option<&Record>| record.and_then(|r| r.endpoint_on(network)).cloned();
        let (old, new) = (on(before), on(after));
        if old.is_some() == new.is_some() {
            continue;
        }
        let moved: BTreeSet<IpAddr> = old
            .into_iter()
            .chain(new)
            .flat_map(|e| e.addresses().map(|a| a.addr()).collect::<Vec<_>>())
            .collect();
        let all = state.endpoints_on(network).take(2).count() < 2;
        let mut claimed = state.claimed(network);
        claimed.retain(|ip| all || moved.contains(ip));
        changes.extend(state.peer_rows(network, &claimed));
    }
    changes
}

//! The swarm's nodes, for plugins whose networks reach other hosts: each is told what has changed since it was told last.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Controller;
use crate::controller::Inner;
use crate::remote::Node;
use crate::state::State;

impl Controller {
    /// Another node of the swarm has come, or gone.
    pub fn set_node(&self, address: IpAddr, present: bool) {
        let mut state = self.0.state();
        match present {
            true => state.nodes.insert(address),
            false => state.nodes.remove(&address),
        };
        self.0.discover.notify_one();
    }
}

impl State {
    /// None while this node is in no swarm.
    fn all_nodes(&self) -> BTreeSet<Node> {
        let Some(own) = self.host.vtep else {
            return BTreeSet::new();
        };
        let others = self.nodes.iter().copied().filter(|address| *address != own);
        let others = others.map(|address| Node {
            address,
            own: false,
        });
        std::iter::once(Node {
            address: own,
            own: true,
        })
        .chain(others)
        .collect()
    }
}

/// Tells plugins until the controller is dropped.
pub(crate) async fn follow(inner: Weak<Inner>, wake: Arc<Notify>) {
    let mut told = BTreeMap::<String, BTreeSet<Node>>::new();
    loop {
        wake.notified().await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let names = inner.state().drivers.plugged_names();
        let mut telling = JoinSet::new();
        for name in names {
            let before = told.remove(&name).unwrap_or_default();
            telling.spawn(tell(inner.clone(), name, before));
        }
        drop(inner);
        while let Some(done) = telling.join_next().await {
            told.extend(done);
        }
    }
}

/// Returns what the plugin knows now. One that is not to be reached is told with the next change.
async fn tell(inner: Arc<Inner>, name: String, before: BTreeSet<Node>) -> (String, BTreeSet<Node>) {
    let plugin = match inner.plugin_named(&name).await {
        Ok(plugin) if plugin.spans() => plugin,
        Ok(_) => return (name, before),
        Err(error) => {
            tracing::debug!(plugin = name, %error, "plugin is not told of nodes");
            return (name, before);
        }
    };
    let now = inner.state().all_nodes();
    let gone = before.difference(&now).map(|node| (node, false));
    for (node, present) in gone.chain(now.difference(&before).map(|node| (node, true))) {
        if let Err(error) = plugin.discover(node, present).await {
            tracing::warn!(plugin = name, node = %node.address, %error, "plugin does not take note of a node");
        }
    }
    (name, now)
}

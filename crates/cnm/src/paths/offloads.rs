//! What hardware does wrong for packets in tunnels: pings pass, and little or nothing else does.
//!
//! One node after the other is asked by the ingress network, from this node's entry to that one's, where no one listens:
//!
//! | offload | asked with | and answers, though the offload fails |
//! |---|---|---|
//! | checksums | a datagram | an echo request, whose sum no hardware makes |
//! | segmentation | a packet that makes eight of TCP | one that makes one |
//!
//! When only the second has an answer, the kernel does the hardware's part on the way into the tunnels; and if that helps, it
//! stays so. The tunnel devices remember for a daemon that comes later. The underlay's own devices are left as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::time::Duration;

use engine_types::{Error, Result};
use netstate::ethtool::Offload;
use netstate::{Mac, Ns, Row};

use crate::Controller;
use crate::controller::Inner;
use crate::kernel::run_in;
use crate::model::Network;
use crate::state::State;

/// From one node to the next.
const TICK: Duration = Duration::from_secs(5);
/// Hosts send news of datagrams to one address once a second, or a little more often.
pub(super) const PATIENCE: Duration = Duration::from_millis(1100);
pub(super) const TRIES: u32 = 3;
/// Nobody listens there: not in an entry.
pub(super) const DISCARD: u16 = 9;

/// This node's entry, by which the ingress network is asked.
struct Entry {
    network: Network,
    ns: Ns,
    link: String,
    at: Place,
}

pub(super) type Place = (IpAddr, Mac);

/// From this node's entry to another's.
pub(super) struct Way {
    pub ns: Ns,
    pub link: String,
    pub from: Place,
    pub to: Place,
}

/// Which nodes have no answers, whoever does what.
type Deaf = BTreeSet<(IpAddr, Offload)>;

/// What leaves a part to the kernel.
pub(crate) fn without(offload: Offload, (ns, link): (Ns, String)) -> Row {
    Row::Sysctl {
        ns,
        key: format!("ethtool/{link}/{}", offload.name()),
        value: "off".into(),
    }
}

impl Controller {
    /// Looks for it until all is found, or this is dropped.
    pub async fn follow_offloads(&self) {
        let inner = &self.0;
        let mut tick = tokio::time::interval(TICK);
        let (mut last, mut deaf) = (None, Deaf::new());
        loop {
            tick.tick().await;
            let soft = inner.state().soft;
            if soft == Some(Offload::Checksums) {
                return;
            }
            let Some(entry) = inner.state().own_entry() else {
                continue;
            };
            let before = inner.soft_before(&entry.network).await;
            let result = if before > soft {
                inner.set_soft(before).await
            } else {
                let after = last.map_or(Bound::Unbounded, Bound::Excluded);
                let entries = inner.state().other_entries(&entry.network.id);
                let next = entries.range((after, Bound::Unbounded)).next();
                let Some((ip, mac)) = next.or(entries.first_key_value()) else {
                    continue;
                };
                last = Some(*ip);
                let way = Way {
                    ns: entry.ns,
                    link: entry.link,
                    from: entry.at,
                    to: (*ip, *mac),
                };
                inner.look(&entry.network, &way, &mut deaf).await
            };
            if let Err(error) = result {
                tracing::debug!(%error, "what hardware does is not looked at");
            }
        }
    }
}

impl Inner {
    async fn look(&self, network: &Network, way: &Way, deaf: &mut Deaf) -> Result<()> {
        let (to, _) = way.to;
        // Without sums nothing else is known.
        for offload in Offload::ALL.into_iter().rev() {
            let soft = self.state().soft;
            if soft >= Some(offload) || deaf.contains(&(to, offload)) {
                continue;
            }
            if self.works(offload, way).await? || !self.answers(offload, way).await? {
                continue;
            }
            self.set_soft(Some(offload)).await?;
            // What could not be looked at has not helped.
            let helps = self.works(offload, way).await;
            if matches!(helps, Ok(true)) {
                let name = offload.name();
                tracing::warn!(node = %to, offload = name, "hardware does it wrong for packets in tunnels: the kernel does it now");
                let event = match offload {
                    Offload::Checksums => "checksum_offload_off",
                    Offload::Segmentation => "segmentation_offload_off",
                };
                let attributes = [("node".to_string(), to.to_string())];
                self.emit_with(event, network, attributes.into());
            } else {
                let name = offload.name();
                tracing::debug!(node = %to, offload = name, "a node has no answers, with or without it");
                self.set_soft(soft).await?;
                self.leave_to_hardware(offload).await;
                helps?;
                deaf.insert((to, offload));
            }
        }
        Ok(())
    }

    async fn works(&self, offload: Offload, way: &Way) -> Result<bool> {
        match offload {
            Offload::Checksums => self.hears(way).await,
            Offload::Segmentation => self.resets(way, true).await,
        }
    }

    async fn answers(&self, offload: Offload, way: &Way) -> Result<bool> {
        match offload {
            Offload::Checksums => self.echoes(way).await,
            Offload::Segmentation => self.resets(way, false).await,
        }
    }

    /// What the network's tunnel has from a daemon before this one.
    async fn soft_before(&self, network: &Network) -> Option<Offload> {
        let tunnels = self.state().tunnels_of(network);
        let (ns, link) = tunnels.into_iter().next()?;
        let off = move || {
            let mut all = Offload::ALL.into_iter().rev();
            all.find(|offload| matches!(offload.is_on(&link), Ok(false)))
        };
        run_in(self.kernel.as_ref(), &ns, off).await.ok()?
    }

    async fn set_soft(&self, soft: Option<Offload>) -> Result<()> {
        self.change_tunnels(|state| state.soft = soft).await
    }

    /// Rows that go leave the devices as they are.
    async fn leave_to_hardware(&self, offload: Offload) {
        let tunnels = self.state().all_tunnels();
        for (ns, link) in tunnels {
            let set = move || offload.set(&link, true);
            if let Err(error) | Ok(Err(error)) = run_in(self.kernel.as_ref(), &ns, set)
                .await
                .map(|r| r.map_err(Error::system))
            {
                tracing::debug!(%ns, %error, "the kernel does it still");
            }
        }
    }
}

impl State {
    fn own_entry(&self) -> Option<Entry> {
        let entry = self.entry()?;
        let inside = entry.endpoints.iter().find(|e| !e.is_gateway)?;
        Some(Entry {
            network: self.network(&inside.network).ok()?.clone(),
            ns: entry.ns()?,
            link: inside.ifname.clone(),
            at: (inside.addresses().next()?.addr(), inside.mac),
        })
    }

    /// Endpoints of other nodes that are no tasks, in the family that this node's own has.
    fn other_entries(&self, network: &str) -> BTreeMap<IpAddr, Mac> {
        let Some(remote) = self.remote.get(network) else {
            return BTreeMap::new();
        };
        let is_task = |endpoint: &String| {
            let name = remote.names.get(endpoint);
            name.is_some_and(|name| !name.service.ingress_ports.is_empty())
        };
        let entries = remote.peers.iter().filter(|(id, _)| !is_task(id));
        let others = entries.filter(|(_, peer)| Some(peer.vtep) != self.host.vtep);
        let places = others.filter_map(|(_, peer)| Some((peer.addresses().next()?, peer.mac)));
        places.map(|(address, mac)| (address.addr(), mac)).collect()
    }

    fn tunnels_of(&self, network: &Network) -> Vec<(Ns, String)> {
        let driver = self.driver(network);
        driver.map_or(Vec::new(), |driver| driver.tunnels(network))
    }

    fn all_tunnels(&self) -> Vec<(Ns, String)> {
        let here = |id: &str| self.endpoints_on(id).next().is_some();
        let networks = self.networks.values().map(|entry| &entry.network);
        let networks = networks.filter(|network| here(&network.id));
        networks.flat_map(|n| self.tunnels_of(n)).collect()
    }
}

//! Foreign changes: notifications of the kernel as hints where to look.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Core, Dirty};
use crate::Ns;
use crate::apply::Kernel;
use crate::desired::Desired;
use crate::key::{Item, Key, NftItem};
use crate::netlink::wire;
use crate::nf;
use crate::nft::Table;
use crate::rt::{entry, link, nexthop, rule};

/// Changes come in bursts: how long to wait for the rest.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Between two healings of one namespace, so that a fight with another program does not take a whole core.
const PATIENCE: Duration = Duration::from_millis(200);

impl Core {
    /// Notes where something changed that is wanted otherwise. Events are a hint only; what is true is looked up later.
    pub(super) fn listen(&mut self) {
        let Core {
            kernel,
            desired,
            rt_monitor,
            nft_monitor,
            dirty,
            ..
        } = self;
        let lost_rt = rt_monitor.drain(|(id, datagram)| {
            let Some(ns) = kernel.spaces.by_id(id) else {
                return;
            };
            for raw in wire::messages(datagram) {
                notice(kernel, desired, &ns, raw, dirty);
            }
        });
        let lost_nft = nft_monitor.drain(|(id, datagram)| {
            let Some(ns) = kernel.spaces.by_id(id) else {
                return;
            };
            for raw in wire::messages(datagram) {
                let own = kernel
                    .spaces
                    .opened(&ns)
                    .is_some_and(|s| s.is_nft_port(raw.port));
                let table = nf::read::notification(raw.kind, raw.body, &ns).filter(|_| !own);
                let wanted = |t: &Table| desired.get(&Key::nft(t, NftItem::Table)).is_some();
                if table.is_some_and(|t| wanted(&t)) {
                    dirty.entry(ns.clone()).or_default().nft = true;
                }
            }
        });
        if lost_rt.is_err() || lost_nft.is_err() {
            tracing::debug!("notifications were lost: comparing everything");
            for ns in self.desired.namespaces() {
                self.dirty.insert(ns, Dirty::all());
            }
        }
        if !self.dirty.is_empty() && self.dirty_since.is_none() {
            self.dirty_since = Some(Instant::now());
        }
    }

    pub(super) fn heal_due(&self) -> Option<Instant> {
        let since = self.dirty_since?;
        let patience = |ns: &Ns| self.healed_at.get(ns).map_or(since, |at| *at + PATIENCE);
        let due = self.dirty.keys().map(patience).min()?;
        Some(due.max(since + DEBOUNCE).max(self.held_until))
    }

    pub(super) fn heal_dirty(&mut self, now: Instant) {
        self.healed_at
            .retain(|_, at| now.duration_since(*at) < PATIENCE);
        let ready: Vec<Ns> = self
            .dirty
            .keys()
            .filter(|ns| !self.healed_at.contains_key(ns))
            .cloned()
            .collect();
        for ns in ready {
            // A container's namespace may have gone with it since.
            let wanted = ns == Ns::Host || self.desired.has_netns(&ns);
            if let Some(dirty) = self.dirty.remove(&ns)
                && wanted
                && !self.reconcile(&ns, dirty).is_empty()
            {
                self.healed_at.insert(ns, Instant::now());
            }
        }
        self.dirty_since = (!self.dirty.is_empty()).then_some(now);
    }
}

/// Notes a notification that tells of something wanted which now is, or may be, not as wanted.
fn notice(
    kernel: &mut Kernel,
    desired: &Desired,
    ns: &Ns,
    raw: wire::Raw<'_>,
    dirty: &mut BTreeMap<Ns, Dirty>,
) {
    if matches!(raw.kind, link::RTM_NEWLINK | link::RTM_DELLINK) {
        let Some(seen) = link::parse(raw.body) else {
            return;
        };
        let names = kernel.names.entry(ns.clone()).or_default();
        // Under the name that we knew it by, and under the one that it has now.
        let former = match raw.kind {
            link::RTM_DELLINK => names.remove(&seen.index),
            _ => names.get(&seen.index).cloned(),
        };
        // A parent that is back: what is wanted on it went with the former one.
        if raw.kind == link::RTM_NEWLINK && former.is_none() {
            for child in desired.children_of(ns, &seen.name) {
                if let Item::Link(name) = &child.item {
                    let of_ns = dirty.entry(child.ns.clone()).or_default();
                    of_ns.links.insert(name.clone());
                }
            }
        }
        for name in [Some(seen.name), former].into_iter().flatten() {
            let key = Key {
                ns: ns.clone(),
                item: Item::Link(name.clone()),
            };
            if desired.get(&key).is_some() || desired.link_of_peer(ns, &name).is_some() {
                dirty.entry(ns.clone()).or_default().links.insert(name);
            }
        }
        return;
    }
    let names = kernel.names.get(ns);
    let Some(seen) = names.and_then(|names| entry::parse(raw.kind, raw.body, ns, names)) else {
        return;
    };
    let gone = matches!(
        raw.kind,
        entry::RTM_DELADDR
            | entry::RTM_DELROUTE
            | entry::RTM_DELNEIGH
            | nexthop::RTM_DELNEXTHOP
            | rule::RTM_DELRULE
    );
    let wanted = desired.get(&seen.row.key());
    if wanted.is_some_and(|row| gone || !seen.whole || !entry::same(row, &seen.row)) {
        dirty.entry(ns.clone()).or_default().rt = true;
    }
}

//! Services on this host's networks: from the names of their tasks to addresses of their own, and the ways to those.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use netstate::{Owned, Row};

use crate::controller::Inner;
use crate::driver::Service;
use crate::mesh::PortRange;
use crate::state::State;
use crate::ways::{Here, Stale, Way};
use crate::{Balance, NameRecord, Prefer};

/// What one owner of rows wants.
#[derive(Default)]
pub(crate) struct Led {
    pub rows: Vec<Row>,
    /// Ports of the host that are the mesh's with it.
    pub ports: BTreeSet<PortRange>,
}

impl Led {
    /// `None` of nothing.
    fn print(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        self.rows.hash(&mut hasher);
        (!self.rows.is_empty()).then(|| hasher.finish())
    }
}

/// What the kernel has of it: the rows are known by a print of them.
pub(crate) struct Declared {
    print: u64,
    ports: BTreeSet<PortRange>,
}

impl State {
    /// By one of its addresses: those of its two families are two.
    pub fn service_at(&self, network: &str, here: &Here, address: IpAddr) -> Option<Service> {
        let mut tasks = Tasks::default();
        self.each_task(network, here, &Way::Address(address), |record, distance| {
            for task in record.addresses() {
                if record.service.virtual_ip_beside(task) == Some(address) {
                    tasks.add(task, record, distance);
                }
            }
        });
        let backends = tasks.near();
        (!backends.is_empty()).then(|| Service {
            address,
            choice: tasks.balance.choice(),
            backends,
        })
    }

    /// Whether connections to the service's own address get somewhere from here, and so its name may lead to it.
    pub fn reaches(&self, service: &Service) -> bool {
        self.host.balances || service.is_direct()
    }

    /// What each owner wants whose rows may have changed. Ways to services are there as long as a sandbox of this host is on
    /// the network.
    fn led(&self, network: &str, stale: &Stale) -> BTreeMap<String, Led> {
        let here = self.here(network);
        let ways = match stale.all {
            true => self.all_ways(network, &here),
            false => stale.ways.clone(),
        };
        let none = || ways.iter().map(|way| (way.owner(network), Led::default()));
        let Ok(known) = self.network(network) else {
            return BTreeMap::new();
        };
        let driver = match self.driver(known) {
            Ok(driver) if !here.endpoints.is_empty() => driver,
            _ => return none().collect(),
        };
        if known.ingress {
            let mut led: BTreeMap<_, _> = none().collect();
            led.extend(self.led_by_mesh(known, driver, &here, &ways, stale.all));
            return led;
        }
        let rows = |address: IpAddr| {
            let service = self.service_at(network, &here, address);
            let service = service.filter(|service| self.reaches(service))?;
            Some(driver.service_rows(known, &service, &self.host))
        };
        let led = |way: &Way| match way {
            Way::Address(address) => Led {
                rows: rows(*address).unwrap_or_default(),
                ports: BTreeSet::new(),
            },
            Way::Ports(_) | Way::Relay => Led::default(),
        };
        let ways = ways.iter();
        ways.map(|way| (way.owner(network), led(way))).collect()
    }

    /// What differs from the rows that were declared last. Has to come back by [`Self::declared`] or [`Self::undeclared`].
    pub fn service_changes(&mut self, networks: &[String]) -> Changes {
        let changes = networks.iter().filter_map(|network| {
            let stale = std::mem::take(&mut self.networks.get_mut(network)?.stale);
            let mut led = self.led(network, &stale);
            let declared = &self.networks.get(network)?.services;
            if stale.all {
                for owner in declared.keys() {
                    led.entry(owner.clone()).or_default();
                }
            }
            let changed = led.into_iter().filter_map(|(owner, led)| {
                let print = led.print();
                let same = declared.get(&owner).map(|d| d.print) == print;
                (!same).then_some((owner, (led, print)))
            });
            let owners = changed.collect();
            Some((network.clone(), OfNetwork { owners, stale }))
        });
        Changes(changes.collect())
    }

    /// The kernel has these changes now. Returns the ports that are the mesh's with them, and were not.
    pub fn declared(&mut self, changes: Changes) -> Vec<PortRange> {
        let mut new = Vec::new();
        for (network, OfNetwork { owners, .. }) in changes.0 {
            let Some(entry) = self.networks.get_mut(&network) else {
                continue;
            };
            for (owner, (Led { ports, .. }, print)) in owners {
                let former = entry.services.remove(&owner);
                let former = former.map(|d| d.ports).unwrap_or_default();
                for port in ports.difference(&former) {
                    let held = self.mesh.entry(port.clone()).or_default();
                    held.by += 1;
                    if held.by == 1 {
                        new.push(port.clone());
                    }
                }
                for port in former.difference(&ports) {
                    if let Some(held) = self.mesh.get_mut(port) {
                        held.by -= 1;
                        if held.by == 0 {
                            self.mesh.remove(port);
                        }
                    }
                }
                if let Some(print) = print {
                    entry.services.insert(owner, Declared { print, ports });
                }
            }
        }
        new
    }

    /// The kernel has refused them: the next change tries again.
    pub fn undeclared(&mut self, changes: Changes) {
        for (network, OfNetwork { stale, .. }) in changes.0 {
            if let Some(entry) = self.networks.get_mut(&network) {
                entry.stale.add(stale);
            }
        }
    }
}

/// What has to change, by network.
pub(crate) struct Changes(BTreeMap<String, OfNetwork>);

struct OfNetwork {
    /// With the print of what each wants.
    owners: BTreeMap<String, (Led, Option<u64>)>,
    /// What that follows from.
    stale: Stale,
}

impl Changes {
    /// Once.
    pub fn take_rows(&mut self) -> Vec<Owned> {
        let owners = self.0.values_mut().flat_map(|of| &mut of.owners);
        owners
            .map(|(owner, (led, _))| (owner.clone(), std::mem::take(&mut led.rows)))
            .collect()
    }
}

/// Healthy tasks of one service, and which of them are chosen from.
#[derive(Default)]
pub(crate) struct Tasks {
    pub balance: Balance,
    all: Vec<(Prefer, IpAddr, bool)>,
}

impl Tasks {
    pub fn add(&mut self, address: IpAddr, record: &NameRecord, distance: Prefer) {
        // Tasks from before and after a change of their service may differ.
        self.balance = record.service.balance;
        self.all.push((distance, address, record.direct));
    }

    /// Those that the service prefers, or all where there is none, and whether they are direct.
    pub fn near(&self) -> BTreeMap<IpAddr, bool> {
        let near = |prefer: Prefer| {
            let near = self.all.iter().filter(move |(d, ..)| *d <= prefer);
            near.map(|(_, address, direct)| (*address, *direct))
        };
        let preferred: BTreeMap<_, _> = near(self.balance.prefer).collect();
        match preferred.is_empty() {
            true => near(Prefer::Any).collect(),
            false => preferred,
        }
    }
}

impl Inner {
    /// Makes the ways to services what the networks' names say. What fails is told, and tried again with the next change;
    /// false then.
    pub async fn balance(&self, networks: &[String]) -> bool {
        let _turns = self.network_turns(networks).await;
        let mut changes = self.state().service_changes(networks);
        let rows = changes.take_rows();
        if !rows.is_empty() {
            // Before anything leads there.
            if self.state().wants_relay() {
                self.keep_relay(true).await;
            }
            if let Err(error) = self.kernel.set_many(rows).await {
                tracing::error!(%error, "ways to services are not in the kernel");
                self.state().undeclared(changes);
                return false;
            }
        }
        let new = self.state().declared(changes);
        self.settle_mesh(networks, new).await;
        true
    }
}

//! Services on this host's networks: from the names of their tasks to addresses of their own, and the ways to those.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netstate::Owned;

use crate::controller::Inner;
use crate::driver::Service;
use crate::state::{Rows, State};
use crate::{Balance, NameRecord, Prefer};

impl State {
    /// By address: those of a service's two families are two.
    pub fn balanced(&self, network: &str) -> BTreeMap<IpAddr, Service> {
        let mut services = BTreeMap::<IpAddr, Tasks>::new();
        self.each_task(network, |record, distance| {
            for task in record.addresses() {
                if let Some(address) = record.service.virtual_ip_beside(task) {
                    let tasks = services.entry(address).or_default();
                    tasks.add(task, record, distance);
                }
            }
        });
        let service = |(address, tasks): (_, Tasks)| {
            let service = Service {
                address,
                choice: tasks.balance.choice(),
                backends: tasks.near(),
            };
            (address, service)
        };
        services.into_iter().map(service).collect()
    }

    /// Names of services' tasks on a network, here and elsewhere, and the narrowest preference that each satisfies.
    pub fn each_task(&self, network: &str, mut each: impl FnMut(&NameRecord, Prefer)) {
        let here = self.endpoints_on(network);
        for (record, endpoint) in here.filter(|(_, endpoint)| endpoint.service.is_some()) {
            if let Some(record) = self.record_of(record, endpoint) {
                each(&record, Prefer::Node);
            }
        }
        for record in self.remote_names(network) {
            let same_zone = !self.zone.is_empty() && record.zone == self.zone;
            each(record, if same_zone { Prefer::Zone } else { Prefer::Any });
        }
    }

    /// Whether connections to the service's own address get somewhere from here, and so its name may lead to it.
    pub fn reaches(&self, service: &Service) -> bool {
        self.host.balances || service.is_direct()
    }

    /// Ways to services are there as long as a sandbox of this host is on the network.
    fn service_rows(&self, network: &str) -> Rows {
        let Ok(known) = self.network(network) else {
            return Rows::new();
        };
        let Ok(driver) = self.driver(known) else {
            return Rows::new();
        };
        if self.endpoints_on(network).next().is_none() {
            return Rows::new();
        }
        if known.ingress {
            return self.mesh_rows(known, driver);
        }
        let services = self.balanced(network).into_values();
        let reached = services.filter(|service| self.reaches(service));
        reached
            .map(|service| {
                let owner = format!("service/{network}/{}", service.address);
                (owner, driver.service_rows(known, &service, &self.host))
            })
            .collect()
    }

    /// What differs from the rows that were declared last.
    pub fn service_changes(&self, networks: &[String]) -> Changes {
        let changes = networks.iter().map(|network| {
            let mut now = self.service_rows(network);
            let before = self.networks.get(network).map(|entry| &entry.services);
            for (owner, rows) in before.into_iter().flatten() {
                match now.get(owner) {
                    Some(same) if same == rows => drop(now.remove(owner)),
                    Some(_) => {}
                    None => drop(now.insert(owner.clone(), Vec::new())),
                }
            }
            (network.clone(), now)
        });
        Changes(changes.collect())
    }

    /// The kernel has these changes now.
    pub fn declared(&mut self, changes: Changes) {
        for (network, rows) in changes.0 {
            if let Some(entry) = self.networks.get_mut(&network) {
                entry.services.extend(rows);
                entry.services.retain(|_, rows| !rows.is_empty());
            }
        }
    }
}

/// Rows of services that have to change, by network.
pub(crate) struct Changes(BTreeMap<String, Rows>);

impl Changes {
    pub fn rows(&self) -> Vec<Owned> {
        let owned = |(owner, rows): (&String, &Vec<_>)| (owner.clone(), rows.clone());
        self.0.values().flatten().map(owned).collect()
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
        let changes = self.state().service_changes(networks);
        let rows = changes.rows();
        if rows.is_empty() {
            return true;
        }
        // Before anything leads there.
        if self.state().wants_relay() {
            self.keep_relay(true).await;
        }
        let applied = self.kernel.set_many(rows).await;
        match &applied {
            Ok(()) => self.state().declared(changes),
            Err(error) => tracing::error!(%error, "ways to services are not in the kernel"),
        }
        self.hold_mesh_ports(networks).await;
        applied.is_ok()
    }
}

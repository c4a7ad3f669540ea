//! What leads to the tasks of services, by what tells them apart, and which of it has to be worked out again: a change costs
//! as much as the services that it is about, whatever others there are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{Endpoint, Record};
use crate::state::{Remote, State};
use crate::{NameRecord, Prefer, ServiceBinding};

/// On one network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// A service's own address.
    Address(IpAddr),
    /// What the service of this id publishes through the mesh.
    Ports(String),
    /// Ports of the mesh, of any service, whose tasks want a relay. No rows are its own.
    Relay,
}

impl Way {
    /// Whose rows it is.
    pub fn owner(&self, network: &str) -> String {
        match self {
            Self::Address(address) => format!("service/{network}/{address}"),
            Self::Ports(service) => format!("mesh/{network}/service/{service}"),
            Self::Relay => format!("mesh/{network}/relay"),
        }
    }
}

impl ServiceBinding {
    pub(crate) fn ways(&self) -> impl Iterator<Item = Way> {
        let ports = (!self.ingress_ports.is_empty()).then(|| Way::Ports(self.id.clone()));
        let mut all = self.ingress_ports.iter();
        let relay = all.any(|port| port.proxy.is_some()).then_some(Way::Relay);
        self.virtual_ips()
            .map(Way::Address)
            .chain(ports)
            .chain(relay)
    }
}

/// Ways whose rows may not be what the names say.
#[derive(Debug, Default)]
pub(crate) struct Stale {
    /// All of the network.
    pub all: bool,
    pub ways: BTreeSet<Way>,
}

impl Stale {
    pub fn all() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }

    pub fn add(&mut self, other: Self) {
        self.all |= other.all;
        self.ways.extend(other.ways);
    }
}

impl Remote {
    /// Returns the ways that lead elsewhere now.
    fn set_name(&mut self, endpoint: &str, record: Option<NameRecord>) -> BTreeSet<Way> {
        let former = match record.clone() {
            Some(record) => self.names.insert(endpoint.into(), record),
            None => self.names.remove(endpoint),
        };
        let mut changed = BTreeSet::new();
        for way in former.iter().flat_map(|r| r.service.ways()) {
            if let Some(tasks) = self.tasks.get_mut(&way) {
                tasks.remove(endpoint);
                if tasks.is_empty() {
                    self.tasks.remove(&way);
                }
            }
            changed.insert(way);
        }
        for way in record.iter().flat_map(|r| r.service.ways()) {
            self.tasks
                .entry(way.clone())
                .or_default()
                .insert(endpoint.into());
            changed.insert(way);
        }
        changed
    }
}

/// Endpoints of this host on a network.
pub(crate) struct Here<'a> {
    pub endpoints: BTreeMap<&'a str, (&'a Record, &'a Endpoint)>,
    /// Those of services by what leads to them.
    tasks: BTreeMap<Way, Vec<(&'a Record, &'a Endpoint)>>,
}

impl Here<'_> {
    /// Of an endpoint that is here, what others say counts for nothing.
    pub fn has(&self, endpoint: &str) -> bool {
        self.endpoints.contains_key(endpoint)
    }
}

impl State {
    /// False where that was known.
    pub fn set_name(&mut self, network: &str, endpoint: &str, record: Option<NameRecord>) -> bool {
        let remote = self.remote.entry(network.to_string()).or_default();
        if remote.names.get(endpoint) == record.as_ref() {
            return false;
        }
        let changed = remote.set_name(endpoint, record);
        if let Some(entry) = self.networks.get_mut(network) {
            entry.stale.ways.extend(changed);
        }
        true
    }

    /// The sandbox is this from now on.
    pub fn put(&mut self, container: &str, record: Option<Record>) {
        let after = record.clone();
        let before = match record {
            Some(record) => self.records.insert(container.to_string(), record),
            None => self.records.remove(container),
        };
        for (one, other) in [(&before, &after), (&after, &before)] {
            for endpoint in one.iter().flat_map(|r| &r.endpoints) {
                let network = &endpoint.network;
                let stays = other
                    .as_ref()
                    .is_some_and(|r| r.endpoint_on(network).is_some());
                let other = |(record, _): (&Record, _)| record.spec.container_id != container;
                let alone = !self.endpoints_on(network).any(other);
                let entry = one.as_ref().is_some_and(Record::is_entry);
                if let Some(known) = self.networks.get_mut(network) {
                    known.stale.all |= entry || (alone && !stays);
                    let service = endpoint.service.iter();
                    known.stale.ways.extend(service.flat_map(|s| s.ways()));
                }
            }
        }
    }

    pub fn here(&self, network: &str) -> Here<'_> {
        let here = self.endpoints_on(network);
        let endpoints: BTreeMap<_, _> = here.map(|(r, e)| (e.id.as_str(), (r, e))).collect();
        let mut tasks = BTreeMap::<Way, Vec<_>>::new();
        for (record, endpoint) in endpoints.values() {
            for way in endpoint.service.iter().flat_map(|s| s.ways()) {
                tasks.entry(way).or_default().push((*record, *endpoint));
            }
        }
        Here { endpoints, tasks }
    }

    /// All that there may be.
    pub fn all_ways(&self, network: &str, here: &Here) -> BTreeSet<Way> {
        let remote = self.remote.get(network).into_iter();
        let remote = remote.flat_map(|r| r.tasks.keys());
        here.tasks.keys().chain(remote).cloned().collect()
    }

    /// The names of the tasks behind it, here and elsewhere, and the narrowest preference that each satisfies.
    pub fn each_task(
        &self,
        network: &str,
        here: &Here,
        way: &Way,
        mut each: impl FnMut(&NameRecord, Prefer),
    ) {
        for (record, endpoint) in here.tasks.get(way).into_iter().flatten() {
            if let Some(record) = self.record_of(record, endpoint) {
                each(&record, Prefer::Node);
            }
        }
        let Some(remote) = self.remote.get(network) else {
            return;
        };
        let tasks = remote.tasks.get(way).into_iter().flatten();
        let tasks = tasks.filter(|endpoint| !here.has(endpoint));
        for record in tasks.filter_map(|endpoint| remote.names.get(endpoint)) {
            let same_zone = !self.zone.is_empty() && record.zone == self.zone;
            each(record, if same_zone { Prefer::Zone } else { Prefer::Any });
        }
    }
}

//! Ports that services publish on the routing mesh.

use std::collections::{BTreeMap, BTreeSet};

use swarm_wire::pb;
use swarm_wire::pb::port_config::PublishMode;

/// SwarmKit's range for ports that the user did not choose (manager/allocator/portallocator.go).
const FIRST: u32 = 30000;
const LAST: u32 = 32767;

/// Protocol and port.
pub type Port = (i32, u32);

#[derive(Default)]
pub struct Ports {
    held: BTreeMap<String, BTreeSet<Port>>,
    last: BTreeMap<i32, u32>,
    freed: bool,
}

impl Ports {
    pub fn held(&self, service: &str) -> BTreeSet<Port> {
        self.held.get(service).cloned().unwrap_or_default()
    }

    pub fn hold(&mut self, service: &str, wanted: BTreeSet<Port>) {
        let held = match wanted.is_empty() {
            true => self.held.remove(service).unwrap_or_default(),
            false => self
                .held
                .insert(service.to_owned(), wanted.clone())
                .unwrap_or_default(),
        };
        self.freed |= held.difference(&wanted).next().is_some();
    }

    pub fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    #[cfg(test)]
    pub fn usage(&self) -> BTreeMap<String, BTreeSet<Port>> {
        self.held.clone()
    }

    fn holder(&self, port: Port) -> Option<&str> {
        let mut holders = self.held.iter();
        let holder = holders.find(|(_, ports)| ports.contains(&port))?;
        Some(holder.0)
    }

    /// The service's ports with a number each: what the user chose, what it had before, or the next free one.
    /// Host-mode ports are the nodes' affair and pass unchanged.
    pub fn resolve(
        &mut self,
        service: &str,
        spec: &[pb::PortConfig],
        before: &[pb::PortConfig],
    ) -> Result<Vec<pb::PortConfig>, String> {
        let mut mine: BTreeSet<Port> = BTreeSet::new();
        for port in spec
            .iter()
            .filter(|port| on_mesh(port) && port.published_port != 0)
        {
            let number = (port.protocol, port.published_port);
            if self.holder(number).is_some_and(|holder| holder != service) {
                return Err(format!("port '{}' is already in use", port.published_port));
            }
            mine.insert(number);
        }
        let mut resolved = spec.to_vec();
        for port in resolved
            .iter_mut()
            .filter(|port| on_mesh(port) && port.published_port == 0)
        {
            let same = |old: &&pb::PortConfig| {
                on_mesh(old)
                    && (&old.name, old.protocol, old.target_port)
                        == (&port.name, port.protocol, port.target_port)
                    && !mine.contains(&(old.protocol, old.published_port))
                    && self
                        .held(service)
                        .contains(&(old.protocol, old.published_port))
            };
            port.published_port = match before.iter().find(same) {
                Some(old) => old.published_port,
                None => self.next(port.protocol, &mine)?,
            };
            mine.insert((port.protocol, port.published_port));
        }
        self.hold(service, mine);
        Ok(resolved)
    }

    fn next(&mut self, protocol: i32, mine: &BTreeSet<Port>) -> Result<u32, String> {
        let free = |number: &u32| {
            let port = (protocol, *number);
            !mine.contains(&port) && self.holder(port).is_none()
        };
        let after = self.last.get(&protocol).map_or(FIRST, |last| last + 1);
        let number = (after..=LAST)
            .find(free)
            .or_else(|| (FIRST..=LAST).find(free))
            .ok_or_else(|| format!("no free port left between {FIRST} and {LAST}"))?;
        self.last.insert(protocol, number);
        Ok(number)
    }
}

pub fn of_service(service: &pb::Service) -> BTreeSet<Port> {
    let ports = service.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
    ports
        .filter(|port| on_mesh(port) && port.published_port != 0)
        .map(|port| (port.protocol, port.published_port))
        .collect()
}

fn on_mesh(port: &pb::PortConfig) -> bool {
    port.publish_mode() == PublishMode::Ingress
}

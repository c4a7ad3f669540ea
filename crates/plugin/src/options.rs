//! `Options` of the calls, in Docker's labels; and ports, which are a part of them.

use cnm::SandboxSpec;
use cnm::model::{Endpoint, Mapping, Network};
use serde_json::{Map, Value, json};

use crate::wire::network::{PortBinding, TransportPort};

pub const GENERIC: &str = "com.docker.network.generic";
pub const INTERNAL: &str = "com.docker.network.internal";
pub const ENABLE_IPV4: &str = "com.docker.network.enable_ipv4";
pub const ENABLE_IPV6: &str = "com.docker.network.enable_ipv6";
const EXPOSED: &str = "com.docker.network.endpoint.exposedports";
pub const PORTMAP: &str = "com.docker.network.portmap";

pub const MAC: &str = "com.docker.network.endpoint.macaddress";

/// No plugin publishes more ports of one container.
const MAX_PORTS: usize = 4096;

pub fn of_network(network: &Network) -> Map<String, Value> {
    let mut options = Map::new();
    options.insert(GENERIC.into(), json!(network.options));
    options.insert(ENABLE_IPV4.into(), network.enable_ipv4.into());
    options.insert(ENABLE_IPV6.into(), network.enable_ipv6.into());
    if network.internal {
        options.insert(INTERNAL.into(), true.into());
    }
    options
}

/// Ports, and the endpoint's own options (`--driver-opt`).
pub fn of_endpoint(endpoint: &Endpoint, spec: &SandboxSpec) -> Map<String, Value> {
    let mut options = of_sandbox(spec);
    let own = endpoint.settings.driver_opts.iter().flatten();
    options.extend(own.map(|(key, value)| (key.clone(), value.as_str().into())));
    options
}

pub fn of_sandbox(spec: &SandboxSpec) -> Map<String, Value> {
    let (mut exposed, mut map) = (Vec::new(), Vec::new());
    for entry in &spec.ports {
        let Some(proto) = number_of(&entry.protocol) else {
            continue;
        };
        let (first, last) = entry.host.unwrap_or_default();
        for i in 0..entry.count {
            let port = entry.target.saturating_add(i);
            exposed.push(TransportPort { proto, port });
            // A range of the container's has a port of the host for each; one port may have several to choose from.
            map.push(PortBinding {
                protocol: proto,
                ip: String::new(),
                port,
                host_ip: entry.host_ip.clone(),
                host_port: first.saturating_add(i),
                host_port_end: last.saturating_add(i),
            });
        }
    }
    let mut options = Map::new();
    options.insert(EXPOSED.into(), json!(exposed));
    options.insert(PORTMAP.into(), json!(map));
    options
}

/// `com.docker.network.portmap`; entries that cannot be read are left out.
pub fn bindings(options: &Map<String, Value>) -> Vec<PortBinding> {
    let all = options.get(PORTMAP).and_then(Value::as_array);
    let all = all.into_iter().flatten().take(MAX_PORTS);
    all.filter_map(|entry| serde_json::from_value(entry.clone()).ok())
        .collect()
}

/// What a plugin says that it has published.
pub fn published(info: &Map<String, Value>) -> Vec<Mapping> {
    let read = |b: PortBinding| {
        let any = std::net::Ipv4Addr::UNSPECIFIED.into();
        Some(Mapping {
            protocol: name_of(b.protocol)?.to_string(),
            target: b.port,
            host_ip: match b.host_ip.as_str() {
                "" => any,
                text => text.parse().ok()?,
            },
            host_port: Some(Some(b.host_port).filter(|port| *port > 0)?),
            count: 1,
        })
    };
    bindings(info).into_iter().filter_map(read).collect()
}

const PROTOCOLS: [(&str, u8); 3] = [("tcp", 6), ("udp", 17), ("sctp", 132)];

pub fn number_of(protocol: &str) -> Option<u8> {
    let found = PROTOCOLS.iter().find(|(name, _)| *name == protocol);
    found.map(|(_, number)| *number)
}

pub fn name_of(protocol: u8) -> Option<&'static str> {
    let found = PROTOCOLS.iter().find(|(_, number)| *number == protocol);
    found.map(|(name, _)| *name)
}

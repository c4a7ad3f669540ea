//! Drivers of plugins, as far as they are rows: what a plugin answered about an endpoint is stored with it.
//!
//! ```text
//!   <link>  Ns::Host, made by the plugin ──taken──► eth0  sandbox
//! ```

use std::net::IpAddr;

use cnm::driver::{Capability, Driver, Gateway, Host};
use cnm::model::{Endpoint, Network, Scope};
use engine_types::Result;
use netstate::{BridgePort, Link, LinkKind, Ns, Route, Row};

pub struct Remote {
    name: String,
    scope: Scope,
}

impl Remote {
    pub fn new(name: &str, scope: Scope) -> Self {
        let name = name.to_string();
        Self { name, scope }
    }
}

impl Driver for Remote {
    fn name(&self) -> &str {
        &self.name
    }
    fn capability(&self) -> Capability {
        Capability {
            scope: self.scope,
            addresses: true,
            macs: true,
            spans: self.scope == Scope::Global,
            lazy: false,
        }
    }
    /// What the plugin makes; it publishes ports, too.
    fn gateway(&self, _network: &Network) -> Gateway {
        Gateway::Router
    }
    /// The plugin checks.
    fn validate(&self, _network: &Network, _others: &[&Network]) -> Result<()> {
        Ok(())
    }
    /// The plugin makes what the network is.
    fn network_rows(&self, _network: &Network, _host: &Host) -> Vec<Row> {
        Vec::new()
    }

    fn endpoint_rows(&self, _network: &Network, endpoint: &Endpoint, sandbox: &Ns) -> Vec<Row> {
        let Some((joined, from)) = endpoint
            .joined
            .as_ref()
            .and_then(|j| Some((j, j.link.clone()?)))
        else {
            return Vec::new();
        };
        let link = &endpoint.ifname;
        let mut rows = vec![Row::Link(Link {
            ns: sandbox.clone(),
            name: link.clone(),
            kind: LinkKind::Taken { from },
            mac: endpoint.known_mac(),
            mtu: None,
            master: None,
            port: BridgePort::default(),
        })];
        rows.extend(endpoint.addresses().map(|address| Row::Address {
            ns: sandbox.clone(),
            link: link.clone(),
            address,
        }));
        rows.extend(joined.routes.iter().map(|route| {
            Row::Route(Route {
                ns: sandbox.clone(),
                dst: route.dst,
                via: route.via,
                link: link.clone(),
                table: None,
            })
        }));
        rows
    }

    /// As Docker has it: who brings no way outside gets `docker_gwbridge`, unless it wants none.
    fn endpoint_gateway(&self, _network: &Network, endpoint: &Endpoint) -> Gateway {
        match &endpoint.joined {
            None => Gateway::Nowhere,
            Some(joined) if !joined.gateways.is_empty() => Gateway::Router,
            Some(joined) if joined.routes.iter().any(|r| r.dst.prefix_len() == 0) => {
                Gateway::Router
            }
            Some(joined) if joined.no_gateway => Gateway::Nowhere,
            Some(_) => Gateway::Shared,
        }
    }

    fn next_hops(&self, _network: &Network, endpoint: &Endpoint) -> Vec<IpAddr> {
        let joined = endpoint.joined.as_ref().filter(|j| j.link.is_some());
        joined.map(|j| j.gateways.clone()).unwrap_or_default()
    }
}

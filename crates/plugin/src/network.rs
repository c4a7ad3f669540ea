//! A plugin's network driver, as `cnm` asks it.

use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;
use cnm::SandboxSpec;
use cnm::model::{Endpoint, Joined, Mapping, Network, Pool, Scope, StaticRoute};
use cnm::remote::{Answer, Assigned, NetworkPlugin, Node};
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::Mac;

use crate::client::{Client, Failure};
use crate::options;
use crate::wire::network as wire;
use crate::wire::{Nothing, readable};

/// Docker's names of its own address spaces.
const LOCAL_SPACE: &str = "LocalDefault";
const GLOBAL_SPACE: &str = "GlobalDefault";
/// IFNAMSIZ without the closing zero; a prefix is followed by a number.
const MAX_NAME: usize = 15;
const MAX_PREFIX: usize = 11;
/// Routes of one endpoint.
const MAX_ROUTES: usize = 1024;

pub struct NetworkDriver {
    client: Client,
    scope: Scope,
    spans: bool,
    checks_gateways: bool,
}

impl NetworkDriver {
    /// Asks what it can do.
    pub async fn start(client: Client) -> Result<Self> {
        let answer: wire::Capabilities = client.call("NetworkDriver.GetCapabilities", &()).await?;
        let bad = |why: String| client.nonsense("NetworkDriver.GetCapabilities", &why);
        let scope = scope(&answer.scope).map_err(bad)?;
        let connects = match answer.connectivity_scope.as_str() {
            "" => scope,
            text => self::scope(text).map_err(bad)?,
        };
        Ok(Self {
            scope,
            spans: connects == Scope::Global,
            checks_gateways: answer.gw_alloc_checker,
            client,
        })
    }

    /// Older plugins need not know of ways outside.
    fn optional(called: std::result::Result<Nothing, Failure>) -> Result<()> {
        match called {
            Err(failure) if failure.is_unknown_method() => Ok(()),
            called => Ok(called.map(drop)?),
        }
    }
}

fn scope(text: &str) -> std::result::Result<Scope, String> {
    match text {
        "local" => Ok(Scope::Local),
        "global" => Ok(Scope::Global),
        other => Err(format!(
            "invalid capability: expecting 'local' or 'global', got {other:?}"
        )),
    }
}

fn of(endpoint: &Endpoint) -> wire::OfEndpoint {
    wire::OfEndpoint {
        network: endpoint.network.clone(),
        endpoint: endpoint.id.clone(),
        options: Default::default(),
    }
}

#[async_trait]
impl NetworkPlugin for NetworkDriver {
    fn scope(&self) -> Scope {
        self.scope
    }

    fn spans(&self) -> bool {
        self.spans
    }

    async fn discover(&self, node: &Node, present: bool) -> Result<()> {
        let request = wire::Discovery {
            kind: wire::NODE,
            data: wire::NodeData {
                address: node.address.to_string(),
                bind_address: String::new(),
                own: node.own,
            },
        };
        let method = match present {
            true => "NetworkDriver.DiscoverNew",
            false => "NetworkDriver.DiscoverDelete",
        };
        Self::optional(self.client.call(method, &request).await)
    }

    async fn skips_gateway(&self, network: &Network) -> Result<(bool, bool)> {
        if !self.checks_gateways {
            return Ok((false, false));
        }
        let request = wire::GwAllocCheck {
            options: options::of_network(network),
        };
        let answer: wire::GwAllocChecked = self
            .client
            .call("NetworkDriver.GwAllocCheck", &request)
            .await?;
        Ok((answer.skip_ipv4, answer.skip_ipv6))
    }

    async fn create_network(&self, network: &Network) -> Result<()> {
        let request = wire::CreateNetwork {
            network: network.id.clone(),
            options: options::of_network(network),
            ipv4: pools(network, false),
            ipv6: pools(network, true),
        };
        let Nothing {} = self
            .client
            .call("NetworkDriver.CreateNetwork", &request)
            .await?;
        Ok(())
    }

    async fn delete_network(&self, id: &str) -> Result<()> {
        let request = wire::OfNetwork { network: id.into() };
        let Nothing {} = self
            .client
            .call("NetworkDriver.DeleteNetwork", &request)
            .await?;
        Ok(())
    }

    async fn create_endpoint(&self, endpoint: &Endpoint, spec: &SandboxSpec) -> Result<Assigned> {
        let method = "NetworkDriver.CreateEndpoint";
        let text = |address: Option<IpNet>| address.map(|a| a.to_string()).unwrap_or_default();
        let mac = endpoint.known_mac().map(|mac| mac.to_string());
        let request = wire::CreateEndpoint {
            network: endpoint.network.clone(),
            endpoint: endpoint.id.clone(),
            interface: wire::Interface {
                address: text(endpoint.ipv4),
                address_ipv6: text(endpoint.ipv6),
                mac: mac.unwrap_or_default(),
            },
            options: options::of_endpoint(endpoint, spec),
        };
        let called = self.client.call(method, &request).await;
        let answer = match called {
            Ok(answer) => assigned(answer).map_err(|why| self.client.nonsense(method, &why)),
            Err(failure) => Err(failure),
        };
        if let Err(Failure::Nonsense { .. } | Failure::Late { .. } | Failure::Broken { .. }) =
            answer
        {
            // It may have made one all the same.
            let deleted: std::result::Result<Nothing, _> = self
                .client
                .call("NetworkDriver.DeleteEndpoint", &of(endpoint))
                .await;
            if let Err(error) = deleted {
                tracing::debug!(endpoint = %endpoint.id, %error, "endpoint that was not made well is not deleted");
            }
        }
        Ok(answer?)
    }

    async fn join(
        &self,
        endpoint: &Endpoint,
        sandbox: &Path,
        spec: &SandboxSpec,
    ) -> Result<Answer> {
        let method = "NetworkDriver.Join";
        let request = wire::Join {
            network: endpoint.network.clone(),
            endpoint: endpoint.id.clone(),
            sandbox: sandbox.display().to_string(),
            options: options::of_sandbox(spec),
        };
        let answer = self.client.call(method, &request).await?;
        joined(answer).map_err(|why| self.client.nonsense(method, &why).into())
    }

    async fn program(&self, endpoint: &Endpoint, spec: &SandboxSpec) -> Result<Vec<Mapping>> {
        let request = wire::OfEndpoint {
            options: options::of_sandbox(spec),
            ..of(endpoint)
        };
        let programmed = self
            .client
            .call("NetworkDriver.ProgramExternalConnectivity", &request)
            .await;
        Self::optional(programmed)?;
        if spec.ports.is_empty() {
            return Ok(Vec::new());
        }
        // To show them; packets flow without.
        let info: std::result::Result<wire::Info, _> = self
            .client
            .call("NetworkDriver.EndpointOperInfo", &of(endpoint))
            .await;
        match info {
            Ok(info) => Ok(options::published(&info.value)),
            Err(error) => {
                tracing::debug!(endpoint = %endpoint.id, %error, "plugin does not tell of published ports");
                Ok(Vec::new())
            }
        }
    }

    async fn revoke(&self, endpoint: &Endpoint) -> Result<()> {
        let method = "NetworkDriver.RevokeExternalConnectivity";
        Self::optional(self.client.call(method, &of(endpoint)).await)
    }

    async fn forget(&self, endpoint: &Endpoint) -> Vec<Error> {
        let end = self.client.deadline();
        let mut failed = Vec::new();
        for method in ["NetworkDriver.Leave", "NetworkDriver.DeleteEndpoint"] {
            let called: std::result::Result<Nothing, Failure> =
                self.client.call_until(end, method, &of(endpoint)).await;
            failed.extend(called.err().map(Error::from));
        }
        failed
    }
}

/// A network's pools as the driver is told them. Without address management every address is in the pool.
fn pools(network: &Network, v6: bool) -> Vec<wire::IpamData> {
    let space = match (network.address_space.as_str(), network.scope) {
        ("", Scope::Local) => LOCAL_SPACE,
        ("", _) => GLOBAL_SPACE,
        (space, _) => space,
    };
    let data = |pool: &Pool| {
        let cidr = |ip: &IpAddr| format!("{ip}/{}", pool.subnet.prefix_len());
        wire::IpamData {
            address_space: space.to_string(),
            pool: pool.subnet.to_string(),
            gateway: pool.gateway.as_ref().map(cidr).unwrap_or_default(),
            aux_addresses: pool
                .aux
                .iter()
                .map(|(n, ip)| (n.clone(), cidr(ip)))
                .collect(),
        }
    };
    let of_family = network
        .pools
        .iter()
        .filter(|p| p.subnet.addr().is_ipv6() == v6);
    let mut all: Vec<_> = of_family.map(data).collect();
    let enabled = if v6 {
        network.enable_ipv6
    } else {
        network.enable_ipv4
    };
    if all.is_empty() && enabled {
        all.push(wire::IpamData {
            address_space: space.to_string(),
            pool: if v6 { "::/0" } else { "0.0.0.0/0" }.to_string(),
            ..Default::default()
        });
    }
    all
}

/// What is in an answer to `CreateEndpoint`, or what is wrong with it.
pub fn assigned(answer: wire::CreatedEndpoint) -> std::result::Result<Assigned, String> {
    let address = |text: &str, v6: bool| match text {
        "" => Ok(None),
        _ => {
            let parsed = text.parse::<IpNet>().ok();
            let parsed = parsed.filter(|a| a.addr().is_ipv6() == v6);
            let bad = || format!("{:?} is not an address with its prefix", readable(text));
            parsed.map(Some).ok_or_else(bad)
        }
    };
    let interface = answer.interface;
    let mac = match interface.mac.as_str() {
        "" => None,
        text => {
            let parsed = Mac::parse(text).filter(|mac| mac.0[0] & 1 == 0 && mac.0 != [0; 6]);
            let bad = || format!("{:?} is not a MAC address", readable(text));
            Some(parsed.ok_or_else(bad)?)
        }
    };
    Ok(Assigned {
        ipv4: address(&interface.address, false)?,
        ipv6: address(&interface.address_ipv6, true)?,
        mac,
    })
}

/// What is in an answer to `Join`, or what is wrong with it.
pub fn joined(answer: wire::Joined) -> std::result::Result<Answer, String> {
    let interface = answer.interface;
    let link = match interface.src_name.as_str() {
        "" => None,
        name => Some(link_name(name, MAX_NAME)?),
    };
    let prefix = match interface.dst_prefix.as_str() {
        "" => String::new(),
        prefix => link_name(prefix, MAX_PREFIX)?,
    };
    let mut gateways = Vec::new();
    for (label, text, v6) in [
        ("Gateway", &answer.gateway, false),
        ("GatewayIPv6", &answer.gateway_ipv6, true),
    ] {
        if !text.is_empty() {
            let parsed = text.parse::<IpAddr>().ok();
            let bad = || format!("unable to parse {label} {:?}", readable(text));
            gateways.push(parsed.filter(|ip| ip.is_ipv6() == v6).ok_or_else(bad)?);
        }
    }
    if answer.routes.len() > MAX_ROUTES {
        return Err(format!("more than {MAX_ROUTES} static routes"));
    }
    let routes = answer.routes.iter().map(route);
    Ok(Answer {
        joined: Joined {
            link,
            gateways,
            routes: routes.collect::<std::result::Result<_, _>>()?,
            no_gateway: answer.no_gateway,
            ports: Vec::new(),
        },
        prefix,
    })
}

fn route(route: &wire::StaticRoute) -> std::result::Result<StaticRoute, String> {
    let bad = || {
        format!(
            "{:?} via {:?} is not a route",
            readable(&route.destination),
            readable(&route.next_hop)
        )
    };
    let dst: IpNet = route.destination.parse().map_err(|_| bad())?;
    let via = match (route.route_type, route.next_hop.as_str()) {
        (wire::CONNECTED, _) => None,
        (0, text) => Some(text.parse::<IpAddr>().map_err(|_| bad())?),
        _ => return Err(bad()),
    };
    let same_family = via.is_none_or(|via| via.is_ipv6() == dst.addr().is_ipv6());
    match same_family {
        true => Ok(StaticRoute {
            dst: dst.trunc(),
            via,
        }),
        false => Err(bad()),
    }
}

/// What the kernel takes as a link's name.
fn link_name(name: &str, max: usize) -> std::result::Result<String, String> {
    let fine = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%');
    match name.len() <= max && !matches!(name, "." | "..") && name.bytes().all(fine) {
        true => Ok(name.to_string()),
        false => Err(format!(
            "{:?} is not the name of a network interface",
            readable(name)
        )),
    }
}

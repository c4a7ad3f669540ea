//! Requests as the model's networks and endpoints, or what is wrong with them.

use cnm::model::{Endpoint, Network, Pool};
use cnm::{Publish, endpoint_mac};
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::Mac;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::network::assigned;
use crate::options::{self, ENABLE_IPV4, ENABLE_IPV6, GENERIC, INTERNAL, PORTMAP};
use crate::wire::network::{CreateEndpoint, CreateNetwork, CreatedEndpoint, IpamData, PortBinding};
use crate::wire::readable;

/// Docker's ids are 64 hexadecimal digits, the swarm's 25 digits and letters; each is a name of a file here.
fn id(text: &str) -> Result<String> {
    let fine = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let bad = || Error::invalid(format!("{:?} is not an id", readable(text)));
    fine.then(|| text.to_string()).ok_or_else(bad)
}

pub fn network(request: &CreateNetwork) -> Result<Network> {
    let mut network = of_options(&request.options)?;
    network.id = id(&request.network)?;
    let pools = request.ipv4.iter().chain(&request.ipv6).map(pool);
    let pools: Vec<Option<Pool>> = pools.collect::<Result<_>>()?;
    network.pools = pools.into_iter().flatten().collect();
    let has = |v6| {
        network
            .pools
            .iter()
            .any(|p| p.subnet.addr().is_ipv6() == v6)
    };
    (network.enable_ipv4, network.enable_ipv6) = (has(false), has(true));
    Ok(network)
}

/// What a network's options say of it, before it has pools.
pub fn of_options(options: &Map<String, Value>) -> Result<Network> {
    let flag = |key: &str, default| options.get(key).and_then(Value::as_bool).unwrap_or(default);
    let mut network = Network {
        driver: "bridge".into(),
        internal: flag(INTERNAL, false),
        enable_ipv4: flag(ENABLE_IPV4, true),
        enable_ipv6: flag(ENABLE_IPV6, false),
        ..Network::default()
    };
    let own = options.get(GENERIC).and_then(Value::as_object);
    for (key, value) in own.into_iter().flatten() {
        let bad = || Error::invalid(format!("option {:?} is not a text", readable(key)));
        let value = value.as_str().ok_or_else(bad)?;
        network.options.insert(key.clone(), value.to_string());
    }
    Ok(network)
}

/// `None` for what an engine says where nobody manages addresses: any.
fn pool(data: &IpamData) -> Result<Option<Pool>> {
    let net = |text: &str| {
        let bad = |_| Error::invalid(format!("{:?} is not a subnet", readable(text)));
        text.parse::<IpNet>().map_err(bad)
    };
    if data.pool.is_empty() {
        return Ok(None);
    }
    let subnet = net(&data.pool)?.trunc();
    if subnet.prefix_len() == 0 {
        return Ok(None);
    }
    let inside = |text: &str| {
        let ip = net(text)?.addr();
        let bad = || Error::invalid(format!("{ip} is not in the subnet {subnet}"));
        subnet.contains(&ip).then_some(ip).ok_or_else(bad)
    };
    let gateway = match data.gateway.as_str() {
        "" => None,
        text => Some(inside(text)?),
    };
    let aux = data.aux_addresses.iter();
    Ok(Some(Pool {
        subnet,
        range: None,
        gateway,
        aux: aux
            .map(|(name, text)| Ok((name.clone(), inside(text)?)))
            .collect::<Result<_>>()?,
        vni: None,
        chosen: true,
        id: None,
    }))
}

/// The endpoint, and the MAC that the engine has yet to be told of.
pub fn endpoint(request: &CreateEndpoint, network: &Network) -> Result<(Endpoint, Option<Mac>)> {
    let id = id(&request.endpoint)?;
    let given = assigned(CreatedEndpoint {
        interface: request.interface.clone(),
    });
    let given = given.map_err(Error::invalid)?;
    let addresses = given.ipv4.into_iter().chain(given.ipv6);
    for ip in addresses.map(|a: IpNet| a.addr()) {
        if network.pool_of(&ip).is_none() {
            return Err(Error::invalid(format!(
                "{ip} is in no subnet of network {}",
                network.id
            )));
        }
    }
    let mac = given
        .mac
        .unwrap_or_else(|| endpoint_mac(given.ipv4.map(|a| a.addr()), &id));
    let endpoint = Endpoint {
        ifname: format!("vetc{id:.7}"),
        network: network.id.clone(),
        mac,
        ipv4: given.ipv4,
        ipv6: given.ipv6,
        settings: Default::default(),
        service: None,
        names: Vec::new(),
        is_gateway: false,
        attached: false,
        joined: None,
        id,
    };
    Ok((endpoint, given.mac.is_none().then_some(mac)))
}

/// What the container publishes.
pub fn ports(options: &Map<String, Value>) -> Result<Vec<Publish>> {
    let bad = |e| Error::invalid(format!("{PORTMAP} cannot be read: {e}"));
    let bindings = match options.get(PORTMAP) {
        None => Vec::new(),
        Some(bindings) => Option::<Vec<PortBinding>>::deserialize(bindings)
            .map_err(bad)?
            .unwrap_or_default(),
    };
    let publish = |binding: PortBinding| {
        let unknown = || Error::invalid(format!("invalid proto: {}", binding.protocol));
        let protocol = options::name_of(binding.protocol).ok_or_else(unknown)?;
        if binding.port == 0 {
            return Err(Error::invalid("container port 0 cannot be published"));
        }
        Ok(Publish {
            protocol: protocol.to_string(),
            target: binding.port,
            count: 1,
            host_ip: binding.host_ip,
            host: match (binding.host_port, binding.host_port_end) {
                (0, _) => None,
                (first, last) => Some((first, last.max(first))),
            },
        })
    };
    let all: Vec<Publish> = bindings.into_iter().map(publish).collect::<Result<_>>()?;
    Ok(Publish::join(all))
}

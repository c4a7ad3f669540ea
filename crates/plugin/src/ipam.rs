//! A plugin's address pools, as `cnm` asks for them.

use std::net::IpAddr;

use async_trait::async_trait;
use cnm::model::Scope;
use cnm::remote::{AddressRequest, GivenPool, IpamPlugin, PoolRequest, Purpose};
use engine_types::{Error, Result};
use ipnet::IpNet;

use crate::client::Client;
use crate::options::MAC;
use crate::wire::ipam as wire;
use crate::wire::{Nothing, readable};

const GATEWAY: &str = "com.docker.network.gateway";
const ADDRESS_TYPE: &str = "RequestAddressType";
const ENDPOINT_NAME: &str = "com.docker.network.endpoint.name";

pub struct IpamDriver {
    client: Client,
    capabilities: wire::Capabilities,
}

impl IpamDriver {
    /// Asks what it needs. One that does not know the question needs nothing.
    pub async fn start(client: Client) -> Result<Self> {
        let method = "IpamDriver.GetCapabilities";
        let capabilities = match client.call(method, &()).await {
            Err(failure) if failure.is_unknown_method() => wire::Capabilities::default(),
            called => called?,
        };
        Ok(Self {
            client,
            capabilities,
        })
    }
}

#[async_trait]
impl IpamPlugin for IpamDriver {
    fn requires_mac(&self) -> bool {
        self.capabilities.requires_mac
    }

    fn requires_replay(&self) -> bool {
        self.capabilities.requires_replay
    }

    async fn address_space(&self, scope: Scope) -> Result<String> {
        let method = "IpamDriver.GetDefaultAddressSpaces";
        let spaces: wire::Spaces = self.client.call(method, &()).await?;
        Ok(match scope {
            Scope::Local => spaces.local_default_address_space,
            Scope::Global | Scope::Swarm => spaces.global_default_address_space,
        })
    }

    async fn request_pool(&self, request: PoolRequest<'_>) -> Result<GivenPool> {
        let method = "IpamDriver.RequestPool";
        let request = wire::RequestPool {
            address_space: request.network.address_space.clone(),
            pool: request.subnet.to_string(),
            sub_pool: request.range.to_string(),
            options: request.network.ipam.options.clone().unwrap_or_default(),
            v6: request.v6,
        };
        let answer = self.client.call(method, &request).await?;
        pool(answer).map_err(|why| self.client.nonsense(method, &why).into())
    }

    async fn release_pool(&self, id: &str) -> Result<()> {
        let request = wire::ReleasePool { id: id.into() };
        let Nothing {} = self.client.call("IpamDriver.ReleasePool", &request).await?;
        Ok(())
    }

    async fn request_address(&self, request: AddressRequest<'_>) -> Result<IpNet> {
        let method = "IpamDriver.RequestAddress";
        let option = |key: &str, value: String| (key.to_string(), value);
        let options = match request.purpose {
            Purpose::Reserved => Vec::new(),
            Purpose::Gateway => vec![option(ADDRESS_TYPE, GATEWAY.into())],
            Purpose::Endpoint { name, mac } => std::iter::once(option(ENDPOINT_NAME, name.into()))
                .chain(mac.map(|mac| option(MAC, mac.to_string())))
                .collect(),
        };
        let wanted = request.wanted;
        let call = wire::OfAddress {
            pool: request.pool.to_string(),
            address: wanted.map(|ip| ip.to_string()).unwrap_or_default(),
            options: options.into_iter().collect(),
        };
        let answer = self.client.call(method, &call).await?;
        let given = address(answer).map_err(|why| self.client.nonsense(method, &why))?;
        match wanted.filter(|wanted| *wanted != given.addr()) {
            Some(wanted) => Err(Error::system(self.client.nonsense(
                method,
                &format!("asked for {wanted}, it gave {}", given.addr()),
            ))),
            None => Ok(given),
        }
    }

    async fn release_address(&self, pool: &str, address: IpAddr) -> Result<()> {
        let request = wire::OfAddress {
            pool: pool.to_string(),
            address: address.to_string(),
            options: Default::default(),
        };
        let Nothing {} = self
            .client
            .call("IpamDriver.ReleaseAddress", &request)
            .await?;
        Ok(())
    }
}

/// What is in an answer to `RequestPool`, or what is wrong with it.
pub fn pool(answer: wire::Pool) -> std::result::Result<GivenPool, String> {
    let bad = || format!("{:?} is not a subnet", readable(&answer.pool));
    let subnet: IpNet = answer.pool.parse().map_err(|_| bad())?;
    if answer.id.is_empty() || answer.id.len() > 1024 {
        return Err("a pool needs an id of at most 1024 bytes".to_string());
    }
    let gateway = match answer.data.get(GATEWAY) {
        None => None,
        Some(text) => {
            let net = text.parse::<IpNet>().map(|net| net.addr());
            let bad = |_| format!("{:?} is not a gateway", readable(text));
            Some(net.or_else(|_| text.parse()).map_err(bad)?)
        }
    };
    Ok(GivenPool {
        id: answer.id,
        subnet: subnet.trunc(),
        gateway,
    })
}

/// What is in an answer to `RequestAddress`, or what is wrong with it.
pub fn address(answer: wire::Address) -> std::result::Result<IpNet, String> {
    let text = answer.address.as_str();
    if text.is_empty() {
        return Err("no IP address returned from the driver".to_string());
    }
    let bad = |_| format!("{:?} is not an address with its prefix", readable(text));
    text.parse().map_err(bad)
}

//! Endpoints are made, join and leave containers, and go.

use cnm::driver::Driver as _;
use cnm::model::Joined;
use engine_types::{Error, Result};
use netstate::Flows;
use serde_json::{Value, json};

use super::publish::{bindings, flows};
use super::{Served, State};
use crate::options::{MAC, PORTMAP};
use crate::serve::read;
use crate::serve::rows::{self, DRIVER};
use crate::wire::network as wire;

const IFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";

impl Served {
    pub(in crate::serve) async fn create_endpoint(
        &self,
        request: &wire::CreateEndpoint,
    ) -> Result<wire::CreatedEndpoint> {
        let mut state = self.turn().await?;
        let network = state.network(&request.network)?;
        let (endpoint, mac) = read::endpoint(request, network)?;
        if state.endpoints.contains_key(&endpoint.id) {
            let id = endpoint.id;
            return Err(Error::forbidden(format!("endpoint {id} already exists")));
        }
        let (owner, rows) = rows::of_endpoint(network, &endpoint);
        self.endpoints.write(&endpoint.id, &endpoint)?;
        if let Err(error) = self.kernel.set(&owner, rows).await {
            self.endpoints.remove(&endpoint.id)?;
            return Err(Error::system(error));
        }
        state.endpoints.insert(endpoint.id.clone(), endpoint);
        Ok(wire::CreatedEndpoint {
            interface: wire::Interface {
                mac: mac.map(|mac| mac.to_string()).unwrap_or_default(),
                ..Default::default()
            },
        })
    }

    pub(in crate::serve) async fn delete_endpoint(&self, id: &str) -> Result<()> {
        let mut state = self.turn().await?;
        self.remove_endpoint(&mut state, id).await
    }

    /// Its file first: the engine asks once, and a restart collects what is left.
    pub(super) async fn remove_endpoint(&self, state: &mut State, id: &str) -> Result<()> {
        let Some(endpoint) = state.endpoints.get(id) else {
            return Ok(());
        };
        self.endpoints.remove(id)?;
        let (owner, _) = rows::of_endpoint(state.network(&endpoint.network)?, endpoint);
        self.kernel.remove(&owner).await.map_err(Error::system)?;
        let Some(endpoint) = state.endpoints.remove(id) else {
            return Ok(());
        };
        let mappings = endpoint
            .joined
            .as_ref()
            .map(|j| &j.ports[..])
            .unwrap_or_default();
        let addresses = endpoint.addresses().map(|a| Flows::Of(a.addr()));
        let flows = addresses.chain(flows(mappings)).collect();
        self.forget(flows).await;
        mappings.iter().for_each(|m| self.ports.release(m));
        Ok(())
    }

    pub(in crate::serve) async fn join(&self, request: &wire::Join) -> Result<wire::Joined> {
        let mut state = self.turn().await?;
        let mut endpoint = state.endpoint(&request.endpoint)?.clone();
        let network = state.network(&endpoint.network)?;
        let gateways = match network.internal {
            true => Vec::new(),
            false => DRIVER.next_hops(network, &endpoint),
        };
        let of = |v6| {
            let found = gateways.iter().find(|ip| ip.is_ipv6() == v6);
            found.map(|ip| ip.to_string()).unwrap_or_default()
        };
        let answer = wire::Joined {
            interface: wire::InterfaceName {
                src_name: endpoint.ifname.clone(),
                dst_prefix: network.option(IFACE_PREFIX).unwrap_or("eth").to_string(),
            },
            gateway: of(false),
            gateway_ipv6: of(true),
            routes: Vec::new(),
            // A network without a way outside is meant to have none.
            no_gateway: gateways.is_empty(),
        };
        endpoint.joined = Some(Joined {
            link: Some(endpoint.ifname.clone()),
            gateways,
            no_gateway: answer.no_gateway,
            ..Joined::default()
        });
        self.endpoints.write(&endpoint.id, &endpoint)?;
        state.endpoints.insert(endpoint.id.clone(), endpoint);
        Ok(answer)
    }

    pub(in crate::serve) async fn leave(&self, id: &str) -> Result<()> {
        let mut state = self.turn().await?;
        let Some(endpoint) = state.endpoints.get(id).cloned() else {
            return Ok(());
        };
        self.publish(&mut state, endpoint.clone(), Vec::new())
            .await?;
        if let Some(endpoint) = state.endpoints.get_mut(id) {
            endpoint.joined = None;
            self.endpoints.write(id, endpoint)?;
        }
        Ok(())
    }

    pub(in crate::serve) async fn info(&self, id: &str) -> Result<wire::Info> {
        let state = self.turn().await?;
        let endpoint = state.endpoint(id)?;
        let joined = endpoint.joined.iter();
        let ports = joined.flat_map(|j| &j.ports).flat_map(bindings);
        let mac = endpoint.mac.to_string();
        let value = [
            (MAC.to_string(), Value::from(mac)),
            (PORTMAP.to_string(), json!(ports.collect::<Vec<_>>())),
        ];
        Ok(wire::Info {
            value: value.into_iter().collect(),
        })
    }
}

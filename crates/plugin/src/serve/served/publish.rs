//! Published ports.

use cnm::model::{Endpoint, Mapping, Network};
use cnm::ports::{Way, Ways};
use engine_types::{Error, Result};
use netstate::{Flows, Ns};

use super::{Served, State};
use crate::options;
use crate::serve::read;
use crate::serve::rows::{self, DRIVER};
use crate::wire::network as wire;

impl Served {
    pub(in crate::serve) async fn program(&self, request: &wire::OfEndpoint) -> Result<()> {
        let wanted = read::ports(&request.options)?;
        let mut state = self.turn().await?;
        let endpoint = state.endpoint(&request.endpoint)?.clone();
        let Some(joined) = &endpoint.joined else {
            let id = endpoint.id;
            return Err(Error::forbidden(format!(
                "endpoint {id} has joined no container"
            )));
        };
        let ways = ways(state.network(&endpoint.network)?, &endpoint);
        let firewall = rows::host().firewall;
        let published = self.ports.publish(&wanted, &ways, &firewall, &joined.ports);
        let mappings = published.await?;
        let done = self
            .publish(&mut state, endpoint.clone(), mappings.clone())
            .await;
        if done.is_err() {
            let new = mappings.iter().filter(|m| !joined.ports.contains(m));
            new.for_each(|m| self.ports.release(m));
        }
        done
    }

    pub(in crate::serve) async fn revoke(&self, id: &str) -> Result<()> {
        let mut state = self.turn().await?;
        match state.endpoints.get(id).cloned() {
            Some(endpoint) => self.publish(&mut state, endpoint, Vec::new()).await,
            None => Ok(()),
        }
    }

    /// From the mappings that it has to these; on failure it keeps them.
    pub(super) async fn publish(
        &self,
        state: &mut State,
        mut endpoint: Endpoint,
        mappings: Vec<Mapping>,
    ) -> Result<()> {
        let Some(joined) = endpoint.joined.as_mut().filter(|j| j.ports != mappings) else {
            return Ok(());
        };
        let former = std::mem::replace(&mut joined.ports, mappings.clone());
        let (owner, rows) = rows::of_endpoint(state.network(&endpoint.network)?, &endpoint);
        self.kernel.set(&owner, rows).await.map_err(Error::system)?;
        self.endpoints.write(&endpoint.id, &endpoint)?;
        state.endpoints.insert(endpoint.id.clone(), endpoint);
        let turned = flows(&former).chain(flows(&mappings)).collect();
        self.forget(turned).await;
        let gone = former.iter().filter(|m| !mappings.contains(m));
        gone.for_each(|m| self.ports.release(m));
        Ok(())
    }

    pub(super) async fn forget(&self, flows: Vec<Flows>) {
        if let Err(error) = self.kernel.forget(Ns::Host, flows).await {
            tracing::debug!(%error, "connections of what has gone live on");
        }
    }
}

pub(super) fn ways(network: &Network, endpoint: &Endpoint) -> Ways {
    let way = |v6| Way::by(endpoint, network, &DRIVER, &rows::host(), v6);
    [false, true].map(|v6| way(v6).filter(|_| !network.internal))
}

/// UDP senders that have to notice that a port leads elsewhere now.
pub(super) fn flows(mappings: &[Mapping]) -> impl Iterator<Item = Flows> {
    let udp = mappings.iter().filter(|m| m.protocol == "udp");
    udp.filter_map(|m| {
        let (first, last) = m.host_ports()?;
        Some(Flows::ToUdp(m.host_ip, first, last))
    })
}

pub(super) fn bindings(mapping: &Mapping) -> impl Iterator<Item = wire::PortBinding> {
    let number = options::number_of(&mapping.protocol).unwrap_or_default();
    let host_ip = mapping.host_ip.to_string();
    let (first, target, count) = (mapping.host_port, mapping.target, mapping.count);
    first.into_iter().flat_map(move |first| {
        let host_ip = host_ip.clone();
        (0..count).map(move |i| wire::PortBinding {
            protocol: number,
            ip: String::new(),
            port: target.saturating_add(i),
            host_ip: host_ip.clone(),
            host_port: first.saturating_add(i),
            host_port_end: first.saturating_add(i),
        })
    })
}

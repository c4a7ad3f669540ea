//! The published ports of a sandbox.

use engine_types::{Error, Result};

use super::{Way, Ways};
use crate::controller::Inner;
use crate::driver::Gateway;
use crate::model::{Mapping, Record};
use crate::state::State;

impl State {
    /// How packets get into the sandbox while its gateways are what they are.
    fn ways(&self, record: &Record) -> Ways {
        [false, true].map(|v6| {
            let (endpoint, network) = self.gateway_of(record, v6)?;
            let own = self.gateway(network) == Gateway::Own;
            let driver = self.driver(network).ok().filter(|_| own)?;
            Way::by(endpoint, network, driver, &self.host, v6)
        })
    }
}

impl Inner {
    /// The mappings that `record` should have.
    pub async fn publish(&self, record: &Record, current: &[Mapping]) -> Result<Vec<Mapping>> {
        let (endpoint, ways, firewall, ports) = {
            let state = self.state();
            let gateway = state.gateway_of(record, false);
            let gateway = gateway.or_else(|| state.gateway_of(record, true));
            let endpoint = gateway.map(|(e, _)| e.id.clone()).unwrap_or_default();
            let firewall = state.host.firewall.clone();
            (endpoint, state.ways(record), firewall, state.ports.clone())
        };
        let published = ports.publish(&record.spec.ports, &ways, &firewall, current);
        published.await.map_err(|error: Error| {
            error.context(format!(
                "driver failed programming external connectivity on endpoint {} ({endpoint})",
                record.spec.container_name.trim_start_matches('/'),
            ))
        })
    }

    pub async fn hold_again(&self, record: &Record) {
        let (ways, ports) = {
            let state = self.state();
            (state.ways(record), state.ports.clone())
        };
        for error in ports.hold_again(&record.mappings, &ways).await {
            tracing::warn!(container = %record.spec.container_id, %error, "published port is also somebody else's");
        }
    }
}

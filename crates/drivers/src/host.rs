//! `host`: the container shares the host's namespace.

use cnm::driver::{Capability, Driver, Gateway, Host};
use cnm::model::{Endpoint, Network, Scope};
use engine_types::{Error, Result};
use netstate::{Ns, Row};

pub struct HostDriver;

impl Driver for HostDriver {
    fn name(&self) -> &'static str {
        "host"
    }
    fn capability(&self) -> Capability {
        NOTHING
    }
    fn gateway(&self, _network: &Network) -> Gateway {
        Gateway::Nowhere
    }
    fn validate(&self, _network: &Network, others: &[&Network]) -> Result<()> {
        only_one("host", others)
    }
    fn network_rows(&self, _network: &Network, _host: &Host) -> Vec<Row> {
        Vec::new()
    }
    fn endpoint_rows(&self, _network: &Network, _endpoint: &Endpoint, _sandbox: &Ns) -> Vec<Row> {
        Vec::new()
    }
}

pub(crate) const NOTHING: Capability = Capability {
    scope: Scope::Local,
    addresses: false,
    macs: false,
    spans: false,
    lazy: false,
};

pub(crate) fn only_one(driver: &str, others: &[&Network]) -> Result<()> {
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "only one instance of {driver:?} network is allowed"
    )))
}

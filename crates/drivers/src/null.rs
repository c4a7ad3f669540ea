//! `null`: the container has a loopback and nothing else.

use cnm::driver::{Capability, Driver, Gateway, Host};
use cnm::model::{Endpoint, Network};
use engine_types::Result;
use netstate::{Ns, Row};

use crate::host::{NOTHING, only_one};

pub struct Null;

impl Driver for Null {
    fn name(&self) -> &'static str {
        "null"
    }
    fn capability(&self) -> Capability {
        NOTHING
    }
    fn gateway(&self, _network: &Network) -> Gateway {
        Gateway::Nowhere
    }
    fn validate(&self, _network: &Network, others: &[&Network]) -> Result<()> {
        only_one("null", others)
    }
    fn network_rows(&self, _network: &Network, _host: &Host) -> Vec<Row> {
        Vec::new()
    }
    fn endpoint_rows(&self, _network: &Network, _endpoint: &Endpoint, _sandbox: &Ns) -> Vec<Row> {
        Vec::new()
    }
}

//! `ipvlan`: containers on a wire of the host with the MAC of the host's own link, told apart by their addresses.

use cnm::driver::{Capability, Driver, Gateway, Host, Parent};
use cnm::model::{Endpoint, Network, Scope};
use engine_types::{Error, Result};
use netstate::{IpvlanFlag, IpvlanMode, LinkKind, Ns, Row};

use crate::options;
use crate::parent::{self, Wire};

pub struct Ipvlan;

impl Driver for Ipvlan {
    fn name(&self) -> &'static str {
        "ipvlan"
    }
    fn capability(&self) -> Capability {
        Capability {
            scope: Scope::Local,
            addresses: true,
            macs: false,
            spans: true,
            lazy: false,
        }
    }
    fn gateway(&self, network: &Network) -> Gateway {
        match (parent::is_closed(network), mode(network)) {
            (true, _) => Gateway::Nowhere,
            (false, Ok(IpvlanMode::L3 | IpvlanMode::L3s)) => Gateway::Interface,
            (false, _) => Gateway::Router,
        }
    }
    fn parent(&self, network: &Network) -> Option<Parent> {
        Some(Wire::of(network).needs("ipvlan"))
    }

    /// The mode is the parent's: a second network cannot have another.
    fn validate(&self, network: &Network, others: &[&Network]) -> Result<()> {
        mode(network)?;
        flag(network)?;
        parent::check(network, self.name())?;
        match others.iter().find(|other| parent::same(network, other)) {
            Some(other) => Err(Error::system(format!(
                "network di-{:.12} is already using parent interface {}",
                other.id,
                network.option(options::PARENT).unwrap_or_default()
            ))),
            None => Ok(()),
        }
    }

    fn network_rows(&self, network: &Network, _host: &Host) -> Vec<Row> {
        parent::network_rows(network)
    }

    fn endpoint_rows(&self, network: &Network, endpoint: &Endpoint, sandbox: &Ns) -> Vec<Row> {
        // A stored network's options were read when it was made.
        let mode = mode(network).unwrap_or(IpvlanMode::L2);
        let flag = flag(network).unwrap_or(IpvlanFlag::Private);
        parent::endpoint_rows(network, endpoint, sandbox, |parent| LinkKind::Ipvlan {
            parent,
            mode,
            flag,
        })
    }
}

fn mode(network: &Network) -> Result<IpvlanMode> {
    let text = match network.option(options::IPVLAN_MODE) {
        None | Some("") => return Ok(IpvlanMode::L2),
        Some(text) => text,
    };
    let mut all = IpvlanMode::ALL.into_iter();
    all.find(|mode| mode.name() == text).ok_or_else(|| {
        Error::system(format!(
            "requested ipvlan mode '{text}' is not valid, 'l2' mode is the ipvlan driver default"
        ))
    })
}

fn flag(network: &Network) -> Result<IpvlanFlag> {
    let text = match network.option(options::IPVLAN_FLAG) {
        None | Some("") => return Ok(IpvlanFlag::Bridge),
        Some(text) => text,
    };
    let mut all = IpvlanFlag::ALL.into_iter();
    all.find(|flag| flag.name() == text).ok_or_else(|| {
        Error::system(format!(
            "requested ipvlan flag '{text}' is not valid, 'bridge' is the ipvlan driver default"
        ))
    })
}

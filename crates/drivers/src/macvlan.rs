//! `macvlan`: containers as stations of their own on a wire of the host.

use cnm::driver::{Capability, Driver, Gateway, Host, Parent};
use cnm::model::{Endpoint, Network, Scope};
use engine_types::{Error, Result};
use netstate::{LinkKind, MacvlanMode, Ns, Row};

use crate::options;
use crate::parent::{self, Wire};

pub struct Macvlan;

impl Driver for Macvlan {
    fn name(&self) -> &'static str {
        "macvlan"
    }
    fn capability(&self) -> Capability {
        Capability {
            scope: Scope::Local,
            addresses: true,
            macs: true,
            spans: true,
            lazy: false,
        }
    }
    fn gateway(&self, network: &Network) -> Gateway {
        match parent::is_closed(network) {
            true => Gateway::Nowhere,
            false => Gateway::Router,
        }
    }
    fn parent(&self, network: &Network) -> Option<Parent> {
        Some(Wire::of(network).needs("macvlan"))
    }

    /// Networks may share a parent, unless one of them takes all that arrives there.
    fn validate(&self, network: &Network, others: &[&Network]) -> Result<()> {
        let mine = mode(network)?;
        parent::check(network, self.name())?;
        let parent = network.option(options::PARENT).unwrap_or_default();
        for other in others.iter().filter(|other| parent::same(network, other)) {
            if mine == MacvlanMode::Passthru {
                return Err(Error::system(format!(
                    "cannot use mode passthru, macvlan network {} is already using parent interface {parent}",
                    other.id
                )));
            }
            if mode(other)? == MacvlanMode::Passthru {
                return Err(Error::system(format!(
                    "macvlan network {} is already using parent interface {parent} in mode passthru",
                    other.id
                )));
            }
        }
        Ok(())
    }

    fn network_rows(&self, network: &Network, _host: &Host) -> Vec<Row> {
        parent::network_rows(network)
    }

    fn endpoint_rows(&self, network: &Network, endpoint: &Endpoint, sandbox: &Ns) -> Vec<Row> {
        // A stored network's mode was read when it was made.
        let mode = mode(network).unwrap_or(MacvlanMode::Private);
        parent::endpoint_rows(network, endpoint, sandbox, |parent| LinkKind::Macvlan {
            parent,
            mode,
        })
    }
}

fn mode(network: &Network) -> Result<MacvlanMode> {
    let text = match network.option(options::MACVLAN_MODE) {
        None | Some("") => return Ok(MacvlanMode::Bridge),
        Some(text) => text,
    };
    let mut all = MacvlanMode::ALL.into_iter();
    all.find(|mode| mode.name() == text).ok_or_else(|| {
        Error::system(format!(
            "requested macvlan mode '{text}' is not valid, 'bridge' mode is the macvlan driver default"
        ))
    })
}

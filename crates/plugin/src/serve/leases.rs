//! Address pools that an engine has asked for, and what is taken of them (`docker network create --ipam-driver pontoon`).
//!
//! Each pool and each address is a file before the engine learns of it, so nobody's death makes one be given twice. What an
//! engine asked for and did not live to use would be taken forever: therefore an engine that starts says again what it has
//! (`RequiresRequestReplay`), and in the pools that it named, addresses that it did not name are free after a while.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine_types::{Error, Result};
use ipam::{Addresses, DefaultPool, Pools};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use super::files::Files;
use crate::wire::ipam as wire;
use crate::wire::readable;

/// Both are of one host: no two pools overlap.
const LOCAL: &str = "pontoon-local";
const GLOBAL: &str = "pontoon-global";

/// The pools of one engine. Calls are done one after the other.
pub(crate) struct Leases {
    pools: Files<Pool>,
    addresses: Files<Lease>,
    grace: Duration,
    state: Mutex<State>,
}

/// Its subnet is its id.
#[derive(Clone, Serialize, Deserialize)]
struct Pool {
    subnet: IpNet,
    range: Option<IpNet>,
}

#[derive(Serialize, Deserialize)]
struct Lease {
    pool: IpNet,
    address: IpAddr,
}

impl Lease {
    fn file(&self) -> String {
        format!("{}-{}", file(&self.pool), self.address)
    }
}

/// A pool's name as that of a file.
fn file(pool: &IpNet) -> String {
    pool.to_string().replace('/', "-")
}

struct State {
    claimed: Pools,
    known: BTreeMap<IpNet, Known>,
    /// How many engines have come.
    engines: usize,
    closed: bool,
}

struct Known {
    addresses: Addresses,
    taken: BTreeSet<IpAddr>,
    /// A former engine asked for it; the present one has not named it yet.
    unnamed: bool,
    /// Those among `taken`.
    unnamed_addresses: BTreeSet<IpAddr>,
}

impl Known {
    fn new(pool: &Pool) -> Self {
        Self {
            addresses: Addresses::new(pool.subnet, pool.range),
            taken: BTreeSet::new(),
            unnamed: false,
            unnamed_addresses: BTreeSet::new(),
        }
    }
}

impl State {
    fn known(&mut self, pool: &str) -> Result<(IpNet, &mut Known)> {
        let missing = || Error::not_found(format!("address pool {:?} not found", readable(pool)));
        let id = pool.parse().map_err(|_| missing())?;
        let known = self.known.get_mut(&id).ok_or_else(missing)?;
        Ok((id, known))
    }
}

impl Leases {
    /// Takes up what a former run has left. `host` makes this host's default IPv6 prefix differ from others'.
    pub(super) fn open(data: &Path, host: &str, grace: Duration) -> Result<Self> {
        let pools = Files::<Pool>::open(data.join("pools"), true)?;
        let addresses = Files::<Lease>::open(data.join("addresses"), true)?;
        let mut claimed = Pools::local();
        claimed.add_default(DefaultPool::unique_local(host));
        let mut known = BTreeMap::new();
        for pool in pools.all()? {
            match claimed.claim(pool.subnet) {
                Ok(()) => drop(known.insert(pool.subnet, Known::new(&pool))),
                Err(error) => {
                    tracing::warn!(subnet = %pool.subnet, %error, "stored address pool is left alone");
                }
            }
        }
        for lease in addresses.all()? {
            match known.get_mut(&lease.pool) {
                Some(known) => {
                    known.taken.insert(lease.address);
                    if let Err(error) = known.addresses.claim(lease.address) {
                        tracing::warn!(address = %lease.address, %error, "stored address cannot be claimed");
                    }
                }
                // Its pool had gone when the process died.
                None => addresses.remove(&lease.file())?,
            }
        }
        Ok(Self {
            pools,
            addresses,
            grace,
            state: Mutex::new(State {
                claimed,
                known,
                engines: 0,
                closed: false,
            }),
        })
    }

    pub(super) async fn close(&self) {
        self.state.lock().await.closed = true;
    }

    async fn turn(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock().await;
        match state.closed {
            true => Err(Error::system("the plugin is stopping")),
            false => Ok(state),
        }
    }

    /// An engine has started, and names what it has before it asks for anything new.
    pub(super) async fn engine_comes(self: &Arc<Self>) {
        let engine = {
            let mut state = self.state.lock().await;
            for known in state.known.values_mut() {
                known.unnamed = true;
                known.unnamed_addresses = known.taken.clone();
            }
            state.engines += 1;
            state.engines
        };
        let leases = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(leases.grace).await;
            leases.drop_unnamed(engine).await;
        });
    }

    /// A pool that the engine did not name is kept whole: it may have failed to reach us, and not be without it.
    async fn drop_unnamed(&self, engine: usize) {
        let mut state = self.state.lock().await;
        if state.engines != engine || state.closed {
            return;
        }
        for (pool, known) in &mut state.known {
            for address in std::mem::take(&mut known.unnamed_addresses) {
                if known.unnamed {
                    continue;
                }
                tracing::warn!(%pool, %address, "the engine does not know of this address: it is free");
                if let Err(error) = self.give_back(*pool, known, address) {
                    tracing::warn!(%pool, %address, %error, "address stays taken");
                }
            }
        }
    }

    pub(super) fn capabilities() -> wire::Capabilities {
        wire::Capabilities {
            requires_mac: false,
            requires_replay: true,
        }
    }

    pub(super) fn spaces() -> wire::Spaces {
        wire::Spaces {
            local_default_address_space: LOCAL.into(),
            global_default_address_space: GLOBAL.into(),
        }
    }

    /// `avoid`: what a pool of our choice must not hide.
    pub(super) async fn request_pool(
        &self,
        request: &wire::RequestPool,
        avoid: &[IpNet],
    ) -> Result<wire::Pool> {
        let space = request.address_space.as_str();
        if ![LOCAL, GLOBAL].contains(&space) {
            return Err(Error::not_found(format!(
                "address space {:?} not found",
                readable(space)
            )));
        }
        let named = named(request)?;
        let mut state = self.turn().await?;
        let pool = match named {
            Some((subnet, range)) => {
                let pool = Pool { subnet, range };
                if let Some(known) = state.known.get_mut(&pool.subnet)
                    && std::mem::take(&mut known.unnamed)
                {
                    return Ok(shown(&pool));
                }
                state.claimed.claim(pool.subnet).map_err(Error::forbidden)?;
                pool
            }
            None => {
                let subnet = state.claimed.take_default(request.v6, avoid);
                Pool {
                    subnet: subnet.map_err(Error::invalid)?,
                    range: None,
                }
            }
        };
        if let Err(error) = self.pools.write(&file(&pool.subnet), &pool) {
            state.claimed.release(&pool.subnet);
            return Err(error);
        }
        state.known.insert(pool.subnet, Known::new(&pool));
        Ok(shown(&pool))
    }

    pub(super) async fn release_pool(&self, pool: &str) -> Result<()> {
        let mut state = self.turn().await?;
        // What is not there is gone already.
        let Ok((pool, known)) = state.known(pool) else {
            return Ok(());
        };
        self.pools.remove(&file(&pool))?;
        for address in std::mem::take(&mut known.taken) {
            self.addresses.remove(&Lease { pool, address }.file())?;
        }
        state.known.remove(&pool);
        state.claimed.release(&pool);
        Ok(())
    }

    pub(super) async fn request_address(&self, request: &wire::OfAddress) -> Result<wire::Address> {
        let asked = match request.address.as_str() {
            "" => None,
            text => Some(address(text)?),
        };
        let mut state = self.turn().await?;
        let (pool, known) = state.known(&request.pool)?;
        let given = |address: IpAddr| wire::Address {
            address: format!("{address}/{}", pool.prefix_len()),
        };
        let address = match asked {
            Some(address) if known.unnamed_addresses.remove(&address) => return Ok(given(address)),
            Some(address) => known.addresses.claim(address).map(|()| address),
            None => known.addresses.take(),
        };
        let address = address.map_err(Error::forbidden)?;
        let lease = Lease { pool, address };
        if let Err(error) = self.addresses.write(&lease.file(), &lease) {
            known.addresses.release(address);
            return Err(error);
        }
        known.taken.insert(address);
        Ok(given(address))
    }

    pub(super) async fn release_address(&self, request: &wire::OfAddress) -> Result<()> {
        let address = address(&request.address)?;
        let mut state = self.turn().await?;
        match state.known(&request.pool) {
            Ok((pool, known)) => self.give_back(pool, known, address),
            Err(_) => Ok(()),
        }
    }

    fn give_back(&self, pool: IpNet, known: &mut Known, address: IpAddr) -> Result<()> {
        if known.taken.contains(&address) {
            self.addresses.remove(&Lease { pool, address }.file())?;
            known.taken.remove(&address);
            known.unnamed_addresses.remove(&address);
            known.addresses.release(address);
        }
        Ok(())
    }
}

fn shown(pool: &Pool) -> wire::Pool {
    wire::Pool {
        id: pool.subnet.to_string(),
        pool: pool.subnet.to_string(),
        data: BTreeMap::new(),
    }
}

/// The subnet that a request names, and the range in it.
pub fn named(request: &wire::RequestPool) -> Result<Option<(IpNet, Option<IpNet>)>> {
    let net = |text: &str| {
        let bad = |_| Error::invalid(format!("{:?} is not a subnet", readable(text)));
        text.parse::<IpNet>().map(|net| net.trunc()).map_err(bad)
    };
    let range = match request.sub_pool.as_str() {
        "" => None,
        text => Some(net(text)?),
    };
    let subnet = match (request.pool.as_str(), range) {
        ("", None) => return Ok(None),
        ("", Some(range)) => {
            return Err(Error::invalid(format!("range {range} is of no pool")));
        }
        (text, _) => net(text)?,
    };
    if subnet.addr().is_unspecified() {
        return Err(Error::invalid(format!("{subnet} is not a subnet of hosts")));
    }
    match range.filter(|range| !subnet.contains(range)) {
        Some(range) => Err(Error::invalid(format!(
            "range {range} is not in pool {subnet}"
        ))),
        None => Ok(Some((subnet, range))),
    }
}

fn address(text: &str) -> Result<IpAddr> {
    let bad = |_| Error::invalid(format!("{:?} is not an address", readable(text)));
    text.parse().map_err(bad)
}

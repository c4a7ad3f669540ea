//! Published ports: which host port, and that nobody else has it.
//!
//! ```text
//!   Publish ──wanted──► at these addresses of the host ──table──► nobody here has them ──sockets──► nor has the host
//!                                                                                    └──► Mapping
//! ```
//!
//! Packets are translated in the kernel; a socket that is held here only keeps the port from everybody else. A long range
//! is only tried out, port by port: a socket for each would cost more than all the rest, and a process of the host that
//! binds one of them later gets no packet, since translation comes first.

mod record;
mod sockets;
mod table;
mod wanted;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use engine_types::{Error, Result};
use netstate::{NetState, Ns};

use crate::Publish;
use crate::driver::Firewall;
use crate::kernel::{Kernel, run_in};
use crate::model::Mapping;
pub(crate) use sockets::open_all;
use sockets::{answers_to_localhost, ephemeral_range, text};
use table::PortTable;
use wanted::Wanted;
pub use wanted::{Way, Ways};

/// Candidates that others hold, before an ephemeral port is given up.
const ATTEMPTS: usize = 10;

/// The host's ports.
pub struct Ports {
    kernel: Arc<dyn Kernel>,
    table: Mutex<PortTable>,
}

impl Ports {
    pub fn new(netstate: NetState) -> Self {
        Self::over(Arc::new(netstate))
    }

    pub(crate) fn over(kernel: Arc<dyn Kernel>) -> Self {
        Self {
            kernel,
            table: Mutex::default(),
        }
    }

    /// Never held across an await.
    fn table(&self) -> MutexGuard<'_, PortTable> {
        self.table.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What `ports` should be mapped to: those of `current` that still hold, and new ones, whose host ports are held from
    /// here on. On failure none is new.
    pub async fn publish(
        &self,
        ports: &[Publish],
        ways: &Ways,
        firewall: &Firewall,
        current: &[Mapping],
    ) -> Result<Vec<Mapping>> {
        let (mut all, mut new) = (Vec::new(), Vec::new());
        for mut one in Wanted::all(ports, ways, firewall)? {
            let kept: Vec<_> = current
                .iter()
                .filter(|m| one.is_met_by(m))
                .cloned()
                .collect();
            one.ips.retain(|ip| !kept.iter().any(|m| m.host_ip == *ip));
            if let Some(port) = kept.first().and_then(|m| m.host_port) {
                one.host = Some((port, port));
            }
            all.extend(kept);
            if one.ips.is_empty() {
                continue;
            }
            match self.publish_one(&one, ways).await {
                Ok(mappings) => new.extend(mappings),
                Err(error) => {
                    new.iter().for_each(|mapping| self.release(mapping));
                    return Err(error);
                }
            }
        }
        all.extend(new);
        Ok(all)
    }

    pub fn release(&self, mapping: &Mapping) {
        self.table().release(mapping);
    }

    /// After a restart. A port that somebody took meanwhile stays published: packets never reached that socket anyway.
    /// Returns what is somebody else's, too.
    pub async fn hold_again(&self, mappings: &[Mapping], ways: &Ways) -> Vec<Error> {
        let mut failed = Vec::new();
        for mapping in mappings {
            self.table().reserve(mapping, Vec::new());
            let held = self.hold(std::slice::from_ref(mapping), ways).await;
            failed.extend(held.err());
        }
        failed
    }

    async fn publish_one(&self, wanted: &Wanted, ways: &Ways) -> Result<Vec<Mapping>> {
        if !wanted.translated {
            return Ok(wanted.at(None));
        }
        if wanted.ips.contains(&Ipv6Addr::LOCALHOST.into()) {
            run_in(self.kernel.as_ref(), &Ns::Host, answers_to_localhost).await??;
        }
        let range = match wanted.host {
            // Where more than one port is wanted, the first says where all of them are.
            Some((first, last)) => first..=last,
            None => run_in(self.kernel.as_ref(), &Ns::Host, ephemeral_range).await?,
        };
        let mut last_error = None;
        let mut skip = *range.start();
        for _ in 0..ATTEMPTS {
            let picked = {
                let mut table = self.table();
                // Ephemeral ports go round, so that one that was freed rests; chosen ranges begin at their beginning.
                let from = match wanted.host {
                    None if range.contains(&table.last) => table.last.saturating_add(1),
                    _ => skip,
                };
                let round = (from..=*range.end()).chain(*range.start()..from);
                let picked = table.pick(wanted, round);
                if let (None, Ok([first, ..])) = (&wanted.host, picked.as_deref()) {
                    table.last = first.host_port.unwrap_or_default();
                }
                picked
            };
            let picked = match picked {
                Ok(picked) => picked,
                Err((ip, port)) => {
                    let at = SocketAddr::new(ip, port);
                    let allocated = || {
                        Error::system(match wanted.is_exact() {
                            true => format!("Bind for {at} failed: port is already allocated"),
                            false => "all ports are allocated".to_string(),
                        })
                    };
                    return Err(last_error.unwrap_or_else(allocated));
                }
            };
            match self.hold(&picked, ways).await {
                Ok(()) => return Ok(picked),
                Err(error) => {
                    picked.iter().for_each(|m| self.release(m));
                    let first = picked.first().and_then(|m| m.host_port);
                    skip = first.map_or(skip, |port| port.saturating_add(1));
                    last_error = Some(error);
                }
            }
            if wanted.is_exact() || !range.contains(&skip) {
                break;
            }
        }
        let none = || Error::system("no port of the host could be bound");
        Err(last_error.unwrap_or_else(none))
    }

    /// Binds what was picked, or names what somebody else of the host has.
    async fn hold(&self, picked: &[Mapping], ways: &Ways) -> Result<()> {
        for mapping in picked {
            let Some((first, last)) = mapping.host_ports() else {
                continue;
            };
            let (protocol, ip) = (mapping.protocol.clone(), mapping.host_ip);
            let opened = run_in(self.kernel.as_ref(), &Ns::Host, move || {
                open_all(&protocol, ip, first, last)
            });
            match opened.await? {
                Ok(sockets) => self.table().reserve(mapping, sockets),
                Err((port, error)) => {
                    let target = mapping.target.saturating_add(port - first);
                    let at = SocketAddr::new(ip, port);
                    let way = ways.iter().flatten();
                    let mut of_family = way.filter(|w| w.container.is_ipv6() == ip.is_ipv6());
                    let to = of_family.next().map(|w| w.container.to_string());
                    return Err(Error::system(format!(
                        "failed to bind host port for {at}:{}:{target}/{}: {}",
                        to.unwrap_or_default(),
                        mapping.protocol,
                        text(&error)
                    )));
                }
            }
        }
        Ok(())
    }
}

//! The network drivers: from a network and its endpoints to rows of desired kernel state.
//!
//! ```text
//!   bridge    Ns::Host: br-… ── veth… │ eth0   sandbox        nftables table `pontoon` in Ns::Host
//!   overlay   Ns::Host: UDP socket of vxlan0
//!             ov-…:     vxlan0 ── br0 ── veth… │ eth0   sandbox
//!   macvlan   Ns::Host: parent link (a VLAN of ours, somebody's link, or a wire to nowhere) ── eth0   sandbox
//!   ipvlan    the same with the parent's MAC
//!   remote    a link that a plugin made on the host, taken into the sandbox as eth0
//!   host      nothing: the container is in the host's namespace
//!   null      nothing: the container has a loopback only
//! ```
//!
//! Every function here is pure: no netlink, no clock, no memory. A driver's test is a snapshot of rows.
//! Allocation (addresses, names, host ports), the default route and the resolver are `cnm`'s.
#![forbid(unsafe_code)]

mod bridge;
mod host;
mod ipvlan;
mod macvlan;
mod null;
mod options;
mod overlay;
mod parent;
mod remote;

use std::sync::Arc;

pub use bridge::Bridge;
pub use host::HostDriver;
pub use ipvlan::Ipvlan;
pub use macvlan::Macvlan;
pub use null::Null;
pub use overlay::Overlay;
pub use remote::Remote;

/// All drivers that come with the daemon.
pub fn all() -> Vec<Arc<dyn cnm::driver::Driver>> {
    vec![
        Arc::new(Bridge),
        Arc::new(HostDriver),
        Arc::new(Ipvlan),
        Arc::new(Macvlan),
        Arc::new(Null),
        Arc::new(Overlay),
    ]
}

#[cfg(test)]
mod tests;

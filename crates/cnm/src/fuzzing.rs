//! What the fuzz targets reach of this crate beyond its interface; nobody else's.

use std::net::IpAddr;

use crate::{explain, options, paths};

/// `net.ipv4.conf.IFNAME.log_martians=1` in its parts.
pub fn sysctl(text: &str) -> Option<[&str; 3]> {
    options::parsed(text)
}

/// What a raw ICMP socket has received: whether it is about an echo request.
pub fn icmp(v6: bool, packet: &[u8]) -> bool {
    crate::icmp::read(v6, packet).is_some()
}

/// What a raw TCP socket has received: whether it is a reset.
pub fn reset(v6: bool, packet: &[u8]) -> bool {
    paths::segments::reset(v6, packet).is_some()
}

/// The addresses in what a resolver answers to `pontoon network explain`.
pub fn answer(packet: &[u8]) -> Option<Vec<IpAddr>> {
    explain::addresses(packet)
}

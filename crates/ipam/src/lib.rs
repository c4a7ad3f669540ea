//! Address pools and addresses: pure state, nothing stored. Its users rebuild it from what they have stored.

use std::net::IpAddr;

use ipnet::IpNet;

/// Subnets handed out of default pools or claimed by name, without overlap.
#[derive(Clone, Debug)]
pub struct Pools {}

/// A default pool and the prefix length of the subnets that are cut from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultPool {
    pub base: IpNet,
    pub size: u8,
}

impl Pools {
    pub fn new(_defaults: Vec<DefaultPool>) -> Self {
        todo!()
    }
    /// Docker's node-local default pools, in its order.
    pub fn local() -> Self {
        todo!()
    }
    /// The next free subnet of the defaults that overlaps neither a claimed one nor `avoid`.
    pub fn take_default(&mut self, _v6: bool, _avoid: &[IpNet]) -> Result<IpNet, Error> {
        todo!()
    }
    /// Claims `subnet`, or says with what it overlaps.
    pub fn claim(&mut self, _subnet: IpNet) -> Result<(), Error> {
        todo!()
    }
    pub fn release(&mut self, _subnet: &IpNet) {
        todo!()
    }
}

/// The addresses of one subnet.
#[derive(Clone, Debug)]
pub struct Addresses {}

impl Addresses {
    /// `range` limits what [`Self::take`] hands out; an explicit claim may be anywhere in `subnet`.
    pub fn new(_subnet: IpNet, _range: Option<IpNet>) -> Self {
        todo!()
    }
    pub fn subnet(&self) -> IpNet {
        todo!()
    }
    /// Lowest free address.
    pub fn take(&mut self) -> Result<IpAddr, Error> {
        todo!()
    }
    /// Next after the last one that was taken, wrapping: a freed address rests as long as possible.
    pub fn take_serial(&mut self) -> Result<IpAddr, Error> {
        todo!()
    }
    pub fn claim(&mut self, _address: IpAddr) -> Result<(), Error> {
        todo!()
    }
    pub fn release(&mut self, _address: IpAddr) {
        todo!()
    }
    /// Addresses in use, the reserved ones included.
    pub fn used(&self) -> u128 {
        todo!()
    }
}

/// Texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Pool overlaps with other one on this address space")]
    Overlap,
    #[error("all predefined address pools have been fully subnetted")]
    NoPool,
    #[error("no available addresses on this pool")]
    NoAddress,
    #[error("Address already in use")]
    InUse,
    #[error("requested address is out of range")]
    OutOfRange,
}

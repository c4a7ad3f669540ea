//! Who holds which addresses, read off the objects themselves.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use raft_store::Kind;
use swarm_wire::pb;

/// What an address belongs to: a service, a task or a node.
pub type Holder = (Kind, String);

/// Network and address.
pub type Holding = (String, IpAddr);

pub fn of_attachments(attachments: &[pb::NetworkAttachment]) -> BTreeSet<Holding> {
    let each = |attachment: &pb::NetworkAttachment| {
        let network = attachment.network.as_ref()?.id.clone();
        let address = parse(attachment.addresses.first()?)?;
        Some((network, address))
    };
    attachments.iter().filter_map(each).collect()
}

pub fn of_service(service: &pb::Service) -> BTreeSet<Holding> {
    let endpoint = service.endpoint.iter();
    endpoint
        .flat_map(|endpoint| &endpoint.virtual_ips)
        .filter_map(|vip| Some((vip.network_id.clone(), parse(&vip.addr)?)))
        .collect()
}

/// An address with or without its prefix length.
pub fn parse(text: &str) -> Option<IpAddr> {
    let net = text.parse::<IpNet>().map(|net| net.addr());
    net.or_else(|_| text.parse()).ok()
}

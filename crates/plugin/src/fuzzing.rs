//! What the fuzz targets reach of this crate beyond its interface; nobody else's.

use cnm::remote::{Answer, Assigned, GivenPool};
use ipnet::IpNet;

use crate::serve::{leases, read};
use crate::wire;
use crate::{find, ipam, network, options};

pub fn joined(body: &[u8]) -> Option<Answer> {
    network::joined(wire::answer(body).ok()?).ok()
}

pub fn assigned(body: &[u8]) -> Option<Assigned> {
    network::assigned(wire::answer(body).ok()?).ok()
}

pub fn published(body: &[u8]) -> Vec<cnm::model::Mapping> {
    let info = wire::answer::<wire::network::Info>(body);
    info.map(|info| options::published(&info.value))
        .unwrap_or_default()
}

pub fn pool(body: &[u8]) -> Option<GivenPool> {
    ipam::pool(wire::answer(body).ok()?).ok()
}

pub fn address(body: &[u8]) -> Option<IpNet> {
    ipam::address(wire::answer(body).ok()?).ok()
}

pub fn refusal(body: &[u8]) -> String {
    wire::refusal(body)
}

/// Requests to our own driver.
pub fn network(body: &[u8]) -> Option<cnm::model::Network> {
    read::network(&wire::first(body).ok()?).ok()
}

pub fn endpoint(body: &[u8], network: &cnm::model::Network) -> Option<cnm::model::Endpoint> {
    let endpoint = read::endpoint(&wire::first(body).ok()?, network);
    endpoint.ok().map(|(endpoint, _)| endpoint)
}

pub fn ports(body: &[u8]) -> Vec<cnm::Publish> {
    let request = wire::first::<wire::network::OfEndpoint>(body);
    let ports = request.map(|r| read::ports(&r.options).unwrap_or_default());
    ports.unwrap_or_default()
}

/// Subnet and range that are asked for.
pub fn asked(body: &[u8]) -> Option<(IpNet, Option<IpNet>)> {
    leases::named(&wire::first(body).ok()?).ok()?
}

/// Text of a `.json`, of a `.spec`: the addresses that they give.
pub fn specifications(text: &str) -> Vec<String> {
    let places = [find::json(text), find::spec(text)].into_iter().flatten();
    places.map(|place| place.address.to_string()).collect()
}

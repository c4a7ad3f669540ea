//! What the fuzz targets reach of this crate beyond its interface; nobody else's.

use cnm::remote::{Answer, Assigned, GivenPool};
use ipnet::IpNet;

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

/// Text of a `.json`, of a `.spec`: the addresses that they give.
pub fn specifications(text: &str) -> Vec<String> {
    let places = [find::json(text), find::spec(text)].into_iter().flatten();
    places.map(|place| place.address.to_string()).collect()
}

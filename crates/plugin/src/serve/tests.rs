use cnm::model::Joined;
use serde_json::{Value, json};

use super::{read, rows};
use crate::wire;

const NETWORK: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const ENDPOINT: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// As dockerd 20.10 writes it.
fn network() -> Value {
    json!({
        "NetworkID": NETWORK,
        "Options": {
            "com.docker.network.enable_ipv6": false,
            "com.docker.network.generic": { "com.docker.network.driver.mtu": "1400" },
        },
        "IPv4Data": [{ "AddressSpace": "LocalDefault", "Gateway": "10.44.0.1/24", "Pool": "10.44.0.0/24", "AuxAddresses": null }],
        "IPv6Data": [],
    })
}

fn endpoint(address: &str, mac: &str) -> Value {
    json!({
        "NetworkID": NETWORK,
        "EndpointID": ENDPOINT,
        "Interface": { "Address": address, "AddressIPv6": "", "MacAddress": mac },
        "Options": { "com.docker.network.endpoint.exposedports": [], "com.docker.network.portmap": [] },
    })
}

fn read_network(body: Value) -> engine_types::Result<cnm::model::Network> {
    read::network(&wire::first(body.to_string().as_bytes()).unwrap())
}

fn read_endpoint(
    body: Value,
) -> engine_types::Result<(cnm::model::Endpoint, Option<netstate::Mac>)> {
    let request = wire::first(body.to_string().as_bytes()).unwrap();
    read::endpoint(&request, &read_network(network())?)
}

#[test]
fn what_is_asked_for_becomes_rows_of_the_host_alone() {
    let (mut endpoint, told) = read_endpoint(endpoint("10.44.0.2/24", "")).unwrap();
    assert_eq!(told.unwrap().to_string(), "02:42:0a:2c:00:02");
    endpoint.joined = Some(Joined {
        ports: vec![cnm::model::Mapping {
            protocol: "tcp".into(),
            target: 80,
            host_ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
            host_port: Some(8080),
            count: 1,
        }],
        ..Joined::default()
    });
    let network = read_network(network()).unwrap();
    let (owner, rows) = rows::of_endpoint(&network, &endpoint);
    assert_eq!(owner, format!("endpoint/{ENDPOINT}"));
    let shown: Vec<String> = rows.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(shown.join("\n"));

    let (_, rows) = rows::of_network(&network);
    let tables = rows.iter().filter_map(|row| match row {
        netstate::Row::NftTable(table) => Some(table),
        netstate::Row::NftElement(element) => Some(&element.table),
        netstate::Row::NftRule(rule) => Some(&rule.table),
        _ => None,
    });
    assert!(tables.clone().count() > 10);
    assert!(tables.into_iter().all(|table| table.name == rows::MARK));
}

#[test]
fn a_chosen_mac_is_kept_and_not_told_again() {
    let (endpoint, told) = read_endpoint(endpoint("10.44.0.2/24", "02:00:00:00:00:07")).unwrap();
    assert_eq!(
        (endpoint.mac.to_string().as_str(), told),
        ("02:00:00:00:00:07", None)
    );
}

#[test]
fn what_no_engine_asks_for_is_refused() {
    let with = |pointer: &str, value: Value| {
        let mut body = network();
        *body.pointer_mut(pointer).unwrap() = value;
        read_network(body).unwrap_err().message
    };
    assert_eq!(with("/NetworkID", json!("../x")), "\"../x\" is not an id");
    assert_eq!(
        with("/IPv4Data/0/Pool", json!("x")),
        "\"x\" is not a subnet"
    );
    assert_eq!(
        with("/IPv4Data/0/Gateway", json!("10.45.0.1/24")),
        "10.45.0.1 is not in the subnet 10.44.0.0/24"
    );
    assert_eq!(
        with("/Options/com.docker.network.generic", json!({ "a": 1 })),
        "option \"a\" is not a text"
    );
    assert_eq!(
        read_endpoint(endpoint("10.45.0.2/24", ""))
            .unwrap_err()
            .message,
        format!("10.45.0.2 is in no subnet of network {NETWORK}")
    );
}

#[test]
fn ports_are_ranges_and_every_one_is_read_or_refused() {
    let ports = |map: Value| {
        let options = json!({ "com.docker.network.portmap": map });
        read::ports(options.as_object().unwrap())
    };
    let binding = |proto: u8, port: u16, host: u16, end: u16| json!({ "Proto": proto, "IP": "", "Port": port, "HostIP": "", "HostPort": host, "HostPortEnd": end });
    assert_eq!(ports(Value::Null), Ok(vec![]));
    let all = (0..16_000).map(|i| binding(6, 20_000 + i, 30_000 + i, 30_000 + i));
    let all = ports(all.collect()).unwrap();
    assert_eq!(
        all.iter()
            .map(|p| (p.target, p.count, p.host))
            .collect::<Vec<_>>(),
        [(20_000, 16_000, Some((30_000, 30_000)))]
    );
    let some = ports(json!([binding(17, 53, 0, 0), binding(6, 80, 8000, 8010)])).unwrap();
    assert_eq!(
        some.iter()
            .map(|p| (p.protocol.as_str(), p.host))
            .collect::<Vec<_>>(),
        [("udp", None), ("tcp", Some((8000, 8010)))]
    );
    for bad in [
        json!([binding(1, 80, 0, 0)]),
        json!([binding(6, 0, 0, 0)]),
        json!([{ "Port": "x" }]),
        json!(7),
    ] {
        assert!(ports(bad.clone()).is_err(), "{bad}");
    }
}

//! macvlan and ipvlan.

use cnm::driver::Gateway;

use super::*;
use crate::{Ipvlan, Macvlan};

fn net(driver: &str, options: &[(&str, &str)]) -> Network {
    let mut net = network(driver, options);
    net.pools = vec![
        pool("10.0.0.0/24", "10.0.0.1", None),
        pool("fd00::/64", "fd00::1", None),
    ];
    net
}

fn rows(driver: &dyn Driver, net: &Network) -> String {
    driver.validate(net, &[]).unwrap();
    let mut rows = driver.network_rows(net, &host());
    let endpoint = endpoint("10.0.0.2/24", Some("fd00::2/64"));
    rows.extend(driver.endpoint_rows(net, &endpoint, &sandbox()));
    show(&rows)
}

#[test]
fn macvlan_on_each_kind_of_parent() {
    let on = |parent| {
        rows(
            &Macvlan,
            &net("macvlan", &[("parent", parent), ("macvlan_mode", "vepa")]),
        )
    };
    insta::assert_snapshot!(on("eth1"), @r"
    link eth0 link eth1 type macvlan mode vepa address 02:42:0a:00:00:02 netns sandbox
    address 10.0.0.2/24 dev eth0 netns sandbox
    address fd00::2/64 dev eth0 netns sandbox
    ");
    insta::assert_snapshot!(on("eth1.50"), @r"
    link eth1.50 link eth1 type vlan id 50
    link eth0 link eth1.50 type macvlan mode vepa address 02:42:0a:00:00:02 netns sandbox
    address 10.0.0.2/24 dev eth0 netns sandbox
    address fd00::2/64 dev eth0 netns sandbox
    ");
    insta::assert_snapshot!(rows(&Macvlan, &net("macvlan", &[])), @r"
    netns mv-0123456789ab
    link dm-0123456789ab type veth peer end netns mv-0123456789ab
    link eth0 link dm-0123456789ab type macvlan mode bridge address 02:42:0a:00:00:02 netns sandbox
    address 10.0.0.2/24 dev eth0 netns sandbox
    address fd00::2/64 dev eth0 netns sandbox
    ");
}

#[test]
fn ipvlan_has_its_parents_mac() {
    let options = [
        ("parent", "eth1"),
        ("ipvlan_mode", "l3s"),
        ("ipvlan_flag", "private"),
    ];
    insta::assert_snapshot!(rows(&Ipvlan, &net("ipvlan", &options)), @r"
    link eth0 link eth1 type ipvlan mode l3s private netns sandbox
    address 10.0.0.2/24 dev eth0 netns sandbox
    address fd00::2/64 dev eth0 netns sandbox
    ");
}

#[test]
fn the_way_out() {
    let of = |driver: &dyn Driver, options: &[(&str, &str)], internal| {
        let mut net = net(driver.name(), options);
        net.internal = internal;
        driver.gateway(&net)
    };
    let parent = ("parent", "eth1");
    assert_eq!(of(&Macvlan, &[parent], false), Gateway::Router);
    assert_eq!(of(&Macvlan, &[parent], true), Gateway::Nowhere);
    assert_eq!(of(&Macvlan, &[], false), Gateway::Nowhere);
    assert_eq!(of(&Ipvlan, &[parent], false), Gateway::Router);
    let l3 = ("ipvlan_mode", "l3");
    assert_eq!(of(&Ipvlan, &[parent, l3], false), Gateway::Interface);
    assert_eq!(of(&Ipvlan, &[l3], false), Gateway::Nowhere);
}

#[test]
fn what_a_parent_needs() {
    let needs = |parent| {
        let net = net("macvlan", &[("parent", parent)]);
        let needs = Macvlan.parent(&net).unwrap();
        format!(
            "{} {}: {}",
            needs.kind,
            needs.links.join(" or "),
            needs.missing
        )
    };
    assert_eq!(
        ["eth9", "eth9.7", "eth9.x", "eth9.5000", "eth9.1.2", ""].map(needs),
        [
            "macvlan eth9: -o parent interface was not found on the host: eth9",
            "macvlan eth9.7 or eth9: -o parent interface was not found on the host: eth9",
            "macvlan eth9.x: unable to parse a valid vlan id from: eth9.x (ex. eth0.10 for vlan 10)",
            "macvlan eth9.5000: vlan id must be between 1-4094, received: 5000",
            "macvlan eth9.1.2: required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received eth9.1.2",
            "macvlan : ",
        ]
    );
}

#[test]
fn options_and_neighbours_that_cannot_be() {
    let refusal = |driver: &dyn Driver, options: &[(&str, &str)], others: &[&Network]| {
        let net = net(driver.name(), options);
        driver.validate(&net, others).unwrap_err().to_string()
    };
    let eth1 = ("parent", "eth1");
    let passthru = ("macvlan_mode", "passthru");
    for (options, expected) in [
        (
            [eth1, ("macvlan_mode", "x")],
            "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default",
        ),
        (
            [("parent", "lo"), ("macvlan_mode", "")],
            "loopback interface is not a valid macvlan parent link",
        ),
        (
            [("parent", "a/b"), ("macvlan_mode", "")],
            "-o parent interface was not found on the host: a/b",
        ),
    ] {
        assert_eq!(refusal(&Macvlan, &options, &[]), expected);
    }
    for (options, expected) in [
        (
            [eth1, ("ipvlan_mode", "x")],
            "requested ipvlan mode 'x' is not valid, 'l2' mode is the ipvlan driver default",
        ),
        (
            [eth1, ("ipvlan_flag", "x")],
            "requested ipvlan flag 'x' is not valid, 'bridge' is the ipvlan driver default",
        ),
        (
            [("parent", "lo"), ("ipvlan_mode", "l3")],
            "loopback interface is not a valid ipvlan parent link",
        ),
    ] {
        assert_eq!(refusal(&Ipvlan, &options, &[]), expected);
    }
    let mut other = net("macvlan", &[eth1]);
    other.id = "f".repeat(64);
    let id = &other.id;
    // Several networks may share a parent.
    Macvlan
        .validate(&net("macvlan", &[eth1]), &[&other])
        .unwrap();
    assert_eq!(
        refusal(&Macvlan, &[eth1, passthru], &[&other]),
        format!(
            "cannot use mode passthru, macvlan network {id} is already using parent interface eth1"
        )
    );
    other
        .options
        .insert("macvlan_mode".into(), "passthru".into());
    assert_eq!(
        refusal(&Macvlan, &[eth1], &[&other]),
        format!("macvlan network {id} is already using parent interface eth1 in mode passthru")
    );
    other.options.clear();
    other.options.insert("parent".into(), "eth1".into());
    assert_eq!(
        refusal(&Ipvlan, &[eth1], &[&other]),
        "network di-ffffffffffff is already using parent interface eth1"
    );
    Ipvlan
        .validate(&net("ipvlan", &[("parent", "eth2")]), &[&other])
        .unwrap();
}

//! Third-party network drivers and address pools, by Docker's plugin protocol.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::{Duration, Instant};

use common::background::Background;
use common::container::{address, inspect, pings, resolve, run};
use common::plugin::{Lie, Plugin, dir};
use common::{Shell as _, World, footprint, is_docker, until};
use lab::Host;
use serde_json::{Value, json};

/// One host, whose engine finds plugins in `dir`.
fn world(own: &tempfile::TempDir) -> (World, Host) {
    let dir = own.path().display().to_string();
    let world = match is_docker() {
        true => World::new(&[1]),
        false => World::with_flags(&[1], &["--plugin-dir", &dir]),
    };
    let [h1] = world.hosts();
    if is_docker() {
        // Where br_netfilter is loaded, its policy holds for a plugin's bridge as well.
        h1.ok("iptables -I DOCKER-USER -j ACCEPT");
    }
    (world, h1)
}

/// Those of a driver; both engines ask some things in other moments.
fn of<'a>(calls: &'a [(String, Value)], method: &str) -> Vec<&'a Value> {
    let found = calls.iter().filter(|(m, _)| m == method);
    found.map(|(_, body)| body).collect()
}

fn driver_calls(calls: &[(String, Value)]) -> Vec<&str> {
    let methods = calls.iter().map(|(method, _)| method.as_str());
    methods
        .filter_map(|m| m.strip_prefix("NetworkDriver."))
        .filter(|m| !m.contains("ExternalConnectivity") && *m != "EndpointOperInfo")
        .collect()
}

#[test]
fn the_life_of_a_network_whose_driver_is_a_plugin() {
    let own = tempfile::tempdir().unwrap();
    let (world, h1) = world(&own);
    let plugin = Plugin::start(&h1, &dir(&own), "ref");
    let before = footprint(&h1);
    let name = &plugin.name;
    h1.ok(&format!(
        "docker network create -d {name} -o colour=red --subnet 10.44.0.0/24 --aux-address spare=10.44.0.9 net"
    ));
    let calls = plugin.calls();
    assert_eq!(driver_calls(&calls), ["GetCapabilities", "CreateNetwork"]);
    let made = of(&calls, "NetworkDriver.CreateNetwork")[0];
    let network = h1.json("docker network inspect net")[0].clone();
    assert_eq!(made["NetworkID"], network["Id"]);
    assert_eq!(
        made["Options"]["com.docker.network.generic"],
        json!({ "colour": "red" })
    );
    assert_eq!(
        made["IPv4Data"],
        json!([{ "AddressSpace": "LocalDefault", "Pool": "10.44.0.0/24", "Gateway": "10.44.0.1/24", "AuxAddresses": { "spare": "10.44.0.9/24" } }])
    );
    assert_eq!(
        (&network["Driver"], &network["Scope"]),
        (&json!(name), &json!("local"))
    );
    let plugins = h1.ok("docker info -f '{{.Plugins.Network}}'");
    assert!(plugins.contains(name.as_str()), "{plugins}");
    assert!(
        h1.ok("docker network ls --filter driver=bridge -q")
            .lines()
            .count()
            >= 1
    );
    assert_eq!(
        h1.ok(&format!(
            "docker network ls --filter driver={name} --format '{{{{.Name}}}}'"
        )),
        "net"
    );

    run(&h1, "c1", "--network net");
    run(
        &h1,
        "c2",
        "--network net --ip 10.44.0.77 --network-alias two",
    );
    let calls = plugin.calls();
    assert_eq!(
        driver_calls(&calls),
        ["CreateEndpoint", "Join", "CreateEndpoint", "Join"]
    );
    let created = of(&calls, "NetworkDriver.CreateEndpoint");
    assert_eq!(created[1]["Interface"]["Address"], "10.44.0.77/24");
    let joined = of(&calls, "NetworkDriver.Join")[0];
    assert!(joined["SandboxKey"].as_str().unwrap().starts_with('/'));
    assert_eq!(address(&h1, "c1", "net"), "10.44.0.2");
    assert!(pings(&h1, "c1", "two") && pings(&h1, "c2", "c1"));
    assert!(pings(&h1, "c1", "10.44.0.1"), "the plugin's bridge");
    let links = h1.ok("docker exec c1 ip -o addr show plug0");
    assert!(links.contains("10.44.0.2/24"), "{links}");
    let routes = h1.ok("docker exec c1 ip route");
    assert!(
        routes.contains("192.0.2.0/24 dev plug0") && !routes.contains("default"),
        "{routes}"
    );
    assert_eq!(resolve(&h1, "c1", "two").len(), 1);

    // A running container gets a second network, and gives it back.
    run(&h1, "c3", "");
    plugin.calls();
    h1.ok("docker network connect net c3");
    assert!(pings(&h1, "c3", "c1"));
    h1.ok("docker network disconnect net c3");
    let calls = plugin.calls();
    assert_eq!(
        driver_calls(&calls),
        ["CreateEndpoint", "Join", "Leave", "DeleteEndpoint"]
    );
    assert_ne!(h1.sh("docker exec c3 ip link show plug0").status, 0);
    assert_ne!(h1.sh("docker network rm net").status, 0, "it is in use");
    h1.ok("docker rm -f c1 c2 c3");
    // The client removes them side by side.
    let calls = plugin.calls();
    let mut calls = driver_calls(&calls);
    calls.sort_unstable();
    assert_eq!(
        calls,
        ["DeleteEndpoint", "DeleteEndpoint", "Leave", "Leave"]
    );
    h1.ok("docker network rm net");
    assert_eq!(driver_calls(&plugin.calls()), ["DeleteNetwork"]);
    until(5, "as before", || footprint(&h1) == before);
    drop(plugin);
    world.end();
}

#[test]
fn addresses_of_a_plugin_and_addresses_of_nobody() {
    let own = tempfile::tempdir().unwrap();
    let (world, h1) = world(&own);
    let plugin = Plugin::start(&h1, &dir(&own), "ref");
    let before = footprint(&h1);
    let name = &plugin.name;
    h1.ok(&format!(
        "docker network create --ipam-driver {name} --ipam-opt floor=7 --subnet 10.78.1.0/24 chosen"
    ));
    h1.ok(&format!("docker network create --ipam-driver {name} given"));
    let calls = plugin.calls();
    let pools = of(&calls, "IpamDriver.RequestPool");
    assert_eq!(
        *pools[0],
        json!({ "AddressSpace": "here", "Pool": "10.78.1.0/24", "SubPool": "", "Options": { "floor": "7" }, "V6": false })
    );
    let gateway = of(&calls, "IpamDriver.RequestAddress")[0];
    assert_eq!(
        gateway["Options"]["RequestAddressType"],
        "com.docker.network.gateway"
    );
    let shown = h1.json("docker network inspect given")[0]["IPAM"].clone();
    assert_eq!(
        shown["Config"],
        json!([{ "Subnet": "10.77.0.0/16", "Gateway": "10.77.0.254" }])
    );
    assert_eq!(shown["Driver"], json!(name));
    run(&h1, "c1", "--network chosen --ip 10.78.1.66");
    run(&h1, "c2", "--network given");
    run(&h1, "c3", "--network given");
    assert_eq!(address(&h1, "c1", "chosen"), "10.78.1.66");
    assert!(pings(&h1, "c2", "c3") && pings(&h1, "c2", "10.77.0.254"));
    let calls = plugin.calls();
    let requests = of(&calls, "IpamDriver.RequestAddress");
    assert_eq!(requests[0]["Address"], "10.78.1.66");
    let mac = inspect(&h1, "c1", "{{.NetworkSettings.Networks.chosen.MacAddress}}");
    assert_eq!(
        requests[0]["Options"]["com.docker.network.endpoint.macaddress"],
        json!(mac)
    );
    h1.ok("docker rm -f c1 c2 c3 && docker network rm chosen given");
    let calls = plugin.calls();
    let released: Vec<_> = of(&calls, "IpamDriver.ReleaseAddress")
        .iter()
        .map(|body| body["Address"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(
        released.len(),
        5,
        "three containers, two gateways: {released:?}"
    );
    assert_eq!(of(&calls, "IpamDriver.ReleasePool").len(), 2);

    // Nobody manages the addresses: the driver gives them.
    h1.ok(&format!(
        "docker network create -d {name} --ipam-driver null free"
    ));
    run(&h1, "c1", "--network free");
    run(&h1, "c2", "--network free");
    assert!(address(&h1, "c1", "free").starts_with("10.99.0."));
    assert!(pings(&h1, "c1", "c2"));
    h1.ok("docker rm -f c1 c2 && docker network rm free");
    until(5, "as before", || footprint(&h1) == before);
    drop(plugin);
    world.end();
}

#[test]
fn a_plugin_publishes_ports_and_gives_the_way_outside() {
    let own = tempfile::tempdir().unwrap();
    let (world, h1) = world(&own);
    let plugin = Plugin::start(&h1, &dir(&own), "ref");
    h1.ok(&format!("docker network create -d {} net", plugin.name));
    plugin.calls();
    // Its gateway is the way outside.
    let network = h1.json("docker network inspect net")[0].clone();
    let gateway = network["IPAM"]["Config"][0]["Gateway"]
        .as_str()
        .unwrap()
        .to_string();
    let honest = |endpoint: &str| {
        json!({
            "InterfaceName": { "SrcName": format!("rc{endpoint}"), "DstPrefix": "eth" },
            "Gateway": gateway,
        })
    };
    // The endpoint's id is known only when it is asked.
    h1.ok("docker create --name c1 --network net -p 4711:80 busybox sleep 600");
    plugin.lie("NetworkDriver.Join", Lie::Json(honest("none")));
    let failed = h1.sh("docker start c1");
    assert_ne!(failed.status, 0, "there is no such link");
    plugin.be_honest();
    plugin.calls();
    h1.ok("docker start c1");
    let calls = plugin.calls();
    let expected = json!([{ "Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 4711, "HostPortEnd": 4711 }]);
    let joined = of(&calls, "NetworkDriver.Join")[0];
    assert_eq!(joined["Options"]["com.docker.network.portmap"], expected);
    assert_eq!(
        joined["Options"]["com.docker.network.endpoint.exposedports"],
        json!([{ "Proto": 6, "Port": 80 }])
    );
    h1.ok("docker rm -f c1 && docker network rm net");
    drop(plugin);
    world.end();
}

/// What a bad plugin says, and what the user reads.
/// Of a driver whose networks reach other hosts.
#[test]
fn a_plugin_is_told_of_the_swarms_nodes() {
    let own = tempfile::tempdir().unwrap();
    let world = match is_docker() {
        true => World::new(&[2]),
        false => World::with_flags(&[2], &["--plugin-dir", &own.path().display().to_string()]),
    };
    let [h1, h2] = world.hosts();
    common::init(&h1);
    let plugin = Plugin::start(&h1, &dir(&own), "ref");
    let reach = json!({ "Scope": "local", "ConnectivityScope": "global" });
    plugin.lie("NetworkDriver.GetCapabilities", Lie::Json(reach));
    h1.ok(&format!("docker network create -d {} net", plugin.name));
    let mut told = Vec::new();
    let mut heard = |method: &str, host: &Host, own: bool| {
        told.extend(plugin.calls());
        told.iter().any(|(called, body): &(String, Value)| {
            let data = &body["DiscoveryData"];
            called == method
                && body["DiscoveryType"] == json!(1)
                && data["Address"] == json!(host.addr.to_string())
                && data["Self"] == json!(own)
        })
    };
    until(20, "itself", || {
        heard("NetworkDriver.DiscoverNew", &h1, true)
    });
    common::join(&h2, &h1);
    until(20, "another", || {
        heard("NetworkDriver.DiscoverNew", &h2, false)
    });
    h2.ok("docker swarm leave");
    until(20, "that goes", || {
        heard("NetworkDriver.DiscoverDelete", &h2, false)
    });
    h1.ok("docker network rm net");
    world.end();
}

#[test]
fn a_plugin_that_lies_harms_nobody() {
    let own = tempfile::tempdir().unwrap();
    let (world, h1) = world(&own);
    let plugin = Plugin::start(&h1, &dir(&own), "liar");
    let name = &plugin.name;
    assert_eq!(
        h1.sh("docker network create -d nobody x").stderr.trim(),
        "Error response from daemon: plugin \"nobody\" not found"
    );
    assert_eq!(h1.sh("docker network create -d ../../etc/x x").status, 1);
    run(&h1, "innocent", "");
    h1.ok(&format!("docker network create -d {name} net"));
    let before = footprint(&h1);
    let join = |src: &str| {
        Lie::Json(
            json!({ "InterfaceName": { "SrcName": src, "DstPrefix": "eth" }, "DisableGatewayService": true }),
        )
    };
    let huge = [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"[..],
        &vec![b'a'; 3 << 20],
    ]
    .concat();
    let victim = h1.ok("ip -o link show master docker0 | cut -d: -f2 | cut -d@ -f1 | head -1");
    let table: Vec<(&str, Lie, &str)> = vec![
        (
            "NetworkDriver.CreateEndpoint",
            Lie::Json(json!({ "Err": "out of cables" })),
            "out of cables",
        ),
        (
            "NetworkDriver.CreateEndpoint",
            Lie::Json(json!({ "Interface": { "Address": "10.1.1.1/24" } })),
            "driver modified interface address",
        ),
        (
            "NetworkDriver.CreateEndpoint",
            Lie::Json(json!({ "Interface": { "MacAddress": "ff:ff:ff:ff:ff:ff" } })),
            "is not a MAC address",
        ),
        (
            "NetworkDriver.CreateEndpoint",
            Lie::Json(json!([1, 2])),
            "nonsense",
        ),
        (
            "NetworkDriver.Join",
            join("nothing"),
            "there is no link nothing on the host",
        ),
        (
            "NetworkDriver.Join",
            join("../../proc"),
            "is not the name of a network interface",
        ),
        ("NetworkDriver.Join", join("lo"), "the host uses it"),
        ("NetworkDriver.Join", join("eth0"), "the host uses it"),
        ("NetworkDriver.Join", join("docker0"), "the host uses it"),
        (
            "NetworkDriver.Join",
            join(victim.trim()),
            "the host uses it",
        ),
        (
            "NetworkDriver.Join",
            Lie::Json(json!({ "Gateway": "nowhere" })),
            "unable to parse Gateway",
        ),
        (
            "NetworkDriver.Join",
            Lie::Json(json!({ "StaticRoutes": [{ "Destination": "x" }] })),
            "is not a route",
        ),
        (
            "NetworkDriver.Join",
            Lie::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()),
            "broke off NetworkDriver.Join",
        ),
        ("NetworkDriver.Join", Lie::Raw(huge), "longer than 1 MiB"),
        (
            "NetworkDriver.Join",
            Lie::Die,
            "broke off NetworkDriver.Join",
        ),
        (
            "NetworkDriver.ProgramExternalConnectivity",
            Lie::Json(json!({ "Err": "no ports" })),
            "",
        ),
    ];
    for (method, lie, expected) in table {
        // dockerd takes what it is given, and its words are others.
        if is_docker() && !matches!(expected, "out of cables") {
            continue;
        }
        plugin.be_honest();
        plugin.lie(method, lie.clone());
        let output = h1.sh("docker run --rm --network net busybox true");
        assert_eq!(
            output.status != 0,
            !expected.is_empty(),
            "{method} {lie:?}: {}",
            output.stderr
        );
        assert!(
            output.stderr.contains(expected),
            "{method} {lie:?}: {}",
            output.stderr
        );
        // CreateEndpoint may lie about a link that it never made; what Join lies about is deleted again.
        until(5, &format!("{method} {lie:?}: as before"), || {
            footprint(&h1) == before
        });
        assert!(pings(&h1, "innocent", "172.17.0.1"));
    }
    plugin.be_honest();
    // The same for pools and addresses.
    let pool = |value: Value| Lie::Json(value);
    let table: Vec<(&str, Lie, &str)> = vec![
        (
            "IpamDriver.RequestPool",
            pool(json!({ "Error": "none left" })),
            "none left",
        ),
        (
            "IpamDriver.RequestPool",
            pool(json!({ "PoolID": "p", "Pool": "everything" })),
            "is not a subnet",
        ),
        (
            "IpamDriver.RequestPool",
            pool(json!({ "PoolID": "pool-172.17.0.0/16", "Pool": "172.17.0.0/16" })),
            "overlaps",
        ),
        (
            "IpamDriver.RequestPool",
            pool(json!({ "PoolID": "p", "Pool": "fd00::/64" })),
            "which is not IPv4",
        ),
        (
            "IpamDriver.RequestAddress",
            pool(json!({ "Address": "192.0.2.1/16" })),
            "which is not in its pool",
        ),
        (
            "IpamDriver.RequestAddress",
            pool(json!({})),
            "no IP address returned",
        ),
    ];
    for (method, lie, expected) in table {
        if is_docker() && !matches!(expected, "none left") {
            continue;
        }
        plugin.be_honest();
        plugin.lie(method, lie.clone());
        let output = h1.sh(&format!("docker network create --ipam-driver {name} bad"));
        assert_ne!(output.status, 0, "{method} {lie:?}");
        assert!(
            output.stderr.contains(expected),
            "{method} {lie:?}: {}",
            output.stderr
        );
        assert_eq!(footprint(&h1), before, "{method} {lie:?}");
    }
    plugin.be_honest();
    if !is_docker() {
        // An address twice.
        h1.ok(&format!("docker network create --ipam-driver {name} twice"));
        plugin.lie(
            "IpamDriver.RequestAddress",
            pool(json!({ "Address": "10.77.0.50/16" })),
        );
        run(&h1, "first", "--network twice");
        let output = h1.sh("docker run --rm --network twice busybox true");
        assert!(output.stderr.contains("in use"), "{}", output.stderr);
        plugin.be_honest();
        h1.ok("docker rm -f first && docker network rm twice");
    }
    h1.ok("docker network rm net && docker rm -f innocent");
    drop(plugin);
    world.end();
}

#[test]
fn a_plugin_that_hangs_or_is_gone_keeps_nobody_else_waiting() {
    if is_docker() {
        // dockerd waits for ever.
        return;
    }
    let own = tempfile::tempdir().unwrap();
    let (world, h1) = world(&own);
    let before = footprint(&h1);
    let plugin = Plugin::start(&h1, &dir(&own), "slow");
    let name = plugin.name.clone();
    h1.ok(&format!("docker network create -d {name} net"));
    h1.ok("docker network create other");
    run(&h1, "c1", "--network net");
    plugin.lie("NetworkDriver.CreateEndpoint", Lie::Hang);
    plugin.lie("NetworkDriver.CreateNetwork", Lie::Hang);
    let mut hanging = Background::start(&h1, "docker run --rm --network net busybox true");
    let mut creating = Background::start(&h1, &format!("docker network create -d {name} net2"));
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    run(&h1, "c2", "--network other");
    run(&h1, "c3", "--network other");
    assert!(pings(&h1, "c2", "c3"));
    h1.ok("docker network ls && docker info && docker network inspect net && docker rm -f c2 c3");
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    until(55, "both have given up", || {
        hanging.status().is_some() && creating.status().is_some()
    });
    assert!(
        hanging
            .output()
            .contains("did not answer NetworkDriver.CreateEndpoint within 30 seconds"),
        "{}",
        hanging.output()
    );
    assert_ne!(h1.sh("docker network inspect net2").status, 0);
    // It dies for good: its containers and networks can be removed all the same.
    drop(plugin);
    h1.ok("docker rm -f c1");
    h1.ok("docker network rm net other");
    // What the plugin made itself stays its own.
    h1.ok("for link in $(ip -o link | cut -d: -f2 | cut -d@ -f1 | grep -E '^ r[abc]'); do ip link del $link; done; true");
    until(5, "as before", || footprint(&h1) == before);
    world.end();
}

#[test]
fn a_restarted_daemon_knows_its_plugins_endpoints() {
    let own = tempfile::tempdir().unwrap();
    let (world, h1) = world(&own);
    if is_docker() {
        // Without live-restore its containers end with it.
        return world.end();
    }
    let plugin = Plugin::start(&h1, &dir(&own), "ref");
    let name = &plugin.name;
    let before = footprint(&h1);
    h1.ok(&format!(
        "docker network create -d {name} --ipam-driver {name} --subnet 10.78.2.0/24 net"
    ));
    run(&h1, "c1", "--network net");
    run(&h1, "c2", "--network net");
    let ip = address(&h1, "c1", "net");
    plugin.calls();
    h1.kill_daemon().unwrap();
    h1.restart_daemon().unwrap();
    assert_eq!(address(&h1, "c1", "net"), ip);
    assert!(pings(&h1, "c1", "c2"));
    let mut replayed = Vec::new();
    until(5, "the IPAM plugin is told again", || {
        replayed.extend(plugin.calls());
        of(&replayed, "IpamDriver.RequestAddress").len() == 3
    });
    assert!(
        driver_calls(&replayed)
            .iter()
            .all(|m| *m == "GetCapabilities")
    );
    // Killed while the plugin thinks about a join.
    plugin.lie("NetworkDriver.Join", Lie::Hang);
    let joining = Background::start(&h1, "docker run --rm --network net busybox true");
    let mut calls = Vec::new();
    until(10, "it is asked to join", || {
        calls.extend(plugin.calls());
        !of(&calls, "NetworkDriver.Join").is_empty()
    });
    let half = of(&calls, "NetworkDriver.Join")[0]["EndpointID"].clone();
    h1.kill_daemon().unwrap();
    drop(joining);
    plugin.be_honest();
    h1.restart_daemon().unwrap();
    let mut calls = Vec::new();
    until(10, "the half endpoint is taken back", || {
        calls.extend(plugin.calls());
        let deleted = of(&calls, "NetworkDriver.DeleteEndpoint");
        deleted.iter().any(|body| body["EndpointID"] == half)
    });
    assert!(pings(&h1, "c1", "c2"));
    h1.ok("docker rm -f $(docker ps -aq) && docker network rm net");
    until(5, "as before", || footprint(&h1) == before);
    drop(plugin);
    world.end();
}

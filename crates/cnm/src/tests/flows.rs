//! One story per behaviour.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use engine_types::container::PortBinding;
use engine_types::network::ConfigReference;
use engine_types::{ErrorKind, Filters};

use super::*;
use crate::Mode;
use crate::resolv_conf::ResolvConf;

#[tokio::test]
async fn predefined_networks() {
    let world = World::new().await;
    let bridge = world.controller.inspect("bridge", false, "").await.unwrap();
    let mut json = serde_json::to_value(&bridge).unwrap();
    json["Id"] = "id".into();
    json["Created"] = "created".into();
    // The host that the tests run on may use the first pool itself.
    json["IPAM"]["Config"] = "first free pool".into();
    insta::assert_snapshot!(serde_json::to_string(&json).unwrap(), @r#"{"Attachable":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,"Containers":{},"Created":"created","Driver":"bridge","EnableIPv4":true,"EnableIPv6":false,"IPAM":{"Config":"first free pool","Driver":"default","Options":null},"Id":"id","Ingress":false,"Internal":false,"Labels":{},"Name":"bridge","Options":{"com.docker.network.bridge.default_bridge":"true","com.docker.network.bridge.enable_icc":"true","com.docker.network.bridge.enable_ip_masquerade":"true","com.docker.network.bridge.host_binding_ipv4":"127.0.0.1","com.docker.network.bridge.name":"docker0","com.docker.network.driver.mtu":"1500"},"Scope":"local"}"#);
    let host = world.controller.inspect("host", false, "").await.unwrap();
    assert_eq!((host.driver.as_str(), host.ipam.config), ("host", None));
    let c = &world.controller;
    assert_eq!(
        text(c.create("host", CreateOptions::default()).await),
        (
            ErrorKind::Forbidden,
            "operation is not permitted on predefined host network ".into()
        )
    );
    assert_eq!(
        text(c.remove("none").await),
        (
            ErrorKind::Forbidden,
            "none is a pre-defined network and cannot be removed".into()
        )
    );
}

#[tokio::test]
async fn errors_of_create() {
    let world = World::new().await;
    let c = &world.controller;
    c.create("a", with_subnet("10.1.0.0/16")).await.unwrap();
    let table = [
        (
            "a",
            with_subnet("10.2.0.0/16"),
            ErrorKind::Conflict,
            "network with name a already exists",
        ),
        (
            "b",
            with_subnet("10.1.5.0/24"),
            ErrorKind::Forbidden,
            "Pool overlaps with other one on this address space",
        ),
        (
            "b",
            with_subnet("10.1.5.1/24"),
            ErrorKind::InvalidParameter,
            "invalid network config:\ninvalid subnet 10.1.5.1/24: it should be 10.1.5.0/24",
        ),
        (
            "b",
            CreateOptions {
                driver: "nope".into(),
                ..Default::default()
            },
            ErrorKind::NotFound,
            "plugin \"nope\" not found",
        ),
        (
            "b",
            CreateOptions {
                driver: "overlay".into(),
                ..Default::default()
            },
            ErrorKind::Forbidden,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        ),
        (
            "b",
            CreateOptions {
                scope: "swarm".into(),
                ..Default::default()
            },
            ErrorKind::Forbidden,
            "cannot create a swarm scoped network when swarm is not active",
        ),
        (
            "b",
            CreateOptions {
                driver: "overlay".into(),
                scope: "local".into(),
                ..Default::default()
            },
            ErrorKind::Forbidden,
            "cannot downgrade network scope for overlay networks",
        ),
        (
            "b",
            CreateOptions {
                ingress: true,
                ..Default::default()
            },
            ErrorKind::Forbidden,
            "Ingress network can only be global scope network",
        ),
        (
            "",
            CreateOptions::default(),
            ErrorKind::InvalidParameter,
            "invalid name: name is empty",
        ),
    ];
    for (name, options, kind, expected) in table {
        assert_eq!(text(c.create(name, options).await), (kind, expected.into()));
    }
    // Nothing was kept of what failed.
    world.kernel.fail_in.store(1, Ordering::SeqCst);
    assert!(c.create("b", with_subnet("10.2.0.0/16")).await.is_err());
    c.create("b", with_subnet("10.2.0.0/16")).await.unwrap();
}

#[tokio::test]
async fn networks_are_found_by_id_name_and_prefix() {
    let world = World::new().await;
    let c = &world.controller;
    let id = c.create("a", CreateOptions::default()).await.unwrap().id;
    for term in [id.as_str(), "a", &id[..12]] {
        assert_eq!(c.inspect(term, false, "").await.unwrap().id, id);
    }
    assert_eq!(
        text(c.inspect("nope", false, "").await),
        (ErrorKind::NotFound, "network nope not found".into())
    );
    assert!(c.inspect("a", false, "swarm").await.is_err());
    let names = |filters: Filters| async move {
        let list = c.list(&filters).await.unwrap();
        list.into_iter().map(|n| n.name).collect::<BTreeSet<_>>()
    };
    let filter =
        |key: &str, value: &str| Filters([(key.to_string(), vec![value.to_string()])].into());
    assert_eq!(
        names(filter("type", "custom")).await,
        BTreeSet::from(["a".into()])
    );
    assert_eq!(
        names(filter("dangling", "true")).await,
        BTreeSet::from(["a".into()])
    );
    assert_eq!(
        names(filter("driver", "host")).await,
        BTreeSet::from(["host".into()])
    );
    assert_eq!(
        text(c.list(&filter("nope", "x")).await),
        (ErrorKind::InvalidParameter, "invalid filter 'nope'".into())
    );
    assert_eq!(
        c.prune(&Filters::default()).await.unwrap().networks_deleted,
        Some(vec!["a".into()])
    );
}

#[tokio::test]
async fn configuration_networks_lend_their_settings() {
    let world = World::new().await;
    let c = &world.controller;
    let options = CreateOptions {
        config_only: true,
        ..with_subnet("10.3.0.0/24")
    };
    let ingress = CreateOptions {
        ingress: true,
        ..options.clone()
    };
    assert_eq!(
        text(c.create("x", ingress).await),
        (
            ErrorKind::Forbidden,
            "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.".into()
        )
    );
    c.create("conf", options).await.unwrap();
    let from = |name: &str| CreateOptions {
        config_from: Some(ConfigReference {
            network: name.into(),
        }),
        ..CreateOptions::default()
    };
    assert_eq!(
        text(c.create("a", from("nope")).await),
        (
            ErrorKind::NotFound,
            "configuration network \"nope\" does not exist".into()
        )
    );
    c.create("a", from("conf")).await.unwrap();
    let a = c.inspect("a", false, "").await.unwrap();
    assert_eq!(a.ipam.config.unwrap()[0].subnet, "10.3.0.0/24");
    assert_eq!(a.config_from.network, "conf");
    let (kind, message) = text(c.remove("conf").await);
    assert_eq!(kind, ErrorKind::Forbidden);
    assert!(
        message.ends_with("configuration network \"conf\" is in use"),
        "{message}"
    );
    let id = world.run("c", &[]).await.unwrap();
    assert_eq!(
        text(c.connect(&id, to("conf")).await),
        (
            ErrorKind::Forbidden,
            "cannot create endpoint on configuration-only network".into()
        )
    );
}

#[tokio::test]
async fn connect_names_and_files() {
    let mut world = World::new().await;
    let c = world.controller.clone();
    c.create("front", with_subnet("10.4.0.0/24")).await.unwrap();
    c.create("back", with_subnet("10.5.0.0/24")).await.unwrap();
    let a = world.run("a", &["front"]).await.unwrap();
    let b = world.run("b", &["front", "back"]).await.unwrap();
    assert_eq!(
        (world.ip(&a, "front"), world.ip(&b, "front")),
        ("10.4.0.2".into(), "10.4.0.3".into())
    );
    for name in ["b", &b[..12], "host-b"] {
        assert_eq!(world.lookup(&a, name), ["10.4.0.3"], "{name}");
    }
    // Both networks know b; the first of them by name answers.
    assert_eq!(world.lookup(&b, "b"), ["10.5.0.2"]);
    assert!(world.kernel.has("front eth0 Some(10.4.0.3/24)"));
    assert!(world.kernel.has("back eth1 Some(10.5.0.2/24)"));

    // The default route follows the priority, then the name.
    let route = |container: &str| {
        let owner = c.0.state().records[container].id.clone();
        let rows = world.kernel.rows("endpoint/");
        let ns = format!("{:.12}", owner);
        let of = rows
            .into_iter()
            .filter(|r| r.starts_with("Route") && r.contains(&ns));
        of.collect::<Vec<_>>()
    };
    assert!(
        route(&b)[0].contains("via: Some(10.5.0.1), link: \"eth1\""),
        "{:?}",
        route(&b)
    );
    let mut high = to("front");
    high.settings.gw_priority = 1;
    c.disconnect(&b, "front", false).await.unwrap();
    c.connect(&b, high).await.unwrap();
    assert_eq!(route(&b).len(), 1);
    assert!(
        route(&b)[0].contains("via: Some(10.4.0.1), link: \"eth0\""),
        "{:?}",
        route(&b)
    );

    let hosts = std::fs::read_to_string(world.dir.path().join("b/hosts")).unwrap();
    let expected = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n10.5.0.2\thost-b\n10.4.0.3\thost-b\n";
    assert_eq!(hosts, expected);
    let conf = std::fs::read_to_string(world.dir.path().join("b/resolv.conf")).unwrap();
    assert!(
        conf.contains("\nnameserver 127.0.0.11\n") && conf.contains("(internal resolver)"),
        "{conf}"
    );

    c.deactivate(&b).await.unwrap();
    assert!(world.lookup(&a, "b").is_empty());
    c.activate(&b).await.unwrap();
    c.rename(&b, "/beta").await.unwrap();
    assert!(world.lookup(&a, "b").is_empty());
    assert_eq!(world.lookup(&a, "beta"), ["10.4.0.3"]);

    let (kind, message) = text(c.remove("front").await);
    assert_eq!(kind, ErrorKind::Forbidden);
    let in_use =
        "error while removing network: network front has active endpoints (name:\"a\" id:\"";
    assert!(message.starts_with(in_use), "{message}");
    let endpoints = c
        .inspect("front", false, "")
        .await
        .unwrap()
        .containers
        .unwrap();
    assert_eq!(
        (
            endpoints[&b].name.as_str(),
            endpoints[&b].ipv4_address.as_str()
        ),
        ("beta", "10.4.0.3/24")
    );

    assert!(c.sandbox_remove(&b).await.is_empty());
    assert!(world.lookup(&a, "beta").is_empty());
    let mut actions = Vec::new();
    while let Ok(event) = world.events.try_recv() {
        actions.push(format!("{} {}", event.action, event.attributes["name"]));
    }
    assert_eq!(
        actions.join(", "),
        "create front, create back, connect front, connect front, connect back, disconnect front, connect front, disconnect back, disconnect front"
    );
}

#[tokio::test]
async fn a_user_edited_resolv_conf_is_left_alone() {
    let world = World::new().await;
    let c = &world.controller;
    c.create("n", CreateOptions::default()).await.unwrap();
    let a = world.run("a", &["bridge"]).await.unwrap();
    let path = world.dir.path().join("a/resolv.conf");
    assert!(std::fs::read_to_string(&path).unwrap().contains("(legacy)"));
    assert_eq!(world.lookup(&a, "a"), ["no resolver"]);
    std::fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
    c.connect(&a, to("n")).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "nameserver 192.0.2.1\n"
    );
}

#[tokio::test]
async fn static_addresses() {
    let world = World::new().await;
    let c = &world.controller;
    c.create("own", with_subnet("10.6.0.0/29")).await.unwrap();
    c.create("auto", CreateOptions::default()).await.unwrap();
    let a = world.run("a", &[]).await.unwrap();
    let b = world.run("b", &[]).await.unwrap();
    c.connect(&a, to_at("own", "10.6.0.5")).await.unwrap();
    assert_eq!(world.ip(&a, "own"), "10.6.0.5");
    let table = [
        (
            "own",
            "10.6.0.5",
            ErrorKind::Forbidden,
            "Address already in use",
        ),
        (
            "own",
            "10.6.0.1",
            ErrorKind::Forbidden,
            "Address already in use",
        ),
        (
            "own",
            "10.7.0.1",
            ErrorKind::InvalidParameter,
            "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.7.0.1",
        ),
        (
            "own",
            "x",
            ErrorKind::InvalidParameter,
            "invalid endpoint settings:\ninvalid IPv4 address: x",
        ),
        (
            "auto",
            "172.18.0.9",
            ErrorKind::InvalidParameter,
            "invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with user configured subnets",
        ),
        (
            "bridge",
            "172.17.0.9",
            ErrorKind::InvalidParameter,
            "invalid endpoint settings:\nuser specified IP address is supported on user defined networks only\nuser specified IP address is supported only when connecting to networks with user configured subnets",
        ),
    ];
    for (network, ip, kind, expected) in table {
        assert_eq!(
            text(c.connect(&b, to_at(network, ip)).await),
            (kind, expected.into())
        );
    }
    // The same before anything runs; of a network that is not here yet only the form is checked.
    let early = |request: ConnectRequest| {
        let checked = c.check_settings(&request.network, &request.settings);
        checked.err().map(|e| e.message).unwrap_or_default()
    };
    assert_eq!(early(to_at("own", "10.6.0.6")), "");
    assert_eq!(early(to_at("later", "10.6.0.5")), "");
    assert_eq!(
        early(to_at("later", "10.6.0")),
        "invalid endpoint settings:\ninvalid IPv4 address: 10.6.0"
    );
    assert_eq!(
        early(to_at("default", "172.17.0.9")),
        "invalid endpoint settings:\nuser specified IP address is supported on user defined networks only"
    );
    let mut aliased = to("bridge");
    aliased.settings.aliases = Some(vec!["x".into()]);
    assert_eq!(
        early(aliased),
        "invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks"
    );
    assert_eq!(
        text(c.connect(&a, to("own")).await),
        (
            ErrorKind::Forbidden,
            "endpoint with name a already exists in network own".into()
        )
    );
    // .1 is the gateway, .5 is a's: four are left.
    for name in ["d", "e", "f", "g"] {
        world.run(name, &["own"]).await.unwrap();
    }
    let id = c.inspect("own", false, "").await.unwrap().id;
    assert_eq!(
        text(c.connect(&b, to("own")).await),
        (
            ErrorKind::System,
            format!("no available IPv4 addresses on this network's address pools: own ({id})")
        )
    );
}

#[tokio::test]
async fn which_networks_go_together() {
    let world = World::new().await;
    let c = &world.controller;
    let a = world.run("a", &["none"]).await.unwrap();
    let host = SandboxSpec {
        mode: Mode::Host,
        ..world.spec("h")
    };
    assert_eq!(c.sandbox_create(host).await.unwrap().netns, None);
    let h = container_id("h");
    c.connect(&h, to("host")).await.unwrap();
    // Its files are the host's.
    for (ours, theirs) in [
        ("h/hosts", "/etc/hosts"),
        ("h/resolv.conf", ResolvConf::of_host().1),
    ] {
        let ours = std::fs::read(world.dir.path().join(ours)).unwrap();
        assert_eq!(ours, std::fs::read(theirs).unwrap());
    }
    let many = "container cannot be connected to multiple networks with one of the networks in private (none) mode";
    let shared = "container sharing network namespace with another container or host cannot be connected to any other network";
    for (container, network, expected) in [
        (&a, "bridge", many),
        (
            &a,
            "host",
            "cannot connect container to host network - container must be created in host network mode",
        ),
        (&h, "bridge", shared),
    ] {
        assert_eq!(
            text(c.connect(container, to(network)).await),
            (ErrorKind::InvalidParameter, expected.into())
        );
    }
    assert_eq!(
        text(c.disconnect(&h, "host", false).await).1,
        "cannot disconnect container from host network - container was created in host network mode"
    );
    // A shared namespace is the other container's.
    let joined = SandboxSpec {
        mode: Mode::Container(a.clone()),
        ..world.spec("j")
    };
    assert_eq!(Some(c.sandbox_create(joined).await.unwrap()), c.sandbox(&a));
    assert_eq!(
        text(c.connect(&container_id("j"), to("bridge")).await).1,
        shared
    );
    let lost = SandboxSpec {
        mode: Mode::Container("gone".into()),
        ..world.spec("k")
    };
    assert_eq!(text(c.sandbox_create(lost).await).0, ErrorKind::Conflict);
}

#[tokio::test]
async fn published_ports() {
    let world = World::new().await;
    let c = &world.controller;
    let publish = |name: &str, host_port: &str| {
        let mut spec = world.spec(name);
        let binding = PortBinding {
            host_ip: String::new(),
            host_port: host_port.into(),
        };
        spec.ports = crate::published(&[("80/tcp", Some(vec![binding]))].into()).unwrap();
        spec
    };
    let run = |spec: SandboxSpec| async move {
        let id = spec.container_id.clone();
        c.sandbox_create(spec).await?;
        c.connect(&id, to("bridge")).await.map(|()| id)
    };
    let a = run(publish("a", "")).await.unwrap();
    let port = c.ports(&a)["80/tcp"].as_ref().unwrap()[0].host_port.clone();
    assert!(world.kernel.has(&format!("publish 127.0.0.1:{port} to")));
    // Nobody else gets it.
    assert!(std::net::TcpListener::bind(format!("127.0.0.1:{port}")).is_err());
    let (kind, message) = text(run(publish("b", &port)).await);
    assert_eq!(kind, ErrorKind::System);
    let ends = format!("Bind for 127.0.0.1:{port} failed: port is already allocated");
    assert!(
        message.starts_with("driver failed programming external connectivity on endpoint b ("),
        "{message}"
    );
    assert!(message.ends_with(&ends), "{message}");
    assert!(c.endpoints(&container_id("b")).is_empty());
    assert!(c.sandbox_remove(&a).await.is_empty());
    std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();

    let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = foreign.local_addr().unwrap().port();
    let (_, message) = text(run(publish("d", &taken.to_string())).await);
    assert!(
        message.contains(&format!("failed to bind host port for 127.0.0.1:{taken}:")),
        "{message}"
    );
    assert!(
        message.ends_with("/tcp: address already in use"),
        "{message}"
    );
}

#[tokio::test]
async fn links_follow_their_target() {
    let world = World::new().await;
    let c = &world.controller;
    c.create("n", with_subnet("10.8.0.0/24")).await.unwrap();
    let a = world.run("a", &[]).await.unwrap();
    let mut linked = to("n");
    linked.settings.links = Some(vec!["b:database".into()]);
    c.connect(&a, linked).await.unwrap();
    assert!(world.lookup(&a, "database").is_empty());
    let b = world.run("b", &["n"]).await.unwrap();
    assert_eq!(world.lookup(&a, "database"), [world.ip(&b, "n")]);
    c.disconnect(&b, "n", false).await.unwrap();
    assert!(world.lookup(&a, "database").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once() {
    let world = World::new().await;
    world
        .controller
        .create("n", with_subnet("10.10.0.0/16"))
        .await
        .unwrap();
    let start = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..200 {
        let (c, spec) = (world.controller.clone(), world.spec(&format!("c{i}")));
        tasks.spawn(async move {
            let id = spec.container_id.clone();
            c.sandbox_create(spec).await?;
            c.connect(&id, to("n")).await?;
            Ok::<_, Error>(c.endpoints(&id)["n"].ip_address.clone())
        });
    }
    let mut addresses = BTreeSet::new();
    while let Some(done) = tasks.join_next().await {
        assert!(addresses.insert(done.unwrap().unwrap()));
    }
    println!("200 connects without a kernel: {:?}", start.elapsed());
    assert_eq!(addresses.len(), 200);
}

#[tokio::test]
async fn connections_end_with_what_they_lead_to() {
    use netstate::Flows::{Of, ToUdp};
    let world = World::new().await;
    let c = &world.controller;
    c.create("n", with_subnet("10.1.0.0/24")).await.unwrap();
    let told = || std::mem::take(&mut *world.kernel.forgotten.lock().unwrap());
    let mut spec = world.spec("a");
    let ports = [("53/udp", "5353"), ("80/tcp", "8080")]
        .map(|(port, host_port)| {
            let binding = PortBinding {
                host_ip: "127.0.0.1".into(),
                host_port: host_port.into(),
            };
            (port.to_string(), Some(vec![binding]))
        })
        .into();
    spec.ports = crate::published(&ports).unwrap();
    let id = spec.container_id.clone();
    c.sandbox_create(spec).await.unwrap();
    assert_eq!(told(), [], "nothing yet");
    let published = ToUdp([127, 0, 0, 1].into(), 5353, 5353);
    c.connect(&id, to("n")).await.unwrap();
    assert_eq!(told(), [published], "who sent there before");
    assert!(c.sandbox_remove(&id).await.is_empty());
    assert_eq!(told(), [Of([10, 1, 0, 2].into()), published]);
}

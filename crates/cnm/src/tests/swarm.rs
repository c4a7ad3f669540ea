//! Overlay networks, peers, names, attachments, restarts.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use engine_types::network::{ConfigReference, EndpointIPAMConfig, Inspect, PeerInfo};
use engine_types::{ErrorKind, Filters};
use netstate::Mac;

use super::*;
use crate::{Balance, NameRecord, Prefer, ServiceBinding, Subnet, SwarmNetwork, SwarmNetworks};

struct Managers;

fn overlay(id: &str, internal: bool) -> SwarmNetwork {
    SwarmNetwork {
        id: id.into(),
        name: format!("net-{id}"),
        driver: "overlay".into(),
        internal,
        attachable: true,
        subnets: vec![Subnet {
            subnet: "10.0.9.0/24".parse().unwrap(),
            gateway: Some([10, 0, 9, 1].into()),
            vni: 4097,
        }],
        vxlan_port: 4789,
        ..SwarmNetwork::default()
    }
}

/// A network that each node makes for itself.
fn own(id: &str, driver: &str, config_from: &str) -> SwarmNetwork {
    SwarmNetwork {
        driver: driver.into(),
        subnets: Vec::new(),
        config_from: config_from.into(),
        ..overlay(id, false)
    }
}

#[async_trait]
impl SwarmNetworks for Managers {
    async fn list(&self) -> Result<Vec<Inspect>> {
        let network = Inspect {
            id: "unused".into(),
            name: "unused".into(),
            scope: "swarm".into(),
            ..Inspect::default()
        };
        Ok(vec![network])
    }
    async fn create(&self, name: &str, _: CreateOptions) -> Result<String> {
        Ok(format!("id-of-{name}"))
    }
    async fn remove(&self, id: &str) -> Result<()> {
        Err(Error::forbidden(format!("asked to remove {id}")))
    }
    async fn attach(
        &self,
        network: &str,
        _: &str,
        _: Vec<String>,
    ) -> Result<(SwarmNetwork, Vec<ipnet::IpNet>)> {
        match network {
            "net-att" => Ok((overlay("att", false), vec!["10.0.9.20/24".parse().unwrap()])),
            "net-wire" => Ok((own("wire", "macvlan", "conf"), Vec::new())),
            _ => Err(Error::not_found(format!("network {network} not found"))),
        }
    }
    async fn detach(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }
    async fn peers(&self, _: &str) -> Vec<PeerInfo> {
        vec![PeerInfo {
            name: "node".into(),
            ip: "192.0.2.1".into(),
        }]
    }
    fn is_manager(&self) -> bool {
        true
    }
}

fn peer(ip: &str, vtep: &str) -> Option<Peer> {
    Some(Peer {
        address: format!("{ip}/24").parse().unwrap(),
        address_v6: None,
        mac: Mac([2, 0x42, 10, 0, 9, 7]),
        vtep: vtep.parse().unwrap(),
    })
}

fn task(ip: &str, service: &str) -> ConnectRequest {
    ConnectRequest {
        preallocated: true,
        service: Some(ServiceBinding {
            id: "s".into(),
            name: service.into(),
            aliases: vec!["alias".into()],
            ..ServiceBinding::default()
        }),
        ..to_at("o", ip)
    }
}

#[tokio::test]
async fn an_overlay_lives_as_long_as_its_endpoints() {
    let world = World::new().await;
    let c = &world.controller;
    c.set_vtep(Some([192, 0, 2, 9].into())).await;
    c.swarm_network(overlay("o", false)).await.unwrap();
    c.set_peer("o", "e1", peer("10.0.9.7", "192.0.2.1")).await;
    c.set_peer("o", "own", peer("10.0.9.8", "192.0.2.9")).await;
    assert!(
        !world.kernel.has("net-o"),
        "nothing before the first endpoint"
    );

    let a = world.run("a", &[]).await.unwrap();
    c.connect(&a, task("10.0.9.3", "web")).await.unwrap();
    assert!(world.kernel.has("network net-o vtep Some(192.0.2.9)"));
    assert_eq!(world.kernel.rows("peer/").len(), 1);
    assert!(world.kernel.has("peer net-o 10.0.9.7 via 192.0.2.1"));
    // It needs a way out, and has a second interface for it that the user does not see.
    assert!(world.kernel.has("docker_gwbridge eth1"));
    assert_eq!(c.endpoints(&a).len(), 1);

    // Among several claims for one address the latest holds, then the former one again.
    c.set_peer("o", "e2", peer("10.0.9.7", "192.0.2.2")).await;
    assert!(world.kernel.has("via 192.0.2.2") && !world.kernel.has("via 192.0.2.1"));
    c.set_peer("o", "e2", None).await;
    assert!(world.kernel.has("via 192.0.2.1"));
    // A late record for an address that is here now is not believed.
    c.set_peer("o", "late", peer("10.0.9.3", "192.0.2.2")).await;
    assert!(!world.kernel.has("peer net-o 10.0.9.3"));

    // Both addresses of a peer are claimed, and given up.
    let both = peer("10.0.9.30", "192.0.2.3").map(|peer| Peer {
        address_v6: "fd09::30/64".parse().ok(),
        ..peer
    });
    c.set_peer("o", "both", both).await;
    assert!(world.kernel.has("peer net-o 10.0.9.30 via 192.0.2.3"));
    assert!(world.kernel.has("peer net-o fd09::30 via 192.0.2.3"));
    c.set_peer("o", "both", peer("10.0.9.30", "192.0.2.3"))
        .await;
    assert!(world.kernel.has("peer net-o 10.0.9.30") && !world.kernel.has("fd09::30"));

    // Another network with a gateway of its own makes the second interface superfluous.
    c.connect(&a, to("bridge")).await.unwrap();
    assert!(!world.kernel.has("docker_gwbridge eth1"));
    c.disconnect(&a, "bridge", false).await.unwrap();
    assert!(world.kernel.has("docker_gwbridge eth1"));

    assert_eq!(
        text(c.forget_swarm_network("o").await).0,
        ErrorKind::Forbidden
    );
    assert!(c.sandbox_remove(&a).await.is_empty());
    assert!(!world.kernel.has("net-o"), "{:?}", world.kernel.rows(""));
    c.forget_swarm_network("o").await.unwrap();
}

#[tokio::test]
async fn names_of_tasks_here_and_elsewhere() {
    let world = World::new().await;
    let c = &world.controller;
    c.swarm_network(overlay("o", true)).await.unwrap();
    let a = world.run("a", &[]).await.unwrap();
    c.connect(&a, task("10.0.9.3", "Web")).await.unwrap();
    let record = NameRecord {
        name: "web.2.x".into(),
        task_aliases: vec!["short".into()],
        address: Some([10, 0, 9, 4].into()),
        service: ServiceBinding {
            name: "Web".into(),
            ..ServiceBinding::default()
        },
        ..NameRecord::default()
    };
    c.set_record("o", "e2", Some(record)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    for (name, expected) in [
        ("web", vec!["10.0.9.3", "10.0.9.4"]),
        ("tasks.web", vec!["10.0.9.3", "10.0.9.4"]),
        ("alias", vec!["10.0.9.3"]),
        ("web.2.x", vec!["10.0.9.4"]),
        ("a", vec!["10.0.9.3"]),
    ] {
        assert_eq!(world.lookup(&a, name), expected, "{name}");
    }
    let view = c.overlay_view().borrow().clone();
    let local = view.networks["o"].values().next().unwrap();
    assert_eq!(local.address.to_string(), "10.0.9.3/24");
    assert_eq!(local.record.as_ref().unwrap().service.name, "Web");
    c.deactivate(&a).await.unwrap();
    let view = c.overlay_view().borrow().clone();
    assert_eq!(view.networks["o"].values().next().unwrap().record, None);
}

#[tokio::test]
async fn near_tasks_are_preferred_as_long_as_there_is_one() {
    let of = |prefer| {
        let mut request = task("10.0.9.3", "web");
        let service = request.service.as_mut().unwrap();
        service.virtual_ip = "10.0.9.2".into();
        service.balance = Balance {
            sticky: true,
            least: false,
            prefer,
        };
        request
    };
    let remote = |prefer, ip: [u8; 4], zone: &str| NameRecord {
        name: format!("web.{zone}"),
        address: Some(ip.into()),
        direct: true,
        zone: zone.into(),
        service: of(prefer).service.unwrap(),
        ..NameRecord::default()
    };
    for (prefer, backends) in [
        (Prefer::Node, "10.0.9.3: true"),
        (Prefer::Zone, "10.0.9.3: true, 10.0.9.4: true"),
        (
            Prefer::Any,
            "10.0.9.3: true, 10.0.9.4: true, 10.0.9.5: true",
        ),
    ] {
        let config = Config {
            labels: vec!["zone=here".into()],
            ..Config::default()
        };
        let world = World::with(config).await;
        let c = &world.controller;
        c.swarm_network(overlay("o", true)).await.unwrap();
        let a = world.run("a", &[]).await.unwrap();
        c.connect(&a, of(prefer)).await.unwrap();
        let near = remote(prefer, [10, 0, 9, 4], "here");
        c.set_record("o", "e4", Some(near)).await;
        let far = remote(prefer, [10, 0, 9, 5], "there");
        c.set_record("o", "e5", Some(far)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let services = world.kernel.rows("service/");
        let expected = format!("service net-o 10.0.9.2 sticky {{{backends}}}");
        assert!(world.kernel.has(&expected), "{prefer:?}: {services:?}");
        // None is near any more.
        assert!(c.sandbox_remove(&a).await.is_empty());
        let b = world.run("b", &[]).await.unwrap();
        let mut client = of(prefer);
        client.service = None;
        c.connect(&b, client).await.unwrap();
        c.set_record("o", "e4", None).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let services = world.kernel.rows("service/");
        assert_eq!(services.len(), 1, "{services:?}");
        assert!(world.kernel.has("sticky {10.0.9.5: true}"), "{services:?}");
    }
}

#[tokio::test]
async fn a_service_is_called_by_its_own_address() {
    let world = World::new().await;
    let c = &world.controller;
    c.swarm_network(overlay("o", true)).await.unwrap();
    let served = |ip: &str| {
        let mut request = task(ip, "web");
        request.service.as_mut().unwrap().virtual_ip = "10.0.9.2".into();
        request
    };
    let remote = |direct| NameRecord {
        name: "web.2.x".into(),
        address: Some([10, 0, 9, 4].into()),
        direct,
        service: served("10.0.9.4").service.unwrap(),
        ..NameRecord::default()
    };
    let settle = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    let ways = || world.kernel.rows("service/");
    // Nobody here is on the network yet.
    c.set_record("o", "e2", Some(remote(false))).await;
    settle().await;
    assert_eq!(ways(), [""; 0]);
    let a = world.run("a", &[]).await.unwrap();
    c.connect(&a, served("10.0.9.3")).await.unwrap();
    assert_eq!(ways().len(), 1, "one task is elsewhere");
    c.activate(&a).await.unwrap();
    assert!(
        world
            .kernel
            .has("service net-o 10.0.9.2 {10.0.9.3: true, 10.0.9.4: false}"),
        "{:?}",
        ways()
    );
    for name in ["web", "alias"] {
        assert_eq!(world.lookup(&a, name), ["10.0.9.2"], "{name}");
    }
    assert_eq!(world.lookup(&a, "tasks.web"), ["10.0.9.3", "10.0.9.4"]);
    let view = c.overlay_view().borrow().clone();
    let local = view.networks["o"].values().next().unwrap();
    assert!(local.record.as_ref().unwrap().direct);

    // What drains gets no new connection; a restart finds the rest.
    c.deactivate(&a).await.unwrap();
    assert!(world.kernel.has("service net-o 10.0.9.2 {10.0.9.4: false}"));
    let before = ways();
    let world = world.restart(std::slice::from_ref(&a)).await;
    assert_eq!(world.kernel.rows("service/"), before);
    let c = &world.controller;
    c.set_record("o", "e2", None).await;
    settle().await;
    assert_eq!(world.kernel.rows("service/"), [""; 0]);
    assert_eq!(world.lookup(&a, "web"), [""; 0]);
    c.set_record("o", "e2", Some(remote(true))).await;
    settle().await;
    assert_eq!(world.lookup(&a, "web"), ["10.0.9.2"]);
    assert!(c.sandbox_remove(&a).await.is_empty());
    assert!(!world.kernel.has("net-o"), "{:?}", world.kernel.rows(""));
}

#[tokio::test]
async fn standalone_containers_attach_through_the_managers() {
    let world = World::new().await;
    let c = &world.controller;
    c.set_swarm(Some(Arc::new(Managers)));
    assert_eq!(
        c.create(
            "new",
            CreateOptions {
                driver: "overlay".into(),
                ..Default::default()
            }
        )
        .await
        .unwrap()
        .id,
        "id-of-new"
    );
    let a = world.run("a", &[]).await.unwrap();
    c.connect(&a, to("net-att")).await.unwrap();
    assert_eq!(world.ip(&a, "net-att"), "10.0.9.20");
    assert_eq!(
        text(c.connect(&a, to("nope")).await),
        (ErrorKind::NotFound, "network nope not found".into())
    );
    assert_eq!(
        text(c.connect(&a, to("net-att")).await).0,
        ErrorKind::Forbidden
    );
    let inspected = c.inspect("net-att", false, "").await.unwrap();
    assert_eq!(inspected.peers.unwrap()[0].name, "node");
    assert_eq!(
        inspected.options.unwrap()["com.docker.network.driver.overlay.vxlanid_list"],
        "4097"
    );
    let names: BTreeSet<_> = c
        .list(&Filters::default())
        .await
        .unwrap()
        .into_iter()
        .map(|n| n.name)
        .collect();
    assert_eq!(
        names,
        [
            "bridge",
            "docker_gwbridge",
            "host",
            "net-att",
            "none",
            "unused"
        ]
        .map(String::from)
        .into()
    );
    assert_eq!(text(c.remove("unused").await).1, "asked to remove unused");
    // A failure gives the address back to the managers and leaves nothing here.
    let b = world.run("b", &[]).await.unwrap();
    world.kernel.fail_in.store(1, Ordering::SeqCst);
    assert!(c.connect(&b, to("net-att")).await.is_err());
    assert!(c.endpoints(&b).is_empty());
}

/// As Docker shows them: standalone containers under no name, and no address as Go prints it.
#[tokio::test]
async fn verbose_shows_standalone_containers_as_well() {
    let world = World::new().await;
    let c = &world.controller;
    c.swarm_network(overlay("o", false)).await.unwrap();
    c.create("local", CreateOptions::default()).await.unwrap();
    let a = world.run("a", &["local"]).await.unwrap();
    let mut standalone = task("10.0.9.3", "");
    standalone.service = None;
    c.connect(&a, standalone).await.unwrap();
    let b = world.run("b", &[]).await.unwrap();
    let mut served = task("10.0.9.4", "web");
    served.service.as_mut().unwrap().virtual_ip = "10.0.9.2".into();
    c.connect(&b, served).await.unwrap();
    for id in [&a, &b] {
        c.activate(id).await.unwrap();
    }
    let services = async |network| c.inspect(network, true, "").await.unwrap().services;
    let shown: Vec<_> = services("net-o")
        .await
        .unwrap()
        .into_iter()
        .map(|(name, info)| {
            let tasks = info.tasks.unwrap();
            (name, info.vip, tasks[0].name.clone(), tasks.len())
        })
        .collect();
    let row = |name: &str, vip: &str, task: &str| (name.into(), vip.into(), task.into(), 1);
    assert_eq!(shown, [row("", "<nil>", "a"), row("web", "10.0.9.2", "b")]);
    assert_eq!(services("local").await, None);
}

#[tokio::test]
async fn a_restart_finds_everything_again() {
    let world = World::new().await;
    let c = &world.controller;
    c.set_vtep(Some([192, 0, 2, 9].into())).await;
    c.create("n", with_subnet("10.11.0.0/24")).await.unwrap();
    c.swarm_network(overlay("o", false)).await.unwrap();
    c.set_peer("o", "e1", peer("10.0.9.7", "192.0.2.1")).await;
    c.set_peer("o", "e2", peer("10.0.9.8", "192.0.2.1")).await;
    let a = world.run("a", &["n"]).await.unwrap();
    let b = world.run("b", &["n"]).await.unwrap();
    c.connect(&a, task("10.0.9.3", "web")).await.unwrap();
    let without_resolver = |world: &World| {
        let owners = world.kernel.owners.lock().unwrap().clone();
        // The resolver's sockets get other ports.
        let rows = owners.into_iter().map(|(owner, mut rows)| {
            rows.retain(|r| !matches!(r, Row::NftRule(_)));
            (owner, rows)
        });
        rows.collect::<BTreeMap<_, _>>()
    };
    let before = without_resolver(&world);
    let world = world.restart(&[a.clone(), b.clone()]).await;
    assert_eq!(before, without_resolver(&world));
    assert_eq!(world.lookup(&a, "b"), ["10.11.0.3"]);

    let world = world.restart(std::slice::from_ref(&a)).await;
    assert!(world.controller.sandbox(&b).is_none());
    assert!(world.lookup(&a, "b").is_empty());
    // What gossip no longer knows goes.
    world
        .controller
        .retain_remote("o", &BTreeSet::from(["e1".into()]))
        .await;
    assert_eq!(world.kernel.rows("peer/").len(), 1);
    let world = world.restart(std::slice::from_ref(&a)).await;
    assert_eq!(world.kernel.rows("peer/").len(), 1);
    let free: IpAddr = [10, 11, 0, 3].into();
    let d = world.run("d", &["n"]).await.unwrap();
    assert_eq!(world.ip(&d, "n"), free.to_string());
}

/// Addresses, names and MACs of a network that has no IPv4.
#[tokio::test]
async fn an_overlay_of_ipv6_alone() {
    let world = World::new().await;
    let c = &world.controller;
    c.set_vtep(Some([192, 0, 2, 9].into())).await;
    let six = SwarmNetwork {
        enable_ipv6: true,
        subnets: vec![Subnet {
            subnet: "fd61::/64".parse().unwrap(),
            gateway: "fd61::1".parse().ok(),
            vni: 4097,
        }],
        ..overlay("o", false)
    };
    c.swarm_network(six).await.unwrap();
    let a = world.run("a", &[]).await.unwrap();
    let mut request = task("", "web");
    request.settings.ipam_config = Some(EndpointIPAMConfig {
        ipv6_address: "fd61::5".into(),
        ..EndpointIPAMConfig::default()
    });
    if let Some(service) = &mut request.service {
        service.virtual_ip_v6 = "fd61::2".into();
    }
    c.connect(&a, request).await.unwrap();
    c.activate(&a).await.unwrap();
    let shown = &c.endpoints(&a)["net-o"];
    assert_eq!(
        (
            shown.ip_address.as_str(),
            shown.global_ipv6_address.as_str()
        ),
        ("", "fd61::5")
    );
    assert_eq!(shown.mac_address, "02:42:e0:00:00:05");
    let view = c.overlay_view().borrow().clone();
    let [told] = &view.networks["o"].values().collect::<Vec<_>>()[..] else {
        panic!("{view:?}");
    };
    assert_eq!(
        (told.address, told.address_v6),
        ("fd61::5/64".parse().unwrap(), None)
    );
    let seen = c.inspect("o", true, "").await.unwrap();
    assert!(seen.enable_ipv6 && !seen.enable_ipv4);
    let service = &seen.services.unwrap()["web"];
    assert_eq!(service.vip, "fd61::2");
    assert_eq!(service.tasks.as_ref().unwrap()[0].endpoint_ip, "fd61::5");
}

#[tokio::test]
async fn a_network_of_the_swarm_that_each_node_makes_for_itself() {
    let world = World::new().await;
    let c = &world.controller;
    c.set_swarm(Some(Arc::new(Managers)));
    let refused = c.swarm_network(own("wire", "macvlan", "conf")).await;
    assert_eq!(
        text(refused),
        (
            ErrorKind::NotFound,
            "configuration network \"conf\" does not exist".into()
        )
    );
    let conf = CreateOptions {
        config_only: true,
        ..with_subnet("10.60.0.0/24")
    };
    c.create("conf", conf).await.unwrap();
    let both = [
        own("wire", "macvlan", "conf"),
        SwarmNetwork {
            ipam: with_subnet("10.61.0.0/24").ipam.unwrap().config.unwrap(),
            ..own("here", "bridge", "")
        },
    ];
    for network in &both {
        c.swarm_network(network.clone()).await.unwrap();
        c.swarm_network(network.clone()).await.unwrap();
    }
    let a = world.run("a", &["bridge"]).await.unwrap();
    for id in ["wire", "here"] {
        let mut request = task("", "web");
        request.network = id.into();
        request.settings.ipam_config = None;
        c.connect(&a, request).await.unwrap();
    }
    assert_eq!(world.ip(&a, "net-wire"), "10.60.0.2");
    assert_eq!(world.ip(&a, "net-here"), "10.61.0.2");
    // A standalone container gets its address here as well, and may choose it.
    let b = world.run("b", &[]).await.unwrap();
    let taken = text(c.connect(&b, to_at("net-wire", "10.60.0.2")).await);
    assert_eq!(
        taken,
        (ErrorKind::Forbidden, "Address already in use".into())
    );
    c.connect(&b, to_at("net-wire", "10.60.0.9")).await.unwrap();
    assert_eq!(world.ip(&b, "net-wire"), "10.60.0.9");
    assert_eq!(world.lookup(&b, "web"), ["10.60.0.2"]);

    // Names go where packets go, without a tunnel.
    let view = c.overlay_view().borrow().clone();
    assert_eq!(view.networks.keys().collect::<Vec<_>>(), ["wire"]);
    let local = view.networks["wire"].values().next().unwrap();
    assert!(!local.tunnelled && local.record.is_some());
    let far = NameRecord {
        name: "web.2.x".into(),
        address: Some([10, 60, 0, 130].into()),
        service: task("", "web").service.unwrap(),
        ..NameRecord::default()
    };
    c.set_record("wire", "e2", Some(far)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.lookup(&b, "web"), ["10.60.0.2", "10.60.0.130"]);

    let shown = c.inspect("net-wire", false, "swarm").await.unwrap();
    assert_eq!(shown.ipam.config.unwrap()[0].subnet, "10.60.0.0/24");
    assert_eq!(shown.config_from.network, "conf");
    let world = world.restart(&[a.clone(), b.clone()]).await;
    let c = &world.controller;
    assert!(c.forget_swarm_network("wire").await.is_err());
    assert!(world.kernel.has("network net-wire"));
    for id in [&a, &b] {
        assert!(c.sandbox_remove(id).await.is_empty());
    }
    for id in ["wire", "here", "here"] {
        c.forget_swarm_network(id).await.unwrap();
    }
    assert!(!world.kernel.has("net-wire") && !world.kernel.has("net-here"));
    c.remove("conf").await.unwrap();
    c.create("free", with_subnet("10.60.0.0/24")).await.unwrap();
}

#[tokio::test]
async fn what_a_network_of_the_swarm_may_be_made_with() {
    let world = World::new().await;
    let c = &world.controller;
    c.set_swarm(Some(Arc::new(Managers)));
    let of = |driver: &str, from: &str| CreateOptions {
        driver: driver.into(),
        scope: "swarm".into(),
        config_from: Some(ConfigReference {
            network: from.into(),
        }),
        ..CreateOptions::default()
    };
    let set = |mut options: CreateOptions| {
        options.ipam = with_subnet("10.60.0.0/24").ipam;
        options
    };
    let borrowed = "user specified configurations are not supported if the network depends on a configuration network";
    let without = |mut options: CreateOptions, ipv6| {
        (options.enable_ipv4, options.enable_ipv6) = (Some(false), Some(ipv6));
        options
    };
    for (options, kind, expected) in [
        (
            without(of("macvlan", ""), true),
            ErrorKind::InvalidParameter,
            "IPv4 cannot be disabled in a Swarm scoped network",
        ),
        (
            without(of("overlay", ""), false),
            ErrorKind::InvalidParameter,
            "IPv4 or IPv6 must be enabled",
        ),
        (
            of("macvlan", "conf"),
            ErrorKind::NotFound,
            "configuration network \"conf\" does not exist",
        ),
        (
            set(of("macvlan", "")),
            ErrorKind::InvalidParameter,
            "the nodes of a swarm share the addresses of a macvlan network: give each node its part by a network made there with --config-only, and name that with --config-from",
        ),
    ] {
        assert_eq!(text(c.create("n", options).await), (kind, expected.into()));
    }
    let conf = CreateOptions {
        config_only: true,
        options: Some([("bad".to_string(), "x".to_string())].into()),
        ..CreateOptions::default()
    };
    c.create("bad", conf).await.unwrap();
    let conf = CreateOptions {
        config_only: true,
        ..CreateOptions::default()
    };
    c.create("conf", conf).await.unwrap();
    let refused = text(c.create("n", set(of("bridge", "conf"))).await);
    assert_eq!(refused, (ErrorKind::Forbidden, borrowed.into()));
    let refused = text(c.create("n", of("bridge", "bad")).await);
    assert_eq!(refused.1, "bad option x");
    for options in [
        of("macvlan", "conf"),
        of("macvlan", ""),
        set(of("bridge", "")),
        without(of("overlay", ""), true),
    ] {
        assert_eq!(c.create("n", options).await.unwrap().id, "id-of-n");
    }
}

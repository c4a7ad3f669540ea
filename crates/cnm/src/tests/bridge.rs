//! What a host's own networks have to get right above their driver: ports, gateways, links, options.

use engine_types::PortMap;
use engine_types::container::PortBinding;

use super::*;

fn bindings(ports: impl Iterator<Item = u16>) -> PortMap {
    let binding = |port: u16| PortBinding {
        host_ip: "127.0.0.1".into(),
        host_port: port.to_string(),
    };
    ports
        .map(|port| (format!("{port}/tcp"), Some(vec![binding(port)])))
        .collect()
}

#[tokio::test]
async fn a_range_is_one_mapping_wherever_it_is_kept() {
    let world = World::new().await;
    let c = &world.controller;
    let mut spec = world.spec("a");
    spec.ports = crate::published(&bindings(12_000..18_000)).unwrap();
    let id = spec.container_id.clone();
    c.sandbox_create(spec).await.unwrap();
    c.connect(&id, to("bridge")).await.unwrap();
    let record = c.0.state().record(&id).unwrap().clone();
    let [mapping] = &record.mappings[..] else {
        panic!("{} mappings", record.mappings.len());
    };
    assert_eq!(
        (mapping.host_ports(), mapping.last_target()),
        (Some((12_000, 17_999)), 17_999)
    );
    assert!(serde_json::to_vec(&record).unwrap().len() < 4000);
    assert_eq!(c.ports(&id).len(), 6000);
    // Somebody else's port in its middle is named.
    let mut late = world.spec("b");
    late.ports = crate::published(&bindings(17_990..18_010)).unwrap();
    let late_id = late.container_id.clone();
    c.sandbox_create(late).await.unwrap();
    let (_, message) = text(c.connect(&late_id, to("bridge")).await);
    let ends = "Bind for 127.0.0.1:17990 failed: port is already allocated";
    assert!(message.ends_with(ends), "{message}");
    // It is held over a restart, and free when the container goes.
    let world = world.restart(&[id.clone(), late_id.clone()]).await;
    let c = &world.controller;
    assert!(c.connect(&late_id, to("bridge")).await.is_err());
    assert!(c.sandbox_remove(&id).await.is_empty());
    c.connect(&late_id, to("bridge")).await.unwrap();
}

fn ipv6_only(subnet: &str) -> CreateOptions {
    CreateOptions {
        enable_ipv4: Some(false),
        enable_ipv6: Some(true),
        ..with_subnet(subnet)
    }
}

#[tokio::test]
async fn each_family_has_a_gateway_of_its_own() {
    let world = World::new().await;
    let c = &world.controller;
    c.create("four", with_subnet("10.1.0.0/24")).await.unwrap();
    c.create("six", ipv6_only("fd01::/64")).await.unwrap();
    let mut dual = with_subnet("10.2.0.0/24");
    let six = with_subnet("fd02::/64").ipam.unwrap().config.unwrap();
    dual.ipam
        .as_mut()
        .unwrap()
        .config
        .as_mut()
        .unwrap()
        .extend(six);
    dual.enable_ipv6 = Some(true);
    c.create("zdual", dual).await.unwrap();
    let id = world.run("a", &["four", "six"]).await.unwrap();
    let gateways = || {
        let state = c.0.state();
        let record = state.record(&id).unwrap();
        [false, true].map(|v6| state.gateway_of(record, v6).map(|(_, n)| n.name.clone()))
    };
    let named = |four: &str, six: &str| [Some(four.to_string()), Some(six.to_string())];
    assert_eq!(gateways(), named("four", "six"));
    // One that has both is better than two that have one each, unless somebody says otherwise.
    c.connect(&id, to("zdual")).await.unwrap();
    assert_eq!(gateways(), named("zdual", "zdual"));
    c.disconnect(&id, "six", false).await.unwrap();
    let mut request = to("six");
    request.settings.gw_priority = 1;
    c.connect(&id, request).await.unwrap();
    assert_eq!(gateways(), named("zdual", "six"));
    for network in ["zdual", "six", "four"] {
        c.disconnect(&id, network, false).await.unwrap();
    }
    assert_eq!(gateways(), [None, None]);
}

#[tokio::test]
async fn a_default_ipv6_subnet_is_the_hosts_own() {
    let world = World::new().await;
    let subnet = |c: &Controller, name: &str| {
        let state = c.0.state();
        state.resolve(name).unwrap().pools[0].subnet.to_string()
    };
    let options = || CreateOptions {
        enable_ipv4: Some(false),
        enable_ipv6: Some(true),
        ..CreateOptions::default()
    };
    world.controller.create("a", options()).await.unwrap();
    let a = subnet(&world.controller, "a");
    assert!(a.starts_with("fd") && a.ends_with("/64"), "{a}");
    let world = world.restart(&[]).await;
    world.controller.create("b", options()).await.unwrap();
    let b = subnet(&world.controller, "b");
    // The same 48 bits after a restart, and the next 16.
    let prefix = |net: &str| net.split(':').take(3).collect::<Vec<_>>().join(":");
    assert!(a != b && prefix(&a) == prefix(&b), "{a} {b}");
}

#[tokio::test]
async fn a_linking_containers_hosts_follow_the_other() {
    let world = World::new().await;
    let c = &world.controller;
    world.run("db", &["bridge"]).await.unwrap();
    let web = world.spec("web");
    c.sandbox_create(web.clone()).await.unwrap();
    let mut request = to("bridge");
    request.settings.links = Some(vec!["db:store".into()]);
    c.connect(&web.container_id, request).await.unwrap();
    let linked = || {
        let hosts = std::fs::read_to_string(web.dir.join("hosts")).unwrap();
        let line = hosts
            .lines()
            .find(|l| l.contains("store"))
            .map(str::to_string);
        line.unwrap_or_default()
    };
    assert_eq!(linked(), "172.17.0.2\tstore host-db");
    let id = container_id("db");
    assert!(c.sandbox_remove(&id).await.is_empty());
    assert_eq!(linked(), "");
    world.run("first", &["bridge"]).await.unwrap();
    world.run("db", &["bridge"]).await.unwrap();
    assert_eq!(linked(), "172.17.0.4\tstore host-db");
}

#[tokio::test]
async fn driver_options_of_the_daemon_and_of_the_network() {
    let config = Config {
        network_options: [(
            "bridge".to_string(),
            [("colour".to_string(), "blue".to_string())].into(),
        )]
        .into(),
        ..Config::default()
    };
    let world = World::with(config).await;
    let c = &world.controller;
    let with = |options: &[(&str, &str)]| {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        CreateOptions {
            options: Some(options.collect()),
            ..CreateOptions::default()
        }
    };
    c.create("plain", CreateOptions::default()).await.unwrap();
    c.create("red", with(&[("colour", "red")])).await.unwrap();
    let six = with(&[
        ("com.docker.network.enable_ipv6", "true"),
        ("com.docker.network.enable_ipv4", "0"),
    ]);
    c.create("six", six).await.unwrap();
    let inspect = async |name: &str| c.inspect(name, false, "").await.unwrap();
    assert_eq!(inspect("plain").await.options.unwrap()["colour"], "blue");
    assert_eq!(inspect("red").await.options.unwrap()["colour"], "red");
    let six = inspect("six").await;
    assert!(six.enable_ipv6 && !six.enable_ipv4);
    let bad = with(&[("com.docker.network.enable_ipv6", "x")]);
    let expected = "driver-opt \"com.docker.network.enable_ipv6\" is not a valid bool";
    assert_eq!(text(c.create("x", bad).await).1, expected);
}

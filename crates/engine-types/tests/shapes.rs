//! Bodies that the stock CLI (28.2) sends, and answers of an engine (20.10) that it reads.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use engine_types::{Filters, Time, container, image, network, swarm, system};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Reads `text` as a `T`, writes it again, and returns both as JSON.
fn round_trip<T: Serialize + DeserializeOwned>(text: &str) -> (Value, Value) {
    let sent: Value = serde_json::from_str(text).unwrap();
    let read: T = serde_json::from_str(text).unwrap();
    (sent, serde_json::to_value(read).unwrap())
}

/// What engines wrote until API 1.41 and no longer do.
const GONE: [&str; 15] = [
    ".BridgeNfIp6tables",
    ".BridgeNfIptables",
    ".Container",
    ".ContainerConfig",
    ".ContainerdCommit.Expected",
    ".InitCommit.Expected",
    ".KernelMemory",
    ".KernelMemoryTCP",
    ".RegistryConfig.AllowNondistributableArtifactsCIDRs",
    ".RegistryConfig.AllowNondistributableArtifactsHostnames",
    ".RuncCommit.Expected",
    ".VirtualSize",
    "[].VirtualSize",
    ".HostConfig.KernelMemory",
    ".HostConfig.KernelMemoryTCP",
];

/// Every field of `sent` comes back with its value; Go leaves out what `omitempty` allows, we write as much or more.
fn assert_kept(path: &str, sent: &Value, back: &Value) {
    match (sent, back) {
        (Value::Object(sent), Value::Object(back)) => {
            for (key, value) in sent {
                let path = format!("{path}.{key}");
                match back.get(key) {
                    Some(back) => assert_kept(&path, value, back),
                    None => assert!(
                        value.is_null()
                            || *value == json!({})
                            || *value == json!([])
                            || GONE.contains(&path.as_str()),
                        "{path} = {value} is lost"
                    ),
                }
            }
        }
        (Value::Array(sent), Value::Array(back)) if sent.len() == back.len() => {
            for (sent, back) in sent.iter().zip(back) {
                assert_kept(&format!("{path}[]"), sent, back);
            }
        }
        _ => assert_eq!(sent, back, "{path}"),
    }
}

fn check<T: Serialize + DeserializeOwned>(text: &str) {
    let (sent, back) = round_trip::<T>(text);
    assert_kept("", &sent, &back);
}

#[test]
fn answers_of_a_docker_engine_survive() {
    check::<system::Info>(include_str!("dockerd-20.10/info.json"));
    check::<system::Version>(include_str!("dockerd-20.10/version.json"));
    check::<system::Event>(include_str!("dockerd-20.10/events.json"));
    check::<container::InspectResponse>(include_str!("dockerd-20.10/container-inspect.json"));
    check::<Vec<container::Summary>>(include_str!("dockerd-20.10/container-list.json"));
    check::<image::Inspect>(include_str!("dockerd-20.10/image-inspect.json"));
    check::<Vec<image::Summary>>(include_str!("dockerd-20.10/image-list.json"));
    check::<network::Inspect>(include_str!("dockerd-20.10/network-bridge.json"));
    check::<network::Inspect>(include_str!("dockerd-20.10/network-overlay.json"));
    check::<Vec<network::Inspect>>(include_str!("dockerd-20.10/network-list.json"));
    check::<swarm::Swarm>(include_str!("dockerd-20.10/swarm.json"));
    check::<Vec<swarm::Node>>(include_str!("dockerd-20.10/nodes.json"));
    check::<Vec<swarm::Service>>(include_str!("dockerd-20.10/services.json"));
    check::<Vec<swarm::Task>>(include_str!("dockerd-20.10/tasks.json"));
    check::<Vec<swarm::Secret>>(include_str!("dockerd-20.10/secrets.json"));
}

#[test]
fn bodies_of_the_cli_survive() {
    check::<network::CreateRequest>(include_str!("cli-28/network-create.json"));
    check::<network::ConnectOptions>(include_str!("cli-28/network-connect.json"));
    check::<container::ContainerUpdate>(include_str!("cli-28/container-update.json"));
    check::<swarm::InitRequest>(include_str!("cli-28/swarm-init.json"));
    check::<swarm::JoinRequest>(include_str!("cli-28/swarm-join.json"));
    check::<swarm::ServiceSpec>(include_str!("cli-28/service-create.json"));
}

#[test]
fn a_docker_run_body_survives_byte_for_byte() {
    let (sent, back) =
        round_trip::<container::CreateRequest>(include_str!("cli-28/container-create.json"));
    assert_eq!(sent, back);
}

#[test]
fn fields_of_run_reach_their_places() {
    let run: container::CreateRequest =
        serde_json::from_str(include_str!("cli-28/container-create.json")).unwrap();
    assert_eq!(run.config.image, "busybox");
    let host = run.host_config.unwrap();
    assert_eq!(host.resources.nano_cpus, 1_500_000_000);
    assert_eq!(host.network_mode, "att");
    let ports = host.port_bindings.unwrap();
    assert_eq!(ports.get("53/udp").flatten().unwrap()[0].host_port, "53");
    let endpoints = run.networking_config.unwrap().endpoints_config.unwrap();
    assert_eq!(
        endpoints["att"].ipam_config.as_ref().unwrap().ipv4_address,
        "10.99.7.9"
    );
}

#[test]
fn older_clients_send_strings_nulls_and_kernel_memory() {
    let run: container::CreateRequest = serde_json::from_str(
        r#"{"Hostname":null,"Cmd":"date","Entrypoint":null,"ExposedPorts":{"80/tcp":null},"Image":"busybox",
            "HostConfig":{"KernelMemory":0,"CapAdd":null,"RestartPolicy":null,"PortBindings":{"80/tcp":null}},
            "NetworkingConfig":{"EndpointsConfig":{"n":null}}}"#,
    )
    .unwrap();
    assert_eq!(run.config.cmd, Some(vec!["date".to_owned()]));
    assert!(run.config.exposed_ports.unwrap().get("80/tcp").is_some());
    let endpoints = run.networking_config.unwrap().endpoints_config.unwrap();
    assert_eq!(endpoints["n"], network::EndpointSettings::default());
}

#[test]
fn empty_lists_are_omitted_where_go_omits_them() {
    let config = container::Config {
        exposed_ports: Some(Default::default()),
        ..Default::default()
    };
    let written = serde_json::to_value(config).unwrap();
    assert!(written.get("ExposedPorts").is_none());
    assert!(written.get("Shell").is_none());
    assert_eq!(written["Cmd"], Value::Null);
    assert_eq!(written["Env"], Value::Null);
}

#[test]
fn a_container_summary_has_dockers_fields() {
    let summary = container::Summary {
        host_config: container::HostConfigSummary {
            network_mode: "bridge".into(),
            ..Default::default()
        },
        ..Default::default()
    };
    assert_eq!(
        serde_json::to_value(summary).unwrap(),
        json!({"Id":"","Names":null,"Image":"","ImageID":"","Command":"","Created":0,"Ports":null,"Labels":null,
            "State":"","Status":"","HostConfig":{"NetworkMode":"bridge"},"NetworkSettings":null,"Mounts":null})
    );
}

#[test]
fn a_host_config_writes_go_arrays_and_nulls() {
    let written = serde_json::to_value(container::HostConfig::default()).unwrap();
    assert_eq!(written["ConsoleSize"], json!([0, 0]));
    assert_eq!(written["Binds"], Value::Null);
    assert_eq!(written["MemorySwappiness"], Value::Null);
    assert!(written.get("Init").is_none());
    assert!(written.get("KernelMemory").is_none());
}

#[test]
fn times_are_gos() {
    let network = network::Inspect::default();
    assert_eq!(
        serde_json::to_value(network).unwrap()["Created"],
        json!("0001-01-01T00:00:00Z")
    );
    let time: Time = serde_json::from_str("\"0001-01-01T00:00:00Z\"").unwrap();
    assert!(time.is_zero());
    assert_eq!(
        Time::from_unix(1_700_000_000, 5).as_str(),
        "2023-11-14T22:13:20.000000005Z"
    );
}

#[test]
fn filters_are_read_in_both_forms() {
    for text in [
        r#"{"label":{"a=b":true,"c":true,"off":false}}"#,
        r#"{"label":["a=b","c"]}"#,
    ] {
        let filters: Filters = serde_json::from_str(text).unwrap();
        assert_eq!(filters.get("label"), ["a=b", "c"]);
        assert!(filters.validate(&["label"]).is_ok());
        assert_eq!(
            filters.validate(&["name"]).unwrap_err().message,
            "invalid filter 'label'"
        );
    }
    assert!(serde_json::from_str::<Filters>(r#"{"label":"x"}"#).is_err());
}

#[test]
fn an_image_and_an_info_have_dockers_keys() {
    let image = serde_json::to_value(image::Inspect::default()).unwrap();
    assert!(image.get("Variant").is_none());
    assert_eq!(image["RootFS"], json!({"Type":""}));
    let info = serde_json::to_value(system::Info::default()).unwrap();
    for key in [
        "ID",
        "NCPU",
        "OSType",
        "NFd",
        "IPv4Forwarding",
        "CDISpecDirs",
        "CpuCfsPeriod",
        "CPUShares",
        "NGoroutines",
        "NEventsListener",
        "MemTotal",
        "HttpProxy",
    ] {
        assert!(info.get(key).is_some(), "{key}");
    }
    assert_eq!(info["Swarm"]["LocalNodeState"], json!(""));
}

#[test]
fn a_service_spec_keeps_what_is_unset_apart_from_zero() {
    let spec: swarm::ServiceSpec = serde_json::from_str(
        r#"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"i","Init":false}},"Mode":{"Replicated":{}}}"#,
    )
    .unwrap();
    let container = spec.task_template.container_spec.unwrap();
    assert_eq!(container.init, Some(false));
    assert_eq!(spec.mode.replicated.unwrap().replicas, None);
}

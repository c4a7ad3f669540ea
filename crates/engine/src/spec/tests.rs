//! The runtime's configuration, word for word.

use std::path::Path;

use engine_types::container::{Config, HostConfig};

use super::devices::Device;
use super::namespaces::Joined;
use super::user::User;
use super::{Facts, generate, merge_env};
use crate::record::Record;

fn facts<'a>(id: &'a str) -> Facts<'a> {
    Facts {
        id,
        rootfs: Path::new("/data/containers/c/rootfs"),
        data_dir: Path::new("/data/containers/c"),
        user: User::default(),
        netns: Some("/exec/netns/x".into()),
        joined: Joined::default(),
        devices: Vec::new(),
        links: Vec::new(),
        hostname: "box".to_owned(),
        cgroup_v2: false,
        cgroup_parent: "/pontoon",
        default_ulimits: &[],
        init: None,
    }
}

fn record(host_config: HostConfig) -> Record {
    Record {
        config: Config {
            cmd: Some(vec!["sh".to_owned()]),
            env: Some(vec!["A=1".to_owned()]),
            ..Config::default()
        },
        host_config: HostConfig {
            network_mode: "bridge".to_owned(),
            ipc_mode: "private".to_owned(),
            ..host_config
        },
        ..Record::default()
    }
}

#[test]
fn a_plain_container() {
    let mut spec = generate(&record(HostConfig::default()), &facts("c")).unwrap();
    // Its own tests look at the filter.
    assert!(spec["linux"]["seccomp"].take().is_object());
    insta::assert_snapshot!(serde_json::to_string_pretty(&spec).unwrap());
}

#[test]
fn a_privileged_one_of_the_host() {
    let record = record(HostConfig {
        privileged: true,
        pid_mode: "host".to_owned(),
        ipc_mode: "host".to_owned(),
        uts_mode: "host".to_owned(),
        ..HostConfig::default()
    });
    let mut record = record;
    record.host_config.ipc_mode = "host".to_owned();
    let facts = Facts {
        netns: None,
        devices: vec![Device {
            path: "/dev/kvm".to_owned(),
            block: false,
            major: 10,
            minor: 232,
            mode: 0o660,
            uid: 0,
            gid: 0,
            access: "rwm".to_owned(),
        }],
        ..facts("c")
    };
    let spec = generate(&record, &facts).unwrap();
    assert!(spec["linux"].get("seccomp").is_none());
    assert!(spec["linux"].get("maskedPaths").is_none());
    let namespaces: Vec<&str> = spec["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|namespace| namespace["type"].as_str().unwrap())
        .collect();
    assert_eq!(namespaces, ["mount"]);
    assert_eq!(spec["linux"]["resources"]["devices"][0]["allow"], true);
    assert_eq!(spec["linux"]["devices"][0]["path"], "/dev/kvm");
    assert!(spec.get("hostname").is_none());
}

#[test]
fn the_filter_gives_way_to_capabilities() {
    let names = |host: HostConfig| {
        let spec = generate(&record(host), &facts("c")).unwrap();
        spec["linux"]["seccomp"].to_string()
    };
    let plain = names(HostConfig::default());
    assert!(
        plain.contains("\"unshare\"")
            && plain.contains("\"kexec_load\"")
            && plain.contains("clone3")
    );
    let admin = names(HostConfig {
        cap_add: Some(vec!["SYS_ADMIN".to_owned()]),
        ..HostConfig::default()
    });
    assert!(
        !admin.contains("\"unshare\"")
            && admin.contains("\"kexec_load\"")
            && !admin.contains("clone3")
    );
    let off = names(HostConfig {
        security_opt: Some(vec!["seccomp=unconfined".to_owned()]),
        ..HostConfig::default()
    });
    assert_eq!(off, "null");
}

#[test]
fn variables_replace_and_go() {
    let mut env = vec!["A=1".to_owned(), "B=2".to_owned()];
    let more: Vec<String> = ["B=3", "A", "C=4", "D"].map(str::to_owned).into();
    merge_env(&mut env, &more);
    assert_eq!(env, ["B=3", "C=4"]);
}

//! A worker of a Docker swarm changes its engine, and changes it back: real daemons, one node id.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
mod mixed_common;

use std::path::Path;

use common::container::run;
use common::{Shell as _, eventually, init};
use lab::Host;
use mixed_common::Kind::Docker;
use mixed_common::{PATIENCE, agree, all_reach_all, hosts, runs, service};
use serde_json::Value;

/// The host's second engine keeps its things beside the first's.
fn roots(host: &Host) -> [String; 4] {
    let dir = |name: &str| host.dir().join(name).display().to_string();
    [
        "--data-root".into(),
        dir("p"),
        "--exec-root".into(),
        dir("px"),
    ]
}

/// `pontoon migrate`: whether it succeeded, what it printed, and what it complained of.
fn migrate(host: &Host, options: &str) -> (bool, Value, String) {
    let output = host.sh(&format!(
        "{} migrate --from {} {} --format json {options}",
        env!("CARGO_BIN_EXE_pontoon"),
        host.dir().join("data").display(),
        roots(host).join(" ")
    ));
    let plan = serde_json::from_str(&output.stdout);
    let plan = plan.unwrap_or_else(|e| panic!("{e}: {}{}", output.stdout, output.stderr));
    (output.status == 0, plan, output.stderr)
}

fn texts(plan: &Value, key: &str) -> String {
    let lines = plan[key].as_array().unwrap().iter();
    lines
        .map(|line| line.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every file of both engines' parts in the swarm, with its time.
fn written(host: &Host) -> String {
    host.ok(&format!(
        "cd {}; find data/swarm* p -type f -printf '%p %T@\n' 2>/dev/null | sort",
        host.dir().display()
    ))
}

fn node(manager: &Host, name: &str) -> String {
    manager.ok(&format!(
        "docker node ls -f name={name} --format '{{{{.ID}}}} {{{{.Status}}}}'"
    ))
}

fn availability(manager: &Host, word: &str) {
    manager.ok(&format!("docker node update --availability {word} h2"));
}

#[test]
fn a_docker_worker_becomes_a_pontoon_node_and_goes_back() {
    let (world, nodes) = hosts([Docker, Docker]);
    let [manager, host] = &nodes;
    init(manager);
    // As most people do it: Docker then finds its addresses anew at each start.
    let token = manager.ok("docker swarm join-token -q worker");
    host.ok(&format!(
        "docker swarm join --token {token} {}:2377",
        manager.addr
    ));
    manager.ok("docker network create -d overlay --attachable net");
    service(
        manager,
        "rr",
        "--network net --mode global --endpoint-mode dnsrr",
        "sleep 1d",
    );
    run(manager, "c1", "--network net");
    host.ok("docker volume create vol");
    run(host, "own", "");
    runs(manager, "rr", "2/2");
    let id = host.ok("docker info -f '{{.Swarm.NodeID}}'");
    let ready = format!("{id} Ready");

    // A look while dockerd runs.
    let before = written(host);
    let (fine, plan, _) = migrate(host, "");
    assert!(fine, "{plan}");
    assert_eq!(plan["Node"]["ID"], id.as_str());
    assert_eq!(plan["Node"]["AdvertiseAddr"], format!("{}:2377", host.addr));
    assert_eq!(plan["Node"]["DataPathAddr"], host.addr.to_string());
    assert_eq!(
        plan["Node"]["Managers"][0],
        format!("{}:2377", manager.addr)
    );
    let left = plan["Leaves"].as_array().unwrap().iter();
    let left: Vec<_> = left
        .map(|l| {
            format!(
                "{} {}",
                l["Kind"].as_str().unwrap(),
                l["Name"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        left,
        [
            "image busybox:latest",
            "volume vol",
            "container own",
            "network of this host only"
        ]
    );
    let first = texts(&plan, "First");
    for part in [
        "would be cut: rr.",
        "--availability drain",
        "would be cut: own;",
        "dockerd runs on",
    ] {
        assert!(first.contains(part), "{first}");
    }
    let (fine, _, error) = migrate(host, "--apply");
    assert!(!fine && error.contains("nothing was written"), "{error}");
    assert_eq!(written(host), before);
    // What can never be.
    let (fine, plan, _) = migrate(manager, "");
    assert!(
        !fine && texts(&plan, "Refused").contains("docker node demote"),
        "{plan}"
    );

    // What it said, in that order.
    availability(manager, "drain");
    host.ok("docker rm -f own");
    eventually(PATIENCE, String::new(), || host.ok("docker ps -q"));
    host.stop_daemon().unwrap();
    let (fine, plan, error) = migrate(host, "--apply");
    assert!(fine && plan["Done"] == true, "{plan} {error}");
    let (fine, again, _) = migrate(host, "--apply");
    assert!(
        !fine && texts(&again, "Refused").contains("was moved before"),
        "{again}"
    );
    let flags = roots(host);
    host.spawn_pontoon(
        Path::new(env!("CARGO_BIN_EXE_pontoon")),
        &flags.each_ref().map(String::as_str),
    )
    .unwrap();
    host.import_busybox().unwrap();
    availability(manager, "active");
    eventually(PATIENCE, ready.clone(), || node(manager, "h2"));
    let engine = "docker node inspect -f '{{.Description.Engine.EngineVersion}}' h2";
    assert!(manager.ok(engine).contains("pontoon"));
    assert_eq!(manager.ok("docker node ls -q").lines().count(), 2);
    runs(manager, "rr", "2/2");
    run(host, "c2", "--network net");
    all_reach_all(&nodes, "net", &["rr"]);
    agree(&nodes, "net");
    // Docker's copy of the certificate is worth nothing from now on.
    manager.ok("timeout 30 docker swarm ca --rotate --quiet");

    // And back.
    let (fine, plan, _) = migrate(host, "--undo");
    let first = texts(&plan, "First");
    assert!(
        !fine
            && first.contains("containers run under this engine")
            && first.contains("this engine runs on"),
        "{plan}"
    );
    availability(manager, "drain");
    host.ok("docker rm -f c2");
    eventually(PATIENCE, String::new(), || host.ok("docker ps -q"));
    host.stop_daemon().unwrap();
    let (fine, plan, _) = migrate(host, "--undo --dry-run");
    assert!(
        fine && plan["Done"] == false && plan["Node"]["ID"] == id.as_str(),
        "{plan}"
    );
    let (fine, plan, error) = migrate(host, "--undo");
    assert!(fine && plan["Done"] == true, "{plan} {error}");
    assert_eq!(host.ok("nft list tables | grep -c pontoon || true"), "0");
    assert_eq!(
        host.ok(&format!("ls {}", host.dir().join("px/netns").display())),
        ""
    );
    host.spawn_dockerd(&[]).unwrap();
    availability(manager, "active");
    eventually(PATIENCE, ready, || node(manager, "h2"));
    assert!(!manager.ok(engine).contains("pontoon"));
    runs(manager, "rr", "2/2");
    run(host, "c2", "--network net");
    all_reach_all(&nodes, "net", &["rr"]);
    agree(&nodes, "net");
    world.end();
}

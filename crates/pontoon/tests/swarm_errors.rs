//! Docker's words and exit codes for what cannot be done in a swarm: tables as in `errors.rs`, texts of SwarmKit.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::background::Background;
use common::container::run;
use common::refusal::{check, row, unframed};
use common::{Differences, Shell as _, World, eventually, footprint, init, join, until};

const NOT_PART: &str = "This node is not part of a swarm";
const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
const WORKER: &str = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";
const MEMBER: &str = "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.";
const ADVERTISE: &str = "advertise address must be a non-zero IP address or network interface (with optional port number)";

#[test]
fn hosts_that_are_not_in_a_swarm_and_workers() {
    let world = World::new(&[3]);
    let [h1, h2, h3] = world.hosts();
    init(&h1);
    join(&h2, &h1);
    let before = footprint(&h3);
    check(
        &h3,
        &[
            row("docker service ls", 1, NO_SWARM),
            row("docker node ls", 1, NO_SWARM),
            row("docker swarm join-token worker", 1, NO_SWARM),
            row("docker network create -d overlay x", 1, NO_SWARM),
            row("docker swarm leave", 1, NOT_PART),
            row("docker swarm leave --force", 1, NOT_PART),
            row("docker swarm init --advertise-addr 1.2.3.4.5", 1, ADVERTISE),
            row("docker swarm init --advertise-addr 0.0.0.0", 1, ADVERTISE),
            row("docker swarm init --advertise-addr nope0", 1, ADVERTISE),
            row(
                "docker swarm init --listen-addr nope",
                1,
                "listen address must be an IP address or network interface (with optional port number)",
            ),
            row(
                "docker swarm init --data-path-addr nope0",
                1,
                "data path address must be a non-zero IP address or network interface (without a port number)",
            ),
            row(
                "docker swarm init --data-path-port 80",
                1,
                "Datapath port number is not in valid range (1024-49151) : 80",
            ),
            row(
                "docker swarm join --token nope 198.18.1.11:2377",
                1,
                "invalid join token",
            ),
            row(
                "docker swarm join --token SWMTKN-1-short-short 198.18.1.11:2377",
                1,
                "invalid join token",
            ),
        ],
    );
    check(
        &h2,
        &[
            row("docker service ls", 1, WORKER),
            row("docker node ls", 1, WORKER),
            row("docker swarm join-token worker", 1, WORKER),
            row("docker swarm init", 1, MEMBER),
            row("docker swarm join --token nope 198.18.1.11:2377", 1, MEMBER),
            row("docker network create -d overlay x", 1, NO_SWARM).old(
                "Cannot create a multi-host network from a worker node. Please create the network from a manager node.",
            ),
        ],
    );
    assert_eq!(footprint(&h3), before);
    assert_eq!(
        h3.ok("docker info -f '{{.Swarm.LocalNodeState}}{{.Swarm.Error}}'"),
        "inactive"
    );
    world.end();
}

/// Each of these makes Docker try for ten seconds.
#[test]
fn joining_with_what_does_not_fit() {
    let world = World::new(&[5]);
    let hosts = world.all();
    let manager = &hosts[0];
    init(manager);
    let token = manager.ok("docker swarm join-token -q worker");
    let parts: Vec<&str> = token.split('-').collect();
    let (digest, secret) = (parts[2], parts[3]);
    let other = |text: &str| {
        let first = if text.starts_with('0') { "1" } else { "0" };
        format!("{first}{}", &text[1..])
    };
    let wrong_secret = format!("SWMTKN-1-{digest}-{}", other(secret));
    let wrong_digest = format!("SWMTKN-1-{}-{secret}", other(digest));
    let timeout = "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the \"docker info\" command to see the current swarm status of your node.";
    let cases = [
        (
            format!("--token {wrong_secret} {}:2377", manager.addr),
            "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster",
        ),
        (
            format!("--token {wrong_digest} {}:2377", manager.addr),
            "remote CA does not match fingerprint. Expected: ",
        ),
        (
            format!("--token {token} {}:2378", manager.addr),
            "connection refused",
        ),
        (format!("--token {token} 198.18.1.99:2377"), timeout),
    ];
    std::thread::scope(|scope| {
        for (host, (arguments, text)) in hosts[1..].iter().zip(&cases) {
            scope.spawn(move || {
                let before = footprint(host);
                let output = host.sh(&format!("docker swarm join {arguments}"));
                assert_eq!(output.status, 1, "{arguments}");
                assert!(
                    output.stderr.contains(text),
                    "{arguments}: {}",
                    output.stderr
                );
                if text.starts_with("Timeout") {
                    host.ok("docker swarm leave --force");
                }
                assert_eq!(
                    host.ok("docker info -f '{{.Swarm.LocalNodeState}}{{.Swarm.Error}}'"),
                    "inactive",
                    "{arguments}"
                );
                assert_eq!(footprint(host), before, "{arguments}");
                // Nothing stands in the way of the right one.
                join(host, manager);
            });
        }
    });
    assert_eq!(manager.ok("docker node ls -q | wc -l"), "5");
    world.end();
}

#[test]
fn on_a_manager() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let listener = Background::start(&h1, "busybox nc -l -p 2377");
    until(5, "the port is in use", || {
        h1.sh("grep -q :0949 /proc/net/tcp6 /proc/net/tcp").status == 0
    });
    check(
        &h1,
        &[row(
            "docker swarm init --advertise-addr 198.18.1.11",
            1,
            "manager stopped: failed to listen on remote API address: listen tcp 0.0.0.0:2377: bind: address already in use",
        )],
    );
    assert_eq!(
        h1.ok("docker info -f '{{.Swarm.LocalNodeState}}{{.Swarm.Error}}'"),
        "inactive"
    );
    drop(listener);
    init(&h1);
    h1.ok("docker network create -d overlay ov && docker network create -d overlay --attachable --subnet 10.99.7.0/24 att");
    h1.ok("docker service create --no-resolve-image --detach --name used --network ov busybox sleep 600");
    h1.ok("docker network create loc");
    run(&h1, "c1", "--network att");
    eventually(10, "1/1".to_string(), || {
        h1.ok("docker service ls --format '{{.Replicas}}'")
    });
    let before = footprint(&h1);
    let create = "docker service create --no-resolve-image --detach";
    let services = [
        (
            "--name used busybox",
            "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service used already exists",
        ),
        ("--network nope busybox", "network nope not found"),
        ("--network loc busybox", "network loc not found"),
        (
            "--network ingress busybox",
            "rpc error: code = InvalidArgument desc = Service cannot be explicitly attached to the ingress network \"ingress\"",
        ),
        (
            "--name 'a b' busybox",
            "rpc error: code = InvalidArgument desc = name must be valid as a DNS name component",
        ),
        (
            "--endpoint-mode dnsrr -p 80:80 busybox",
            "rpc error: code = InvalidArgument desc = EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
        ),
        (
            "-p 82:80 -p 82:81 busybox",
            "rpc error: code = InvalidArgument desc = EndpointSpec: duplicate published ports provided",
        ),
    ];
    let mut differences = Differences::default();
    for (arguments, text) in services {
        let output = h1.sh(&format!("{create} {arguments}"));
        differences.compare(
            arguments,
            &format!("1: {text}"),
            &format!("{}: {}", output.status, unframed(&output.stderr)),
        );
    }
    differences.assert_none();
    check(
        &h1,
        &[
            row("docker swarm init", 1, MEMBER),
            row("docker swarm leave", 1,
                "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message."),
            row("docker network create -d overlay ov", 1, "network with name ov already exists"),
            row("docker network create -d overlay --ingress ing", 1,
                "rpc error: code = AlreadyExists desc = ingress network (<id>) is already present"),
            row("docker network rm ov", 1,
                "rpc error: code = FailedPrecondition desc = network <id> is in use by service <id>"),
            row("docker network rm att", 1, "rpc error: code = FailedPrecondition desc = network <id> is in use by task <id>"),
            row("docker run --rm --network ov busybox true", 125,
                "failed to set up container networking: Could not attach to network ov: rpc error: code = PermissionDenied desc = network ov not manually attachable")
                .old("Could not attach to network ov: rpc error: code = PermissionDenied desc = network ov not manually attachable"),
            row("docker service inspect nope", 1, "Error: no such service: nope"),
            row("docker service ps nope", 1, "no such service: nope"),
            row("docker service rm nope", 1, "service nope not found"),
            row("docker service scale nope=3", 1, "nope: Error response from daemon: service nope not found"),
            row("docker service update --image busybox nope", 1, "service nope not found"),
            row("docker service logs nope", 1, "no such task or service: nope"),
            row("docker node inspect nope", 1, "node nope not found"),
            row("docker node rm nope", 1, "node nope not found"),
            row("docker node rm --force $(docker node ls -q)", 1,
                "rpc error: code = FailedPrecondition desc = node <id> is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal"),
            row("docker node demote $(docker node ls -q)", 1,
                "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm"),
            row("docker swarm unlock-key", 1, "no unlock key is set"),
            row("docker swarm unlock", 1, "Error: swarm is not locked"),
        ],
    );
    assert_eq!(footprint(&h1), before);
    world.end();
}

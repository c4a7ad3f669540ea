//! A unit file or a test harness written for dockerd: its name, its flags, its files, its signals.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::background::Background;
use common::container::{address, inspect, run};
use common::{Shell as _, World, is_docker, until};
use lab::Host;

/// The engine under the name `dockerd`.
fn dockerd(host: &Host) -> PathBuf {
    let bin = host.dir().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let link = bin.join("dockerd");
    let target = if is_docker() {
        "/usr/sbin/dockerd"
    } else {
        env!("CARGO_BIN_EXE_pontoon")
    };
    let _ = std::os::unix::fs::symlink(target, &link);
    link
}

/// Flags as a harness gives them, in their several spellings, and a parent for its containers.
fn line(host: &Host, more: &str) -> String {
    let dir = host.dir().display().to_string();
    // 20.10 has one way to drive cgroups here.
    let docker = if is_docker() {
        "--exec-opt native.cgroupdriver=cgroupfs"
    } else {
        ""
    };
    format!(
        "{} --data-root {dir}/data --exec-root={dir}/exec -p {dir}/daemon.pid -H unix://{dir}/docker.sock \
         --cgroup-parent {} {docker} {more}",
        dockerd(host).display(),
        host.cgroup()
    )
}

fn start(host: &Host, more: &str) -> Background {
    let mut daemon = Background::start(host, &line(host, more));
    until(20, "the daemon answers", || {
        assert_eq!(daemon.status(), None, "{}", daemon.output());
        host.sh("docker version").status == 0
    });
    daemon
}

fn terminate(host: &Host) {
    let pid = std::fs::read_to_string(host.dir().join("daemon.pid")).unwrap();
    assert!(
        Command::new("kill")
            .args(["-TERM", pid.trim()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn flags_have_their_effect() {
    let world = World::bare(&[1]);
    let [h1] = world.hosts();
    // A containerd of its own is 20.10's need, and a foreign one would have to run.
    let containerd = "--containerd=/run/nowhere.sock --containerd-namespace ns --containerd-plugins-namespace plugins-ns";
    let containerd = if is_docker() { "" } else { containerd };
    let daemon = start(
        &h1,
        &format!(
            "--debug --log-level=debug --bip 10.200.0.1/24 --mtu=1400 --default-address-pool base=10.210.0.0/16,size=24 \
             --swarm-default-advertise-addr eth0 --userland-proxy=false --iptables --ip6tables=false {containerd} \
             --storage-driver overlay2 --dns 192.0.2.53 --label tier=test -H tcp://127.0.0.1:2375"
        ),
    );
    h1.import_busybox().unwrap();
    run(&h1, "c1", "");
    assert_eq!(address(&h1, "c1", "bridge"), "10.200.0.2");
    assert_eq!(h1.ok("docker exec c1 cat /sys/class/net/eth0/mtu"), "1400");
    assert_eq!(
        h1.ok("docker exec c1 grep ^nameserver /etc/resolv.conf"),
        "nameserver 192.0.2.53"
    );
    h1.ok("docker network create net");
    assert_eq!(
        h1.ok("docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' net"),
        "10.210.0.0/24"
    );
    assert_eq!(
        h1.ok("docker info -f '{{.Labels}} {{.Debug}}'"),
        "[tier=test] true"
    );
    assert_eq!(
        h1.ok("DOCKER_HOST=tcp://127.0.0.1:2375 docker ps --format '{{.Names}}'"),
        "c1"
    );
    let pid = inspect(&h1, "c1", "{{.State.Pid}}");
    assert!(
        h1.ok(&format!("cat /proc/{pid}/cgroup"))
            .contains(&format!("{}/", h1.cgroup()))
    );
    h1.ok("docker swarm init");
    assert_eq!(
        h1.ok("docker info -f '{{.Swarm.NodeAddr}}'"),
        h1.addr.to_string()
    );
    if !is_docker() {
        let output = daemon.output();
        for ignored in ["--containerd", "--containerd-namespace", "--storage-driver"] {
            let warnings = output
                .lines()
                .filter(|line| line.contains("WARN") && line.contains(&format!("{ignored} ")));
            assert_eq!(warnings.count(), 1, "{ignored}");
        }
    }
    world.end();
}

#[test]
fn what_it_does_not_understand_stops_it() {
    let world = World::bare(&[1]);
    let [h1] = world.hosts();
    let file = h1.dir().join("daemon.json");
    for (config, flags, text) in [
        ("{}", "--no-such-flag", "--no-such-flag"),
        ("{}", "--log-level loud", "loud"),
        ("{}", "--label nonsense", "nonsense"),
        (
            r#"{"debug": true}"#,
            "--debug",
            "the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: true)",
        ),
        (
            r#"{"no-such-key": 1}"#,
            "",
            "the following directives don't match any configuration option: no-such-key",
        ),
        ("{", "", "unable to configure the Docker daemon with file"),
        ("{}", "--config-file /no/such/file", "/no/such/file"),
    ] {
        std::fs::write(&file, config).unwrap();
        let config_file = if flags.contains("--config-file") {
            String::new()
        } else {
            format!("--config-file {}", file.display())
        };
        let output = h1.sh(&line(&h1, &format!("{config_file} {flags}")));
        assert!(
            ![0, 137].contains(&output.status),
            "{config} {flags}: {output:?}"
        );
        assert!(
            output.stderr.contains(text),
            "{config} {flags}: {}",
            output.stderr
        );
        assert!(!h1.dir().join("docker.sock").exists());
    }
    world.end();
}

#[test]
fn daemon_json_counts_as_flags() {
    let world = World::bare(&[1]);
    let [h1] = world.hosts();
    let file = h1.dir().join("etc.json");
    let config = r#"{"bip": "10.201.0.1/24", "mtu": 1300, "labels": ["a=b", "c=d"], "debug": true, "dns": ["192.0.2.7"],
                     "default-address-pools": [{"base": "10.211.0.0/16", "size": 26}], "storage-driver": "overlay2",
                     "userland-proxy": false, "live-restore": true, "swarm-default-advertise-addr": "eth0"}"#;
    std::fs::write(&file, config).unwrap();
    let _daemon = start(&h1, &format!("--config-file {}", file.display()));
    h1.import_busybox().unwrap();
    run(&h1, "c1", "");
    assert_eq!(address(&h1, "c1", "bridge"), "10.201.0.2");
    assert_eq!(h1.ok("docker exec c1 cat /sys/class/net/eth0/mtu"), "1300");
    assert_eq!(
        h1.ok("docker exec c1 grep ^nameserver /etc/resolv.conf"),
        "nameserver 192.0.2.7"
    );
    assert_eq!(
        h1.ok("docker info -f '{{.Labels}} {{.Debug}}'"),
        "[a=b c=d] true"
    );
    h1.ok("docker network create net");
    assert_eq!(
        h1.ok("docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' net"),
        "10.211.0.0/26"
    );
    world.end();
}

#[test]
fn sigterm_is_a_clean_stop() {
    let world = World::bare(&[1]);
    let [h1] = world.hosts();
    let mut daemon = start(&h1, "--live-restore");
    h1.import_busybox().unwrap();
    h1.ok("docker network create net");
    run(&h1, "c1", "--network net");
    let started = inspect(&h1, "c1", "{{.State.Pid}} {{.State.StartedAt}}");
    let pid = started.split(' ').next().unwrap();
    // One daemon at a time.
    let second = h1.sh(&line(&h1, "--live-restore"));
    assert!(![0, 137].contains(&second.status), "{second:?}");
    assert!(second.stderr.contains("daemon.pid"), "{}", second.stderr);
    // A client that waits does not hold it up.
    let mut events = Background::start(&h1, "docker events");
    let mut logs = Background::start(&h1, "docker logs -f c1");
    terminate(&h1);
    until(10, "it ends well", || daemon.status() == Some(0));
    until(5, "clients are told", || {
        events.status().is_some() && logs.status().is_some()
    });
    for file in ["docker.sock", "daemon.pid"] {
        assert!(!h1.dir().join(file).exists(), "{file}");
    }
    assert_eq!(
        h1.sh(&format!("kill -0 {pid}")).status,
        0,
        "containers go on"
    );
    let mut daemon = start(&h1, "--live-restore");
    assert_eq!(
        inspect(&h1, "c1", "{{.State.Pid}} {{.State.StartedAt}}"),
        started
    );
    h1.ok("docker exec c1 true && docker rm -f c1");
    terminate(&h1);
    until(10, "it ends well", || daemon.status() == Some(0));
    world.end();
}

#[test]
fn it_tells_its_version_and_checks_a_configuration() {
    let world = World::bare(&[1]);
    let [h1] = world.hosts();
    let dockerd = dockerd(&h1).display().to_string();
    for flag in ["-v", "--version"] {
        let version = h1.ok(&format!("{dockerd} {flag}"));
        assert!(
            version.starts_with("Docker version ") && version.contains(", build "),
            "{version}"
        );
        assert_eq!(version.lines().count(), 1);
    }
    assert!(h1.ok(&format!("{dockerd} --help")).contains("--data-root"));
    // Only since 23.
    if !is_docker() {
        assert_eq!(h1.ok(&line(&h1, "--validate")), "configuration OK");
        assert_ne!(h1.sh(&line(&h1, "--validate --log-level loud")).status, 0);
        assert!(!h1.dir().join("data").exists());
    }
    world.end();
}

//! What hosts and kernels have or lack: each test knows both ways, and `make vm` shows the one that this machine cannot.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::container::{inspect, pings, run};
use common::{Shell as _, World, eventually, footprint, is_docker, until};
use lab::Host;

/// One cgroup hierarchy, of version 2.
fn unified() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

#[test]
fn containers_under_crun() {
    // Docker would have to be told of the runtime.
    if is_docker() {
        return;
    }
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let before = footprint(&h1);
    if unified() {
        life(&h1, "crun");
    } else {
        // crun takes no mixture of versions 1 and 2: its words reach the user.
        let refused = h1.sh("docker run -d --name c1 --runtime crun busybox sleep 60");
        assert_eq!(refused.status, 125, "{}", refused.stderr);
        assert!(refused.stderr.contains("cgroup"), "{}", refused.stderr);
        h1.ok("docker rm c1");
    }
    assert_eq!(footprint(&h1), before);
    world.end();
}

#[test]
fn limits_are_where_the_hosts_cgroups_are() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let version = if unified() { "2" } else { "1" };
    assert_eq!(h1.ok("docker info -f '{{.CgroupVersion}}'"), version);
    life(&h1, "runc");
    world.end();
}

/// All that a runtime does for a container.
fn life(host: &Host, runtime: &str) {
    let id = run(
        host,
        "c1",
        &format!("--runtime {runtime} -m 64m --cpus 0.5 --pids-limit 50"),
    );
    let limit = |controller: &str, v1: &str, v2: &str| {
        let (root, file) = match unified() {
            true => ("/sys/fs/cgroup".to_string(), v2),
            false => (format!("/sys/fs/cgroup/{controller}"), v1),
        };
        host.ok(&format!("cat {root}{}/{id}/{file}", host.cgroup()))
    };
    let memory = || limit("memory", "memory.limit_in_bytes", "memory.max");
    assert_eq!(memory(), (64 << 20).to_string());
    assert_eq!(limit("pids", "pids.max", "pids.max"), "50");
    let quota = limit("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota.split(' ').next(), Some("50000"), "{quota}");
    host.ok("docker update -m 96m --memory-swap 96m c1");
    assert_eq!(memory(), (96 << 20).to_string());

    assert_eq!(host.ok("docker exec c1 sh -c 'echo $((6 * 7))'"), "42");
    host.ok("docker pause c1");
    assert_eq!(inspect(host, "c1", "{{.State.Status}}"), "paused");
    host.ok("docker unpause c1");
    assert!(host.ok("docker top c1").contains("sleep 3600"));
    // A container outlives its daemon and is found again.
    let started = inspect(host, "c1", "{{.State.StartedAt}}");
    if !is_docker() {
        host.kill_daemon().unwrap();
        host.restart_daemon().unwrap();
    }
    assert_eq!(inspect(host, "c1", "{{.State.StartedAt}}"), started);
    assert!(pings(host, "c1", &host.addr.to_string()));
    host.ok("docker stop c1");
    assert_eq!(inspect(host, "c1", "{{.State.ExitCode}}"), "137");
    // Too much memory ends it, and that is said.
    host.ok(&format!(
        "docker run -d --name greedy --runtime {runtime} -m 16m --memory-swap 16m busybox sh -c 'tail -c 64m /dev/zero'"
    ));
    eventually(20, "exited true".to_string(), || {
        inspect(host, "greedy", "{{.State.Status}} {{.State.OOMKilled}}")
    });
    host.ok("docker rm -f c1 greedy");
    let group = format!("{}/{id}", host.cgroup());
    assert_eq!(
        host.ok(&format!("find /sys/fs/cgroup -path '*{group}'")),
        ""
    );
}

#[test]
fn overlays_need_vxlan() {
    let world = World::swarm(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker network create -d overlay --attachable att");
    let before = footprint(&h1);
    let has = !h1
        .sh("ip link add probe type vxlan")
        .stderr
        .contains("Unknown device type");
    let attach = h1.sh("docker run -d --name c1 --stop-timeout 0 --network att busybox sleep 3600");
    assert_eq!(attach.status == 0, has, "{}", attach.stderr);
    if !has {
        let reason =
            "this kernel has no vxlan devices: load the module vxlan or use a kernel built with it";
        assert!(attach.stderr.contains(reason), "{}", attach.stderr);
        // A task says so as well, and is not tried for ever.
        h1.ok("docker service create -d --name s --network att --restart-condition none busybox sleep 3600");
        until(20, "the task's reason", || {
            h1.ok("docker service ps --no-trunc --format '{{.CurrentState}} {{.Error}}' s")
                .contains(reason)
        });
        h1.ok("docker service rm s");
        // Other networks are as good as ever.
        run(&h1, "c2", "");
        assert!(pings(&h1, "c2", &h1.addr.to_string()));
        h1.ok("docker rm -f c2");
    }
    h1.ok("docker rm -f c1");
    until(10, "nothing is left", || footprint(&h1) == before);
    // The mesh needs it too.
    world.end_but(|error| !has && error.contains("this kernel has no vxlan devices"));
}

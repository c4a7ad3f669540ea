//! Swarms and their services.

use std::collections::BTreeSet;

use lab::Host;

use super::Shell as _;

pub fn init(manager: &Host) {
    manager.ok(&format!(
        "docker swarm init --advertise-addr={0} --listen-addr={0}:2377",
        manager.addr
    ));
}

pub fn join(worker: &Host, manager: &Host) {
    let token = manager.ok("docker swarm join-token -q worker");
    worker.ok(&format!(
        "docker swarm join --advertise-addr={0} --listen-addr={0}:2377 --token {token} {1}:2377",
        worker.addr, manager.addr
    ));
}

pub const CREATE: &str = "docker service create --no-resolve-image --detach --stop-grace-period 0s";

pub fn node_id(host: &Host) -> String {
    host.ok("docker info -f '{{.Swarm.NodeID}}'")
}

/// Replicas as `docker service ls` shows them.
pub fn replicas(manager: &Host, service: &str) -> String {
    manager.ok(&format!(
        "docker service ls -f name={service} --format '{{{{.Replicas}}}}'"
    ))
}

/// Nothing as long as the managers have not begun.
pub fn update_state(manager: &Host, service: &str) -> String {
    let state = "{{with .UpdateStatus}}{{.State}}{{end}}";
    manager.ok(&format!("docker service inspect -f '{state}' {service}"))
}

pub fn networks(host: &Host) -> BTreeSet<String> {
    host.ok("docker network ls --format '{{.Name}}'")
        .lines()
        .map(str::to_string)
        .collect()
}

/// The first container of a service on a host.
pub fn task_on(host: &Host, service: &str) -> String {
    let label = format!("label=com.docker.swarm.service.name={service}");
    let ids = host.ok(&format!("docker ps -q -f status=running -f {label}"));
    ids.lines()
        .next()
        .unwrap_or_else(|| panic!("no task of {service} on {}", host.name))
        .to_string()
}

/// The namespace on a host of its one overlay network that is not the mesh's: where a VXLAN device is.
pub fn overlay_namespace(host: &Host) -> String {
    let ingress = host.ok("docker network inspect -f '{{printf \"%.9s\" .Id}}' ingress");
    let dir = host.dir().join("exec/netns").display().to_string();
    let found = host.ok(&format!(
        "for ns in {dir}/*; do case $ns in *{ingress}*) continue ;; esac; \
         nsenter --net=$ns ip -o link show type vxlan | grep -q . && echo $ns; done; true"
    ));
    assert_eq!(found.lines().count(), 1, "{found}");
    found
}

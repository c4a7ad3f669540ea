//! Questions to a container.

use std::collections::BTreeSet;

use lab::Host;

use super::Shell as _;

/// `docker run -d` of one that sleeps; returns its id.
pub fn run(host: &Host, name: &str, options: &str) -> String {
    host.ok(&format!(
        "docker run -d --name {name} --stop-timeout 0 {options} busybox sleep 3600"
    ))
}

/// `docker inspect` through a template.
pub fn inspect(host: &Host, container: &str, template: &str) -> String {
    host.ok(&format!("docker inspect -f '{template}' {container}"))
}

pub fn pid(host: &Host, container: &str) -> String {
    inspect(host, container, "{{.State.Pid}}")
}

pub fn address(host: &Host, container: &str, network: &str) -> String {
    let template = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    let address = inspect(host, container, &template);
    assert!(
        address.parse::<std::net::Ipv4Addr>().is_ok(),
        "{container} has address {address:?} on {network}"
    );
    address
}

pub fn address_v6(host: &Host, container: &str, network: &str) -> String {
    let template =
        format!("{{{{(index .NetworkSettings.Networks \"{network}\").GlobalIPv6Address}}}}");
    let address = inspect(host, container, &template);
    assert!(
        address.parse::<std::net::Ipv6Addr>().is_ok(),
        "{container} has address {address:?} on {network}"
    );
    address
}

/// Whether one echo of that size comes back within a second.
pub fn pings_with(host: &Host, container: &str, target: &str, size: u16) -> bool {
    host.sh(&format!(
        "docker exec {container} ping -c1 -W1 -s{size} {target}"
    ))
    .status
        == 0
}

/// The same by IPv6, of a name too.
pub fn answers_v6(host: &Host, container: &str, target: &str, size: u16) -> bool {
    let ping = format!("docker exec {container} ping -6 -c1 -W1 -s{size} {target}");
    host.sh(&ping).status == 0
}

pub fn pings(host: &Host, container: &str, target: &str) -> bool {
    pings_with(host, container, target, 56)
}

/// What the name means inside the container.
pub fn resolve(host: &Host, container: &str, name: &str) -> BTreeSet<String> {
    look_up(host, container, "a", name)
}

pub fn resolve_v6(host: &Host, container: &str, name: &str) -> BTreeSet<String> {
    look_up(host, container, "aaaa", name)
}

fn look_up(host: &Host, container: &str, kind: &str, name: &str) -> BTreeSet<String> {
    // A name that the resolver does not know goes on to a server that no lab can reach.
    let line = format!("docker exec {container} timeout 2 nslookup -type={kind} {name}");
    let output = host.sh(&line).stdout;
    // Server and its address first, then, after an empty line, `Name:` and `Address:` of each answer.
    let answers = output.split_once("\n\n").map_or("", |(_, answers)| answers);
    let addresses = answers
        .lines()
        .filter_map(|line| line.strip_prefix("Address:"));
    addresses
        .map(|address| address.trim().to_string())
        .collect()
}

/// Whether one echo comes back at once, without a part of the daemon in it.
pub fn answers(host: &Host, pid: &str, address: &str) -> bool {
    host.sh(&format!("nsenter -t {pid} -n ping -q -c1 -W 0.2 {address}"))
        .status
        == 0
}

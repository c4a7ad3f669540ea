//! The wires: switch, segments, router, and the faults in between.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::netns;
use crate::run::{self, in_namespace};
use crate::state::State;

const SWITCH: &str = "switch";
const ROUTER: &str = "router";

pub(crate) fn build(state: &State) -> Result<()> {
    let path = |name: &str| netns(&state.name, name);
    let stations: Vec<(&str, u8)> = state.stations().collect();
    let names = stations.iter().map(|(name, _)| *name);
    for name in names.chain([SWITCH, ROUTER]) {
        make_namespace(&path(name))?;
    }
    let mut switch = String::from("link set lo up\n");
    let mut router = String::from("link set lo up\n");
    for segment in state.segments() {
        // No port waits for a spanning tree.
        writeln!(
            switch,
            "link add seg{segment} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        )?;
        writeln!(switch, "link set seg{segment} up")?;
        let end = format!("eth{segment}");
        plug(
            &mut switch,
            &format!("r{segment}"),
            segment,
            &end,
            &path(ROUTER),
        )?;
        writeln!(router, "addr add 198.18.{segment}.1/24 dev {end}")?;
        writeln!(router, "link set {end} up")?;
    }
    for (name, segment) in &stations {
        plug(&mut switch, name, *segment, "eth0", &path(name))?;
    }
    ip(&path(SWITCH), &switch)?;
    ip(&path(ROUTER), &router)?;
    set_sysctl(&path(ROUTER), "net/ipv4/ip_forward", "1")?;
    for (name, segment) in &stations {
        let script = format!(
            "link set lo up\naddr add {}/24 dev eth0\nlink set eth0 up\nroute add default via 198.18.{segment}.1\n",
            state.address(name)?
        );
        ip(&path(name), &script)?;
    }
    Ok(())
}

/// The switch's rules for the state's cuts and losses, put in place in one transaction.
pub(crate) fn apply_faults(state: &State) -> Result<()> {
    let rules = faults(state)?;
    in_namespace(&netns(&state.name, SWITCH), &["nft", "-f", "-"], &rules)
        .context("cannot program the lab's switch")
}

pub(crate) fn apply_router_mtu(state: &State) -> Result<()> {
    let mtu = state.router_mtu;
    let mtu = mtu.map_or_else(String::new, |mtu| format!("mtu {mtu}"));
    let mut routes = String::new();
    for segment in state.segments() {
        writeln!(
            routes,
            "route replace 198.18.{segment}.0/24 dev eth{segment} proto kernel scope link src 198.18.{segment}.1 {mtu}"
        )?;
    }
    ip(&netns(&state.name, ROUTER), &routes)
}

fn faults(state: &State) -> Result<String> {
    let mut cut = String::new();
    for (from, _) in state.stations() {
        for (to, _) in state.stations() {
            let apart =
                |cut: &std::collections::BTreeSet<String>| cut.contains(from) != cut.contains(to);
            if state.cuts.iter().any(apart) {
                let (from, to) = (state.address(from)?, state.address(to)?);
                write!(cut, "{from} . {to}, ")?;
            }
        }
    }
    let elements = match cut.is_empty() {
        true => String::new(),
        false => format!("elements = {{ {cut} }}"),
    };
    let mut loss = String::new();
    for (host, percent) in state.loss.iter().filter(|(_, percent)| **percent > 0) {
        for side in ["iifname", "oifname"] {
            writeln!(
                loss,
                "{side} {host} numgen random mod 100 <= {} drop",
                percent - 1
            )?;
        }
    }
    // What is longer than the wire carries is a bundle of packets that the kernel has not cut yet.
    for (host, most) in &state.swallowed {
        for side in ["iifname", "oifname"] {
            writeln!(
                loss,
                "{side} {host} ip protocol {{ udp, icmp }} ip length {}-1500 drop",
                most + 1
            )?;
        }
    }
    Ok(format!(
        "table bridge lab
         delete table bridge lab
         table bridge lab {{
           set cut {{ type ipv4_addr . ipv4_addr; {elements} }}
           chain forward {{
             type filter hook forward priority 0; policy accept;
             ip saddr . ip daddr @cut drop
             arp saddr ip . arp daddr ip @cut drop
             {loss}
           }}
         }}"
    ))
}

/// A port of the segment's bridge whose other end is `end` in the namespace at `peer`.
fn plug(script: &mut String, port: &str, segment: u8, end: &str, peer: &Path) -> Result<()> {
    let peer = peer.display();
    writeln!(
        script,
        "link add {port} type veth peer name {end} netns {peer}"
    )?;
    writeln!(script, "link set {port} master seg{segment} up")?;
    Ok(())
}

fn make_namespace(path: &Path) -> Result<()> {
    std::fs::write(path, "")?;
    run::program(&["unshare", &format!("--net={}", path.display()), "true"])
        .context("cannot make a network namespace")
}

fn ip(netns: &Path, script: &str) -> Result<()> {
    in_namespace(netns, &["ip", "-batch", "-"], script).context("cannot lay the lab's wires")
}

/// `/proc/sys/net` shows the namespace of the process that looks.
fn set_sysctl(netns: &Path, key: &str, value: &str) -> Result<()> {
    in_namespace(netns, &["tee", &format!("/proc/sys/{key}")], value)
}

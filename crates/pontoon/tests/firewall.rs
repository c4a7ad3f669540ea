//! The host's own rules and ours.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::container::{address, run};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

fn web(host: &Host, options: &str) {
    run(host, "web", options);
    let line = "docker exec -d web nc -ll -p 80 -e sh -c 'echo web; netstat -tn | grep -o \"198[.]18[0-9.]*\" | tail -1'";
    host.ok(line);
}

fn reaches(from: &Host, at: &str) -> bool {
    // While the rules are gone it is a socket that nobody accepts from: bounded in time.
    from.sh(&format!("timeout 2 busybox nc -w1 {at} </dev/null"))
        .stdout
        .starts_with("web")
}

fn load(host: &Host, rules: &str) {
    let path = host.dir().join("rules.nft");
    std::fs::write(&path, rules).unwrap();
    host.ok(&format!("nft -f {}", path.display()));
}

/// What a careful administrator has: nothing comes in but what is named.
fn default_deny(allowed: &str) -> String {
    format!(
        "table inet admin
delete table inet admin
table inet admin {{
  chain input {{
    type filter hook input priority filter; policy drop;
    iifname \"lo\" accept
    ct state established,related accept
    icmp type echo-request accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }} accept
    {allowed}
  }}
}}
"
    )
}

#[test]
fn the_hosts_input_rules_decide_over_published_ports() {
    if is_docker() {
        return;
    }
    let world = World::with_flags(&[2], &["--firewall-policy=host"]);
    let [h1, h2] = world.hosts();
    for (host, address) in [(&h1, "fd99::1/64"), (&h2, "fd99::2/64")] {
        host.ok(&format!("ip -6 addr add {address} dev eth0 nodad"));
    }
    h1.ok("docker network create --ipv6 --subnet fd66::/64 net");
    web(&h1, "--network net -p 8080:80 -p 9000-9999:9000-9999");
    run(&h1, "other", "");
    let port = format!("{} 8080", h1.addr);
    // Without rules of the host's it is open.
    eventually(3, true, || reaches(&h2, &port));
    eventually(3, true, || reaches(&h2, "fd99::1 8080"));
    load(&h1, &default_deny(""));
    assert!(!reaches(&h2, &port) && !reaches(&h2, "fd99::1 8080"));
    // The host's own connections pass no input rule.
    assert!(reaches(&h1, &port) && reaches(&h1, "127.0.0.1 8080"));
    load(
        &h1,
        &default_deny(&format!("ip saddr {} tcp dport 8080 accept", h2.addr)),
    );
    assert!(reaches(&h2, &port) && !reaches(&h2, "fd99::1 8080"));
    assert!(!reaches(&world.outside(), &port), "only who is named");
    load(&h1, &default_deny("tcp dport { 8080, 9000-9999 } accept"));
    assert!(reaches(&h2, &port) && reaches(&h2, "fd99::1 8080"));
    // The server sees who asks, and no packet but the first takes the detour.
    let seen = h2.sh(&format!("busybox nc -w1 {port} </dev/null")).stdout;
    assert!(seen.contains(&h2.addr.to_string()), "{seen}");
    h1.ok("docker exec -d web nc -ll -p 9500 -e echo web");
    eventually(3, true, || reaches(&h2, &format!("{} 9500", h1.addr)));
    // UDP loses no packet either.
    h1.ok("docker rm -f web");
    run(&h1, "web", "--network net -p 5300:53/udp");
    load(&h1, &default_deny("udp dport 5300 accept"));
    let arrived =
        || h1.ok("docker exec web sh -c 'grep Udp: /proc/net/snmp' | tail -1 | cut -d' ' -f3");
    h2.ok(&format!("bash -c 'echo hi > /dev/udp/{}/5300'", h1.addr));
    eventually(2, "1".to_string(), arrived);
    // What containers ask of their host's ports is input as well.
    h1.ok("docker run -d --name web2 -p 8181:80 busybox nc -ll -p 80 -e echo web");
    let other = || {
        h1.sh(&format!(
            "docker exec other nc -w1 {} 8181 </dev/null",
            h1.addr
        ))
        .stdout
    };
    assert_eq!(other(), "");
    load(&h1, &default_deny("tcp dport 8181 accept"));
    eventually(3, "web\n".to_string(), other);
    world.end();
}

#[test]
fn an_administrators_rules_see_containers_packets_first() {
    if is_docker() {
        return;
    }
    let world = World::with_flags(&[2], &["--bridge-accept-fwmark=0x77/0xff"]);
    let [h1, h2] = world.hosts();
    web(&h1, "-p 8080:80");
    let port = format!("{} 8080", h1.addr);
    eventually(3, true, || reaches(&h2, &port));
    // As README.md shows it: the port is the one that was asked for, not the container's.
    let rules = |body: &str| {
        format!(
            "table inet containers
delete table inet containers
table inet containers {{
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    {body}
  }}
}}
"
        )
    };
    load(
        &h1,
        &rules(&format!(
            "ip saddr {} meta l4proto tcp ct original proto-dst 8080 drop",
            h2.addr
        )),
    );
    assert!(!reaches(&h2, &port) && reaches(&world.outside(), &port));
    // What goes out, too.
    let ping = || {
        h1.sh(&format!("docker exec web ping -c1 -W1 {}", h2.addr))
            .status
    };
    assert_eq!(ping(), 0);
    load(
        &h1,
        &rules(&format!("iifname \"docker0\" ip daddr {} drop", h2.addr)),
    );
    assert_ne!(ping(), 0);
    // A mark lets in what would not come in.
    let inside = address(&h1, "web", "bridge");
    h2.ok(&format!("ip route add {inside}/32 via {}", h1.addr));
    let direct = format!("{inside} 80");
    load(&h1, &rules(""));
    assert!(!reaches(&h2, &direct));
    load(
        &h1,
        &rules(&format!("ip saddr {} meta mark set 0x77", h2.addr)),
    );
    assert!(reaches(&h2, &direct));
    // Whoever flushes everything takes his own rules, and ours for a moment.
    h1.ok("nft flush ruleset");
    until(5, "the published port is back", || reaches(&h2, &port));
    until(5, "what is not published is closed again", || {
        !reaches(&h2, &direct)
    });
    world.end();
}

#[test]
fn published_ports_are_reached_directly_where_the_daemon_allows_it() {
    if is_docker() {
        return;
    }
    let world = World::with_flags(&[2], &["--allow-direct-routing"]);
    let [h1, h2] = world.hosts();
    web(&h1, "-p 8080:80");
    h1.ok("docker exec -d web nc -ll -p 81 -e echo web");
    let inside = address(&h1, "web", "bridge");
    h2.ok(&format!("ip route add {inside}/32 via {}", h1.addr));
    eventually(3, true, || reaches(&h2, &format!("{inside} 80")));
    assert!(!reaches(&h2, &format!("{inside} 81")));
    world.end();
}

//! What a container's resolver says of the world, with real servers in the lab; its `resolv.conf` and `hosts`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::Instant;

use common::container::{address, pid, run};
use common::upstream::{Upstream, dig, milliseconds, outcome, reaches, short};
use common::{Differences, Shell as _, World, is_docker, start, until};
use lab::Host;

/// One host whose daemon starts with this `/etc/resolv.conf`.
fn world_with(resolv_conf: impl FnOnce(&World, &Host) -> String, flags: &[&str]) -> (World, Host) {
    let world = World::bare(&[1]);
    let [h1] = world.hosts();
    std::fs::write(h1.resolv_conf(), resolv_conf(&world, &h1)).unwrap();
    start(&h1, flags);
    h1.import_busybox().unwrap();
    (world, h1)
}

fn of_outside(world: &World, _: &Host) -> String {
    format!("nameserver {}\nsearch lab.test\n", world.outside().addr)
}

#[test]
fn the_world_is_asked_once_and_remembered() {
    let (world, h1) = world_with(of_outside, &[]);
    let upstream = Upstream::of_the_world(&world.outside());
    h1.ok("docker network create net");
    run(&h1, "c1", "--network net");
    run(&h1, "c2", "--network net");
    let (p1, p2) = (pid(&h1, "c1"), pid(&h1, "c2"));
    reaches(&h1, &p1);
    let before = upstream.asked("www.world.test");
    for args in [
        "www.world.test",
        "WWW.World.Test",
        "+tcp www.world.test",
        "+noedns www.world.test",
    ] {
        assert_eq!(short(&h1, &p1, args), "192.0.2.80", "{args}");
        assert_eq!(short(&h1, &p2, args), "192.0.2.80", "{args}");
    }
    assert_eq!(short(&h1, &p1, "www.world.test AAAA"), "2001:db8::80");
    assert_eq!(outcome(&h1, &p1, "nobody.world.test"), "NXDOMAIN 0");
    assert_eq!(outcome(&h1, &p1, "www.world.test MX"), "NOERROR 0");
    // More than a datagram holds: cut, asked again over TCP.
    let cut = dig(&h1, &p1, "+ignore big.world.test TXT");
    assert!(cut.contains(" tc "), "{cut}");
    assert_eq!(outcome(&h1, &p1, "big.world.test TXT"), "NOERROR 1");
    if !is_docker() {
        // One answer serves both containers, however they spell it; without EDNS it is another question.
        assert_eq!((before, upstream.asked("www.world.test") - before), (1, 3));
        let ttl = |said: &str| {
            let answer = said.lines().find(|l| l.starts_with("www.world.test."));
            answer
                .unwrap()
                .split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u32>()
                .unwrap()
        };
        until(5, "the answer ages", || {
            ttl(&dig(&h1, &p2, "www.world.test")) < 60
        });
        for _ in 0..3 {
            assert_eq!(outcome(&h1, &p2, "nobody.world.test"), "NXDOMAIN 0");
            assert_eq!(outcome(&h1, &p2, "+tcp big.world.test TXT"), "NOERROR 1");
        }
        assert_eq!(upstream.asked("nobody.world.test"), 1);
        assert_eq!(upstream.asked("big.world.test"), 3);
    }
    // Names of ours never leave the host, whatever is asked of them.
    let a2 = address(&h1, "c2", "net");
    assert_eq!(short(&h1, &p1, "c2"), a2);
    assert_eq!(short(&h1, &p1, &format!("-x {a2}")), "c2.net.");
    for kind in ["AAAA", "MX"] {
        assert_eq!(
            outcome(&h1, &p1, &format!("c2 {kind}")),
            "NOERROR 0",
            "{kind}"
        );
    }
    if !is_docker() {
        for args in ["c2 TXT", "_http._tcp.c2 SRV", "+tcp c2 HTTPS"] {
            assert_eq!(outcome(&h1, &p1, args), "NOERROR 0", "{args}");
        }
    }
    assert_eq!(upstream.asked("c2") + upstream.asked("c2.net"), 0);
    // A name that the world has and somebody here takes: his from now on, without waiting for what is remembered.
    run(&h1, "c3", "--network net --network-alias www.world.test");
    assert_eq!(short(&h1, &p1, "www.world.test"), address(&h1, "c3", "net"));
    h1.ok("docker rm -f c3");
    assert_eq!(short(&h1, &p1, "www.world.test"), "192.0.2.80");
    world.end();
}

/// Docker asks those of when the container started.
#[test]
fn the_hosts_servers_are_followed() {
    if is_docker() {
        return;
    }
    let (world, h1) = world_with(of_outside, &[]);
    let record = "--host-record=www.world.test,192.0.2.81";
    let next = Upstream::start(&h1, "", h1.addr, record);
    let _upstream = Upstream::of_the_world(&world.outside());
    h1.ok("docker network create net");
    run(&h1, "c1", "--network net");
    let p = pid(&h1, "c1");
    reaches(&h1, &p);
    let conf = format!("nameserver {}\n", h1.addr);
    std::fs::write(h1.resolv_conf(), conf).unwrap();
    until(5, "the other server is asked", || {
        short(&h1, &p, "www.world.test") == "192.0.2.81"
    });
    assert!(next.asked("www.world.test") > 0);
    world.end();
}

#[test]
fn a_server_that_fails_costs_little() {
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    let upstream = Upstream::of_the_world(&world.outside());
    let refuses = Upstream::start(&h2, "", h2.addr, "");
    h1.ok("docker network create net");
    let good = world.outside().addr.to_string();
    // A server that drops what it gets.
    h2.ok("ip addr add 198.18.1.200/24 dev eth0; nft add table ip mute; \
           nft add chain ip mute in '{ type filter hook input priority 0; }'; nft add rule ip mute in ip daddr 198.18.1.200 drop");
    for (name, first) in [
        ("refused", h2.addr.to_string()),
        ("silent", "198.18.1.200".to_string()),
        ("deaf", h1.addr.to_string()),
        ("nowhere", "2001:db8::53".to_string()),
    ] {
        run(
            &h1,
            name,
            &format!("--network net --dns {first} --dns {good}"),
        );
        let p = pid(&h1, name);
        for (n, transport) in ["+notcp", "+tcp"].iter().enumerate() {
            let said = dig(&h1, &p, &format!("{transport} n{n}.world.test"));
            assert!(said.contains(&format!("\t192.0.2.{n}\n")), "{name}: {said}");
            // Docker waits four seconds for a silent one.
            let limit = if is_docker() { 5000 } else { 1000 };
            assert!(milliseconds(&said) < limit, "{name}: {said}");
        }
        // It is remembered: the next one does not wait.
        let said = dig(&h1, &p, "n2.world.test");
        assert!(said.contains("\t192.0.2.2\n"), "{name}: {said}");
        assert!(is_docker() || milliseconds(&said) < 200, "{name}: {said}");
    }
    assert!(refuses.asked("n0.world.test") > 0 && upstream.asked("n0.world.test") > 0);
    // Nobody left. 20.10 hands on what the last one said.
    run(&h1, "alone", &format!("--network net --dns {}", h2.addr));
    let said = outcome(&h1, &pid(&h1, "alone"), "n5.world.test");
    assert_eq!(
        said,
        if is_docker() {
            "REFUSED 0"
        } else {
            "SERVFAIL 0"
        }
    );
    world.end();
}

#[test]
fn an_internal_network_asks_only_servers_of_its_own() {
    let (world, h1) = world_with(of_outside, &[]);
    let upstream = Upstream::of_the_world(&world.outside());
    h1.ok("docker network create --internal inside && docker network create net");
    run(&h1, "server", "--network inside");
    let at = address(&h1, "server", "inside");
    let within = format!("nsenter -t {} -n", pid(&h1, "server"));
    let _own = Upstream::start(
        &h1,
        &within,
        &at,
        "--host-record=own.inside.test,192.0.2.99",
    );
    run(&h1, "c1", "--network inside");
    run(&h1, "c2", &format!("--network inside --dns {at}"));
    let (p1, p2) = (pid(&h1, "c1"), pid(&h1, "c2"));
    // 20.10 asks in vain, for as long as the client waits.
    let said = outcome(&h1, &p1, "www.world.test");
    assert!(said == "SERVFAIL 0" || is_docker(), "{said}");
    assert_eq!(upstream.asked("www.world.test"), 0);
    assert_eq!(short(&h1, &p1, "server"), at);
    assert_eq!(short(&h1, &p2, "own.inside.test"), "192.0.2.99");
    // With a way out the host's servers are asked, and without one no longer, whatever they have said.
    h1.ok("docker network connect net c1");
    reaches(&h1, &p1);
    h1.ok("docker network disconnect net c1");
    // 20.10 goes on asking them.
    assert!(is_docker() || outcome(&h1, &p1, "www.world.test") == "SERVFAIL 0");
    world.end();
}

#[test]
fn fifty_containers_ask_at_once() {
    let (world, h1) = world_with(of_outside, &[]);
    let upstream = Upstream::of_the_world(&world.outside());
    h1.ok("docker network create net");
    std::thread::scope(|scope| {
        for part in 0..5 {
            let h1 = &h1;
            scope.spawn(move || {
                for n in (part..50).step_by(5) {
                    run(h1, &format!("c{n}"), "--network net");
                }
            });
        }
    });
    let pids = h1.ok("docker inspect -f '{{.State.Pid}}' $(seq -f c%g 0 49)");
    let pids: Vec<&str> = pids.lines().collect();
    reaches(&h1, pids[0]);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (n, p) in pids.iter().enumerate() {
            let h1 = &h1;
            scope.spawn(move || {
                // Four times a name that all ask, one of its own and one of the network.
                let all = "www.world.test ".repeat(4);
                let other = (n + 1) % 50;
                let said = short(h1, p, &format!("{all} n{n}.world.test c{other}"));
                let lines: Vec<&str> = said.lines().collect();
                assert_eq!(lines.len(), 6, "{said}");
                assert_eq!(lines[..4], ["192.0.2.80"; 4]);
                assert_eq!(lines[4], format!("192.0.2.{n}"));
                assert!(lines[5].starts_with("172."), "{said}");
            });
        }
    });
    println!("300 answers in {:?}", start.elapsed());
    if !is_docker() {
        assert_eq!(upstream.asked("www.world.test"), 1);
    }
    world.end();
}

/// The host's server asks a container's, which asks its own resolver, which asks the host's server.
#[test]
fn a_loop_of_servers_comes_to_rest() {
    let (world, h1) = world_with(|_, host| format!("nameserver {}\n", host.addr), &[]);
    h1.ok("docker network create --subnet 10.77.0.0/24 net");
    run(&h1, "proxy", "--network net --ip 10.77.0.2");
    let p = pid(&h1, "proxy");
    let within = format!("nsenter -t {p} -n");
    let inner = Upstream::start(&h1, &within, "10.77.0.2", "--server=127.0.0.11");
    let outer = Upstream::start(&h1, "", h1.addr, "--server=10.77.0.2");
    let said = outcome(&h1, &p, "loop.test");
    // 20.10 leaves it to the client to lose patience.
    if !is_docker() {
        assert_eq!(said, "SERVFAIL 0");
        let turns = (inner.asked("loop.test"), outer.asked("loop.test"));
        assert!(turns.0 <= 8 && turns.1 <= 8, "{turns:?}");
    }
    assert_eq!(short(&h1, &p, "proxy"), "10.77.0.2");
    world.end();
}

#[test]
fn a_server_with_an_ipv6_address() {
    let flags: &[&str] = &[];
    let (world, h1) = world_with(|_, _| "nameserver fd00:53::1\n".into(), flags);
    h1.ok("ip addr add fd00:53::1/128 dev lo nodad");
    let record = "--host-record=six.test,192.0.2.6";
    let upstream = Upstream::start(&h1, "", "fd00:53::1", record);
    h1.ok("docker network create net");
    run(&h1, "c1", "--network net");
    // Docker 20.10 asks from within the container, which has no IPv6.
    if !is_docker() {
        assert_eq!(short(&h1, &pid(&h1, "c1"), "six.test"), "192.0.2.6");
        assert_eq!(
            short(&h1, &pid(&h1, "c1"), "+tcp +noedns six.test"),
            "192.0.2.6"
        );
        assert_eq!(upstream.asked("six.test"), 2);
    }
    world.end();
}

#[test]
fn files_of_a_container() {
    let (world, h1) = world_with(
        |_, _| {
            "nameserver 127.0.0.1\nnameserver 192.0.2.53\nsearch lab.test two.test\noptions timeout:3\n".into()
        },
        &["--host-gateway-ip", "192.0.2.254"],
    );
    h1.ok("docker network create --subnet 10.78.0.0/24 net");
    let mut rows = Differences::default();
    let conf = "grep -v '^#' /etc/resolv.conf | grep . | sort | tr '\\n' ';'";
    for (options, expected) in [
        (
            "",
            "nameserver 192.0.2.53;options timeout:3;search lab.test two.test;",
        ),
        (
            "--network net",
            "nameserver 127.0.0.11;options timeout:3 ndots:0;search lab.test two.test;",
        ),
        (
            "--dns 192.0.2.9 --dns-search . --dns-option use-vc",
            "nameserver 192.0.2.9;options use-vc;",
        ),
        (
            "--network net --dns 192.0.2.9 --dns-search . --dns-option ndots:2",
            "nameserver 127.0.0.11;options ndots:2;",
        ),
        (
            "--network net --dns-search a.test --dns-search b.test",
            "nameserver 127.0.0.11;options timeout:3 ndots:0;search a.test b.test;",
        ),
        (
            "--network host",
            "nameserver 127.0.0.1;nameserver 192.0.2.53;options timeout:3;search lab.test two.test;",
        ),
        (
            "--network none",
            "nameserver 192.0.2.53;options timeout:3;search lab.test two.test;",
        ),
    ] {
        let said = h1.sh(&format!(
            "docker run --rm {options} busybox sh -c \"{conf}\""
        ));
        // Docker 20.10 gives a container without a network the host's servers as they are.
        if !(is_docker() && options.ends_with("none")) {
            rows.compare(options, expected, &said.stdout);
        }
    }
    let six = "::1\tlocalhost ip6-localhost ip6-loopback;fe00::\tip6-localnet;ff00::\tip6-mcastprefix;\
               ff02::1\tip6-allnodes;ff02::2\tip6-allrouters;";
    // 20.10 writes `fe00::0` and `ff00::0`, and the IPv6 lines always.
    let same = "tr '\\n' ';' < /etc/hosts | sed 's/00::0/00::/g'";
    let off = "--sysctl net.ipv6.conf.all.disable_ipv6=1";
    for (options, expected) in [
        ("", format!("127.0.0.1\tlocalhost;{six}10.78.0.2\tme;")),
        (
            "--domainname lab.test",
            format!("127.0.0.1\tlocalhost;{six}10.78.0.2\tme.lab.test me;"),
        ),
        (
            "--add-host db:192.0.2.5 --add-host up:host-gateway --add-host six:2001:db8::6",
            format!(
                "127.0.0.1\tlocalhost;{six}192.0.2.5\tdb;192.0.2.254\tup;2001:db8::6\tsix;10.78.0.2\tme;"
            ),
        ),
        (
            &format!("{off} --add-host six:2001:db8::6 --add-host db:192.0.2.5"),
            "127.0.0.1\tlocalhost;192.0.2.5\tdb;10.78.0.2\tme;".into(),
        ),
    ] {
        if !(is_docker() && options.starts_with(off)) {
            let line = format!(
                "docker run --rm --network net --ip 10.78.0.2 -h me {options} busybox sh -c \"{same}\""
            );
            rows.compare(options, &expected, &h1.sh(&line).stdout);
        }
    }
    rows.assert_none();
    // What the user has written is his.
    run(&h1, "c1", "");
    h1.ok("docker exec c1 sh -c 'echo nameserver 192.0.2.77 > /etc/resolv.conf'");
    h1.ok("docker network connect net c1 && docker restart -t 0 c1");
    // 20.10 writes it anew for its resolver.
    let conf = h1.ok("docker exec c1 cat /etc/resolv.conf");
    assert!(conf == "nameserver 192.0.2.77" || is_docker(), "{conf}");
    world.end();
}

#[test]
fn links_are_names_of_one_container_only() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker network create front && docker network create back");
    run(&h1, "db", "--network front");
    run(&h1, "c1", "--network front --link db:database");
    run(&h1, "c2", "--network front");
    h1.ok("docker network connect back db && docker network connect --link db:store back c1");
    let (p1, p2) = (pid(&h1, "c1"), pid(&h1, "c2"));
    let (front, back) = (address(&h1, "db", "front"), address(&h1, "db", "back"));
    for (name, expected) in [
        ("database", &front),
        ("database.front", &front),
        ("store", &back),
        ("store.back", &back),
    ] {
        assert_eq!(&short(&h1, &p1, name), expected, "{name}");
    }
    // To Docker an alias is itself only in the case in which it was given.
    assert!(is_docker() || short(&h1, &p1, "DataBase") == front);
    assert_eq!(short(&h1, &p2, "+time=1 database"), "");
    h1.ok("docker stop -t 0 db");
    assert_eq!(short(&h1, &p1, "+time=1 database"), "");
    h1.ok("docker start db");
    assert_eq!(short(&h1, &p1, "database"), address(&h1, "db", "front"));
    world.end();
}

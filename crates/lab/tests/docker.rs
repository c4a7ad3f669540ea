//! Docker's own daemon in the lab's hosts: what every comparison and interoperation test stands on.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use lab::{Host, Lab};

#[test]
fn two_docker_hosts_form_a_swarm_and_ping_across() {
    let lab = Lab::new(&[1, 1]).unwrap();
    let (h1, h2) = (lab.host("h1").unwrap(), lab.host("h2").unwrap());
    std::thread::scope(|scope| {
        for host in [&h1, &h2] {
            scope.spawn(move || {
                host.spawn_dockerd(&[]).unwrap();
                host.import_busybox().unwrap();
            });
        }
    });
    // A container on the default bridge reaches another host of the lab.
    let from_bridge = format!("run --rm busybox ping -c1 -W2 {}", h2.addr);
    h1.docker_ok(&from_bridge).unwrap();

    h1.docker_ok(&format!("swarm init --advertise-addr {}", h1.addr))
        .unwrap();
    let name = h1.docker_ok("info -f {{.Name}}").unwrap();
    assert_eq!(name, "h1", "a host has its own name");
    let token = h1.docker_ok("swarm join-token -q worker").unwrap();
    let join = format!("swarm join --token {token} {}:2377", h1.addr);
    h2.docker_ok(&join).unwrap();
    h1.docker_ok("network create -d overlay --attachable --subnet 10.99.7.0/24 att")
        .unwrap();
    h1.docker_ok("run -d --name c1 --stop-signal KILL --network att busybox sleep 600")
        .unwrap();
    h2.docker_ok("run -d --name c2 --network att busybox sleep 600")
        .unwrap();
    let address = |host: &Host, name: &str| {
        let format = "{{.NetworkSettings.Networks.att.IPAddress}}";
        host.docker_ok(&format!("inspect -f {format} {name}"))
            .unwrap()
    };
    let (a1, a2) = (address(&h1, "c1"), address(&h2, "c2"));
    assert!(a1.starts_with("10.99.7.") && a2.starts_with("10.99.7.") && a1 != a2);
    for size in [56, 1400] {
        let ping = format!("exec c1 ping -c2 -W2 -s{size} {a2}");
        h1.docker_ok(&ping).unwrap();
    }

    // The daemon comes back after a crash; it stops c1 then, since swarm mode forbids live restore.
    let pid = h1.daemon_pid().unwrap();
    h1.kill_daemon().unwrap();
    assert_eq!(h1.daemon_pid(), None);
    h1.restart_daemon().unwrap();
    assert_ne!(h1.daemon_pid(), Some(pid));
    h2.power_off().unwrap();
    assert_eq!(h2.daemon_pid(), None);
    assert_eq!(lab.down(), Vec::<String>::new());
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let lab = Lab::new(&[1]).unwrap();
    let error = lab
        .host("h1")
        .unwrap()
        .spawn_dockerd(&["--no-such-flag"])
        .unwrap_err();
    assert!(error.to_string().contains("no-such-flag"), "{error}");
    assert!(lab.host("outside").unwrap().stop_daemon().is_err());
}

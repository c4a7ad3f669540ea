//! Tasks that are told of each client by a PROXY header, whichever way it came.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::background::Background;
use common::container::run;
use common::swarm::{CREATE, replicas};
use common::told::{Told, ask, create, get, processes};
use common::{Shell as _, World, eventually, init, is_docker, join, until};
use lab::Host;

const V2: &str = "--label pontoon.publish.8080.proxy=v2 --env WANT=v2";

fn served(manager: &Host, tasks: usize) {
    eventually(40, format!("{tasks}/{tasks}"), || replicas(manager, "web"));
}

/// The node leads to so many tasks that are told as they want.
fn leads(from: &Host, at: &str, port: u16, version: &str, tasks: usize) {
    until(20, "the node leads to all tasks", || {
        let asked = (0..8 * tasks).map(|_| ask(from, "", at, port));
        let told: Option<Vec<Told>> = asked.collect();
        told.is_some_and(|told| {
            let servers: BTreeSet<_> = told.iter().map(|t| &t.server).collect();
            servers.len() == tasks && told.iter().all(|t| t.version == version)
        })
    });
}

fn update(manager: &Host, options: &str) {
    manager.ok(&format!(
        "docker service update -d --update-order start-first {options} web"
    ));
    eventually(60, "completed".to_string(), || {
        // At first there is none.
        let state = manager.sh("docker service inspect -f '{{.UpdateStatus.State}}' web");
        state.stdout.trim_end().to_owned()
    });
}

#[test]
fn a_header_names_the_client_wherever_it_is() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let (hosts, outside) = (world.all(), world.outside());
    let more = "-p 8081:80 -p 8082:80 --label pontoon.publish.8081.proxy=v1 \
        --label pontoon.publish.8081.bind=198.18.0.0/16 --replicas 2";
    create(&hosts[0], &format!("{V2} {more}"));
    served(&hosts[0], 2);
    for (i, host) in hosts.iter().enumerate() {
        let own = host.addr.to_string();
        leads(&outside, &own, 8080, "v2", 2);
        let other = &hosts[(i + 1) % hosts.len()];
        for (from, at) in [
            (&outside, own.as_str()),
            (other, &own),
            (host, &own),
            (host, "127.0.0.1"),
        ] {
            for (port, version) in [(8080, "v2"), (8081, "v1")] {
                if (port, at) == (8081, "127.0.0.1") {
                    assert_eq!(ask(from, "", at, port), None, "it is bound elsewhere");
                    continue;
                }
                let told = ask(from, "", at, port).unwrap();
                assert_eq!(told.version, version);
                let client = match at {
                    "127.0.0.1" => at.to_owned(),
                    _ => from.addr.to_string(),
                };
                assert_eq!(told.client(), (client, format!("{at}:{port}")));
            }
            assert_eq!(ask(from, "", at, 8082).unwrap().version, "none");
        }
        run(host, "c1", "");
        let told = ask(host, "docker exec -i c1", &own, 8080).unwrap();
        let inspect = "docker inspect -f '{{.NetworkSettings.IPAddress}}' c1";
        assert_eq!(told.client(), (host.ok(inspect), format!("{own}:8080")));
        assert_eq!(processes(host, "pontoon-relay").len(), 1);
    }
    // What is told to nodes is nothing to users.
    let inspect = "docker service inspect -f '{{json .Endpoint.Ports}}' web";
    assert!(!hosts[0].ok(inspect).contains("pontoon"));

    let refused = |options: &str| {
        let create = format!("{CREATE} --name no {options} busybox sleep 60");
        hosts[0].sh(&create).stderr
    };
    for (options, reason) in [
        (
            "-p 53:53/udp --label pontoon.publish.53.proxy=v2",
            "port 53 is published for udp: a PROXY header can be sent by TCP only",
        ),
        (
            "-p mode=host,published=90,target=80 --label pontoon.publish.90.proxy=v2",
            "port 90 is published in host mode, where tasks see clients as they are: no PROXY header can be sent",
        ),
        (
            "-p 90:80 --label pontoon.publish.90.proxy=v2 --label pontoon.publish.90.source=nat",
            "exclude each other",
        ),
        (
            "-p 90:80 --label pontoon.publish.90.proxy=v3",
            "want v1 or v2",
        ),
    ] {
        let said = refused(options);
        assert!(said.contains(reason), "{options}: {said}");
    }

    hosts[0].ok("docker service rm web");
    for host in &hosts {
        until(20, "the port is closed, and no relay is left", || {
            ask(&outside, "", &host.addr.to_string(), 8080).is_none()
                && processes(host, "pontoon-").is_empty()
        });
    }
    world.end();
}

#[test]
fn a_header_names_clients_of_ipv6() {
    if is_docker() {
        return;
    }
    let world = World::new(&[3]);
    let [h1, h2, client] = world.hosts();
    let at = |number: usize| format!("fd99::{number}");
    for (i, host) in (1..).zip([&h1, &h2, &client]) {
        host.ok(&format!("ip -6 addr add {}/64 dev eth0 nodad", at(i)));
    }
    init(&h1);
    join(&h2, &h1);
    until(20, "the network is removed", || {
        h1.sh("echo y | docker network rm ingress").status == 0
    });
    h1.ok(
        "docker network create -d overlay --ingress --ipv6 --subnet 10.12.0.0/16 --subnet fd12::/64 six",
    );
    let v1 = "-p 8081:80 --label pontoon.publish.8081.proxy=v1 --replicas 2";
    create(&h1, &format!("{V2} {v1}"));
    served(&h1, 2);
    for (i, node) in (1..).zip([&h1, &h2]) {
        let own = at(i);
        leads(&client, &own, 8080, "v2", 2);
        // Where bridges call the firewall, no answer would come back to ::1.
        node.sh("echo 0 > /proc/sys/net/bridge/bridge-nf-call-ip6tables");
        for port in [8080, 8081] {
            let told = ask(&client, "", &own, port).unwrap();
            assert_eq!(told.client(), (at(3), format!("[{own}]:{port}")));
            let told = ask(node, "", "::1", port).unwrap();
            assert_eq!(told.client(), ("::1".into(), format!("[::1]:{port}")));
        }
        let told = ask(&client, "", &node.addr.to_string(), 8080).unwrap();
        let asked = format!("{}:8080", node.addr);
        assert_eq!(told.client(), (client.addr.to_string(), asked));
    }
    world.end();
}

/// Lines back and forth on one connection.
struct Talk(Background);

impl Talk {
    fn start(from: &Host, at: &str) -> Self {
        let script = format!(
            "exec 3<>/dev/tcp/{at}/8080; echo plain >&3; while echo q >&3; do read -r -t 5 a <&3 || break; echo $a; sleep 0.1; done; echo ENDED"
        );
        let talk = Self(Background::start(from, &format!("bash -c '{script}'")));
        talk.goes_on("it begins");
        talk
    }

    fn goes_on(&self, why: &str) {
        let lines = || self.0.output().lines().count();
        let before = lines();
        until(10, why, || lines() > before + 3);
        assert!(!self.0.output().contains("ENDED"), "{why}");
    }
}

#[test]
fn connections_go_on_without_the_daemon_and_through_an_upgrade() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2]);
    let ([h1, h2], outside) = (world.hosts(), world.outside());
    create(&h1, &format!("{V2} --constraint node.hostname==h1"));
    served(&h1, 1);
    let own = h2.addr.to_string();
    leads(&outside, &own, 8080, "v2", 1);
    let talk = Talk::start(&outside, &own);
    let asks = |ending: &str| {
        let told = ask(&outside, "", &own, 8080);
        assert!(told.is_some_and(|t| t.version == "v2"), "{ending}");
    };
    let relays = || processes(&h2, "pontoon-relay");
    let first = relays();
    assert_eq!(first.len(), 1);

    h2.kill_daemon().unwrap();
    talk.goes_on("no daemon");
    asks("no daemon");
    common::start(&h2, &[]);
    talk.goes_on("a daemon again");
    asks("a daemon again");
    assert_eq!(relays(), first, "it was found");

    // Another program: its relay takes new connections, and the former one finishes its own.
    let always = format!(
        "while sleep 0.02; do {} || echo FAILED; done",
        get(&own, 8080)
    );
    let asking = Background::start(&outside, &format!("sh -c '{always}'"));
    until(10, "answers", || asking.output().lines().count() > 20);
    h2.stop_daemon().unwrap();
    let copy = h2.dir().join("upgraded");
    std::fs::copy(env!("CARGO_BIN_EXE_pontoon"), &copy).unwrap();
    h2.spawn_pontoon(Path::new(&copy), &[]).unwrap();
    until(20, "another relay serves", || {
        relays().len() == 1 && relays() != first
    });
    assert_eq!(processes(&h2, "pontoon-drain"), first);
    let before = asking.output().lines().count();
    until(10, "answers", || {
        asking.output().lines().count() > before + 20
    });
    assert!(!asking.output().contains("FAILED"), "{}", asking.output());
    drop(asking);
    talk.goes_on("an upgrade");
    drop(talk);
    until(10, "the former one has ended", || {
        processes(&h2, "pontoon-drain").is_empty()
    });

    // One that dies is replaced.
    let second = relays();
    h2.ok(&format!("kill -9 {}", second[0]));
    until(10, "a third serves", || {
        relays().len() == 1 && relays() != second
    });
    asks("a third");
    h2.ok("docker swarm leave");
    until(10, "it ends with the mesh", || relays().is_empty());
    world.end();
}

#[test]
fn each_task_gets_what_it_was_made_for_while_the_label_changes() {
    if is_docker() {
        return;
    }
    let world = World::swarm(&[2, 1]);
    let (hosts, outside) = (world.all(), world.outside());
    create(&hosts[0], "--replicas 3");
    served(&hosts[0], 3);
    let asking: Vec<Background> = hosts
        .iter()
        .map(|host| {
            let get = get(&host.addr.to_string(), 8080);
            let always = format!("while sleep 0.05; do {get} || echo FAILED; done");
            Background::start(&outside, &format!("sh -c '{always}'"))
        })
        .collect();
    let told = |asking: &Background| -> Vec<Option<Told>> {
        asking.output().lines().map(Told::read).collect()
    };
    let answered = |version: &str| {
        for asking in &asking {
            until(20, "answers", || {
                let last = told(asking).pop().flatten();
                last.is_some_and(|last| last.version == version)
            });
        }
    };
    answered("none");
    let label = "pontoon.publish.8080.proxy";
    for (change, version) in [
        (format!("--label-add {label}=v2 --env-add WANT=v2"), "v2"),
        (format!("--label-add {label}=v1 --env-add WANT=v1"), "v1"),
        (format!("--label-rm {label} --env-rm WANT"), "none"),
    ] {
        update(&hosts[0], &change);
        answered(version);
        for host in &hosts {
            leads(&outside, &host.addr.to_string(), 8080, version, 3);
        }
    }
    for asking in &asking {
        for answer in told(asking) {
            let told = answer.unwrap_or_else(|| panic!("{}", asking.output()));
            assert_eq!(told.version, told.wanted, "{told:?}");
            if told.version != "none" {
                assert_eq!(told.client().0, outside.addr.to_string());
            }
        }
    }
    drop(asking);

    // A sticky service keeps a client to a task by this way as well.
    let sticky = "--label-add pontoon.balance.sticky=true";
    let change = format!("{sticky} --label-add {label}=v2 --env-add WANT=v2");
    update(&hosts[0], &change);
    for from in [&outside, &hosts[1]] {
        until(20, "all nodes lead to the same task", || {
            let through = |host: &Host| ask(from, "", &host.addr.to_string(), 8080);
            let asked = (0..4).flat_map(|_| hosts.iter().map(through));
            let told: Vec<Told> = asked.flatten().filter(|t| t.version == "v2").collect();
            let servers: BTreeSet<_> = told.iter().map(|t| &t.server).collect();
            (told.len(), servers.len()) == (4 * hosts.len(), 1)
        });
    }
    world.end();
}

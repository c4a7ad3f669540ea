//! Published ports by IPv6.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::Instant;

use common::background::Background;
use common::container::pid;
use common::mesh::{Answers, ask, only, udp};
use common::swarm::{CREATE, replicas, task_on};
use common::{Shell as _, World, eventually, init, is_docker, join, until};
use lab::Host;

/// As the mesh's, for both families.
fn server() -> String {
    common::mesh::SERVER.replace("0.0.0.0:80", "[::]:80")
}

/// With addresses as everybody writes them.
fn asked(host: &Host, at: &str) -> Answers {
    let bare = |text: String| text.replace(['[', ']'], "").replace("::ffff:", "");
    let answers = ask(host, "", at, 8080, 20);
    Answers {
        clients: answers.clients.into_iter().map(bare).collect(),
        ..answers
    }
}

/// Nobody listens there, and says so.
fn refuses(host: &Host, at: &str) {
    let start = Instant::now();
    assert_ne!(
        host.sh(&format!("busybox nc -w 5 {at} 8080 </dev/null"))
            .status,
        0
    );
    assert!(start.elapsed().as_secs() < 4, "{at} is silent");
}

/// Answers with the sender's address, from whichever address the kernel takes.
const UDP_SERVER: &str = "perl -MSocket=:all -e 'socket(S,PF_INET6,SOCK_DGRAM,17); bind(S,pack_sockaddr_in6(53,IN6ADDR_ANY)); \
    while($from=recv(S,$_,9999,0)) { ($port,$ip)=unpack_sockaddr_in6($from); send(S,inet_ntop(AF_INET6,$ip).\" \".length,0,$from) }'";

/// Datagrams see the client too, whole and in fragments.
fn datagrams(nodes: &[Host], client: &Host, at: impl Fn(usize) -> String) {
    nodes[0].ok(&format!(
        "{CREATE} --name echo -p published=5353,target=53,protocol=udp --mode global busybox sleep 3600"
    ));
    eventually(20, "2/2".to_string(), || replicas(&nodes[0], "echo"));
    let servers: Vec<_> = nodes
        .iter()
        .map(|node| {
            let pid = pid(node, &task_on(node, "echo"));
            let server = Background::start(node, &format!("nsenter -t {pid} -n {UDP_SERVER}"));
            until(10, "it listens", || {
                let bound = format!("nsenter -t {pid} -n grep -q :0035 /proc/net/udp6");
                node.sh(&bound).status == 0
            });
            server
        })
        .collect();
    for i in 1..=nodes.len() {
        until(10, "the node leads to both tasks", || {
            (0..12).all(|_| !udp(client, &at(i), 1).is_empty())
        });
        for bytes in [1, 1400, 1480, 4000] {
            let answer = format!("{} {bytes}", at(3));
            // Nobody on the way cuts packets of IPv6: the client is told what fits.
            until(10, "what is too long is said", || {
                udp(client, &at(i), bytes) == answer
            });
            for _ in 0..6 {
                assert_eq!(udp(client, &at(i), bytes), answer, "through {}", at(i));
            }
        }
    }
    drop(servers);
    nodes[0].ok("docker service rm echo");
}

#[test]
fn published_ports_answer_by_ipv6_and_the_task_sees_the_client() {
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
    let nodes = [h1.clone(), h2.clone()];
    let serve = |replicas_wanted: &str| {
        let server = server();
        h1.ok(&format!(
            "{CREATE} --name web -p 8080:80 --replicas {replicas_wanted} {server}"
        ));
        let all = format!("{replicas_wanted}/{replicas_wanted}");
        eventually(30, all, || replicas(&h1, "web"));
    };
    // The usual ingress network is of IPv4, and IPv6 is refused.
    serve("1");
    until(10, "IPv4 answers", || {
        asked(&client, &h2.addr.to_string()).failed == 0
    });
    refuses(&client, &at(2));
    for (options, v4) in [
        ("--subnet 10.12.0.0/16 --subnet fd12::/64 both", true),
        ("--ipv4=false --subnet fd13::/64 six", false),
    ] {
        h1.ok("docker service rm web");
        until(20, "the network is removed", || {
            let former = h1.ok("docker network ls -q -f driver=overlay");
            h1.sh(&format!("echo y | docker network rm {former}"))
                .status
                == 0
        });
        h1.ok(&format!(
            "docker network create -d overlay --ingress --ipv6 {options}"
        ));
        serve("2");
        for (i, node) in (1..).zip(&nodes) {
            let own = at(i);
            until(20, "the node leads to both tasks", || {
                asked(&client, &own).servers.len() == 2
            });
            let answers = asked(&client, &own);
            assert_eq!((answers.failed, answers.servers.len()), (0, 2), "{own}");
            assert_eq!(answers.clients, only(at(3)), "through {own}");
            let answers = asked(node, &own);
            assert_eq!((answers.failed, answers.clients), (0, only(&own)));
            let four = node.addr.to_string();
            match v4 {
                true => {
                    let answers = asked(&client, &four);
                    assert_eq!((answers.failed, answers.clients), (0, only(client.addr)));
                }
                false => refuses(&client, &four),
            }
            // Of loopback the source is given up for the node's own on the ingress network. Where bridges call the firewall, no
            // answer would come back to ::1.
            node.sh("echo 0 > /proc/sys/net/bridge/bridge-nf-call-ip6tables");
            let answers = asked(node, "::1");
            assert_eq!((answers.failed, answers.servers.len()), (0, 2), "{own}");
            assert!(answers.clients.iter().all(|c| c.starts_with("fd1")));
        }
        datagrams(&nodes, &client, at);
        // A daemon that comes back finds it as it was.
        h2.kill_daemon().unwrap();
        assert_eq!(asked(&client, &at(2)).failed, 0);
        common::start(&h2, &[]);
        assert_eq!(asked(&client, &at(2)).failed, 0);
    }
    h1.ok("docker service rm web");
    for i in [1, 2] {
        until(10, "the port is closed", || {
            asked(&client, &at(i)).failed == 20
        });
        refuses(&client, &at(i));
    }
    world.end();
}

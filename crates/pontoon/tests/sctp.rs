//! SCTP, which keeps lists of both sides' addresses and sums its packets up in its own way: published ports, services'
//! addresses, the mesh.
//!
//! Where the kernel has no such sockets there is nobody to talk; `make vm` runs this on one that has them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::background::Background;
use common::container::{address, pid, resolve, run};
use common::mesh::{Answers, only};
use common::swarm::{CREATE, replicas, task_on};
use common::{Shell as _, World, eventually, is_docker, until};
use lab::Host;

const PORT: u16 = 9000;

/// What Perl knows of SCTP is what it knows of TCP, and its number.
const SOCKET: &str = "use Socket; socket(S,PF_INET,SOCK_STREAM,132) or die \"socket: $!\";";

fn kernel_has_it() -> bool {
    let has = std::process::Command::new("perl")
        .args(["-e", SOCKET])
        .status();
    let has = has.unwrap().success();
    if !has {
        println!("skipped: this kernel has no SCTP sockets");
    }
    has
}

/// A program in the container's network that answers each association with the client's address, the container's short id
/// and what the client has sent.
fn server(host: &Host, container: &str) -> Background {
    let pid = pid(host, container);
    let script = format!(
        "{SOCKET} bind(S,sockaddr_in({PORT},INADDR_ANY)) or die $!; listen(S,99); while($from=accept(C,S)) \
         {{ ($port,$ip)=sockaddr_in($from); sysread(C,$_,9999); syswrite(C,inet_ntoa($ip).\" {} \".length.\"\\n\"); close C }}",
        &container[..12.min(container.len())]
    );
    let server = Background::start(host, &format!("nsenter -t {pid} -n perl -e '{script}'"));
    until(20, "it listens", || {
        let listening = format!("nsenter -t {pid} -n grep -q ' {PORT} ' /proc/net/sctp/eps");
        host.sh(&listening).status == 0
    });
    server
}

/// So many associations in turn, each from a port of its own, with a message of so many bytes; one more try for a first
/// packet that is lost, which is three seconds later.
fn ask(host: &Host, prefix: &str, at: &str, associations: usize, bytes: usize) -> Answers {
    let script = format!(
        "for (1..{associations}) {{ {SOCKET} $SIG{{ALRM}}=sub{{}}; alarm 8; \
         connect(S,sockaddr_in({PORT},inet_aton(\"{at}\"))) && syswrite(S,\".\" x {bytes}) && sysread(S,$a,999) or $a=\"\"; alarm 0; close S; \
         print $a =~ s/ {bytes}\\n// ? \"$a\\n\" : \"FAILED\\n\" }}"
    );
    let text = host
        .sh(&format!("{prefix} perl -e '$|=1; {script}'"))
        .stdout;
    let mut answers = Answers::read(&text);
    answers.failed += associations.saturating_sub(text.lines().count());
    answers
}

#[test]
fn a_containers_published_port() {
    if !kernel_has_it() || is_docker() {
        // Docker's proxy and its iptables know SCTP; who asked is lost in them.
        return;
    }
    let world = World::new(&[2]);
    let [h1, h2] = world.hosts();
    let outside = world.outside();
    run(&h1, "c1", &format!("-p {PORT}:{PORT}/sctp"));
    let server = server(&h1, "c1");
    let own = h1.addr.to_string();
    for client in [&h2, &outside] {
        for bytes in [1, 1400, 9000] {
            let answers = ask(client, "", &own, 3, bytes);
            assert_eq!((answers.failed, answers.servers), (0, only("c1")));
            assert_eq!(answers.clients, only(client.addr), "{bytes} bytes");
        }
    }
    // The host itself.
    let answers = ask(&h1, "", &own, 3, 1);
    assert_eq!((answers.failed, answers.servers), (0, only("c1")));
    // It is taken, for everybody.
    let refused = h1.sh(&format!(
        "docker run --rm -p {PORT}:{PORT}/sctp busybox true"
    ));
    let taken = "port is already allocated";
    assert!(refused.stderr.contains(taken), "{}", refused.stderr);
    drop(server);
    world.end();
}

/// A swarm with the service `web`, whose tasks are one on each node, and a server in each.
fn service(options: &str) -> (World, Vec<Background>) {
    let world = World::swarm(&[2, 1]);
    let hosts = world.all();
    hosts[0].ok("docker network create -d overlay --attachable app");
    hosts[0].ok(&format!(
        "{CREATE} --name web --mode global --network app {options} busybox sleep 3600"
    ));
    eventually(60, "3/3".to_string(), || replicas(&hosts[0], "web"));
    let servers = hosts.iter().map(|host| server(host, &task_on(host, "web")));
    let servers = servers.collect();
    (world, servers)
}

#[test]
fn a_services_address() {
    if !kernel_has_it() || is_docker() {
        return;
    }
    let (world, servers) = service("");
    let hosts = world.all();
    for (i, host) in hosts.iter().enumerate() {
        let client = format!("c{i}");
        run(host, &client, "--network app");
        until(30, "all tasks are known", || {
            resolve(host, &client, "tasks.web").len() == 3
        });
        let service = resolve(host, &client, "web").pop_first().unwrap();
        let enter = format!("nsenter -t {} -n", pid(host, &client));
        let mut seen = ask(host, &enter, &service, 1, 1);
        assert_eq!(seen.failed, 0, "from {}", host.name);
        until(60, "every task is asked", || {
            let more = ask(host, &enter, &service, 8, 1400);
            assert_eq!(more.failed, 0, "from {}", host.name);
            seen.clients.extend(more.clients);
            seen.servers.extend(more.servers);
            seen.servers.len() == 3
        });
        assert_eq!(seen.clients, only(address(host, &client, "app")));
    }
    drop(servers);
    world.end();
}

#[test]
fn a_port_of_the_mesh() {
    if !kernel_has_it() || is_docker() {
        return;
    }
    let (world, servers) = service(&format!(
        "--publish published={PORT},target={PORT},protocol=sctp"
    ));
    let (hosts, outside) = (world.all(), world.outside());
    for (i, host) in hosts.iter().enumerate() {
        let own = host.addr.to_string();
        for client in [&outside, &hosts[(i + 1) % hosts.len()]] {
            until(60, "the node leads to the tasks", || {
                ask(client, "", &own, 3, 1).failed == 0
            });
            let mut seen = Answers::default();
            until(60, "every task is asked", || {
                let more = ask(client, "", &own, 8, 1400);
                assert_eq!(more.failed, 0, "{} through {own}", client.name);
                seen.clients.extend(more.clients);
                seen.servers.extend(more.servers);
                seen.servers.len() == 3
            });
            assert_eq!(seen.clients, only(client.addr), "through {own}");
        }
        // The node itself.
        assert_eq!(ask(host, "", &own, 4, 1).failed, 0, "{own} from itself");
    }
    drop(servers);
    world.end();
}

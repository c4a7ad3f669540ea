//! Our bridge driver as a plugin of Docker's own daemon.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::PathBuf;
use std::process::{Child, Command};

use common::container::{address, pings, run};
use common::{Shell as _, World, until};
use lab::Host;

/// `pontoon plugin` on a lab host. Docker looks for sockets in one place only; the name is this process's own.
struct Server {
    name: String,
    socket: PathBuf,
    host: Host,
    process: Child,
}

impl Server {
    fn start(host: &Host) -> Self {
        let name = format!("pontoon{}", std::process::id());
        let socket = PathBuf::from(format!("/run/docker/plugins/{name}.sock"));
        let process = spawn(host, &socket);
        Self {
            name,
            socket,
            host: host.clone(),
            process,
        }
    }

    /// SIGKILL
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.host.dir().join("plugin.log")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.socket);
        if std::thread::panicking() {
            eprintln!("--- log of the plugin\n{}", self.log());
        }
    }
}

fn spawn(host: &Host, socket: &PathBuf) -> Child {
    let path = |name: &str| host.dir().join(name).display().to_string();
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path("plugin.log"))
        .unwrap();
    let mut command: Command = host.command(env!("CARGO_BIN_EXE_pontoon"));
    let child = command
        .args(["plugin", "--log-level", "debug", "--socket"])
        .arg(socket)
        .args(["--data-root", &path("plugin-data")])
        .args(["--exec-root", &path("plugin-run")])
        .args(["--pidfile", &path("plugin.pid")])
        .stderr(log)
        .spawn()
        .unwrap();
    until(10, "the plugin listens", || {
        std::os::unix::net::UnixStream::connect(socket).is_ok()
    });
    child
}

/// What there is of ours on the host.
fn left(host: &Host) -> Vec<String> {
    let links =
        host.ok("ip -o link | cut -d: -f2 | cut -d@ -f1 | grep -E '^ (br-|veth|vetc)' || true");
    let files = host.ok(&format!(
        "ls {0}/plugin-data/networks {0}/plugin-data/pools {0}/plugin-data/addresses {0}/plugin-run/endpoints | grep json || true",
        host.dir().display()
    ));
    let tables = host.ok("nft list tables | grep plugin || true");
    [links, files, tables]
        .iter()
        .flat_map(|text| text.lines())
        .map(|line| line.trim().to_string())
        .collect()
}

/// For networks of our driver and of Docker's own.
fn addresses_are_ours_to_give(h1: &Host, server: &mut Server) {
    let name = server.name.clone();
    h1.ok(&format!(
        "docker network create -d {name} --ipam-driver {name} ours"
    ));
    h1.ok(&format!(
        "docker network create --ipam-driver {name} --subnet 10.46.0.0/24 --gateway 10.46.0.9 --ip-range 10.46.0.64/26 \
         --aux-address router=10.46.0.64 theirs"
    ));
    let refused = h1.sh(&format!(
        "docker network create --ipam-driver {name} --subnet 10.46.0.0/25 n"
    ));
    assert!(
        refused.stderr.contains("Pool overlaps with other one"),
        "{}",
        refused.stderr
    );
    run(h1, "c1", "--network ours");
    run(h1, "c2", "--network theirs");
    run(h1, "c3", "--network theirs --ip 10.46.0.7");
    assert_eq!(address(h1, "c2", "theirs"), "10.46.0.65");
    assert_eq!(address(h1, "c3", "theirs"), "10.46.0.7");
    assert!(pings(h1, "c3", "c2"));
    let refused = h1.sh("docker run --rm --network theirs --ip 10.46.0.65 busybox true");
    assert!(
        refused.stderr.contains("Address already in use"),
        "{}",
        refused.stderr
    );
    // Neither's death makes an address free.
    server.kill();
    server.process = spawn(h1, &server.socket);
    run(h1, "c4", "--network theirs");
    assert_eq!(address(h1, "c4", "theirs"), "10.46.0.66");
    h1.kill_daemon().unwrap();
    h1.spawn_dockerd(&[]).unwrap();
    h1.ok("docker start c2 c3 c4");
    let all: std::collections::BTreeSet<_> =
        ["c2", "c3", "c4"].map(|c| address(h1, c, "theirs")).into();
    assert_eq!(all.len(), 3);
    assert!(pings(h1, "c4", "c2"));
    h1.ok("docker rm -f c1 c2 c3 c4 && docker network rm ours theirs");
}

fn fetch(from: &Host, url: &str) -> String {
    from.sh(&format!("wget -q -t 1 -T 2 -O - {url}"))
        .stdout
        .trim()
        .to_string()
}

#[test]
fn stock_docker_uses_our_driver() {
    let world = World::bare(&[2]);
    let [h1, outside] = world.hosts();
    // Before dockerd, as its manual has it: so forwarding is on, and dockerd leaves the policy of FORWARD as it is.
    let mut server = Server::start(&h1);
    let name = server.name.clone();
    h1.spawn_dockerd(&[]).unwrap();
    h1.import_busybox().unwrap();

    h1.ok(&format!(
        "docker network create -d {name} -o com.docker.network.driver.mtu=1400 net"
    ));
    h1.ok(&format!(
        "docker network create -d {name} --internal --subnet 10.45.0.0/24 inner"
    ));
    assert_eq!(
        h1.ok("docker network inspect -f '{{.Driver}} {{.Scope}}' net"),
        format!("{name} local")
    );
    let web = "docker run -d --stop-timeout 0 --name web --network net -p 8080:80 -p 5000-5099:6000-6099 busybox \
               sh -c 'mkdir -p /w && echo hello >/w/index.html && httpd -h /w && httpd -p 6099 -h /w && sleep 3600'";
    h1.ok(web);
    run(&h1, "c2", "--network net");
    let webs = address(&h1, "web", "net");
    assert!(pings(&h1, "c2", &webs) && pings(&h1, "c2", "web"));
    assert!(
        h1.ok("docker exec c2 ip -o link show eth0")
            .contains("mtu 1400")
    );

    // The way outside, and in.
    let out = outside.addr.to_string();
    assert!(
        pings(&h1, "c2", &out),
        "{}",
        h1.ok("docker exec c2 ip route")
    );
    let at = |port: u16| format!("http://{}:{port}/", h1.addr);
    for port in [8080, 5099] {
        assert_eq!(fetch(&outside, &at(port)), "hello");
        assert_eq!(
            fetch(&h1, &format!("http://127.0.0.1:{port}/")),
            "hello",
            "{port} from the host"
        );
    }
    assert_eq!(
        h1.ok(&format!("docker exec c2 wget -q -O - {}", at(8080))),
        "hello"
    );
    // Nothing else comes in.
    outside.ok(&format!("ip route add {webs}/32 via {}", h1.addr));
    assert_eq!(fetch(&outside, &format!("http://{webs}/")), "");

    // A second container cannot have the port, and leaves nothing.
    let before = left(&h1);
    let refused = h1.sh("docker run --rm --network net -p 8080:80 busybox true");
    assert!(
        refused.stderr.contains("port is already allocated"),
        "{}",
        refused.stderr
    );
    assert_eq!(left(&h1), before);

    // A running container gets a second network without a way outside, and gives it back.
    run(&h1, "c3", "--network inner");
    h1.ok("docker network connect inner c2");
    assert!(pings(&h1, "c2", "c3"));
    assert!(!pings(&h1, "c3", &out) && pings(&h1, "c2", &out));
    h1.ok("docker network disconnect inner c2");
    assert_eq!(h1.ok("docker exec c2 ls /sys/class/net"), "eth0\nlo");

    // Killed: nothing stops. Back: everything is known, and what went meanwhile goes.
    server.kill();
    assert_eq!(fetch(&outside, &at(8080)), "hello");
    assert!(pings(&h1, "c2", "web"));
    h1.ok("nft delete table ip plugin-pontoon");
    server.process = spawn(&h1, &server.socket);
    assert_eq!(fetch(&outside, &at(8080)), "hello", "the table is back");
    let refused = h1.sh("docker run --rm --network net -p 8080:80 busybox true");
    assert!(
        refused.stderr.contains("port is already allocated"),
        "{}",
        refused.stderr
    );
    run(&h1, "c4", "--network net -p 8081:80");
    assert!(pings(&h1, "c4", "web"));

    // So does Docker's own restart.
    h1.ok("docker restart -t 0 web");
    until(5, "web is published again", || {
        fetch(&outside, &at(8080)) == "hello"
    });

    h1.ok("docker rm -f web c2 c3 c4 && docker network rm net inner");
    assert_eq!(left(&h1), Vec::<String>::new());

    addresses_are_ours_to_give(&h1, &mut server);
    assert_eq!(left(&h1), Vec::<String>::new());
    let log = server.log();
    let bad: Vec<_> = log
        .lines()
        .filter(|l| l.contains(" ERROR ") || l.contains("panicked"))
        .collect();
    assert_eq!(bad, Vec::<&str>::new());
    drop(server);
    world.end();
}

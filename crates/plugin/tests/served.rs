//! Both sides of the protocol: our engine's client asks our driver, which keeps the kernel of a fresh namespace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[path = "../../drivers/tests/common/mod.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cnm::model::{Endpoint, Network, Pool};
use cnm::remote::{NetworkPlugin, Plugins as _};
use cnm::{Publish, SandboxSpec};
use common::{isolated, run, try_run};
use netstate::{Mac, NetState};
use plugin::Plugins;
use plugin::serve::{Config, MARK, Served, serve};
use tokio::net::UnixListener;
use tokio::sync::oneshot;

const GRACE: Duration = Duration::from_millis(200);

struct Server {
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        let kernel = NetState::start(netstate::Config {
            netns_dir: "/mnt/run/netns".into(),
            mark: MARK.into(),
            cgroup: None,
        });
        let config = Config {
            grace: GRACE,
            ..Config::new("/mnt/data".into(), "/mnt/run".into())
        };
        let served = Served::start(config, kernel.await.unwrap()).await.unwrap();
        let _ = std::fs::remove_file("/mnt/ours.sock");
        let listener = UnixListener::bind("/mnt/ours.sock").unwrap();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(serve(listener, served, async { drop(stopped.await) }));
        Self { stop, done }
    }

    async fn restart(self) -> Self {
        self.stop.send(()).unwrap();
        self.done.await.unwrap().unwrap();
        tokio::time::sleep(2 * GRACE).await;
        Self::start().await
    }
}

async fn client() -> Arc<dyn NetworkPlugin> {
    let plugins = Plugins::new(vec![PathBuf::from("/mnt")]);
    plugins.network("ours").await.unwrap()
}

fn network(id: char) -> Network {
    Network {
        id: id.to_string().repeat(64),
        enable_ipv4: true,
        pools: vec![Pool {
            subnet: "10.44.0.0/24".parse().unwrap(),
            range: None,
            gateway: Some([10, 44, 0, 1].into()),
            aux: Default::default(),
            vni: None,
            chosen: true,
            id: None,
        }],
        ..Network::default()
    }
}

fn endpoint(id: char, last: u8) -> Endpoint {
    Endpoint {
        id: id.to_string().repeat(64),
        network: network('a').id,
        ifname: String::new(),
        mac: Mac([0; 6]),
        ipv4: Some(format!("10.44.0.{last}/24").parse().unwrap()),
        ipv6: None,
        settings: Default::default(),
        service: None,
        names: Vec::new(),
        is_gateway: false,
        attached: false,
        joined: None,
    }
}

fn publishes(port: u16) -> SandboxSpec {
    SandboxSpec {
        ports: vec![Publish {
            protocol: "tcp".into(),
            target: 80,
            count: 1,
            host_ip: String::new(),
            host: Some((port, port)),
        }],
        ..SandboxSpec::default()
    }
}

fn is_there(link: &str) -> bool {
    try_run(&format!("ip link show {link}")).0
}

#[test]
fn what_an_engine_never_came_back_for_goes_and_what_containers_have_stays() {
    isolated(async || {
        let server = Server::start().await;
        let plugin = client().await;
        plugin.create_network(&network('a')).await.unwrap();
        let (taken, abandoned) = (endpoint('b', 2), endpoint('c', 3));
        let spec = publishes(8080);
        let given = plugin.create_endpoint(&taken, &spec).await.unwrap();
        assert_eq!(given.mac.unwrap().to_string(), "02:42:0a:2c:00:02");
        plugin.create_endpoint(&abandoned, &spec).await.unwrap();
        let answer = plugin.join(&taken, Path::new("/x"), &spec).await.unwrap();
        assert_eq!(answer.prefix, "eth");
        assert_eq!(
            answer.joined.gateways,
            [std::net::IpAddr::from([10, 44, 0, 1])]
        );
        let link = answer.joined.link.unwrap();
        // What an engine does with it.
        run("touch /mnt/c && unshare --net=/mnt/c true");
        run(&format!("ip link set {link} netns /mnt/c"));
        for command in [
            format!("link set {link} name eth0 up"),
            "addr add 10.44.0.2/24 dev eth0".into(),
        ] {
            run(&format!("nsenter --net=/mnt/c ip {command}"));
        }
        run("ping -c1 -W1 10.44.0.2");
        let ports = plugin.program(&taken, &spec).await.unwrap();
        assert_eq!(ports[0].host_port, Some(8080));
        assert!(run("nft list table ip plugin-pontoon").contains("10.44.0.2 . 80"));

        let server = server.restart().await;
        let plugin = client().await;
        assert!(
            is_there("vethbbbbbbb") && is_there("vethccccccc"),
            "not at once"
        );
        let begin = std::time::Instant::now();
        while is_there("vethccccccc") || is_there("vetcccccccc") {
            assert!(begin.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(GRACE / 4).await;
        }
        run("ping -c1 -W1 10.44.0.2");

        // The subnet is given again: a network that is in use stays, one that is not was never heard of.
        let again = network('d');
        let error = plugin.create_network(&again).await.unwrap_err().message;
        assert!(error.ends_with("which has endpoints"), "{error}");
        assert_eq!(plugin.forget(&taken).await, []);
        assert!(!is_there("vethbbbbbbb"));
        assert!(!run("nft list table ip plugin-pontoon").contains("10.44.0.2 . 80"));
        plugin.create_network(&again).await.unwrap();
        assert!(!is_there("br-aaaaaaaaaaaa") && is_there("br-dddddddddddd"));
        plugin.delete_network(&again.id).await.unwrap();
        plugin.delete_network(&again.id).await.unwrap();
        assert!(!is_there("br-dddddddddddd") && !try_run("nft list table ip plugin-pontoon").0);
        // The host keeps its own id.
        let left = "find /mnt/data /mnt/run -name \"*.json\" -not -path \"*/host/id.json\"";
        assert_eq!(run(left), "");
        server.stop.send(()).unwrap();
        server.done.await.unwrap().unwrap();
    });
}

//! Hosts made of network namespaces: the test's own thread is the first one. All of it ends with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cnm::{Config, ConnectRequest, Controller, SandboxSpec};
use engine_types::PortMap;
use engine_types::container::PortBinding;
use engine_types::network::{CreateOptions, IPAM, IPAMConfig};
use netstate::NetState;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

/// Runs the test on this thread after moving it into fresh namespaces.
pub fn isolated(test: impl AsyncFnOnce()) {
    // SAFETY: no file descriptor table is unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).unwrap();
    mount("tmpfs", "/mnt", "tmpfs", MountFlags::empty(), None).unwrap();
    run("ip link set lo up");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test());
}

/// A daemon's networks on one host.
pub struct Node {
    pub netstate: NetState,
    pub controller: Controller,
    dir: PathBuf,
}

impl Node {
    /// On the test's own host.
    pub async fn here() -> Self {
        let dir = PathBuf::from("/mnt/here");
        Self::with(keeper(&dir).await, dir).await
    }

    /// On a host of its own, which is entered as `nsenter --net=/mnt/<name>.net`, and wired to the first by `commands`,
    /// in which `TID` stands for a thread there.
    pub async fn elsewhere(name: &str, commands: &str) -> Self {
        let dir = PathBuf::from(format!("/mnt/{name}"));
        let (send, receive) = mpsc::channel();
        let (wired, go_on) = mpsc::channel::<()>();
        let (at, bind) = (dir.clone(), format!("/mnt/{name}.net"));
        let thread = std::thread::spawn(move || {
            // SAFETY: no file descriptor table is unshared.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            std::fs::write(&bind, "").unwrap();
            run(&format!(
                "mount --bind /proc/self/ns/net {bind}; ip link set lo up"
            ));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let netstate = runtime.unwrap().block_on(keeper(&at));
            send.send((netstate, rustix::thread::gettid())).unwrap();
            // The namespace has this thread's number for a name until the wires are there.
            go_on.recv().unwrap();
        });
        let (netstate, tid) = receive.recv().unwrap();
        run(&commands.replace("TID", &tid.as_raw_nonzero().to_string()));
        wired.send(()).unwrap();
        thread.join().unwrap();
        Self::with(netstate, dir).await
    }

    async fn with(netstate: NetState, dir: PathBuf) -> Self {
        let controller = controller(&netstate, &dir).await;
        Self {
            netstate,
            controller,
            dir,
        }
    }

    /// `kill -9` and a new start.
    pub async fn restart(self, alive: &[String]) -> Self {
        let Self {
            netstate,
            controller,
            dir,
        } = self;
        drop((controller, netstate));
        // The store is free when the last task of the former controller has noticed.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let node = Self::with(keeper(&dir).await, dir).await;
        node.controller.restore(alive).await.unwrap();
        node
    }

    /// A container that runs, publishing `ports` (`8080:80/tcp`).
    pub async fn run(&self, name: &str, networks: &[ConnectRequest], ports: &[&str]) -> String {
        let spec = self.spec(name, ports);
        let id = spec.container_id.clone();
        self.controller.sandbox_create(spec).await.unwrap();
        for network in networks {
            self.controller.connect(&id, network.clone()).await.unwrap();
        }
        self.controller.activate(&id).await.unwrap();
        id
    }

    pub fn spec(&self, name: &str, ports: &[&str]) -> SandboxSpec {
        let mut published = PortMap::default();
        for port in ports {
            let (host, container) = port.rsplit_once(':').unwrap();
            let (ip, host_port) = host.rsplit_once(':').unwrap_or(("", host));
            let mut bindings = published.get(container).flatten().unwrap_or_default();
            bindings.push(PortBinding {
                host_ip: ip.into(),
                host_port: host_port.into(),
            });
            published.insert(container, Some(bindings));
        }
        SandboxSpec {
            container_id: format!("{name:0<64}"),
            container_name: format!("/{name}"),
            hostname: name.into(),
            dir: self.dir.join("containers").join(name),
            ports: cnm::published(&published).unwrap(),
            ..SandboxSpec::default()
        }
    }

    pub fn ip(&self, container: &str, network: &str) -> String {
        self.controller.endpoints(container)[network]
            .ip_address
            .clone()
    }

    /// A command line that runs `command` inside a container.
    pub fn inside(&self, container: &str, command: &str) -> String {
        let sandbox = self.controller.sandbox(container).unwrap();
        format!(
            "nsenter --net={} {command}",
            sandbox.netns.unwrap().display()
        )
    }

    pub fn pings(&self, container: &str, target: &str) -> bool {
        let command = self.inside(container, &format!("busybox ping -c 1 -W 1 {target}"));
        try_run(&command).0
    }
}

async fn keeper(dir: &Path) -> NetState {
    let config = netstate::Config {
        netns_dir: dir.join("netns"),
        mark: "pontoon".into(),
        cgroup: None,
    };
    NetState::start(config).await.unwrap()
}

async fn controller(netstate: &NetState, dir: &Path) -> Controller {
    let config = Config {
        dir: dir.join("network"),
        ..Config::default()
    };
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    Controller::start(config, netstate.clone(), drivers::all(), None, events)
        .await
        .unwrap()
}

pub fn to(network: &str) -> ConnectRequest {
    ConnectRequest {
        network: network.into(),
        ..ConnectRequest::default()
    }
}

pub fn with_subnet(subnet: &str) -> CreateOptions {
    let config = IPAMConfig {
        subnet: subnet.into(),
        ..IPAMConfig::default()
    };
    CreateOptions {
        ipam: Some(IPAM {
            config: Some(vec![config]),
            ..IPAM::default()
        }),
        ..CreateOptions::default()
    }
}

/// Output of a command in this thread's namespaces; panics when it fails.
pub fn run(command: &str) -> String {
    let (ok, out) = try_run(command);
    assert!(ok, "{command}: {out}");
    out
}

pub fn try_run(command: &str) -> (bool, String) {
    let command = format!("timeout 10 sh -c '{command}'");
    let out = Command::new("sh").args(["-c", &command]).output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (
        out.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// A process that ends with the test.
pub struct Background(Child);

impl Background {
    pub fn start(command: &str) -> Self {
        let mut words = command.split(' ');
        let mut child = Command::new(words.next().unwrap());
        let child = child
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(child.spawn().unwrap())
    }
    /// What it wrote until its end.
    pub fn finish(mut self) -> String {
        let mut text = String::new();
        if let Some(mut out) = self.0.stdout.take() {
            std::io::Read::read_to_string(&mut out, &mut text).unwrap();
        }
        self.0.wait().unwrap();
        text
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until it holds, five seconds at most.
pub async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that a host has, to compare before and after.
pub fn census() -> String {
    run("ip -o link | cut -d: -f2; ip -4 -o addr | cut -c1-60; nft list tables; ls /mnt/here/netns")
}

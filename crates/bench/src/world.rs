//! A lab of two hosts on one segment with one engine, a swarm, an attachable overlay, and a container on each side.

use std::fmt;
use std::path::Path;
use std::process::Child;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::{Host, Lab};
use serde_json::json;

use crate::podman::{self, Podman};
use crate::publish::Ports;
use crate::{api, dns};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    Pontoon,
    Docker,
    /// Without a daemon, and without networks across hosts: one bridge on h1.
    Podman,
}

/// The engine of h1, which manages the swarm, and the one of h2.
pub type Engines = [Engine; 2];

pub struct World {
    engines: Engines,
    lab: Lab,
    /// Of the world's names, on the host outside.
    server: Child,
    podman: Option<Podman>,
    pub ports: OnceLock<Ports>,
    pub h1: Host,
    pub h2: Host,
}

/// The overlay that everything here runs on.
pub const NETWORK: &str = "att";

/// Docker's services need it.
pub fn kernel_has_ipvs() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = format!("/lib/modules/{}/modules.dep", release.trim());
    let modules = std::fs::read_to_string(modules).unwrap_or_default();
    modules.contains("/ip_vs.ko") || Path::new("/proc/net/ip_vs").exists()
}

/// A task of the network on each node. With the first of a node Docker makes its balancer, which takes longer, where all is
/// emulated (`scripts/vm`), than the twenty seconds that it gives a container to come to its network; a task has time.
fn keep_network_up(h1: &Host) -> Result<()> {
    h1.docker_ok(&format!(
        "service create -d -q --no-resolve-image --name everywhere --mode global --network {NETWORK} busybox sleep 36000"
    ))?;
    let began = Instant::now();
    let replicas = "service ls --filter name=everywhere --format {{.Replicas}}";
    while h1.docker_ok(replicas)? != "2/2" {
        if began.elapsed() > Duration::from_secs(180) {
            bail!("no task of the overlay on each node");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

impl World {
    pub fn new(binary: &Path, engines: Engines) -> Result<Self> {
        let lab = Lab::new(&[2])?;
        let (h1, h2) = (lab.host("h1")?, lab.host("h2")?);
        let outside = lab.host("outside")?;
        let server = dns::serve(&outside)?;
        let dns = outside.addr.to_string();
        if engines[0] == Engine::Podman {
            return Ok(Self {
                podman: Some(Podman::start(&h1, &dns)?),
                engines,
                lab,
                server,
                ports: OnceLock::new(),
                h1,
                h2,
            });
        }
        for (host, engine) in [&h1, &h2].into_iter().zip(engines) {
            let flags = ["--log-level", "warn", "--dns", &dns];
            match engine {
                Engine::Pontoon => host.spawn_pontoon(binary, &flags)?,
                Engine::Docker => host.spawn_dockerd(&flags)?,
                Engine::Podman => bail!("podman has no part in a swarm"),
            }
            host.import_busybox()?;
        }
        h1.docker_ok(&format!("swarm init --advertise-addr {}", h1.addr))?;
        let token = h1.docker_ok("swarm join-token -q worker")?;
        h2.docker_ok(&format!("swarm join --token {token} {}:2377", h1.addr))?;
        h1.docker_ok(&format!("network create -d overlay --attachable {NETWORK}"))?;
        if kernel_has_ipvs() {
            keep_network_up(&h1)?;
        }
        for (host, name) in [(&h1, "c1"), (&h2, "c2")] {
            let run = format!("run -d --name {name} --network {NETWORK} busybox sleep 36000");
            host.docker_ok(&run)?;
        }
        let world = Self {
            engines,
            lab,
            server,
            podman: None,
            ports: OnceLock::new(),
            h1,
            h2,
        };
        // A question for a neighbour that nobody answers is asked again after a second, and not often: that is not what is
        // measured.
        let soon = "cd /proc/sys/net/ipv4/neigh; for f in */retrans_time_ms; do echo 5 >$f; done; \
                    for f in */mcast_solicit; do echo 10000 >$f; done";
        for (host, container) in [(&world.h1, "c1"), (&world.h2, "c2")] {
            world
                .inside(host, container)?
                .args(["sh", "-c", soon])
                .status()?;
        }
        let address = world.address(&world.h2, "c2")?;
        let up = Instant::now();
        while !world
            .inside(&world.h1, "c1")?
            .args(["ping", "-c1", "-W1", "-q", &address])
            .output()?
            .status
            .success()
        {
            if up.elapsed() > Duration::from_secs(20) {
                bail!("{world}: c1 and c2 do not reach each other");
            }
        }
        Ok(world)
    }

    pub fn network_id(&self) -> Result<String> {
        let inspect = format!("network inspect -f {{{{.Id}}}} {NETWORK}");
        self.engine(&self.h1, &inspect)
    }

    pub fn address(&self, host: &Host, container: &str) -> Result<String> {
        self.address_on(host, container, NETWORK)
    }

    pub fn address_on(&self, host: &Host, container: &str, network: &str) -> Result<String> {
        let format = format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}");
        self.engine(host, &format!("inspect -f {format} {container}"))
    }

    /// A command line of the engine on a host, split at white space; gives what it printed.
    pub fn engine(&self, host: &Host, args: &str) -> Result<String> {
        match &self.podman {
            Some(podman) => podman.ok(args),
            None => host.docker_ok(args),
        }
    }

    /// Starts a container on h1 that does nothing.
    pub fn run(&self, name: &str, options: &str) -> Result<()> {
        let more = match self.podman {
            Some(_) => podman::options(&self.h1),
            None => String::new(),
        };
        let run = format!("run -d --name {name} {more} {options} busybox sleep 36000");
        self.engine(&self.h1, &run).map(drop)
    }

    /// Connects a container of h1 to a network: by the API where the engine has one that is always there.
    pub fn connect(&self, container: &str, network: &str) -> Result<()> {
        if let Some(podman) = &self.podman {
            return podman
                .ok(&format!("network connect {network} {container}"))
                .map(drop);
        }
        let path = format!("/v1.41/networks/{network}/connect");
        api::post(&self.h1.socket(), &path, &json!({"Container": container})).map(drop)
    }

    pub fn disconnect(&self, container: &str, network: &str) -> Result<()> {
        if let Some(podman) = &self.podman {
            return podman
                .ok(&format!("network disconnect {network} {container}"))
                .map(drop);
        }
        let path = format!("/v1.41/networks/{network}/disconnect");
        api::post(&self.h1.socket(), &path, &json!({"Container": container})).map(drop)
    }

    /// A command of this machine's own programs in the container's network namespace.
    pub fn inside(&self, host: &Host, container: &str) -> Result<std::process::Command> {
        let pid = self.engine(host, &format!("inspect -f {{{{.State.Pid}}}} {container}"))?;
        let pid: u32 = pid.parse().context("no pid of the container")?;
        let mut command = std::process::Command::new("nsenter");
        command.arg(format!("--net=/proc/{pid}/ns/net"));
        Ok(command)
    }

    /// The same, as one of the container's processes: in its cgroup too, where services are balanced.
    pub fn among(&self, host: &Host, container: &str) -> Result<std::process::Command> {
        let pid = self.engine(host, &format!("inspect -f {{{{.State.Pid}}}} {container}"))?;
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let group = groups.lines().find_map(|line| line.strip_prefix("0::"));
        let group = group.context("no cgroup v2 of the container")?;
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let mut all = roots
            .iter()
            .map(|root| format!("{root}{group}/cgroup.procs"));
        let group = all.find(|group| Path::new(group).exists());
        let group = group.context("no cgroup v2 is mounted")?;
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", "echo $$ >$1; shift; exec \"$@\"", "sh", &group])
            .args(["nsenter", &format!("--net=/proc/{pid}/ns/net")]);
        Ok(command)
    }

    /// Where the containers ask for names.
    pub fn resolver(&self) -> &str {
        match &self.podman {
            Some(podman) => &podman.resolver,
            None => "127.0.0.11:53",
        }
    }

    pub fn down(self) -> Vec<String> {
        let left = self.lab.down();
        // They ended with the lab.
        for mut child in self
            .podman
            .map(|p| p.process)
            .into_iter()
            .chain([self.server])
        {
            let _ = child.wait();
        }
        left
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.engines {
            [h1, h2] if h1 == h2 => write!(f, "{h1:?}"),
            [h1, h2] => write!(f, "{h1:?} with {h2:?}"),
        }
    }
}

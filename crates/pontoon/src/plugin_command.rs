//! `pontoon plugin`: our bridge driver and address pools for somebody else's engine, by Docker's plugin protocol.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgMatches, Command, value_parser};
use plugin::serve::{Config, MARK, Served};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::daemon::{log, make_dir};
use crate::host::{self, Listener, PidFile};
use crate::notify;

pub fn command() -> Command {
    let path = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("PATH")
            .default_value(default)
            .value_parser(value_parser!(PathBuf))
            .help(help)
    };
    Command::new("plugin")
        .about("Serve the bridge driver and address pools to dockerd: docker network create -d pontoon")
        .long_about(
            "Serve the bridge driver and address pools to dockerd: docker network create -d pontoon\n\n\
             Networks take the options of the bridge driver (-o com.docker.network.bridge.…); addresses are the engine's to \
             give, or of pools that are kept here (--ipam-driver pontoon, with any driver). Published ports lead to containers through nftables, without a proxy; dockerd does not list them.\n\n\
             Start it before dockerd: forwarding is on then, and dockerd leaves the policy of the host's FORWARD chain alone. \
             Where that policy is DROP nevertheless, let these networks pass: iptables -I DOCKER-USER -j ACCEPT.\n\n\
             It may stop, be killed and start again at any time: networks and containers go on.",
        )
        .arg(path(
            "socket",
            "/run/docker/plugins/pontoon.sock",
            "Where to listen; the file's name is the driver's",
        ))
        .arg(path("data-root", "/var/lib/pontoon-plugin", "Directory of persistent state"))
        .arg(path("exec-root", "/run/pontoon-plugin", "Directory of run-time state"))
        .arg(path("pidfile", "/run/pontoon-plugin.pid", "File of the process id"))
        .arg(
            Arg::new("log-level")
                .long("log-level")
                .short('l')
                .default_value("info")
                .value_parser(["debug", "info", "warn", "error"])
                .help("Level of the log"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("the plugin needs to be started with root privileges");
    }
    let level = matches.get_one::<String>("log-level");
    log(level.map_or("info", String::as_str), false)?;
    serve(matches)
}

#[tokio::main(worker_threads = 2)]
async fn serve(matches: &ArgMatches) -> Result<()> {
    let path = |name| {
        let path = matches.get_one::<PathBuf>(name);
        path.cloned().unwrap_or_default()
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (data, run, socket) = (path("data-root"), path("exec-root"), path("socket"));
    make_dir(&data)?;
    make_dir(&run)?;
    let _pid = PidFile::create(&path("pidfile"))?;
    let kernel = netstate::NetState::start(netstate::Config {
        netns_dir: run.join("netns"),
        mark: MARK.into(),
        cgroup: None,
    })
    .await
    .context("cannot talk to the kernel's network")?;
    let served = Served::start(Config::new(data, run), kernel)
        .await
        .context("cannot take up the networks")?;
    // Not before everything is there: an engine that asks earlier waits.
    let address = format!("unix://{}", socket.display());
    let listener = match host::listen(&address, "root").await?.pop() {
        Some(Listener::Unix(listener)) => listener,
        _ => bail!("{address} is no unix socket"),
    };
    if let Err(error) = notify::ready() {
        warn!(%error, "cannot tell the service manager that the plugin is up");
    }
    info!(socket = %socket.display(), "driver is served");
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping, networks stay"),
            _ = interrupt.recv() => info!("interrupted: stopping, networks stay"),
        }
    };
    plugin::serve::serve(listener, served, stop).await?;
    let _ = std::fs::remove_file(socket);
    Ok(())
}

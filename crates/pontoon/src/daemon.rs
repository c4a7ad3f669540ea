//! `pontoon daemon`: the rooms put together, in the order in which they need each other.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::ArgMatches;
use engine_api::{Backend, SystemInfo, system};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::host::{self, Listener, PidFile};
use crate::limits;
use crate::notify;
use crate::relay_command;
use crate::settings::Settings;

/// What Docker's clients compare themselves with, and which of ours it is.
const ENGINE_VERSION: &str = concat!("28.5.2+pontoon.", env!("CARGO_PKG_VERSION"));

/// By which links, rules and tables in the kernel are known as ours.
pub const MARK: &str = "pontoon";

pub fn run(matches: &ArgMatches) -> Result<()> {
    if matches.get_flag("version") {
        println!("Docker version {ENGINE_VERSION}, build pontoon");
        return Ok(());
    }
    let mut settings = Settings::read(matches)?;
    if matches.get_one::<bool>("validate") == Some(&true) {
        println!("configuration OK");
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("the daemon needs to be started with root privileges");
    }
    log(level(&settings), settings.log_json)?;
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    limits::raise_files(&mut settings.ulimits)?;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?;
    runtime.block_on(serve(settings))
}

fn level(settings: &Settings) -> &str {
    match settings.log_level.as_str() {
        "info" if settings.debug => "debug",
        level => level,
    }
}

pub(crate) fn log(level: &str, json: bool) -> Result<()> {
    // Libraries below us speak up only when something is wrong.
    let filter = format!(
        "{level},h2=warn,hyper=warn,hyper_util=warn,openraft=warn,rustls=warn,tonic=warn,tower=warn"
    );
    let filter = tracing_subscriber::EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init();
    }
    Ok(())
}

async fn serve(settings: Settings) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    make_dir(&settings.data_root)?;
    make_dir(&settings.exec_root)?;
    let _pid = PidFile::create(&settings.pidfile)?;
    let mut listeners = Vec::new();
    for host in &settings.hosts {
        listeners.extend(host::listen(host, &settings.group).await?);
    }
    let (backend, cluster) = rooms(&settings).await?;
    let (stop, stopped) = watch::channel(false);
    let mut servers = JoinSet::new();
    for listener in listeners {
        let backend = backend.clone();
        let mut stopped = stopped.clone();
        let shutdown = async move {
            // An error means that the sender is gone: stop as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        match listener {
            Listener::Unix(l) => servers.spawn(engine_api::serve(l, backend, shutdown)),
            Listener::Tcp(l) => {
                warn!(address = ?l.local_addr(), "the API is open to everybody who reaches this address: root without a password");
                servers.spawn(engine_api::serve(l, backend, shutdown))
            }
        };
    }
    if let Err(e) = notify::ready() {
        warn!(error = %e, "cannot tell the service manager that the daemon is up");
    }
    info!(version = ENGINE_VERSION, hosts = ?settings.hosts, "API is served");
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: stopping, containers keep running"),
        _ = interrupt.recv() => info!("interrupted: stopping, containers keep running"),
        Some(ended) = servers.join_next() => {
            let _ = stop.send(true);
            return ended?.context("the API server ended");
        }
    }
    let _ = stop.send(true);
    while let Some(ended) = servers.join_next().await {
        if let Err(e) = ended? {
            error!(error = %e, "API server");
        }
    }
    cluster.shutdown().await;
    backend.engine.shutdown().await;
    for path in settings
        .hosts
        .iter()
        .filter_map(|h| h.strip_prefix("unix://"))
    {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// netstate, then networks, then containers, then the swarm: each takes up what was there before.
async fn rooms(settings: &Settings) -> Result<(Backend, cluster::Cluster)> {
    let netns_dir = settings.exec_root.join("netns");
    let netstate = netstate::NetState::start(netstate::Config {
        netns_dir,
        mark: MARK.into(),
        cgroup: engine::unified_cgroup(&settings.cgroup_parent),
    })
    .await
    .context("cannot talk to the kernel's network")?;
    let events = engine::Events::new();
    let (network_events, mut happened) =
        tokio::sync::mpsc::unbounded_channel::<cnm::NetworkEvent>();
    let networks = cnm::Controller::start(
        cnm::Config {
            dir: settings.data_root.join("network"),
            bridge: settings.bridge.clone(),
            mtu: settings.mtu,
            default_address_pools: settings.pools.clone(),
            excluded: settings.excluded.clone(),
            dns: settings.dns.clone(),
            dns_options: settings.dns_options.clone(),
            dns_search: settings.dns_search.clone(),
            host_gateway: settings.host_gateway.clone(),
            firewall: settings.firewall.clone(),
            default_binding: settings.default_binding,
            network_options: settings.network_options.clone(),
            labels: settings.labels.clone(),
            relay: Some(Arc::new(relay::Keeper::start(relay_command::arguments(
                level(settings),
                settings.log_json,
            )))),
        },
        netstate,
        drivers::all(),
        Some(Arc::new(plugin::Plugins::new(settings.plugin_dirs.clone()))),
        network_events,
    )
    .await
    .context("cannot start the networks")?;
    let sink = events.clone();
    tokio::spawn(async move {
        while let Some(e) = happened.recv().await {
            sink.publish("network", e.action, &e.network_id, e.attributes, e.scope);
        }
    });
    let engine = engine::Engine::start(
        engine::Config {
            data_root: settings.data_root.clone(),
            exec_root: settings.exec_root.clone(),
            cgroup_parent: settings.cgroup_parent.clone(),
            runtimes: settings.runtimes.clone(),
            default_runtime: settings.default_runtime.clone(),
            conmon: program("conmon"),
            labels: settings.labels.clone(),
            default_ulimits: settings.ulimits.clone(),
        },
        networks.clone(),
        events,
    )
    .await
    .context("cannot take over the containers")?;
    let cluster = cluster::Cluster::start(
        cluster::Config {
            dir: settings.data_root.join("swarm"),
            exec_root: settings.exec_root.clone(),
            default_advertise_addr: settings.swarm_advertise.clone(),
            engine_labels: settings.labels.clone(),
            engine_version: ENGINE_VERSION.into(),
        },
        engine.clone(),
        networks.clone(),
    )
    .await
    .context("cannot take up the swarm")?;
    let system = SystemInfo::gather(system_settings(settings))?;
    Ok((
        Backend {
            engine,
            networks,
            cluster: cluster.clone(),
            system,
        },
        cluster,
    ))
}

fn system_settings(settings: &Settings) -> system::Settings {
    system::Settings {
        version: ENGINE_VERSION.into(),
        data_root: settings.data_root.clone(),
        labels: settings.labels.clone(),
        debug: settings.debug,
        live_restore: true,
        runtimes: settings.runtimes.clone(),
        default_runtime: settings.default_runtime.clone(),
        storage_driver: "overlay2".into(),
        log_drivers: vec!["json-file".into()],
        default_log_driver: "json-file".into(),
        cgroup_driver: "cgroupfs".into(),
        firewall: settings.firewall.ipv4.then(|| "nftables".into()),
        ..Default::default()
    }
}

/// First executable of that name in `PATH`.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let executable = |p: &PathBuf| {
        p.metadata()
            .is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0)
    };
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(executable)
        .unwrap_or_else(|| name.into())
}

/// Others may pass through to what they own below it, and list nothing.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path)
        .with_context(|| format!("cannot make {}", path.display()))
}

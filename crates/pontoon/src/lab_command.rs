//! `pontoon lab`: hosts made of network namespaces, for people.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use lab::Lab;

const DEFAULT: &str = "lab";

pub fn command() -> Command {
    let name = || {
        Arg::new("name")
            .long("name")
            .short('n')
            .default_value(DEFAULT)
            .help("Which lab: several may be up at once")
    };
    let hosts = || {
        Arg::new("host")
            .required(true)
            .num_args(1..)
            .help("Hosts, as `pontoon lab ls` names them")
    };
    let sub = |cmd: &'static str, about: &'static str| Command::new(cmd).about(about).arg(name());
    Command::new("lab")
        .about("Hosts made of network namespaces, to try things out on one machine")
        .long_about(
            "Hosts made of network namespaces, to try things out on one machine.\n\n\
             Each host has a cable to a switch, runs a daemon of its own and is driven by the stock docker CLI. Two segments \
             have a router between them. Nothing is added to this machine's own network, and nothing sends beyond the lab.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            sub("up", "Make hosts h1, h2 … and start a daemon on each")
                .arg(
                    Arg::new("hosts")
                        .long("hosts")
                        .default_value("2,1")
                        .value_delimiter(',')
                        .value_parser(value_parser!(usize))
                        .help("Hosts on each segment: 2,1 is h1 and h2 on one, h3 behind a router"),
                )
                .arg(
                    Arg::new("engine")
                        .long("engine")
                        .default_value("pontoon")
                        .value_parser(["pontoon", "docker", "none"])
                        .help("Which daemon runs on the hosts"),
                )
                .arg(Arg::new("flags").last(true).num_args(0..).help("More flags for the daemons")),
        )
        .subcommand(
            sub("exec", "Run a program in a host; `docker` there talks to the host's daemon")
                .arg(Arg::new("host").required(true))
                .arg(Arg::new("argv").required(true).num_args(1..).trailing_var_arg(true).allow_hyphen_values(true)),
        )
        .subcommand(
            Command::new("ls").about("List the hosts of all labs").arg(
                Arg::new("format").long("format").default_value("table").value_parser(["table", "json"]).help("How to print"),
            ),
        )
        .subcommand(sub("partition", "Cut hosts off from all others").arg(hosts()))
        .subcommand(
            sub("loss", "Lose some packets of a host, at random")
                .arg(Arg::new("host").required(true))
                .arg(Arg::new("percent").required(true).value_parser(value_parser!(u8).range(0..=100))),
        )
        .subcommand(sub("heal", "End all partitions and losses"))
        .subcommand(
            sub("kill", "Kill the daemon of hosts (SIGKILL); containers stay").arg(hosts()).arg(
                Arg::new("power").long("power").action(ArgAction::SetTrue).help("Kill everything that runs there"),
            ),
        )
        .subcommand(sub("start", "Start the daemon of hosts again").arg(hosts()))
        .subcommand(sub("down", "Remove the lab and everything that ran in it"))
}

pub fn run(matches: &ArgMatches) -> Result<()> {
    let Some((cmd, m)) = matches.subcommand() else {
        return Ok(());
    };
    if cmd == "ls" {
        return list(m.get_one::<String>("format").is_some_and(|f| f == "json"));
    }
    let name = m.get_one::<String>("name").map_or(DEFAULT, String::as_str);
    let hosts = || {
        m.get_many::<String>("host")
            .into_iter()
            .flatten()
            .map(String::as_str)
    };
    match cmd {
        "up" => up(name, m),
        "exec" => {
            let host = Lab::open(name)?.host(hosts().next().unwrap_or_default())?;
            let argv: Vec<&String> = m.get_many("argv").into_iter().flatten().collect();
            let Some((program, args)) = argv.split_first() else {
                bail!("what shall run in {}?", host.name)
            };
            Err(host.command(program).args(args).exec())
                .with_context(|| format!("cannot run {program}"))
        }
        "partition" => Lab::open(name)?.partition(&hosts().collect::<Vec<_>>()),
        "loss" => {
            let percent = m.get_one::<u8>("percent").copied().unwrap_or(0);
            Lab::open(name)?.loss(hosts().next().unwrap_or_default(), percent)
        }
        "heal" => Lab::open(name)?.heal(),
        "kill" => hosts().try_for_each(|h| {
            let host = Lab::open(name)?.host(h)?;
            if m.get_flag("power") {
                host.power_off()
            } else {
                host.kill_daemon()
            }
        }),
        "start" => hosts().try_for_each(|h| Lab::open(name)?.host(h)?.restart_daemon()),
        "down" => {
            let left = Lab::open(name)?.down();
            if !left.is_empty() {
                bail!("could not be removed: {}", left.join(", "));
            }
            Ok(())
        }
        other => bail!("unknown command {other}"),
    }
}

fn up(name: &str, m: &ArgMatches) -> Result<()> {
    let segments: Vec<usize> = m.get_many("hosts").into_iter().flatten().copied().collect();
    let engine = m
        .get_one::<String>("engine")
        .map_or("pontoon", String::as_str);
    let flags: Vec<&str> = m
        .get_many::<String>("flags")
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let binary: PathBuf = std::env::current_exe()?;
    let lab = Lab::up(name, &segments)?;
    let start = |host: &str| -> Result<()> {
        let host = lab.host(host)?;
        eprintln!("{} {} starting {engine}", host.name, host.addr);
        match engine {
            "pontoon" => host.spawn_pontoon(&binary, &flags)?,
            "docker" => host.spawn_dockerd(&flags)?,
            _ => return Ok(()),
        }
        // No registry can be reached from a lab.
        host.import_busybox()
    };
    let names: Vec<String> = lab.hosts().map(str::to_owned).collect();
    if let Err(e) = names.iter().try_for_each(|h| start(h)) {
        lab.down();
        return Err(e);
    }
    eprintln!(
        "lab {name} is up: pontoon lab exec {} docker version",
        names.first().map_or("", String::as_str)
    );
    Ok(())
}

fn list(json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for name in Lab::list() {
        let lab = Lab::open(&name)?;
        for host in lab.hosts() {
            let host = lab.host(host)?;
            let daemon = host
                .daemon_pid()
                .map_or_else(|| "-".to_owned(), |p| p.to_string());
            rows.push([
                name.clone(),
                host.name.clone(),
                host.addr.to_string(),
                daemon,
                host.socket().display().to_string(),
            ]);
        }
    }
    if json {
        for [lab, host, address, daemon, socket] in rows {
            let pid: Option<u32> = daemon.parse().ok();
            println!(
                "{}",
                serde_json::json!({"Lab": lab, "Host": host, "Address": address, "Daemon": pid, "Socket": socket})
            );
        }
        return Ok(());
    }
    println!(
        "{:<10} {:<8} {:<15} {:<8} SOCKET",
        "LAB", "HOST", "ADDRESS", "DAEMON"
    );
    for [lab, host, address, daemon, socket] in rows {
        println!("{lab:<10} {host:<8} {address:<15} {daemon:<8} {socket}");
    }
    Ok(())
}

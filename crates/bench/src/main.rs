//! Pontoon and Docker, side by side: labs of two hosts, the same steps in turn, medians and their ratio. What is said of
//! mixed swarms compares one host of each with two of Docker's; resolvers are compared with Debian's podman (netavark and
//! aardvark-dns) as well.
//!
//! Both engines are driven by the same client (the stock `docker` CLI, or the same HTTP request), use the same image and
//! the same runtime (runc), and look up no registry. Traffic between hosts stays on one segment. A figure is the median of
//! its rounds; the rounds of the two engines alternate, so that a machine that speeds up or slows down favours neither.
//!
//! `bench PONTOON [--format table|json] [--only WORD]`; `bench dns-load SERVER NAME` is this program inside a container's
//! network namespace.

#![forbid(unsafe_code)]

mod api;
mod dns;
mod memory;
mod mixed;
mod podman;
mod report;
mod service;
mod start;
mod traffic;
mod world;

use std::collections::{BTreeMap, btree_map::Entry};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use report::{Better, Report};
use world::Engine::{Docker, Podman, Pontoon};
use world::{Engine, Engines, World};

/// One figure: what it is called, which way is good, how often it is taken, and how.
struct Measure {
    name: &'static str,
    unit: &'static str,
    better: Better,
    rounds: usize,
    /// What the issue asks of the ratio Pontoon/peer.
    aim: f64,
    /// What stands against the peer alone: Pontoon alone, or a swarm of both.
    ours: Engines,
    /// Whose figure stands in the column of Docker.
    peer: Engine,
    take: fn(&World) -> Result<f64>,
}

const MEASURES: &[Measure] = &[
    Measure {
        name: "overlay throughput, TCP",
        unit: "Gbit/s",
        better: Better::Higher,
        rounds: 5,
        aim: 1.0,
        ours: [Pontoon; 2],
        peer: Docker,
        take: traffic::throughput,
    },
    Measure {
        name: "overlay round trip",
        unit: "µs",
        better: Better::Lower,
        rounds: 5,
        aim: 1.0,
        ours: [Pontoon; 2],
        peer: Docker,
        take: traffic::round_trip,
    },
    Measure {
        name: "docker run -d on an overlay, returns",
        unit: "ms",
        better: Better::Lower,
        rounds: 11,
        aim: 1.0 / 3.0,
        ours: [Pontoon; 2],
        peer: Docker,
        take: start::returns,
    },
    Measure {
        name: "docker run -d on an overlay, first ping",
        unit: "ms",
        better: Better::Lower,
        rounds: 11,
        aim: 1.0 / 3.0,
        ours: [Pontoon; 2],
        peer: Docker,
        take: start::first_ping,
    },
    Measure {
        name: "service of 4 replicas, all running",
        unit: "ms",
        better: Better::Lower,
        rounds: 5,
        aim: 1.0 / 3.0,
        ours: [Pontoon; 2],
        peer: Docker,
        take: service::four,
    },
    Measure {
        name: "service of 20 replicas, all running",
        unit: "ms",
        better: Better::Lower,
        rounds: 3,
        aim: 1.0 / 3.0,
        ours: [Pontoon; 2],
        peer: Docker,
        take: service::twenty,
    },
    Measure {
        name: "resident memory, engine with one container",
        unit: "MiB",
        better: Better::Lower,
        rounds: 3,
        aim: 1.0 / 5.0,
        ours: [Pontoon; 2],
        peer: Docker,
        take: memory::resident,
    },
    Measure {
        name: "resolver, own names",
        unit: "queries/s",
        better: Better::Higher,
        rounds: 5,
        aim: 2.0,
        ours: [Pontoon; 2],
        peer: Docker,
        take: |world| Ok(dns::own(world)?.rate),
    },
    Measure {
        name: "resolver, own names (podman)",
        unit: "queries/s",
        better: Better::Higher,
        rounds: 5,
        aim: 2.0,
        ours: [Pontoon; 2],
        peer: Podman,
        take: |world| Ok(dns::own(world)?.rate),
    },
    Measure {
        name: "resolver, own names, 99th percentile",
        unit: "µs",
        better: Better::Lower,
        rounds: 5,
        aim: 0.5,
        ours: [Pontoon; 2],
        peer: Docker,
        take: |world| Ok(dns::own(world)?.p99),
    },
    Measure {
        name: "resolver, own names, 99th percentile (podman)",
        unit: "µs",
        better: Better::Lower,
        rounds: 5,
        aim: 0.5,
        ours: [Pontoon; 2],
        peer: Podman,
        take: |world| Ok(dns::own(world)?.p99),
    },
    Measure {
        name: "resolver, the world's names",
        unit: "queries/s",
        better: Better::Higher,
        rounds: 5,
        aim: 2.0,
        ours: [Pontoon; 2],
        peer: Docker,
        take: |world| Ok(dns::foreign(world)?.rate),
    },
    Measure {
        name: "resolver, the world's names (podman)",
        unit: "queries/s",
        better: Better::Higher,
        rounds: 5,
        aim: 2.0,
        ours: [Pontoon; 2],
        peer: Podman,
        take: |world| Ok(dns::foreign(world)?.rate),
    },
    Measure {
        name: "resolver, the world's names, 99th percentile",
        unit: "µs",
        better: Better::Lower,
        rounds: 5,
        aim: 0.5,
        ours: [Pontoon; 2],
        peer: Docker,
        take: |world| Ok(dns::foreign(world)?.p99),
    },
    Measure {
        name: "resolver, the world's names, 99th percentile (podman)",
        unit: "µs",
        better: Better::Lower,
        rounds: 5,
        aim: 0.5,
        ours: [Pontoon; 2],
        peer: Podman,
        take: |world| Ok(dns::foreign(world)?.p99),
    },
    Measure {
        name: "mixed: service on Pontoon, first ping from Docker",
        unit: "ms",
        better: Better::Lower,
        rounds: 7,
        aim: 1.0,
        ours: [Pontoon, Docker],
        peer: Docker,
        take: mixed::first_ping,
    },
    Measure {
        name: "mixed: service on Docker, first ping from Pontoon",
        unit: "ms",
        better: Better::Lower,
        rounds: 7,
        aim: 1.0,
        ours: [Docker, Pontoon],
        peer: Docker,
        take: mixed::first_ping,
    },
    Measure {
        name: "mixed: row of a Pontoon node on a Docker node",
        unit: "ms",
        better: Better::Lower,
        rounds: 7,
        aim: 1.0,
        ours: [Pontoon, Docker],
        peer: Docker,
        take: mixed::row,
    },
    Measure {
        name: "mixed: row of a Docker node on a Pontoon node",
        unit: "ms",
        better: Better::Lower,
        rounds: 7,
        aim: 1.0,
        ours: [Docker, Pontoon],
        peer: Docker,
        take: mixed::row,
    },
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [command, server, name] = args.as_slice()
        && command == "dns-load"
    {
        dns::load(server, name)?.print();
        return Ok(());
    }
    let mut binary = None;
    let (mut json, mut only) = (false, String::new());
    let mut rest = args.into_iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--format" => json = rest.next().context("--format wants table or json")? == "json",
            "--only" => {
                only = rest
                    .next()
                    .context("--only wants a word of a figure's name")?
            }
            _ if binary.is_none() && !arg.starts_with('-') => binary = Some(PathBuf::from(arg)),
            _ => bail!("usage: bench PONTOON [--format table|json] [--only WORD]"),
        }
    }
    let binary = binary
        .context("usage: bench PONTOON [--format table|json] [--only WORD]")?
        .canonicalize()?;
    let wanted: Vec<_> = MEASURES.iter().filter(|m| m.name.contains(&only)).collect();
    let mut worlds: BTreeMap<Engines, World> = BTreeMap::new();
    let mut report = Report::default();
    for measure in wanted {
        let pair = [measure.ours, [measure.peer; 2]];
        for engines in pair {
            if let Entry::Vacant(place) = worlds.entry(engines) {
                eprintln!("starting a lab of two hosts: {engines:?}");
                place.insert(World::new(&binary, engines)?);
            }
        }
        let mut figures = [Vec::new(), Vec::new()];
        for round in 1..=measure.rounds {
            eprintln!("{} {round}/{}", measure.name, measure.rounds);
            for (world, figures) in pair.iter().filter_map(|p| worlds.get(p)).zip(&mut figures) {
                figures.push(
                    (measure.take)(world).with_context(|| format!("{world}: {}", measure.name))?,
                );
            }
        }
        report.add(measure, figures);
    }
    if json {
        report.print_json()
    } else {
        report.print_table()
    }
    for world in worlds.into_values() {
        let left = world.down();
        if !left.is_empty() {
            bail!("left behind: {}", left.join(", "));
        }
    }
    Ok(())
}

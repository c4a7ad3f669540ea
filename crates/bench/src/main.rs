//! Pontoon and Docker, side by side: two labs of two hosts, the same steps in turn, medians and their ratio.
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
mod report;
mod service;
mod start;
mod traffic;
mod world;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use report::{Better, Report};
use world::World;

/// One figure: what it is called, which way is good, how often it is taken, and how.
struct Measure {
    name: &'static str,
    unit: &'static str,
    better: Better,
    rounds: usize,
    /// What the issue asks of the ratio Pontoon/Docker.
    aim: f64,
    take: fn(&World) -> Result<f64>,
}

const MEASURES: &[Measure] = &[
    Measure {
        name: "overlay throughput, TCP",
        unit: "Gbit/s",
        better: Better::Higher,
        rounds: 5,
        aim: 1.0,
        take: traffic::throughput,
    },
    Measure {
        name: "overlay round trip",
        unit: "µs",
        better: Better::Lower,
        rounds: 5,
        aim: 1.0,
        take: traffic::round_trip,
    },
    Measure {
        name: "docker run -d on an overlay, returns",
        unit: "ms",
        better: Better::Lower,
        rounds: 11,
        aim: 1.0 / 3.0,
        take: start::returns,
    },
    Measure {
        name: "docker run -d on an overlay, first ping",
        unit: "ms",
        better: Better::Lower,
        rounds: 11,
        aim: 1.0 / 3.0,
        take: start::first_ping,
    },
    Measure {
        name: "service of 4 replicas, all running",
        unit: "ms",
        better: Better::Lower,
        rounds: 5,
        aim: 1.0 / 3.0,
        take: service::four,
    },
    Measure {
        name: "service of 20 replicas, all running",
        unit: "ms",
        better: Better::Lower,
        rounds: 3,
        aim: 1.0 / 3.0,
        take: service::twenty,
    },
    Measure {
        name: "resident memory, engine with one container",
        unit: "MiB",
        better: Better::Lower,
        rounds: 3,
        aim: 1.0 / 5.0,
        take: memory::resident,
    },
    Measure {
        name: "resolver, own names",
        unit: "queries/s",
        better: Better::Higher,
        rounds: 5,
        aim: 1.0,
        take: dns::rate,
    },
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [command, server, name] = args.as_slice()
        && command == "dns-load"
    {
        println!("{}", dns::load(server, name)?);
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
    eprintln!("starting two labs of two hosts");
    let worlds = [World::pontoon(&binary)?, World::docker()?];
    let mut report = Report::default();
    for measure in MEASURES.iter().filter(|m| m.name.contains(&only)) {
        let mut figures = [Vec::new(), Vec::new()];
        for round in 1..=measure.rounds {
            eprintln!("{} {round}/{}", measure.name, measure.rounds);
            for (world, figures) in worlds.iter().zip(&mut figures) {
                figures.push(
                    (measure.take)(world)
                        .with_context(|| format!("{}: {}", world.engine, measure.name))?,
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
    for world in worlds {
        let left = world.down();
        if !left.is_empty() {
            bail!("left behind: {}", left.join(", "));
        }
    }
    Ok(())
}

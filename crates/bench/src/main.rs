//! Pontoon and Docker, side by side: labs of two hosts, the same steps in turn, medians and their ratio. What is said of
//! mixed swarms compares one host of each with two of Docker's; what podman has too (bridges, and names on them) is compared
//! with Debian's (netavark and aardvark-dns) as well.
//!
//! Both engines are driven by the same client (the stock `docker` CLI, or the same HTTP request), use the same image and
//! the same runtime (runc), and look up no registry. Traffic between hosts stays on one segment. A figure is the median of
//! its rounds. The rounds of the engines alternate, and the ratio is the median of the rounds' ratios, so that a machine
//! that speeds up or slows down favours nobody.
//!
//! `bench PONTOON [--format table|json] [--only WORD]…`; `bench dns-load SERVER NAME`, `tcp-serve HOW PORT`,
//! `tcp-load ADDRESS` and `tcp-connects ADDRESS` are this program inside a container's network namespace.

#![forbid(unsafe_code)]

mod api;
mod balance;
mod bridge;
mod crowd;
mod dns;
mod measures;
mod memory;
mod mixed;
mod podman;
mod publish;
mod report;
mod service;
mod start;
mod traffic;
mod world;

use std::collections::{BTreeMap, btree_map::Entry};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use measures::{MEASURES, Measure, Other, Take};
use report::{Report, Row};
use world::{Engines, World};

const USAGE: &str = "usage: bench PONTOON [--format table|json] [--only WORD]…";

struct Args {
    binary: PathBuf,
    json: bool,
    /// Words of figures' names; none: all figures.
    only: Vec<String>,
}

impl Args {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut binary = None;
        let (mut json, mut only) = (false, Vec::new());
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--format" => {
                    json = match args.next().as_deref() {
                        Some("json") => true,
                        Some("table") => false,
                        _ => bail!("--format wants table or json"),
                    }
                }
                "--only" => only.push(
                    args.next()
                        .context("--only wants a word of a figure's name")?,
                ),
                _ if binary.is_none() && !arg.starts_with('-') => binary = Some(PathBuf::from(arg)),
                _ => bail!(USAGE),
            }
        }
        let binary = binary.context(USAGE)?.canonicalize()?;
        Ok(Self { binary, json, only })
    }
}

/// Labs, started when they are first needed.
struct Worlds {
    binary: PathBuf,
    up: BTreeMap<Engines, World>,
}

impl Worlds {
    fn get(&mut self, engines: Engines) -> Result<&World> {
        match self.up.entry(engines) {
            Entry::Occupied(world) => Ok(world.into_mut()),
            Entry::Vacant(place) => {
                eprintln!("starting a lab of two hosts: {engines:?}");
                Ok(place.insert(World::new(&self.binary, engines)?))
            }
        }
    }

    /// A row for each of the others.
    fn take(&mut self, measure: &Measure) -> Result<Vec<Row>> {
        let others = measure.others.iter().map(|other| match *other {
            Other::Engine(engine) => ([engine; 2], measure.take),
            Other::Ours(_, take) => (measure.ours, take),
        });
        let all: Vec<(Engines, Take)> = [(measure.ours, measure.take)]
            .into_iter()
            .chain(others)
            .collect();
        let mut figures = vec![Vec::new(); all.len()];
        for round in 1..=measure.rounds {
            for ((engines, take), figures) in all.iter().zip(&mut figures) {
                let world = self.get(*engines)?;
                eprint!("{} {round}/{}, {world}: ", measure.name, measure.rounds);
                let figure = take(world);
                eprintln!("{:.3?}", figure.as_ref().ok());
                figures.push(figure.with_context(|| format!("{world}: {}", measure.name))?);
            }
        }
        let mut figures = figures.into_iter();
        let ours = figures.next().unwrap_or_default();
        let row = |(other, theirs): (&Other, Vec<_>)| Row::new(measure, *other, &ours, &theirs);
        Ok(measure.others.iter().zip(figures).map(row).collect())
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["dns-load", server, name] => return dns::load(server, name).map(|load| load.print()),
        ["tcp-serve", how, port] => return balance::serve(how, port),
        ["tcp-load", to] => return balance::ask(to).map(|figure| println!("{figure}")),
        ["tcp-connects", to] => {
            return balance::connect_again_and_again(to).map(|figure| println!("{figure}"));
        }
        _ => {}
    }
    let args = Args::parse(args.into_iter())?;
    let wanted =
        |m: &&Measure| args.only.is_empty() || args.only.iter().any(|w| m.name.contains(w));
    let mut worlds = Worlds {
        binary: args.binary,
        up: BTreeMap::new(),
    };
    let mut report = Report::default();
    let ipvs = world::kernel_has_ipvs();
    for measure in MEASURES.iter().filter(wanted) {
        if measure.needs_ipvs && !ipvs {
            let name = measure.name;
            eprintln!(
                "left out, this kernel has no IPVS (make vm-bench runs one that has): {name}"
            );
            continue;
        }
        // What fails is told at the end; the other figures stand.
        match worlds.take(measure) {
            Ok(rows) => report.rows.extend(rows),
            Err(error) => report.failures.push(format!("{error:#}")),
        }
    }
    match args.json {
        true => report.print_json(),
        false => report.print_table(),
    }
    let left: Vec<_> = worlds.up.into_values().flat_map(World::down).collect();
    if !left.is_empty() {
        bail!("left behind: {}", left.join(", "));
    }
    if !report.failures.is_empty() {
        bail!("no figure: {}", report.failures.join("; "));
    }
    Ok(())
}

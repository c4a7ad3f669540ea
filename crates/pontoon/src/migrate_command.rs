//! `pontoon migrate`: a node of a Docker swarm becomes a Pontoon node, and back.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cluster::migrate::{Plan, Roots};

use crate::daemon::MARK;

pub fn command() -> Command {
    let dir = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("DIR")
            .default_value(default)
            .value_parser(value_parser!(PathBuf))
            .help(help)
    };
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("migrate")
        .about("Take over the node that dockerd is in its swarm, or give it back")
        .long_about(
            "Take over the node that dockerd is in its swarm, or give it back.\n\n\
             A worker of a Docker swarm keeps its node id, certificate, key, root CA, managers and addresses when it changes its \
             engine. Images, volumes and standalone containers do not move: each is listed with the way to move it. Managers \
             cannot move: demote them first.\n\n\
             In this order:\n  \
             1. pontoon migrate            looks, says what is to be done first, and writes nothing\n  \
             2. drain the node on a manager, stop its containers, stop dockerd\n  \
             3. pontoon migrate --apply    refuses as long as anything of that is left to do\n  \
             4. start pontoon daemon, make the node active again\n\n\
             The way back is the same with pontoon stopped, and pontoon migrate --undo.",
        )
        .arg(switch("apply", "Move the node to Pontoon (without it: only look)").conflicts_with("undo"))
        .arg(switch("undo", "Move the node back to Docker"))
        .arg(switch("dry-run", "Only look, with --undo too").conflicts_with("apply"))
        .arg(dir("from", "/var/lib/docker", "dockerd's --data-root"))
        .arg(dir("data-root", "/var/lib/pontoon", "This engine's --data-root"))
        .arg(dir("exec-root", "/run/pontoon", "This engine's --exec-root"))
        .arg(
            Arg::new("format")
                .long("format")
                .default_value("text")
                .value_parser(["text", "json"])
                .help("How to print"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<()> {
    let dir = |name| {
        matches
            .get_one::<PathBuf>(name)
            .cloned()
            .unwrap_or_default()
    };
    let roots = Roots {
        docker: dir("from"),
        pontoon: dir("data-root"),
        exec: dir("exec-root"),
    };
    if !rustix::process::geteuid().is_root() {
        bail!("both engines' files are root's: run this as root");
    }
    let undo = matches.get_flag("undo");
    let act = matches.get_flag("apply") || (undo && !matches.get_flag("dry-run"));
    let plan = match undo {
        true => roots.look_back(),
        false => roots.look(),
    };
    let done = act && plan.is_ready();
    if done {
        match undo {
            true => back(&roots)?,
            false => roots.apply()?,
        }
    }
    match matches.get_one::<String>("format").map(String::as_str) {
        Some("json") => print_json(&plan, done)?,
        _ => print_text(&plan, undo, done),
    }
    match act && !done || !plan.refused.is_empty() {
        true => bail!("the node was not moved, and nothing was written"),
        false => Ok(()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn back(roots: &Roots) -> Result<()> {
    let config = netstate::Config {
        netns_dir: roots.exec.join("netns"),
        mark: MARK.into(),
        cgroup: None,
    };
    let kernel = netstate::NetState::start(config).await?;
    Ok(roots.undo(&kernel).await?)
}

fn print_json(plan: &Plan, done: bool) -> Result<()> {
    let mut json = serde_json::to_value(plan)?;
    json["Done"] = done.into();
    println!("{json}");
    Ok(())
}

fn print_text(plan: &Plan, undo: bool, done: bool) {
    if let Some(node) = &plan.node {
        println!("Node {} of swarm {}", node.id, node.swarm_id);
        println!("  certificate until {}", node.expires);
        println!("  managers {}", node.managers.join(", "));
        println!(
            "  listens on {}, advertises {}, data path {}",
            node.listen, node.advertise, node.data_path
        );
        let verb = if done { "Moved" } else { "Moves" };
        println!(
            "{verb} from {} to {}: certificate, key, root CA, managers{}",
            plan.from.display(),
            plan.to.display(),
            if undo { "" } else { ", addresses" }
        );
    }
    if !plan.leaves.is_empty() {
        println!("\nDoes not move:");
    }
    for left in &plan.leaves {
        let kind = format!("{:?}", left.kind).to_lowercase();
        println!("  {kind} {}\n      {}", left.name, left.how);
    }
    let lists = [
        ("Cannot be moved:", &plan.refused),
        ("To be done first:", &plan.first),
        ("To be done then:", &plan.then),
    ];
    for (title, lines) in lists.iter().filter(|(_, lines)| !lines.is_empty()) {
        println!("\n{title}");
        lines.iter().for_each(|line| println!("  * {line}"));
    }
    if !done {
        println!("\nNothing was written.");
    }
}

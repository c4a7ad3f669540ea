//! `pontoon relay`: what the daemon starts for published ports whose tasks want a PROXY header. Not for people.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::daemon::log;

pub fn command() -> Command {
    Command::new("relay")
        .hide(true)
        .about("Pass connections to published ports on to tasks, with a PROXY header; started by the daemon")
        .arg(Arg::new("log-level").long("log-level").default_value("info"))
        .arg(
            Arg::new("log-json")
                .long("log-json")
                .action(ArgAction::SetTrue),
        )
        .arg(
            Arg::new("sandbox")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
}

/// As the daemon logs.
pub fn arguments(level: &str, json: bool) -> Vec<OsString> {
    let mut arguments = vec!["relay".into(), format!("--log-level={level}").into()];
    arguments.extend(json.then(|| "--log-json".into()));
    arguments
}

pub fn run(matches: &ArgMatches) -> Result<()> {
    let level = matches.get_one::<String>("log-level");
    log(
        level.map_or("info", String::as_str),
        matches.get_flag("log-json"),
    )?;
    let sandbox = matches.get_one::<PathBuf>("sandbox");
    relay::serve(sandbox.context("no sandbox is named")?)
}

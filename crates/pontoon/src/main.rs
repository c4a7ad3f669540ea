//! The `pontoon` program: `pontoon daemon` (also when it is called `pontoond` or `dockerd`), what an administrator asks it
//! (`pontoon drift`, `pontoon network explain`), `pontoon migrate`, `pontoon plugin`, and `pontoon lab`.
//!
//! Wiring only: flags and files in ([`flags`], [`settings`], [`limits`]), rooms put together ([`daemon`]), questions to a running
//! daemon ([`operate`], over [`client`]), a node that changes its engine ([`migrate_command`]), our driver for somebody else's
//! engine ([`plugin_command`]), a process that the daemon starts ([`relay_command`]), labs for people ([`lab`]).

#![forbid(unsafe_code)]

mod client;
mod daemon;
mod flags;
mod host;
mod lab_command;
mod limits;
mod migrate_command;
mod notify;
mod operate;
mod plugin_command;
mod relay_command;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().collect();
    let called = args
        .first()
        .and_then(|a| a.rsplit('/').next())
        .unwrap_or_default();
    // A unit file or a harness written for dockerd starts the daemon.
    if matches!(called, "dockerd" | "pontoond") {
        args.insert(1, "daemon".into());
    }
    let matches = flags::command().get_matches_from(args);
    let result = match matches.subcommand() {
        Some(("daemon", m)) => daemon::run(m).map(|()| true),
        Some(("drift", m)) => operate::drift(m),
        Some(("network", m)) => operate::network(m),
        Some(("migrate", m)) => migrate_command::run(m).map(|()| true),
        Some(("plugin", m)) => plugin_command::run(m).map(|()| true),
        Some(("relay", m)) => relay_command::run(m).map(|()| true),
        Some(("lab", m)) => lab_command::run(m).map(|()| true),
        _ => Ok(true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        // What was asked for is not well; that has been said.
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("pontoon: {e:#}");
            ExitCode::FAILURE
        }
    }
}

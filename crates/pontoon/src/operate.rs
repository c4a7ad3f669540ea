//! `pontoon drift` and `pontoon network explain`: what an administrator asks a running daemon.

use anyhow::Result;
use clap::{Arg, ArgMatches, Command, value_parser};
use engine_types::pontoon::{Drift, Explanation, StepState};

use crate::client::{escaped, format_arg, host_arg, request, wants_json};

pub fn drift_command() -> Command {
    Command::new("drift")
        .about("Compare what is wanted of the kernel with what is there")
        .long_about(
            "Compare what is wanted of the kernel with what is there, and put nothing right.\n\n\
             The daemon itself heals what others change within a second, so that most differences are seen as a count only. \
             Ends with status 1 when something differs.",
        )
        .arg(host_arg())
        .arg(format_arg())
        .arg(
            Arg::new("hold")
                .long("hold")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64))
                .help("First stop healing for so long, to try something by hand; 0 ends that"),
        )
}

pub fn network_command() -> Command {
    let arg = |name: &'static str, help: &'static str| Arg::new(name).required(true).help(help);
    Command::new("network")
        .about("What docker network has no command for")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("explain")
                .about("Say why one container reaches another, or what is wrong first")
                .long_about(
                    "Walk the way from one container to another (name, address, endpoint, rows, kernel, firewall, reply), say \
                     what is wrong first and what to do, and send a real echo request. Changes nothing. Ends with status 1 \
                     when something is wrong.",
                )
                .arg(arg("from", "Container of this host, by name or id"))
                .arg(arg("to", "Container of this host, or a name or an address as the first one would use it"))
                .arg(host_arg())
                .arg(format_arg()),
        )
}

/// Whether all is well.
pub fn drift(matches: &ArgMatches) -> Result<bool> {
    if let Some(seconds) = matches.get_one::<u64>("hold") {
        request(
            matches,
            "POST",
            &format!("/pontoon/drift/hold?seconds={seconds}"),
        )?;
    }
    let body = request(matches, "GET", "/pontoon/drift")?;
    let drift: Drift = serde_json::from_slice(&body)?;
    match wants_json(matches) {
        true => println!("{}", serde_json::to_string(&drift)?),
        false => print!("{}", drift_table(&drift)),
    }
    Ok(drift.differences.is_empty())
}

fn drift_table(drift: &Drift) -> String {
    let Drift {
        wanted,
        applied,
        healed,
        failed,
        held_seconds,
        differences,
    } = drift;
    let mut text = format!(
        "WANTED     APPLIED    HEALED     FAILED     DIFFERENT\n{wanted:<10} {applied:<10} {healed:<10} {failed:<10} {}\n",
        differences.len()
    );
    if *held_seconds > 0 {
        text += &format!("\nhealing is held for another {held_seconds} s\n");
    }
    if !differences.is_empty() {
        text += &format!("\n{:<14} DIFFERENCE\n", "NAMESPACE");
    }
    for difference in differences {
        text += &format!("{:<14} {}\n", difference.netns, difference.text);
    }
    text
}

pub fn network(matches: &ArgMatches) -> Result<bool> {
    let Some(("explain", matches)) = matches.subcommand() else {
        return Ok(true);
    };
    let arg = |name| {
        matches
            .get_one::<String>(name)
            .map(|v| escaped(v))
            .unwrap_or_default()
    };
    let path = format!("/pontoon/explain?from={}&to={}", arg("from"), arg("to"));
    let body = request(matches, "GET", &path)?;
    let found: Explanation = serde_json::from_slice(&body)?;
    match wants_json(matches) {
        true => println!("{}", serde_json::to_string(&found)?),
        false => print!("{}", story(&found)),
    }
    Ok(found.wrong.is_none())
}

fn story(found: &Explanation) -> String {
    let mut text = String::new();
    for step in &found.steps {
        let state = match step.state {
            StepState::Ok => "ok",
            StepState::Wrong => "wrong",
            StepState::Skipped => "-",
        };
        text += &format!("{:<10} {state:<6} {}\n", step.name, step.text);
        if !step.advice.is_empty() {
            text += &format!("{:<17} what to do: {}\n", "", step.advice);
        }
    }
    let (from, to) = (&found.from, &found.to);
    text += &match (&found.wrong, found.reached) {
        (None, _) => format!("\n{from} reaches {to}\n"),
        (Some(wrong), true) => {
            format!("\n{from} reaches {to}, but something is wrong; first: {wrong}\n")
        }
        (Some(wrong), false) => format!("\n{from} does not reach {to}; wrong first: {wrong}\n"),
    };
    text
}

#[cfg(test)]
mod tests {
    use engine_types::pontoon::{Difference, Step};

    use super::*;

    #[test]
    fn both_are_printed_for_people() {
        let drift = Drift {
            wanted: 12,
            applied: 40,
            healed: 3,
            held_seconds: 9,
            differences: vec![Difference {
                netns: "ov-1".into(),
                text: "fdb x was missing".into(),
            }],
            ..Drift::default()
        };
        assert_eq!(
            drift_table(&drift),
            "WANTED     APPLIED    HEALED     FAILED     DIFFERENT\n\
             12         40         3          0          1\n\n\
             healing is held for another 9 s\n\n\
             NAMESPACE      DIFFERENCE\n\
             ov-1           fdb x was missing\n"
        );
        let step = |name: &str, state, advice: &str| Step {
            name: name.into(),
            state,
            text: format!("about {name}"),
            advice: advice.into(),
        };
        let found = Explanation {
            from: "a".into(),
            to: "b".into(),
            steps: vec![
                step("name", StepState::Ok, ""),
                step("kernel", StepState::Wrong, "this"),
            ],
            wrong: Some("kernel".into()),
            reached: false,
        };
        assert_eq!(
            story(&found),
            "name       ok     about name\n\
             kernel     wrong  about kernel\n                  what to do: this\n\n\
             a does not reach b; wrong first: kernel\n"
        );
    }
}

//! Signal names and numbers, as `docker kill` and `STOPSIGNAL` take them.

use engine_types::{Error, Result};
use rustix::process::Signal;

const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

pub(crate) const KILL: i32 = 9;
pub(crate) const TERM: i32 = 15;

/// `9`, `KILL`, `SIGKILL`, `RTMIN+3`.
pub(crate) fn parse(text: &str) -> Result<i32> {
    let invalid = || Error::invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err(invalid())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (base, offset) = match name.split_once(['+', '-']) {
        Some((base @ ("RTMIN" | "RTMAX"), offset)) => {
            let offset: i32 = offset.parse().map_err(|_| invalid())?;
            (base, if base == "RTMAX" { -offset } else { offset })
        }
        _ => (name, 0),
    };
    NAMES
        .iter()
        .find(|(known, _)| *known == base)
        .map(|(_, number)| number + offset)
        .filter(|number| (1..=64).contains(number))
        .ok_or_else(invalid)
}

/// Sends to the process behind the handle; one that has just ended is fine.
pub(crate) fn send(process: impl std::os::fd::AsFd, number: i32) -> Result<()> {
    let failed = |error: rustix::io::Errno| Error::system(format!("send signal {number}: {error}"));
    let signal = match Signal::from_named_raw(number) {
        Some(signal) => signal,
        // SAFETY: `parse` and the constants above give 1 to 64, which Linux defines; the real-time ones are not
        // reserved for this process, since they go to another.
        None => unsafe { Signal::from_raw_unchecked(number) },
    };
    match rustix::process::pidfd_send_signal(process, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, expected) in [
            ("9", Some(9)),
            ("KILL", Some(9)),
            ("sigterm", Some(15)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("0", None),
            ("65", None),
            ("NOPE", None),
            ("RTMIN+99", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }
}

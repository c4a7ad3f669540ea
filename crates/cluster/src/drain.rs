//! Between taking a task's names out of every answer and its signal: how long to wait.
//!
//! Nodes of ours confirm that they lead nobody to the task any more, so its process is told as soon as all of them have, and
//! what it was asked is answered. Docker's nodes say nothing and are given a moment. (Docker itself waits 2 s, always.)

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::gossip_glue::{Slot, Withdrawal};

/// For what nobody confirms: gossip carries the news in rounds of 200 ms, clients that looked a name up just before
/// connect, and connections that are open end.
const MOMENT: Duration = Duration::from_millis(500);
/// A node that confirms nothing for so long is on its own.
const PATIENCE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(10);

/// A task's endpoints and process.
pub struct Draining {
    /// Network and endpoint.
    pub endpoints: Vec<(String, String)>,
    /// Clients look its addresses up, and connect when they like.
    pub by_look_up: bool,
    pub pid: i64,
}

impl Draining {
    /// Returns when the task's process may be told to stop, after how long.
    pub async fn wait(&self, glue: &Slot) -> Duration {
        let start = Instant::now();
        loop {
            let news = match &*glue.lock().await {
                Some(glue) => glue.withdrawal(
                    self.endpoints
                        .iter()
                        .map(|(network, endpoint)| (network.as_str(), endpoint.as_str())),
                ),
                None => Withdrawal::default(),
            };
            let waited = start.elapsed();
            match due(waited, news, self.by_look_up) {
                Due::Yes => return waited,
                Due::WhenQuiet if !self.is_talking().await => return waited,
                _ => tokio::time::sleep(STEP).await,
            }
        }
    }

    /// Whether somebody is connected to it.
    async fn is_talking(&self) -> bool {
        let pid = self.pid;
        let look = move || {
            ["tcp", "tcp6"].iter().any(|table| {
                let table = File::open(format!("/proc/{pid}/net/{table}"));
                table.is_ok_and(|table| has_clients(BufReader::new(table)))
            })
        };
        tokio::task::spawn_blocking(look).await.unwrap_or(false)
    }
}

#[derive(Debug, PartialEq)]
enum Due {
    Yes,
    WhenQuiet,
    No,
}

fn due(waited: Duration, news: Withdrawal, by_look_up: bool) -> Due {
    let known = !news.untold && news.awaited == 0;
    if waited >= PATIENCE || known && waited >= MOMENT {
        Due::Yes
    } else if known && news.silent == 0 && !by_look_up {
        Due::WhenQuiet
    } else {
        Due::No
    }
}

/// Whether a table of sockets, as the kernel prints it, has a connection that came to a listening port. Listeners come first.
fn has_clients(table: impl BufRead) -> bool {
    const LISTENS: &str = "0A";
    /// Established, not quite established, and half closed with an answer on its way.
    const TALKS: [&str; 5] = ["01", "03", "04", "08", "09"];
    let mut listening = Vec::new();
    for line in table.lines().map_while(Result::ok) {
        let mut words = line.split_whitespace().skip(1);
        let (Some(local), Some(state)) = (words.next(), words.nth(1)) else {
            continue;
        };
        let Some((_, port)) = local.rsplit_once(':') else {
            continue;
        };
        if state == LISTENS {
            listening.push(port.to_owned());
        } else if TALKS.contains(&state) && listening.iter().any(|l| l == port) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_comes_when_all_who_can_have_confirmed() {
        let news = |untold, awaited, silent| Withdrawal {
            untold,
            awaited,
            silent,
        };
        let at = |ms, news, by_look_up| due(Duration::from_millis(ms), news, by_look_up);
        assert_eq!(at(0, news(false, 0, 0), false), Due::WhenQuiet);
        assert_eq!(at(0, news(true, 0, 0), false), Due::No);
        // Docker's nodes and looked-up addresses: a moment.
        assert_eq!(at(499, news(false, 0, 1), false), Due::No);
        assert_eq!(at(499, news(false, 0, 0), true), Due::No);
        assert_eq!(at(500, news(false, 0, 1), true), Due::Yes);
        // A node of ours that says nothing: longer, but not for ever.
        assert_eq!(at(1999, news(false, 1, 0), false), Due::No);
        assert_eq!(at(2000, news(true, 1, 1), false), Due::Yes);
    }

    #[test]
    fn clients_are_told_from_servers() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr\n";
        let listener = "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000\n";
        let line = |port: &str, state: &str| {
            format!("   1: 0500000A:{port} 0600000A:D2F0 {state} 00000000:00000000 00:00000000\n")
        };
        let has = |rest: &str| has_clients(format!("{head}{listener}{rest}").as_bytes());
        assert!(!has(""));
        assert!(has(&line("0050", "01")));
        assert!(has(&line("0050", "08")), "half closed");
        assert!(!has(&line("0050", "06")), "in the past");
        assert!(!has(&line("C350", "01")), "it is somebody's client");
        assert!(!has_clients(&b"\xff\xfe: no table\n\n 1: 2\n"[..]));
    }
}

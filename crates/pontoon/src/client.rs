//! One request to the running daemon, over the socket that the docker CLI would use.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgMatches};

const DEFAULT: &str = "unix:///var/run/docker.sock";
const PATIENCE: Duration = Duration::from_secs(60);

pub fn host_arg() -> Arg {
    Arg::new("host")
        .long("host")
        .short('H')
        .env("DOCKER_HOST")
        .default_value(DEFAULT)
        .help("Socket of the daemon: unix:///path or tcp://host:port")
}

pub fn format_arg() -> Arg {
    Arg::new("format")
        .long("format")
        .default_value("table")
        .value_parser(["table", "json"])
        .help("How to print")
}

pub fn wants_json(matches: &ArgMatches) -> bool {
    matches
        .get_one::<String>("format")
        .is_some_and(|f| f == "json")
}

/// The body of the answer; the daemon's own words as an error when it refuses.
pub fn request(matches: &ArgMatches, method: &str, path: &str) -> Result<Vec<u8>> {
    let host = matches
        .get_one::<String>("host")
        .map_or(DEFAULT, String::as_str);
    let unreachable = || format!("cannot connect to the daemon at {host}: is it running?");
    match host.split_once("://") {
        Some(("unix", socket)) => {
            let stream = UnixStream::connect(socket).with_context(unreachable)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, method, path)
        }
        Some(("tcp", address)) => {
            let stream = TcpStream::connect(address).with_context(unreachable)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, method, path)
        }
        _ => bail!("unable to parse host \"{host}\": want unix:///path or tcp://host:port"),
    }
}

/// HTTP/1.0: the answer ends with the connection.
fn exchange(mut stream: impl Read + Write, method: &str, path: &str) -> Result<Vec<u8>> {
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .context("the daemon does not answer")?;
    let end = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .context("the daemon's answer is not HTTP")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head.split(' ').nth(1).and_then(|s| s.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(body),
        Some(404) if String::from_utf8_lossy(&body).contains("page not found") => {
            bail!("the daemon has no {path}: it is not a pontoon daemon, or an older one")
        }
        Some(status) => {
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            match json["message"].as_str() {
                Some(message) => bail!("{message}"),
                None => bail!("the daemon answered with status {status}"),
            }
        }
        None => bail!("the daemon's answer is not HTTP"),
    }
}

/// A query's value, escaped.
pub fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes()
        .map(|b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A daemon that says one thing.
    struct Canned<'a>(&'a [u8]);

    impl Read for Canned<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Canned<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn answers_and_refusals_are_told_apart() {
        let ask = |answer: &str| {
            let body = exchange(Canned(answer.as_bytes()), "GET", "/pontoon/drift");
            body.map(|b| String::from_utf8(b).unwrap())
                .map_err(|e| e.to_string())
        };
        assert_eq!(
            ask("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}\n"),
            Ok("{}\n".into())
        );
        for (answer, error) in [
            (
                "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such container: x\"}",
                "No such container: x",
            ),
            (
                "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"page not found\"}",
                "the daemon has no /pontoon/drift: it is not a pontoon daemon, or an older one",
            ),
            (
                "HTTP/1.0 500 Oops\r\n\r\n<html>",
                "the daemon answered with status 500",
            ),
            ("hello", "the daemon's answer is not HTTP"),
            ("", "the daemon's answer is not HTTP"),
        ] {
            assert_eq!(ask(answer), Err(error.into()), "{answer}");
        }
        assert_eq!(escaped("a b/c&ö"), "a%20b%2Fc%26%C3%B6");
    }
}

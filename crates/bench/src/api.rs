//! One HTTP request over a unix socket: cheaper than a CLI process where a poll should not disturb what it measures.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

pub fn get(socket: &Path, path: &str) -> Result<Value> {
    request(socket, "GET", path, "")
}

/// No body when it is null.
pub fn post(socket: &Path, path: &str, body: &Value) -> Result<Value> {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    request(socket, "POST", path, &body)
}

pub fn delete(socket: &Path, path: &str) -> Result<()> {
    request(socket, "DELETE", path, "").map(drop)
}

/// Bounded by the slowest figure: a thousand ports of Docker's.
const LONG: Duration = Duration::from_secs(300);

fn request(socket: &Path, method: &str, path: &str, body: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LONG))?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status: u16 = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("no HTTP status")?;
    if status >= 300 {
        bail!("{method} {path}: {status} {body}");
    }
    Ok(serde_json::from_str(body.trim()).unwrap_or(Value::Null))
}

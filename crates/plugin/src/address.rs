//! Addresses of plugins, as specifications write them.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp { host: String, port: u16, tls: bool },
}

impl Address {
    /// `unix:///path`, `tcp://host:port`, `http://…`, `https://…`; a path behind host and port has no meaning.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("not an address of a plugin: {text:.100}");
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let tls = match scheme {
            "unix" if rest.starts_with('/') && !rest.contains('\0') => {
                return Ok(Self::Unix(rest.into()));
            }
            "tcp" | "http" => false,
            "https" => true,
            _ => return Err(bad()),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        match !host.is_empty() && host.chars().all(fine) {
            true => Ok(Self::Tcp {
                host: host.to_string(),
                port,
                tls,
            }),
            false => Err(bad()),
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, tls } => {
                let scheme = if *tls { "https" } else { "tcp" };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}"),
                    false => write!(f, "{scheme}://{host}:{port}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_specifications_write() {
        for (text, expected) in [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("tcp://127.0.0.1:8080", "tcp://127.0.0.1:8080"),
            ("http://host", "tcp://host:80"),
            ("https://host/plugin", "https://host:443"),
            ("https://[::1]:1/x", "https://[::1]:1"),
            ("tcp://[::1]", "tcp://[::1]:80"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), expected);
        }
        for bad in [
            "",
            "x",
            "unix://x",
            "ftp://x",
            "tcp://",
            "tcp://x:y",
            "tcp://a b:1",
            "tcp://:1",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}

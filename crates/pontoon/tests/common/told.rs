//! Services behind published ports that are told of their clients by a PROXY header, and what they were told.

use std::net::{IpAddr, SocketAddr};

use lab::Host;

use super::Shell as _;
use super::swarm::CREATE;

/// Answers each line with what the connection began with (`none` for no header), what was to be there (`$WANT`), the line, and
/// its own name; after `bye` it ends. A connection's first line is `plain`, which stands in a header's place where there is none.
const SERVE: &str = r#"#!/bin/sh
hex() { dd bs=1 count=$1 2>/dev/null | hexdump -ve '1/1 "%02x"'; }
first=$(hex 6)
case $first in
0d0a0d0a000d) next=$(hex 10); told=$first$next$(hex $((0x${next#????????????????}))) ;;
50524f585920) read -r told; told=v1,$(echo "$told" | tr -d '\r' | tr ' ' ,) ;;
*) told=none ;;
esac
while read -r line; do
    echo "$told ${WANT:-none} $line $(hostname)"
    test "$line" = bye && exit
done
"#;

/// `docker service create` of it, on the mesh's 8080 for its own port 80.
pub fn create(manager: &Host, options: &str) {
    let script = manager.dir().join("serve");
    std::fs::write(&script, SERVE).unwrap();
    let encoded = manager.ok(&format!("base64 -w0 {}", script.display()));
    let healthy = "--health-cmd \"(echo plain; echo bye) | nc 127.0.0.1 80 | grep -q bye\" \
        --health-start-period 30s --health-start-interval 200ms --health-interval 5s";
    manager.ok(&format!(
        "{CREATE} {healthy} --name web -p 8080:80 {options} \
         busybox sh -c \"echo {encoded} | base64 -d >/serve; chmod +x /serve; exec nc -ll -p 80 -e /serve\""
    ));
}

/// Shell that asks once; nothing, when there is no answer.
pub fn get(at: &str, port: u16) -> String {
    format!("(echo plain; echo bye) | busybox nc -w 5 {at} {port} 2>/dev/null | grep bye")
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// `v1`, `v2`, `none`
    pub version: String,
    pub wanted: String,
    /// The client, and what it asked for.
    pub from: Option<(SocketAddr, SocketAddr)>,
    pub server: String,
}

impl Told {
    pub fn read(line: &str) -> Option<Self> {
        let [told, wanted, _, server] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let (version, from) = match told {
            "none" => ("none", None),
            _ => match told.strip_prefix("v1,") {
                Some(text) => ("v1", Some(read_text(text)?)),
                None => ("v2", Some(read_hex(told)?)),
            },
        };
        Some(Self {
            version: version.into(),
            wanted: wanted.into(),
            from,
            server: server.into(),
        })
    }

    /// The client's address without its port, and what it asked for.
    pub fn client(&self) -> (String, String) {
        let (client, asked) = self.from.unwrap();
        assert_ne!(client.port(), 0);
        (client.ip().to_string(), asked.to_string())
    }
}

fn read_text(text: &str) -> Option<(SocketAddr, SocketAddr)> {
    let [_, client, asked, from, to] = text.split(',').collect::<Vec<_>>().try_into().ok()?;
    let at = |ip: &str, port: &str| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?));
    Some((at(client, from)?, at(asked, to)?))
}

fn read_hex(text: &str) -> Option<(SocketAddr, SocketAddr)> {
    let bytes: Option<Vec<u8>> = (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok())
        .collect();
    let bytes = bytes?;
    let rest = bytes.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n\x21")?;
    let (ips, ports): (Vec<IpAddr>, &[u8]) = match rest {
        [0x11, 0, 12, rest @ ..] => {
            let ip = |at: usize| <[u8; 4]>::try_from(&rest[at..at + 4]).unwrap().into();
            (vec![ip(0), ip(4)], &rest[8..])
        }
        [0x21, 0, 36, rest @ ..] => {
            let ip = |at: usize| <[u8; 16]>::try_from(&rest[at..at + 16]).unwrap().into();
            (vec![ip(0), ip(16)], &rest[32..])
        }
        _ => return None,
    };
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Some(((ips[0], port(0)).into(), (ips[1], port(2)).into()))
}

/// One request from a host, or through the prefix from one of its containers.
pub fn ask(host: &Host, prefix: &str, at: &str, port: u16) -> Option<Told> {
    let answer = host.sh(&format!("{prefix} sh -c '{}'", get(at, port)));
    Told::read(answer.stdout.trim_end())
}

/// Processes that belong to the host and are called like that: `pontoon-relay`, `pontoon-drain`.
pub fn processes(host: &Host, name: &str) -> Vec<String> {
    let line = format!(
        "for p in /proc/[0-9]*; do case $(cat $p/comm 2>/dev/null) in {name}*) \
         tr '\\0' '\\n' <$p/cmdline | grep -q '^{}/' && echo ${{p#/proc/}};; esac; done; true",
        host.dir().display()
    );
    host.ok(&line).lines().map(str::to_owned).collect()
}

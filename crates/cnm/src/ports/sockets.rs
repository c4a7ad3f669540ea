//! The sockets that keep host ports from everybody else.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use engine_types::{Error, Result};
use socket2::{Domain, Protocol, Socket, Type};

/// Docker's, for a kernel that does not say.
const EPHEMERAL: RangeInclusive<u16> = 49153..=65535;
/// Ports of a range that are held with a socket each.
const HELD: u16 = 64;
const SCTP: i32 = 132;

/// A socket for each port of the range; of a long one, none that stays.
pub(crate) fn open_all(
    protocol: &str,
    ip: IpAddr,
    first: u16,
    last: u16,
) -> std::result::Result<Vec<Socket>, (u16, std::io::Error)> {
    let mut held = Vec::new();
    for port in first..=last {
        match open(protocol, SocketAddr::new(ip, port)) {
            Ok(socket) if last - first < HELD => held.push(socket),
            Ok(_) => {}
            Err(error) if protocol == "sctp" && is_unsupported(&error) => {
                tracing::debug!(%ip, first, last, "no SCTP socket in this kernel: host ports are not held");
                break;
            }
            Err(error) => return Err((port, error)),
        }
    }
    Ok(held)
}

fn open(protocol: &str, address: SocketAddr) -> std::io::Result<Socket> {
    let (kind, protocol) = match protocol {
        "udp" => (Type::DGRAM, Protocol::UDP),
        "sctp" => (Type::STREAM, Protocol::from(SCTP)),
        _ => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Connections of a former owner that have yet to time out are no obstacle; a listener still is.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(1)?;
    }
    Ok(socket)
}

pub(super) fn ephemeral_range() -> RangeInclusive<u16> {
    let read = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let parsed = read.ok().and_then(|text| {
        let (first, last) = text.split_once('\t')?;
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    });
    parsed.filter(|r| r.start() < r.end()).unwrap_or(EPHEMERAL)
}

/// Where bridges hand packets to the firewall themselves (br_netfilter), an answer to the host's own `::1` gets this address
/// back before IPv6 has received it, and is dropped for it.
pub(super) fn answers_to_localhost() -> Result<()> {
    let called = std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-ip6tables");
    match called.is_ok_and(|text| text.trim() != "0") {
        true => Err(Error::invalid(
            "ports cannot be published on [::1] while net.bridge.bridge-nf-call-ip6tables is on: the kernel drops the answers; switch it off, or use 127.0.0.1",
        )),
        false => Ok(()),
    }
}

/// EPROTONOSUPPORT and ESOCKTNOSUPPORT
fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(93 | 94))
}

/// Go's text: `address already in use` where Rust says `Address already in use (os error 98)`.
pub(super) fn text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text
        .split_once(" (os error")
        .map_or(text.as_str(), |(t, _)| t);
    text.to_lowercase()
}

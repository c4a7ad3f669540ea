//! Telling a service manager that the daemon is up: systemd's `sd_notify` protocol, one datagram.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

pub fn ready() -> std::io::Result<()> {
    let Ok(name) = std::env::var("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match name.strip_prefix('@') {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)?;
    Ok(())
}

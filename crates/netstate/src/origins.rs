//! Connection tracking: who began a connection that was translated on its way, and where to.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::io::Errno;

use crate::netlink::wire::{self, Msg, attr};
use crate::netlink::{Protocol, Socket};
use crate::{Error, netns};

// linux/netfilter/nfnetlink_conntrack.h
const GET: u16 = 0x101;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

const TCP: u8 = 6;
/// Bytes of `struct nfgenmsg`.
const FIXED: usize = 4;

/// TCP connections as one namespace has tracked them, asked for from wherever the process is.
pub struct Origins(Socket);

impl Origins {
    /// In the calling thread's namespace.
    pub fn open() -> Result<Self, Error> {
        let failed = |e| Error::new("cannot ask for tracked connections", e);
        Socket::open(Protocol::Netfilter).map(Self).map_err(failed)
    }

    /// Who began the connection that has packets from `answering` to `asking` for answers, and at which address; `None` when
    /// it is not tracked, and so not translated either.
    pub fn of(
        &mut self,
        answering: SocketAddr,
        asking: SocketAddr,
    ) -> Result<Option<(SocketAddr, SocketAddr)>, Error> {
        let family = match answering.is_ipv4() {
            true => libc::AF_INET,
            false => libc::AF_INET6,
        };
        let mut ask = Msg::new(GET, 0, &[family as u8, 0, 0, 0]);
        put(&mut ask, answering, asking);
        match self.0.request(ask) {
            Ok(Some((_, body))) => {
                let tuple = body.get(FIXED..).and_then(|body| attr(body, ORIGINAL));
                Ok(tuple.and_then(read))
            }
            Ok(None) => Ok(None),
            Err(nack) if nack.errno == Errno::NOENT => Ok(None),
            Err(nack) => Err(Error::new(
                format!("cannot ask for the tracked connection from {asking}"),
                nack.errno,
            )),
        }
    }
}

fn put(msg: &mut Msg, source: SocketAddr, destination: SocketAddr) {
    // CTA_IP_V4_SRC or CTA_IP_V6_SRC; the destinations have the next number.
    let kind = if source.is_ipv4() { 1 } else { 3 };
    msg.nest(REPLY, |msg| {
        msg.nest(TUPLE_IP, |msg| {
            msg.put(kind, &wire::ip_bytes(source.ip()));
            msg.put(kind + 1, &wire::ip_bytes(destination.ip()));
        });
        msg.nest(TUPLE_PROTOCOL, |msg| {
            msg.u8(PROTOCOL, TCP);
            msg.put(SOURCE_PORT, &source.port().to_be_bytes());
            msg.put(DESTINATION_PORT, &destination.port().to_be_bytes());
        });
    });
}

fn read(tuple: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (addresses, ports) = (attr(tuple, TUPLE_IP)?, attr(tuple, TUPLE_PROTOCOL)?);
    let side = |v4: u16, v6: u16, port: u16| {
        let ip = attr(addresses, v4).or_else(|| attr(addresses, v6))?;
        let port = attr(ports, port)?.try_into().ok()?;
        Some(SocketAddr::new(wire::ip(ip)?, u16::from_be_bytes(port)))
    };
    Some((side(1, 3, SOURCE_PORT)?, side(2, 4, DESTINATION_PORT)?))
}

/// Moves the calling thread into the namespace for good, and with it all threads that it will start: for a process of its own,
/// before it has any.
pub fn move_into(netns: &Path) -> Result<(), Error> {
    let failed = |e| Error::new(format!("cannot enter {}", netns.display()), e);
    let fd = netns::open(netns).map_err(failed)?;
    netns::join(fd.as_fd()).map_err(failed)
}

//! Connection tracking: who began a connection that was translated on its way, and where to.

use std::net::SocketAddr;

use rustix::io::Errno;

use crate::Error;
use crate::flows::{
    DESTINATION_PORT, FIXED, GET, ORIGINAL, PROTOCOL, REPLY, SOURCE_PORT, TUPLE_IP, TUPLE_PROTOCOL,
    address_kind, family,
};
use crate::netlink::wire::{self, Msg, attr};
use crate::netlink::{Protocol, Socket};

const TCP: u8 = 6;

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
        let mut ask = Msg::new(GET, 0, &[family(answering.ip()), 0, 0, 0]);
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
    let kind = address_kind(source.ip());
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

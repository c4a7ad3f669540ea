//! Datagrams in batches: many with one call.

use std::io::{self, IoSlice};

use rustix::net::{
    MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, recvfrom, sendmmsg,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams that are taken before other events get their turn.
const BURST: usize = 64;

/// Answers on their way to clients.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Each one's addressee and where its bytes end.
    ends: Vec<(SocketAddrAny, usize)>,
}

impl Outbox {
    pub fn push(&mut self, to: SocketAddrAny, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push((to, self.bytes.len()));
    }

    /// Sends all and forgets them; what the kernel does not take is lost, as datagrams are.
    pub fn send(&mut self, socket: &UdpSocket) {
        if self.ends.is_empty() {
            return;
        }
        let mut start = 0;
        let slices: Vec<[IoSlice<'_>; 1]> = self
            .ends
            .iter()
            .map(|(_, end)| {
                let slice = IoSlice::new(&self.bytes[start..*end]);
                start = *end;
                [slice]
            })
            .collect();
        let mut controls: Vec<_> = slices
            .iter()
            .map(|_| SendAncillaryBuffer::default())
            .collect();
        let mut messages: Vec<MMsgHdr<'_>> = self
            .ends
            .iter()
            .zip(&slices)
            .zip(&mut controls)
            .map(|(((to, _), slice), control)| MMsgHdr::new_with_addr(to, slice, control))
            .collect();
        let mut rest = &mut messages[..];
        while !rest.is_empty() {
            let done = match sendmmsg(socket, rest, SendFlags::DONTWAIT) {
                Ok(sent) => sent.max(1),
                Err(rustix::io::Errno::INTR) => 0,
                // It is about the first one.
                Err(error) => {
                    tracing::trace!(%error, "reply was lost");
                    1
                }
            };
            rest = &mut rest[done..];
        }
        drop(messages);
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Hands what the socket has to `each`, but not more than a burst. The socket counts as read empty when it had less: what
/// comes from then on wakes the task again.
pub(crate) fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    mut each: impl FnMut(&[u8], SocketAddrAny),
) -> io::Result<()> {
    let burst = socket.try_io(Interest::READABLE, || {
        for _ in 0..BURST {
            match recvfrom(socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, length, Some(from))) => each(&buffer[..length], from),
                Ok((_, _, None)) => {}
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNREFUSED) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    });
    match burst {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

//! A netlink socket: batches with an answer per message, dumps and transactions.

use std::cell::RefCell;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use super::wire::{self, Msg, attrs};

/// Messages of one `sendmsg`: their acknowledgements must fit the receive buffer.
const BATCH_MESSAGES: usize = 128;
const BATCH_BYTES: usize = 64 << 10;
/// A limit, not an allocation.
const RECEIVE_BUFFER: usize = 4 << 20;
/// More than any datagram that the kernel builds for a dump (32 KiB) or a notification.
pub(super) const DATAGRAM: usize = 64 << 10;
/// The kernel answers within the system call; this only bounds a fault.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const DUMP_TRIES: usize = 8;

// SOL_NETLINK options that libc does not name.
const CAP_ACK: libc::c_int = 10;
const EXT_ACK: libc::c_int = 11;
const GET_STRICT_CHK: libc::c_int = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Route,
    Netfilter,
}

/// A refusal: the error number and, where the kernel gives it, its own explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    pub errno: Errno,
    pub detail: String,
}

impl From<Errno> for Nack {
    fn from(errno: Errno) -> Self {
        Nack {
            errno,
            detail: String::new(),
        }
    }
}

/// What the kernel sent back for a request: type and body of a message.
pub type Reply = (u16, Vec<u8>);

thread_local! {
    /// One for all sockets: there are two per namespace, and one thread that reads them.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; DATAGRAM]);
}

/// A socket for requests.
pub struct Socket {
    fd: OwnedFd,
    seq: u32,
    port: u32,
}

impl Socket {
    /// The number by which the kernel's programs know this socket's namespace.
    pub fn netns_cookie(&self) -> Result<u64, Errno> {
        netns_cookie(&self.fd)
    }

    /// In the calling thread's network namespace.
    pub fn open(protocol: Protocol) -> Result<Self, Errno> {
        let (fd, port) = bound(protocol, 0)?;
        option(&fd, EXT_ACK)?;
        option(&fd, CAP_ACK)?;
        if protocol == Protocol::Route {
            option(&fd, GET_STRICT_CHK)?;
        }
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Socket { fd, seq: 0, port })
    }

    /// The port that notifications of our own changes carry.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Sends the messages in as few system calls as fit and returns the answer to each.
    pub fn batch(&mut self, mut messages: Vec<Msg>) -> Vec<Result<Option<Reply>, Nack>> {
        let mut answers = Vec::with_capacity(messages.len());
        for msg in &mut messages {
            msg.add_flags(wire::ACK);
        }
        let mut rest = messages.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest
                .iter()
                .take(BATCH_MESSAGES)
                .take_while(|m| {
                    bytes += m.len();
                    bytes <= BATCH_BYTES
                })
                .count()
                .max(1);
            let (now, later) = rest.split_at(fitting);
            rest = later;
            self.chunk(now, &mut answers);
        }
        answers
    }

    fn chunk(&mut self, messages: &[Msg], answers: &mut Vec<Result<Option<Reply>, Nack>>) {
        let (first, base) = (self.seq.wrapping_add(1), answers.len());
        if let Err(errno) = self.send(messages) {
            answers.extend(messages.iter().map(|_| Err(errno.into())));
            return;
        }
        answers.extend(messages.iter().map(|_| Ok(None)));
        let mut waiting = messages.len();
        while waiting > 0 {
            let received = self.receive(RecvFlags::empty(), |raw| {
                let index = raw.seq.wrapping_sub(first) as usize;
                let answer = answers[base..].get_mut(index)?;
                if raw.kind != wire::ERROR {
                    *answer = Ok(Some((raw.kind, raw.body.to_vec())));
                } else {
                    waiting -= 1;
                    if let Some(nack) = nack(raw) {
                        *answer = Err(nack);
                    }
                }
                None::<()>
            });
            if let Err(errno) = received {
                let of_chunk = answers[base..].iter_mut();
                of_chunk.for_each(|answer| *answer = Err(errno.into()));
                return;
            }
        }
    }

    pub fn request(&mut self, message: Msg) -> Result<Option<Reply>, Nack> {
        self.batch(vec![message])
            .pop()
            .unwrap_or(Err(Errno::PROTO.into()))
    }

    /// All answers to a dump request; asked again when the table changed meanwhile.
    pub fn dump(&mut self, mut message: Msg) -> Result<Vec<Reply>, Nack> {
        message.add_flags(wire::DUMP);
        for _ in 0..DUMP_TRIES {
            let (replies, interrupted) = self.dump_once(&message)?;
            if !interrupted {
                return Ok(replies);
            }
        }
        Err(Errno::INTR.into())
    }

    fn dump_once(&mut self, message: &Msg) -> Result<(Vec<Reply>, bool), Nack> {
        self.send(std::slice::from_ref(message))?;
        let (mut replies, mut interrupted) = (Vec::new(), false);
        loop {
            let end = self.receive(RecvFlags::empty(), |raw| {
                if raw.seq != self.seq {
                    return None;
                }
                interrupted |= raw.flags & wire::DUMP_INTR != 0;
                match raw.kind {
                    wire::DONE => Some(match wire::u32_at(raw.body, 0) {
                        Some(0) | None => Ok(()),
                        Some(code) => Err(errno(code).into()),
                    }),
                    wire::ERROR => Some(nack(raw).map_or(Ok(()), Err)),
                    kind => {
                        replies.push((kind, raw.body.to_vec()));
                        None
                    }
                }
            })?;
            if let Some(end) = end {
                return end.map(|()| (replies, interrupted));
            }
        }
    }

    /// All messages in one datagram that holds or fails as a whole (nftables). Answers what the kernel echoed, or the
    /// index of the first message that it refused.
    pub fn transact(&mut self, messages: &[Msg]) -> Result<Vec<Reply>, (usize, Nack)> {
        let first = self.seq.wrapping_add(1);
        self.send(messages).map_err(|e| (0, e.into()))?;
        let (mut echoes, mut refused) = (Vec::new(), None);
        loop {
            let received = self.receive(RecvFlags::DONTWAIT, |raw| {
                let index = raw.seq.wrapping_sub(first) as usize;
                if index >= messages.len() {
                    return None;
                }
                if raw.kind != wire::ERROR {
                    echoes.push((raw.kind, raw.body.to_vec()));
                } else if let (Some(nack), None) = (nack(raw), &refused) {
                    refused = Some((index, nack));
                }
                None::<()>
            });
            match received {
                // The kernel has worked the whole batch within the system call: nothing left means no more errors.
                Err(Errno::AGAIN) => break,
                // Echoes were dropped; the caller sees that from what is missing.
                Err(Errno::NOBUFS) | Ok(_) => {}
                Err(errno) => return Err((0, errno.into())),
            }
        }
        refused.map_or(Ok(echoes), Err)
    }

    fn send(&mut self, messages: &[Msg]) -> Result<(), Errno> {
        let mut out = Vec::with_capacity(messages.iter().map(Msg::len).sum());
        for msg in messages {
            self.seq = self.seq.wrapping_add(1);
            msg.write(self.seq, &mut out);
        }
        if out.len() > BATCH_BYTES {
            // One datagram must fit the send buffer; the kernel doubles the figure for its own overhead.
            sockopt::set_socket_send_buffer_size_force(&self.fd, out.len() + 4096)?;
        }
        rustix::net::send(&self.fd, &out, SendFlags::empty()).map(drop)
    }

    /// Hands the messages of one datagram to `each` until it returns something.
    fn receive<T>(
        &self,
        flags: RecvFlags,
        mut each: impl FnMut(wire::Raw<'_>) -> Option<T>,
    ) -> Result<Option<T>, Errno> {
        SCRATCH.with_borrow_mut(|buf| {
            loop {
                match rustix::net::recv(&self.fd, &mut buf[..], flags) {
                    Ok((_, len)) => {
                        let datagram = &buf[..len.min(buf.len())];
                        return Ok(wire::messages(datagram).find_map(&mut each));
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
        })
    }
}

pub(super) fn bound(protocol: Protocol, groups: u32) -> Result<(OwnedFd, u32), Errno> {
    let protocol = match protocol {
        Protocol::Route => None, // NETLINK_ROUTE is 0
        Protocol::Netfilter => Some(netlink::NETFILTER),
    };
    let fd = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
    sockopt::set_socket_recv_buffer_size_force(&fd, RECEIVE_BUFFER)?;
    let port = SocketAddrNetlink::try_from(rustix::net::getsockname(&fd)?)?.pid();
    Ok((fd, port))
}

/// A socket option that rustix does not name.
fn netns_cookie(fd: &OwnedFd) -> Result<u64, Errno> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let (mut cookie, mut len) = (0u64, size_of::<u64>() as libc::socklen_t);
    // SAFETY: both pointers are to live variables, and the length is that of the first.
    let rc = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    if rc == 0 {
        Ok(cookie)
    } else {
        Err(last_errno())
    }
}

/// Switches a `SOL_NETLINK` option on.
pub(super) fn option(fd: &OwnedFd, name: libc::c_int) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer is to a live int and the length is its size.
    let rc = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            name,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if rc == 0 { Ok(()) } else { Err(last_errno()) }
}

pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn errno(code: u32) -> Errno {
    Errno::from_raw_os_error((code as i32).unsigned_abs().clamp(1, 4095) as i32)
}

/// `None` for an acknowledgement.
fn nack(raw: wire::Raw<'_>) -> Option<Nack> {
    const CAPPED: u16 = 0x100;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let code = wire::u32_at(raw.body, 0).filter(|code| *code != 0)?;
    // nlmsgerr: the code, the header of the request, the request itself unless capped, attributes
    let request = match raw.flags & CAPPED {
        0 => wire::u32_at(raw.body, 4).unwrap_or(16) as usize,
        _ => 16,
    };
    let rest = raw.body.get(4 + request..).unwrap_or_default();
    let detail = attrs(rest)
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .map(|(_, v)| wire::text(v))
        .unwrap_or_default();
    Some(Nack {
        errno: errno(code),
        detail,
    })
}

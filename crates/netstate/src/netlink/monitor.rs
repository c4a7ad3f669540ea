//! Listening for changes, in all namespaces at once.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt;

use super::Protocol;
use super::socket::{DATAGRAM, bound, last_errno, option};

/// A `SOL_NETLINK` option, and the type of the control message that it adds; libc does not name it.
const LISTEN_ALL_NSID: libc::c_int = 8;
/// A limit, not an allocation: ten thousand rows in one go must not look like lost notifications.
const MONITOR_BUFFER: usize = 64 << 20;

/// Listens for changes in this namespace and in every other that has an id here.
pub struct Monitor {
    fd: OwnedFd,
    scratch: Vec<u8>,
    /// Datagrams of one `drain` at most: a storm must not starve the rest.
    budget: usize,
}

/// A datagram of notifications and the id of the namespace that it tells of (`None`: our own).
pub type Notice<'a> = (Option<i32>, &'a [u8]);

impl Monitor {
    /// `groups`: multicast groups as bits, group 1 lowest.
    pub fn open(protocol: Protocol, groups: u32) -> Result<Self, Errno> {
        let (fd, _) = bound(protocol, groups)?;
        sockopt::set_socket_recv_buffer_size_force(&fd, MONITOR_BUFFER)?;
        option(&fd, LISTEN_ALL_NSID)?;
        Ok(Monitor {
            fd,
            scratch: vec![0; DATAGRAM],
            budget: 512,
        })
    }

    /// Calls `each` for what has arrived. `Err(NOBUFS)` says that notifications were lost.
    pub fn drain(&mut self, mut each: impl FnMut(Notice<'_>)) -> Result<(), Errno> {
        for _ in 0..self.budget {
            match receive_with_nsid(self.fd.as_fd(), &mut self.scratch) {
                Ok((len, nsid)) => each((nsid, &self.scratch[..len])),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `recvmsg` with the one control message that rustix does not know.
fn receive_with_nsid(fd: BorrowedFd<'_>, buf: &mut [u8]) -> Result<(usize, Option<i32>), Errno> {
    let mut control = [0u64; 16];
    let mut iov = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the header points to live buffers of the given lengths.
    let len = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    if len < 0 {
        return Err(last_errno());
    }
    let mut nsid = None;
    // SAFETY: the kernel filled in the header; the CMSG macros stay within msg_controllen, and the data of this message
    // is an int.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(&raw const header);
        while !cmsg.is_null() {
            if (*cmsg).cmsg_level == libc::SOL_NETLINK && (*cmsg).cmsg_type == LISTEN_ALL_NSID {
                nsid = Some(libc::CMSG_DATA(cmsg).cast::<i32>().read_unaligned());
            }
            cmsg = libc::CMSG_NXTHDR(&raw const header, cmsg);
        }
    }
    Ok((len as usize, nsid))
}

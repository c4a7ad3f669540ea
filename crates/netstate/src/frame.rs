//! A frame of TCP, as a virtual machine hands it to its host: with sums to be made, and longer than a wire takes (packet(7),
//! linux/virtio_net.h; the calling thread's namespace).

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use rustix::net::netdevice;

use crate::Mac;

const ETHERNET: u16 = 14;
const TCP: u16 = 20;
/// Where in TCP's header its sum stands.
const SUM: u16 = 16;
const TYPES: [u16; 2] = [0x0800, 0x86dd];
const IP: [u16; 2] = [20, 40];

const NEEDS_SUM: u8 = 1;
const GSO: [u8; 2] = [1, 4];

/// `struct virtio_net_hdr`, in the machine's own byte order.
fn header(v6: bool, segment: Option<u16>) -> Vec<u8> {
    let v6 = usize::from(v6);
    let start = ETHERNET + IP[v6];
    let mut header = vec![NEEDS_SUM, segment.map_or(0, |_| GSO[v6])];
    for field in [start + TCP, segment.unwrap_or(0), start, SUM] {
        header.extend(field.to_ne_bytes());
    }
    header
}

/// Sends a packet (IP and TCP with headers of the shortest kind, the sum of the pseudo-header in its place) from one MAC to
/// the other. With `segment` what is below the link makes packets of it that carry so many bytes each.
pub fn send_tcp(
    link: &str,
    [from, to]: [Mac; 2],
    v6: bool,
    segment: Option<u16>,
    packet: &[u8],
) -> io::Result<()> {
    let mut frame = header(v6, segment);
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(TYPES[usize::from(v6)].to_be_bytes());
    frame.extend(packet);
    // No protocol: nothing is received.
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was opened just now, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads an int, which outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_VNET_HDR,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: of these plain fields zero is a value.
    let mut at: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    at.sll_family = libc::AF_PACKET as libc::c_ushort;
    at.sll_protocol = TYPES[usize::from(v6)].to_be();
    at.sll_ifindex = netdevice::name_to_index(&socket, link)?.cast_signed();
    // SAFETY: the kernel reads `frame` and one `sockaddr_ll`; both outlive the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const at).cast(),
            size_of_val(&at) as libc::socklen_t,
        )
    };
    match sent {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

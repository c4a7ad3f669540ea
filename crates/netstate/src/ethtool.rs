//! Whether a link's sums of packets are left to the hardware below it (`SIOCETHTOOL`, linux/ethtool.h; the calling
//! thread's namespace).

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

const GET: u32 = 0x16;
const SET: u32 = 0x17;

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Whether sums of what goes out by the link are made late: by what is below it, in the end by hardware.
pub fn tx_checksum(link: &str) -> io::Result<bool> {
    Ok(ask(link, GET, 0)? != 0)
}

/// Without it the kernel makes them before a packet enters the link, and cuts long ones itself.
pub fn set_tx_checksum(link: &str, on: bool) -> io::Result<()> {
    ask(link, SET, on.into()).map(drop)
}

fn ask(link: &str, command: u32, data: u32) -> io::Result<u32> {
    let mut value = Value { command, data };
    // SAFETY: of these plain fields zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays the name's end.
    if link.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(link.bytes()) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let socket = UdpSocket::bind(("::", 0)).or_else(|_| UdpSocket::bind(("0.0.0.0", 0)))?;
    // SAFETY: the kernel reads and writes one `ifreq` and, through its pointer, one `ethtool_value`; both outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    match result {
        0 => Ok(value.data),
        _ => Err(io::Error::last_os_error()),
    }
}

const SIOCETHTOOL: libc::Ioctl = 0x8946;

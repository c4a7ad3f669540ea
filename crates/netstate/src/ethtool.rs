//! What is left to the hardware below a link (`SIOCETHTOOL`, linux/ethtool.h; the calling thread's namespace).

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

/// What the kernel does itself before a packet enters a link, once this is off there. Where sums are not made below it, long
/// packets are not cut there either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offload {
    /// Long packets of TCP are cut up.
    Segmentation,
    /// Sums of what goes out are made.
    Checksums,
}

impl Offload {
    pub const ALL: [Self; 2] = [Self::Segmentation, Self::Checksums];

    /// As `ethtool -k` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Segmentation => "tx-tcp-segmentation",
            Self::Checksums => "tx-checksumming",
        }
    }

    /// `ETHTOOL_GTSO`, `ETHTOOL_GTXCSUM` and their counterparts.
    fn commands(self) -> [u32; 2] {
        match self {
            Self::Segmentation => [0x1e, 0x1f],
            Self::Checksums => [0x16, 0x17],
        }
    }

    pub fn is_on(self, link: &str) -> io::Result<bool> {
        let [get, _] = self.commands();
        Ok(ask(link, get, 0)? != 0)
    }

    pub fn set(self, link: &str, on: bool) -> io::Result<()> {
        let [_, set] = self.commands();
        ask(link, set, on.into()).map(drop)
    }
}

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
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

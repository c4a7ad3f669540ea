//! Whether long packets of TCP are cut right on their way: one of eight segments is sent to where nobody listens, and the
//! other end's kernel says of each segment that arrives whole how far it went (RFC 9293, 3.10.7.1). It is not followed by a
//! connection, so nobody needs to take part.

use std::io;
use std::net::{IpAddr, SocketAddr};

use engine_types::Result;
use netstate::frame;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::timeout;

use super::checksums::failed;
use super::offloads::{DISCARD, PATIENCE, TRIES, Way};
use crate::controller::Inner;
use crate::icmp::{after_header, checksum};
use crate::kernel::run_in;

/// Bytes of a segment: fits every path.
const SEGMENT: u16 = 512;
const SEGMENTS: u16 = 8;
const TCP: u8 = 6;
const HEADER: usize = 20;
const RST: u8 = 4;
const PSH: u8 = 8;

impl Inner {
    /// Whether the end of a packet arrives that is many segments, or one.
    pub(super) async fn resets(&self, way: &Way, long: bool) -> Result<bool> {
        let ((own, own_mac), (to, mac)) = (way.from, way.to);
        let v6 = own.is_ipv6();
        // A port that is nobody else's meanwhile.
        let open = move || {
            let at = SocketAddr::new(own, 0);
            let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
            socket.bind(&at.into())?;
            let port = socket.local_addr()?.as_socket().map_or(0, |at| at.port());
            io::Result::Ok((socket, port))
        };
        let held = run_in(self.kernel.as_ref(), &way.ns, open).await?;
        let (_held, port) = held.map_err(failed)?;
        let socket = self.raw_socket(way, Protocol::TCP).await?;
        let length = if long { SEGMENT * SEGMENTS } else { SEGMENT };
        for number in 1..=TRIES {
            // Each packet has its place in the row of numbers: answers to different ones are not mixed up.
            let first = number << 16;
            let packet = packet((own, port), to, first, length);
            let (link, segment) = (way.link.clone(), long.then_some(SEGMENT));
            let send = move || frame::send_tcp(&link, [own_mac, mac], v6, segment, &packet);
            let sent = run_in(self.kernel.as_ref(), &way.ns, send).await?;
            sent.map_err(failed)?;
            let end = first + u32::from(length);
            let answer = async {
                let mut head = [0; 128];
                loop {
                    let length = socket.recv(&mut head).await?;
                    if reset(v6, &head[..length]) == Some((port, end)) {
                        return io::Result::Ok(());
                    }
                }
            };
            if let Ok(answer) = timeout(PATIENCE, answer).await {
                return answer.map(|()| true).map_err(failed);
            }
        }
        Ok(false)
    }
}

/// IP and TCP (without `ACK`, so that an answer says what it is to), with only the sum of the pseudo-header in TCP's.
fn packet((own, port): (IpAddr, u16), to: IpAddr, first: u32, length: u16) -> Vec<u8> {
    let tcp = HEADER as u16 + length;
    let mut pseudo = Vec::new();
    let mut packet = match (own, to) {
        (IpAddr::V4(own), IpAddr::V4(to)) => {
            let addresses = [own.octets(), to.octets()].concat();
            pseudo.extend(&addresses);
            // Version and length; the whole length; not to be fragmented; time to live, protocol, sum.
            let mut header = vec![0x45, 0];
            header.extend((20 + tcp).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, TCP, 0, 0]);
            header.extend(addresses);
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (own, to) => {
            let octets = |ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            let addresses = [octets(own), octets(to)].concat();
            pseudo.extend(&addresses);
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(tcp.to_be_bytes());
            header.extend([TCP, 64]);
            header.extend(addresses);
            header
        }
    };
    pseudo.extend([0, TCP]);
    pseudo.extend(tcp.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend(DISCARD.to_be_bytes());
    packet.extend(first.to_be_bytes());
    packet.extend(0_u32.to_be_bytes());
    // Header's length, flags, window; the sum; nothing urgent.
    packet.extend([5 << 4, PSH, 0xff, 0xff]);
    packet.extend((!checksum(&pseudo)).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend((0..length).map(|n| n as u8));
    packet
}

/// From a raw socket: to which port a reset goes, and which byte it says would be next. One of IPv4 gives the IP header as well.
pub(crate) fn reset(v6: bool, packet: &[u8]) -> Option<(u16, u32)> {
    let header: [u8; HEADER] = match v6 {
        true => *packet.first_chunk()?,
        false => *after_header(packet)?.first_chunk()?,
    };
    let [_, _, a, b, _, _, _, _, c, d, e, f, _, flags, ..] = header;
    let next = u32::from_be_bytes([c, d, e, f]);
    (flags & RST != 0).then_some((u16::from_be_bytes([a, b]), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of the IP header, and of TCP once the rest of it is added, come out as zero.
    #[test]
    fn packets_are_as_the_kernel_wants_them() {
        for (own, to, ip) in [("10.0.0.2", "10.0.0.3", 20), ("fd00::2", "fd00::3", 40)] {
            let (own, to) = (own.parse().unwrap(), to.parse().unwrap());
            let packet = packet((own, 4000), to, 7 << 16, 512);
            assert_eq!(packet.len(), ip + HEADER + 512);
            if ip == 20 {
                assert_eq!(checksum(&packet[..20]), 0);
            }
            let octets = |a: IpAddr| match a {
                IpAddr::V4(a) => a.octets().to_vec(),
                IpAddr::V6(a) => a.octets().to_vec(),
            };
            let mut summed = [octets(own), octets(to), vec![0, TCP, 2, 20]].concat();
            // As hardware does: the sum of all, with that of the pseudo-header in it, goes into its place.
            let mut made = packet[ip..].to_vec();
            let sum = checksum(&made);
            made[16..18].copy_from_slice(&sum.to_be_bytes());
            summed.extend(made);
            assert_eq!(checksum(&summed), 0);
        }
    }

    #[test]
    fn resets_say_how_far_it_went() {
        let tcp = [
            0, 9, 0x0f, 0xa0, 0, 0, 0, 0, 0, 7, 2, 0, 0x50, 0x14, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(reset(true, &tcp), Some((4000, 0x70200)));
        let ip = [&[0x46][..], &[0; 23], &tcp].concat();
        assert_eq!(reset(false, &ip), Some((4000, 0x70200)));
        let mut other = tcp;
        other[13] = 0x10;
        assert_eq!(reset(true, &other), None);
        assert_eq!(reset(false, &[0x4f]), None);
        assert_eq!(reset(true, &tcp[..19]), None);
    }
}

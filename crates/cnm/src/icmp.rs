//! Echo requests, and what comes back for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const ECHO_6: u8 = 128;
const ECHO_REPLY_6: u8 = 129;
const TOO_BIG_6: u8 = 2;
pub(crate) const HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// A request of so many bytes (at least its header), without the IP header.
pub(crate) fn request(v6: bool, id: u16, sequence: u16, length: usize) -> Vec<u8> {
    let tail = b"pontoon?".iter().cycle();
    let tail = tail.take(length.saturating_sub(HEADER));
    let mut packet = vec![0; HEADER];
    packet[0] = if v6 { ECHO_6 } else { ECHO };
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet.extend(tail);
    if !v6 {
        // For ICMPv6 the kernel does this.
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

pub(crate) fn ip_header(v6: bool) -> usize {
    if v6 { IPV6_HEADER } else { IPV4_HEADER }
}

/// What a router would say that cannot pass on our echo request to `to`, for it has more than so many bytes.
pub(crate) fn too_big(own: IpAddr, to: IpAddr, id: u16, mtu: u32) -> Vec<u8> {
    let v6 = to.is_ipv6();
    let mut header = vec![0; ip_header(v6)];
    let length = u16::try_from(mtu.saturating_add(1)).unwrap_or(u16::MAX);
    let mut message = vec![0; HEADER];
    match (own, to) {
        (IpAddr::V4(own), IpAddr::V4(to)) => {
            header[0] = 0x45;
            header[2..4].copy_from_slice(&length.to_be_bytes());
            // Not to be fragmented; time to live.
            (header[6], header[8], header[9]) = (0x40, 64, ICMP);
            header[12..16].copy_from_slice(&own.octets());
            header[16..20].copy_from_slice(&to.octets());
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            (message[0], message[1]) = (UNREACHABLE, FRAGMENTATION_NEEDED);
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            message[6..8].copy_from_slice(&mtu.to_be_bytes());
        }
        (own, to) => {
            (header[0], header[6], header[7]) = (0x60, ICMPV6, 64);
            header[4..6].copy_from_slice(&length.to_be_bytes());
            for (place, address) in [(8, own), (24, to)] {
                let octets = match address {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                header[place..place + 16].copy_from_slice(&octets);
            }
            message[0] = TOO_BIG_6;
            message[4..8].copy_from_slice(&mtu.to_be_bytes());
        }
    }
    message.extend(header);
    message.extend(request(v6, id, 0, HEADER));
    if !v6 {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

pub(crate) fn checksum(packet: &[u8]) -> u16 {
    let words = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// Identifier and sequence number of a request, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Reply {
        id: u16,
        sequence: u16,
    },
    /// A router could not pass it on to `to`: this is the longest packet that it could.
    TooBig {
        to: IpAddr,
        id: u16,
        sequence: u16,
        mtu: u32,
    },
}

/// What a raw socket has received, if it is about an echo request. One of IPv4 gives the IP header as well.
pub fn read(v6: bool, packet: &[u8]) -> Option<Heard> {
    let message = match v6 {
        true => packet,
        false => after_header(packet)?,
    };
    let [kind, code] = *message.first_chunk()?;
    match (v6, kind, code) {
        (false, ECHO_REPLY, _) | (true, ECHO_REPLY_6, _) => {
            let (id, sequence) = asked(message)?;
            Some(Heard::Reply { id, sequence })
        }
        (false, UNREACHABLE, FRAGMENTATION_NEEDED) => {
            let sent = message.get(HEADER..)?;
            let to = Ipv4Addr::from(*sent.get(16..)?.first_chunk::<4>()?);
            let request = after_header(sent).filter(|r| r.first() == Some(&ECHO))?;
            let (id, sequence) = asked(request)?;
            let mtu = u16::from_be_bytes(*message.get(6..)?.first_chunk()?).into();
            let to = to.into();
            Some(Heard::TooBig {
                to,
                id,
                sequence,
                mtu,
            })
        }
        (true, TOO_BIG_6, _) => {
            let sent = message.get(HEADER..)?;
            let to = Ipv6Addr::from(*sent.get(24..)?.first_chunk::<16>()?);
            let request = sent.get(IPV6_HEADER..)?;
            let (id, sequence) = asked(request).filter(|_| request.first() == Some(&ECHO_6))?;
            let mtu = u32::from_be_bytes(*message.get(4..)?.first_chunk()?);
            let to = to.into();
            Some(Heard::TooBig {
                to,
                id,
                sequence,
                mtu,
            })
        }
        _ => None,
    }
}

/// What is behind an IPv4 header.
pub(crate) fn after_header(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 0x0f) * 4..)
}

fn asked(message: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *message.get(4..)?.first_chunk()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_header(to: [u8; 4], message: &[u8]) -> Vec<u8> {
        [&[0x45; 1][..], &[0; 15], &to, message].concat()
    }

    #[test]
    fn a_request_is_known_by_its_reply() {
        let mut message = request(false, 7, 9, 1000);
        assert_eq!((message.len(), checksum(&message)), (1000, 0));
        let heard = |message: &[u8]| read(false, &with_header([192, 0, 2, 1], message));
        assert_eq!(heard(&message), None, "the request itself");
        message[0] = ECHO_REPLY;
        let reply = Heard::Reply { id: 7, sequence: 9 };
        assert_eq!(heard(&message), Some(reply));
        assert_eq!(heard(&message[..7]), None);
        let mut message = request(true, 7, 9, 8);
        message[0] = ECHO_REPLY_6;
        assert_eq!(read(true, &message), Some(reply));
    }

    #[test]
    fn what_we_say_in_a_routers_place_is_understood() {
        for (own, to) in [("192.0.2.9", "192.0.2.1"), ("2001:db8::9", "2001:db8::1")] {
            let (own, to): (IpAddr, IpAddr) = (own.parse().unwrap(), to.parse().unwrap());
            let message = too_big(own, to, 7, 1400);
            let packet = match own {
                IpAddr::V4(ip) => {
                    assert_eq!(checksum(&message), 0);
                    assert_eq!(checksum(&message[8..28]), 0);
                    with_header(ip.octets(), &message)
                }
                IpAddr::V6(_) => message,
            };
            let heard = Heard::TooBig {
                to,
                id: 7,
                sequence: 0,
                mtu: 1400,
            };
            assert_eq!(read(own.is_ipv6(), &packet), Some(heard));
        }
    }

    #[test]
    fn a_router_says_what_it_could_not_pass_on() {
        let sent = with_header([192, 0, 2, 1], &request(false, 7, 9, 1480)[..8]);
        let says = [&[3, 4, 0, 0, 0, 0, 0x05, 0x78][..], &sent].concat();
        let heard = Heard::TooBig {
            to: [192, 0, 2, 1].into(),
            id: 7,
            sequence: 9,
            mtu: 1400,
        };
        let packet = with_header([198, 51, 100, 1], &says);
        assert_eq!(read(false, &packet), Some(heard));
        for end in 0..packet.len() {
            assert_eq!(read(false, &packet[..end]), None);
        }
        let to: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let sent = [&[0x60; 24][..], &to.octets(), &request(true, 7, 9, 8)].concat();
        let says = [&[2, 0, 0, 0, 0, 0, 0x05, 0x78][..], &sent].concat();
        let Some(Heard::TooBig { to: at, mtu, .. }) = read(true, &says) else {
            panic!("{:?}", read(true, &says));
        };
        assert_eq!((at, mtu), (to.into(), 1400));
    }
}

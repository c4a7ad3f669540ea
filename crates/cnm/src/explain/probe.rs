//! An echo request from inside a namespace, and what became of it.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

const TRIES: u16 = 2;
const PATIENCE: Duration = Duration::from_millis(700);
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ECHO_6: u8 = 128;
const ECHO_REPLY_6: u8 = 129;

/// What an echo request met.
pub(super) enum Echo {
    Answered(Duration),
    /// With what the namespace's ARP table says of the address: nothing, that nobody answers, or a MAC address.
    Silent(Neighbour),
    /// It could not be sent.
    Failed(io::Error),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    Unknown,
    Unanswered,
    At(String),
}

/// Sends from the calling thread's namespace and waits.
pub(super) fn echo(to: IpAddr) -> Echo {
    match attempt(to) {
        Ok(Some(took)) => Echo::Answered(took),
        Ok(None) => Echo::Silent(neighbour(to)),
        // The kernel's word for an address that nobody has answered for.
        Err(error) if error.kind() == io::ErrorKind::HostUnreachable => {
            Echo::Silent(Neighbour::Unanswered)
        }
        Err(error) => Echo::Failed(error),
    }
}

fn attempt(to: IpAddr) -> io::Result<Option<Duration>> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let mut socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    let mut buffer = [0; 1500];
    for sequence in 1..=TRIES {
        let request = request(to.is_ipv6(), sequence);
        let began = Instant::now();
        socket.send(&request)?;
        while let Some(left) = PATIENCE
            .checked_sub(began.elapsed())
            .filter(|l| !l.is_zero())
        {
            socket.set_read_timeout(Some(left))?;
            let length = match socket.read(&mut buffer) {
                Ok(length) => length,
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    break;
                }
                Err(e) => return Err(e),
            };
            if answers(to.is_ipv6(), &buffer[..length], &request) {
                return Ok(Some(began.elapsed()));
            }
        }
    }
    Ok(None)
}

fn request(v6: bool, sequence: u16) -> [u8; 16] {
    let mut packet = [0; 16];
    packet[0] = if v6 { ECHO_6 } else { ECHO };
    // Who asks, and a tail that nobody else's request has.
    let who = std::process::id().to_be_bytes();
    packet[4..6].copy_from_slice(&who[2..]);
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[8..].copy_from_slice(b"pontoon?");
    if !v6 {
        // For ICMPv6 the kernel does this.
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn checksum(packet: &[u8]) -> u16 {
    let words = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// An IPv4 raw socket gives the IP header as well.
fn answers(v6: bool, packet: &[u8], request: &[u8]) -> bool {
    let (skip, reply) = match v6 {
        true => (0, ECHO_REPLY_6),
        false => {
            let header = packet.first().map_or(0, |b| usize::from(b & 0x0f) * 4);
            (header, ECHO_REPLY)
        }
    };
    let Some(icmp) = packet.get(skip..) else {
        return false;
    };
    icmp.first() == Some(&reply) && icmp.get(4..) == Some(&request[4..])
}

fn neighbour(ip: IpAddr) -> Neighbour {
    let table = std::fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
    in_arp(&table, ip)
}

/// `IP address  HW type  Flags  HW address  Mask  Device`; flag 2 is: complete.
fn in_arp(table: &str, ip: IpAddr) -> Neighbour {
    for line in table.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        if let [address, _, flags, mac, ..] = fields[..]
            && address.parse() == Ok(ip)
        {
            let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or_default();
            return match flags & 2 {
                0 => Neighbour::Unanswered,
                _ => Neighbour::At(mac.to_string()),
            };
        }
    }
    Neighbour::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_told_from_other_packets() {
        let ask = request(false, 1);
        assert_eq!(
            checksum(&ask),
            0,
            "a packet with its checksum adds up to nothing"
        );
        let mut packet = [[0x45; 1].as_slice(), &[0; 19], &ask].concat();
        assert!(!answers(false, &packet, &ask), "the request itself");
        packet[20] = ECHO_REPLY;
        assert!(answers(false, &packet, &ask));
        assert!(!answers(false, &packet, &request(false, 2)));
        assert!(!answers(false, &packet[..30], &ask));
        assert!(!answers(false, &[], &ask));
        assert!(matches!(
            echo([127, 0, 0, 1].into()),
            Echo::Answered(_) | Echo::Failed(_)
        ));
    }

    #[test]
    fn the_arp_table_is_read() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            10.9.0.3         0x1         0x2         02:42:0a:09:00:03     *        eth0\n\
            10.9.0.4         0x1         0x0         00:00:00:00:00:00     *        eth0\n";
        let look = |last| in_arp(table, [10, 9, 0, last].into());
        assert_eq!(look(3), Neighbour::At("02:42:0a:09:00:03".into()));
        assert_eq!(
            (look(4), look(5)),
            (Neighbour::Unanswered, Neighbour::Unknown)
        );
    }
}

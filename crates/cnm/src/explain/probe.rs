//! An echo request from inside a namespace, and what became of it.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::icmp::{self, Heard};

const TRIES: u16 = 2;
const PATIENCE: Duration = Duration::from_millis(700);

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
            if answers(to.is_ipv6(), &buffer[..length], sequence) {
                return Ok(Some(began.elapsed()));
            }
        }
    }
    Ok(None)
}

fn request(v6: bool, sequence: u16) -> Vec<u8> {
    icmp::request(v6, who(), sequence, 2 * icmp::HEADER)
}

fn answers(v6: bool, packet: &[u8], sequence: u16) -> bool {
    let id = who();
    icmp::read(v6, packet) == Some(Heard::Reply { id, sequence })
}

fn who() -> u16 {
    std::process::id() as u16
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
        let mut packet = [[0x45; 1].as_slice(), &[0; 19], &ask].concat();
        assert!(!answers(false, &packet, 1), "the request itself");
        packet[20] = 0;
        assert!(answers(false, &packet, 1));
        assert!(!answers(false, &packet, 2));
        assert!(!answers(false, &packet[..27], 1));
        assert!(!answers(false, &[], 1));
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

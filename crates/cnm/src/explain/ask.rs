//! One question to a sandbox's resolver, as a program in the container would ask it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

const SERVER: (std::net::Ipv4Addr, u16) = (crate::resolver::ADDRESS, 53);
const PATIENCE: Duration = Duration::from_secs(2);
const HEADER: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;
/// Ours, to tell the answer from others.
const ID: u16 = 0x706f;

/// The addresses of a name, from inside the sandbox; none when the resolver knows none.
pub(super) fn ask(name: &str) -> io::Result<BTreeSet<IpAddr>> {
    let mut found = BTreeSet::new();
    for kind in [A, AAAA] {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.connect(SERVER)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(&question(name, kind))?;
        let mut buffer = [0; 1500];
        let length = socket.recv(&mut buffer)?;
        found.extend(addresses(&buffer[..length]).unwrap_or_default());
    }
    Ok(found)
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = ID.to_be_bytes().to_vec();
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|l| !l.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        packet.push(label.len() as u8);
        packet.extend(label);
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// The A and AAAA records of an answer; `None` when it is none.
pub(crate) fn addresses(packet: &[u8]) -> Option<Vec<IpAddr>> {
    let number = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    if number(0)? != ID {
        return None;
    }
    let (questions, answers) = (number(4)?, number(6)?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = name_end(packet, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        at = name_end(packet, at)?;
        let (kind, length) = (number(at)?, usize::from(number(at + 8)?));
        let data = packet.get(at + 10..at + 10 + length)?;
        at += 10 + length;
        let address = match kind {
            A => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            AAAA => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
            _ => None,
        };
        found.extend(address);
    }
    Some(found)
}

/// Behind a name, which ends with an empty label or a pointer.
fn name_end(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_read() {
        let mut packet = question("web.example", A);
        packet[7] = 2;
        // An alias first, then the address, both by pointers to the question's name.
        packet.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 7]);
        assert_eq!(addresses(&packet), Some(vec![[10, 0, 0, 7].into()]));
        assert_eq!(addresses(&packet[..packet.len() - 1]), None);
        assert_eq!(addresses(&question("x", A)), Some(vec![]));
    }

    proptest! {
        #[test]
        fn garbage_is_no_answer(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut packet = question("x", A);
            packet[7] = 3;
            packet.extend(bytes.iter());
            let _ = addresses(&packet);
            let _ = addresses(&bytes);
        }
    }
}

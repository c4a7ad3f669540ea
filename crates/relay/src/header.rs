//! The header as bytes.

use std::net::{IpAddr, SocketAddr};

use cnm::Proxy;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, on behalf of somebody else.
const PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// That `client` has connected to `asked`; both are of one family.
pub fn header(version: Proxy, client: SocketAddr, asked: SocketAddr) -> Vec<u8> {
    match version {
        Proxy::V1 => text(client, asked).into_bytes(),
        Proxy::V2 => binary(client, asked),
    }
}

fn text(client: SocketAddr, asked: SocketAddr) -> String {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.ip(), asked.ip());
    format!(
        "PROXY {family} {from} {to} {} {}\r\n",
        client.port(),
        asked.port()
    )
}

fn binary(client: SocketAddr, asked: SocketAddr) -> Vec<u8> {
    let family = match client.is_ipv4() {
        true => TCP_OVER_IPV4,
        false => TCP_OVER_IPV6,
    };
    let mut addresses = Vec::with_capacity(36);
    for side in [client, asked] {
        match side.ip() {
            IpAddr::V4(ip) => addresses.extend(ip.octets()),
            IpAddr::V6(ip) => addresses.extend(ip.octets()),
        }
    }
    addresses.extend(client.port().to_be_bytes());
    addresses.extend(asked.port().to_be_bytes());
    // At most 36.
    let length = addresses.len() as u16;
    [
        &SIGNATURE[..],
        &[PROXY, family],
        &length.to_be_bytes(),
        &addresses,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The examples of the specification, sections 2.1 and 2.2.
    #[test]
    fn headers_are_as_specified() {
        let (client, asked) = (at("192.168.0.1:56324"), at("192.168.0.11:443"));
        assert_eq!(
            header(Proxy::V1, client, asked),
            b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
        );
        let expected = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A\x21\x11\x00\x0c\
            \xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb";
        assert_eq!(header(Proxy::V2, client, asked), expected);
        let (client, asked) = (at("[2001:db8::7]:65535"), at("[::1]:80"));
        assert_eq!(
            header(Proxy::V1, client, asked),
            b"PROXY TCP6 2001:db8::7 ::1 65535 80\r\n"
        );
        let bytes = header(Proxy::V2, client, asked);
        assert_eq!(bytes[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(bytes[16..20], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!((bytes[47], bytes.len()), (1, 52));
        assert_eq!(bytes[48..], [0xff, 0xff, 0, 80]);
    }

    /// As a receiver reads it.
    fn read_text(line: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
        let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
        let [proxy, family, from, to, from_port, to_port] =
            line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let side = |ip: &str, port: &str| {
            let ip: IpAddr = ip.parse().ok()?;
            let fits = ip.is_ipv4() == (family == "TCP4");
            fits.then_some(SocketAddr::new(ip, port.parse().ok()?))
        };
        (proxy == "PROXY").then_some((side(from, from_port)?, side(to, to_port)?))
    }

    fn read_binary(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
        let rest = bytes.strip_prefix(&SIGNATURE)?.strip_prefix(&[0x21])?;
        let (family, rest) = rest.split_first()?;
        let rest = rest.strip_prefix(&u16::try_from(rest.len() - 2).ok()?.to_be_bytes())?;
        let width = if *family == 0x11 { 4 } else { 16 };
        let ip = |at: usize| -> Option<IpAddr> {
            let bytes = rest.get(at..at + width)?;
            match width {
                4 => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
                _ => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
            }
        };
        let port = |at: usize| {
            let bytes = rest.get(at..at + 2)?.try_into().ok()?;
            Some(u16::from_be_bytes(bytes))
        };
        let side = |i: usize| {
            let port = port(2 * width + 2 * i)?;
            Some(SocketAddr::new(ip(i * width)?, port))
        };
        (rest.len() == 2 * width + 4).then_some((side(0)?, side(1)?))
    }

    fn pair() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let ports = || (any::<u16>(), any::<u16>());
        prop_oneof![
            (any::<[u8; 4]>(), any::<[u8; 4]>(), ports())
                .prop_map(|(a, b, (p, q))| { ((a, p).into(), (b, q).into()) }),
            (any::<[u8; 16]>(), any::<[u8; 16]>(), ports())
                .prop_map(|(a, b, (p, q))| { ((a, p).into(), (b, q).into()) }),
        ]
    }

    proptest! {
        #[test]
        fn a_receiver_reads_what_was_meant((client, asked) in pair()) {
            let line = header(Proxy::V1, client, asked);
            prop_assert!(line.len() <= 107, "the longest line that receivers must take");
            prop_assert_eq!(read_text(&line), Some((client, asked)));
            prop_assert_eq!(read_binary(&header(Proxy::V2, client, asked)), Some((client, asked)));
        }
    }
}

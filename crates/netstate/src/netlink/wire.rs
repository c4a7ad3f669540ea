//! Netlink messages as bytes: a writer and readers. Both rtnetlink and nfnetlink are a header, a fixed part and attributes.

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;

pub const REQUEST: u16 = 0x1;
pub const ACK: u16 = 0x4;
pub const ECHO: u16 = 0x8;
pub const DUMP: u16 = 0x300;
pub const REPLACE: u16 = 0x100;
pub const EXCL: u16 = 0x200;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;

pub const DONE: u16 = 3;
pub const ERROR: u16 = 2;
/// The dump saw a table that changed meanwhile.
pub const DUMP_INTR: u16 = 0x10;

const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

/// A message under construction. Sequence number and length are set when it is sent.
#[derive(Clone, Debug)]
pub struct Msg(Vec<u8>);

impl Msg {
    /// `fixed` is the family's own struct (`ifinfomsg`, `nfgenmsg` …).
    pub fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut buf = vec![0; HEADER];
        buf[4..6].copy_from_slice(&kind.to_ne_bytes());
        buf[6..8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        buf.extend_from_slice(fixed);
        let mut msg = Msg(buf);
        msg.pad();
        msg
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.0
            .extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.pad();
        self
    }

    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.put(kind, &[value])
    }

    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// With the closing zero.
    pub fn str(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes)
    }

    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.0.len();
        self.put(kind | NESTED, &[]);
        fill(self);
        let len = ((self.0.len() - start) as u16).to_ne_bytes();
        self.0[start..start + 2].copy_from_slice(&len);
        self
    }

    /// Bytes without a header of their own, inside a nest (`ifinfomsg` in a veth's peer).
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self.pad();
        self
    }

    pub fn add_flags(&mut self, flags: u16) {
        let old = u16::from_ne_bytes([self.0[6], self.0[7]]);
        self.0[6..8].copy_from_slice(&(old | flags).to_ne_bytes());
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends the finished message to a batch.
    pub fn write(&self, seq: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.0);
        out[start..start + 4].copy_from_slice(&(self.0.len() as u32).to_ne_bytes());
        out[start + 8..start + 12].copy_from_slice(&seq.to_ne_bytes());
    }
}

/// A received message.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    pub kind: u16,
    pub flags: u16,
    pub seq: u32,
    /// Port of the socket whose request caused a notification; 0 for the kernel itself.
    pub port: u32,
    pub body: &'a [u8],
}

/// The messages of one datagram; stops at the first that is cut short.
pub fn messages(mut buf: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    std::iter::from_fn(move || {
        let len = u32_at(buf, 0)? as usize;
        if len < HEADER || len > buf.len() {
            return None;
        }
        let raw = Raw {
            kind: u16_at(buf, 4)?,
            flags: u16_at(buf, 6)?,
            seq: u32_at(buf, 8)?,
            port: u32_at(buf, 12)?,
            body: &buf[HEADER..len],
        };
        buf = buf.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(raw)
    })
}

/// Attributes: type (without its flag bits) and value.
pub fn attrs(mut buf: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = u16_at(buf, 0)? as usize;
        if len < 4 || len > buf.len() {
            return None;
        }
        let attr = (u16_at(buf, 2)? & TYPE_MASK, &buf[4..len]);
        buf = buf.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(attr)
    })
}

/// The first attribute of that type.
pub fn attr(buf: &[u8], kind: u16) -> Option<&[u8]> {
    attrs(buf).find(|(k, _)| *k == kind).map(|(_, v)| v)
}

pub fn u16_at(buf: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(buf.get(at..at + 2)?.try_into().ok()?))
}

pub fn u32_at(buf: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(buf.get(at..at + 4)?.try_into().ok()?))
}

pub fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

pub fn be64(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// A text attribute, with or without its closing zero.
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// An address of 4 or 16 bytes.
pub fn ip(value: &[u8]) -> Option<std::net::IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(Into::into),
        16 => <[u8; 16]>::try_from(value).ok().map(Into::into),
        _ => None,
    }
}

/// The bytes of an address as attributes carry them.
pub fn ip_bytes(ip: std::net::IpAddr) -> Vec<u8> {
    match ip {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut msg = Msg::new(16, CREATE, &[7; 5]);
        msg.str(3, "eth0").nest(18, |m| {
            m.str(1, "veth").u8(2, 9);
        });
        let mut out = Vec::new();
        msg.write(42, &mut out);
        msg.write(43, &mut out);
        let read: Vec<_> = messages(&out).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[1].kind, read[1].seq), (16, 43));
        let body = &read[0].body[8..];
        assert_eq!(attr(body, 3).map(text).as_deref(), Some("eth0"));
        let info = attr(body, 18).unwrap();
        assert_eq!(attrs(info).map(|(k, _)| k).collect::<Vec<_>>(), [1, 2]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for raw in messages(&bytes) {
                for (_, value) in attrs(raw.body) {
                    let _ = (text(value), be32(value), ip(value));
                }
            }
            let _ = attrs(&bytes).count();
        }
    }
}

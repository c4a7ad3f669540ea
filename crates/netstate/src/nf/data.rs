//! Values and types as the kernel's registers hold them.

use std::net::IpAddr;

use crate::Mac;
use crate::netlink::wire::{self, Msg, attr};
use crate::nft::{Type, Value, Verdict};

const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;

const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
const GOTO: i32 = -4;
const RETURN: i32 = -5;

/// Bits per type in the id of a concatenation.
const TYPE_BITS: u32 = 6;
const IFNAMSIZ: usize = 16;

const TYPES: [Type; 8] = [
    Type::Ipv4,
    Type::Ipv6,
    Type::Port,
    Type::Protocol,
    Type::Ifname,
    Type::Mark,
    Type::Mac,
    Type::Verdict,
];

impl Type {
    /// The number by which `nft` knows the type; the kernel only keeps it.
    fn id(self) -> u32 {
        match self {
            Type::Ipv4 => 7,
            Type::Ipv6 => 8,
            Type::Mac => 9,
            Type::Protocol => 12,
            Type::Port => 13,
            Type::Mark => 19,
            Type::Ifname => 41,
            Type::Verdict => 0xffff_ff00,
        }
    }

    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Type::Ipv4 | Type::Mark => 4,
            Type::Ipv6 | Type::Ifname | Type::Verdict => 16,
            Type::Port => 2,
            Type::Protocol => 1,
            Type::Mac => 6,
        }
    }

    fn padded(self) -> usize {
        self.bytes().next_multiple_of(4)
    }

    /// Whether its bytes sort as its values do, which intervals need.
    pub fn sorts(self) -> bool {
        !matches!(self, Type::Mark | Type::Ifname | Type::Verdict)
    }
}

impl Value {
    pub fn kind(&self) -> Type {
        match self {
            Value::Ip(IpAddr::V4(_)) => Type::Ipv4,
            Value::Ip(IpAddr::V6(_)) => Type::Ipv6,
            Value::Port(_) => Type::Port,
            Value::Protocol(_) => Type::Protocol,
            Value::Ifname(_) => Type::Ifname,
            Value::Mark(_) => Type::Mark,
            Value::Mac(_) => Type::Mac,
            Value::Verdict(_) => Type::Verdict,
        }
    }
}

pub fn type_id(types: &[Type]) -> u32 {
    types
        .iter()
        .fold(0, |id, t| id.wrapping_shl(TYPE_BITS) | t.id())
}

pub fn types_of(mut id: u32) -> Option<Vec<Type>> {
    if id == Type::Verdict.id() {
        return Some(vec![Type::Verdict]);
    }
    let mut types = Vec::new();
    while id != 0 {
        let low = id & ((1 << TYPE_BITS) - 1);
        types.insert(0, TYPES.into_iter().find(|t| t.id() == low)?);
        id >>= TYPE_BITS;
    }
    Some(types)
}

/// Bytes of a key or of data: a single value as it is, the parts of a concatenation padded to registers.
pub fn width(types: &[Type]) -> usize {
    match types {
        [one] => one.bytes(),
        many => many.iter().map(|t| t.padded()).sum(),
    }
}

/// The bytes of one value. A verdict has none of its own.
pub fn value(value: &Value) -> Vec<u8> {
    match value {
        Value::Ip(ip) => wire::ip_bytes(*ip),
        Value::Port(port) => port.to_be_bytes().to_vec(),
        Value::Protocol(number) => vec![*number],
        Value::Ifname(name) => {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(IFNAMSIZ, 0);
            bytes
        }
        Value::Mark(mark) => mark.to_ne_bytes().to_vec(),
        Value::Mac(mac) => mac.0.to_vec(),
        Value::Verdict(_) => Vec::new(),
    }
}

/// The bytes of a key, as `width` counts them.
pub fn concat(values: &[Value]) -> Vec<u8> {
    if let [one] = values {
        return value(one);
    }
    let mut bytes = Vec::new();
    for part in values {
        bytes.extend(value(part));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

pub fn parse(types: &[Type], mut bytes: &[u8]) -> Option<Vec<Value>> {
    let single = types.len() == 1;
    let mut values = Vec::new();
    for kind in types {
        let part = bytes.get(..kind.bytes())?;
        values.push(match kind {
            Type::Ipv4 | Type::Ipv6 => Value::Ip(wire::ip(part)?),
            Type::Port => Value::Port(u16::from_be_bytes(part.try_into().ok()?)),
            Type::Protocol => Value::Protocol(*part.first()?),
            Type::Ifname => Value::Ifname(wire::text(part)),
            Type::Mark => Value::Mark(wire::u32_at(part, 0)?),
            Type::Mac => Value::Mac(Mac(part.try_into().ok()?)),
            Type::Verdict => return None,
        });
        let step = if single { kind.bytes() } else { kind.padded() };
        bytes = bytes.get(step..).unwrap_or_default();
    }
    Some(values)
}

/// An attribute that holds plain bytes.
pub fn put_bytes(msg: &mut Msg, kind: u16, bytes: &[u8]) {
    msg.nest(kind, |m| {
        m.put(NFTA_DATA_VALUE, bytes);
    });
}

/// An attribute that holds a verdict.
pub fn put_verdict(msg: &mut Msg, kind: u16, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Accept => (ACCEPT, None),
        Verdict::Drop => (DROP, None),
        Verdict::Return => (RETURN, None),
        Verdict::Jump(chain) => (JUMP, Some(chain)),
        Verdict::Goto(chain) => (GOTO, Some(chain)),
    };
    msg.nest(kind, |m| {
        m.nest(NFTA_DATA_VERDICT, |m| {
            m.be32(NFTA_VERDICT_CODE, code as u32);
            if let Some(chain) = chain {
                m.str(NFTA_VERDICT_CHAIN, chain);
            }
        });
    });
}

/// An element's key or data.
pub fn put(msg: &mut Msg, kind: u16, values: &[Value]) {
    match values {
        [Value::Verdict(verdict)] => put_verdict(msg, kind, verdict),
        values => put_bytes(msg, kind, &concat(values)),
    }
}

/// Reads what `put` writes.
pub fn get(types: &[Type], body: &[u8]) -> Option<Vec<Value>> {
    if let Some(verdict) = attr(body, NFTA_DATA_VERDICT) {
        let chain = || Some(wire::text(attr(verdict, NFTA_VERDICT_CHAIN)?));
        let code = wire::be32(attr(verdict, NFTA_VERDICT_CODE)?)? as i32;
        return Some(vec![Value::Verdict(match code {
            DROP => Verdict::Drop,
            ACCEPT => Verdict::Accept,
            RETURN => Verdict::Return,
            JUMP => Verdict::Jump(chain()?),
            GOTO => Verdict::Goto(chain()?),
            _ => return None,
        })]);
    }
    parse(types, get_bytes(body)?)
}

pub fn get_bytes(body: &[u8]) -> Option<&[u8]> {
    attr(body, NFTA_DATA_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concatenations_keep_their_parts() {
        let key = [
            Value::Ip([10, 0, 0, 1].into()),
            Value::Protocol(6),
            Value::Port(8080),
            Value::Mac(Mac([2, 0x42, 10, 0, 0, 1])),
        ];
        let types: Vec<Type> = key.iter().map(Value::kind).collect();
        assert_eq!(types_of(type_id(&types)), Some(types.clone()));
        let bytes = concat(&key);
        assert_eq!(bytes.len(), width(&types));
        assert_eq!(bytes[8..10], [0x1f, 0x90], "ports are big endian");
        assert_eq!(parse(&types, &bytes).as_deref(), Some(&key[..]));
        assert_eq!(
            types_of(type_id(&[Type::Verdict])),
            Some(vec![Type::Verdict])
        );
    }
}

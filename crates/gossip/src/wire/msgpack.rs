//! The dialect of msgpack that go-msgpack speaks: maps with byte-sorted keys, and "raw" for strings and bytes alike.
//!
//! The encoder writes exactly what Docker's encoder writes; the decoder takes every form that another version emits
//! (signed integers, `str8`, `bin`), in any order, and skips what it does not know.

use rmp::Marker;

use super::Error;

/// Values may hold maps and arrays that we skip; deeper than this is nonsense.
const MAX_DEPTH: u8 = 8;

/// Writes one map. The caller names the keys in byte order.
pub struct MapWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> MapWriter<'a> {
    /// At most 15 fields, which is all that memberlist needs.
    pub fn new(out: &'a mut Vec<u8>, fields: u8) -> Self {
        debug_assert!(fields < 16);
        out.push(0x80 | fields);
        Self { out }
    }
    pub fn uint(&mut self, key: &str, value: u64) -> &mut Self {
        raw(self.out, key.as_bytes());
        uint(self.out, value);
        self
    }
    pub fn raw(&mut self, key: &str, value: &[u8]) -> &mut Self {
        raw(self.out, key.as_bytes());
        raw(self.out, value);
        self
    }
    pub fn optional(&mut self, key: &str, value: Option<&[u8]>) -> &mut Self {
        raw(self.out, key.as_bytes());
        match value {
            Some(value) => raw(self.out, value),
            None => self.out.push(0xc0),
        }
        self
    }
    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        raw(self.out, key.as_bytes());
        self.out.push(0xc2 | u8::from(value));
        self
    }
}

fn uint(out: &mut Vec<u8>, value: u64) {
    if let Ok(v) = u8::try_from(value) {
        if v > 0x7f {
            out.push(0xcc);
        }
        out.push(v);
    } else if let Ok(v) = u16::try_from(value) {
        out.push(0xcd);
        out.extend_from_slice(&v.to_be_bytes());
    } else if let Ok(v) = u32::try_from(value) {
        out.push(0xce);
        out.extend_from_slice(&v.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Old-spec raw: no `str8`, no `bin`.
fn raw(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = bytes.len();
    if len < 32 {
        out.push(0xa0 | len as u8);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(0xda);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(0xdb);
        out.extend_from_slice(&(len as u32).to_be_bytes());
    }
    out.extend_from_slice(bytes);
}

/// A scalar; maps, arrays, floats and extensions are skipped as [`Value::Other`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Nil,
    Bool(bool),
    Uint(u64),
    Negative,
    Raw(&'a [u8]),
    Other,
}

impl<'a> Value<'a> {
    /// Go decodes nil as the zero value, and so do we.
    pub fn uint<T: TryFrom<u64> + Default>(self, what: &'static str) -> Result<T, Error> {
        match self {
            Value::Uint(v) => T::try_from(v).map_err(|_| Error::Malformed(what)),
            Value::Nil => Ok(T::default()),
            _ => Err(Error::Malformed(what)),
        }
    }
    pub fn raw(self, what: &'static str) -> Result<&'a [u8], Error> {
        match self {
            Value::Raw(bytes) => Ok(bytes),
            Value::Nil => Ok(&[]),
            _ => Err(Error::Malformed(what)),
        }
    }
    pub fn string(self, what: &'static str) -> Result<String, Error> {
        let bytes = self.raw(what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Error::Malformed(what))
    }
    pub fn bool(self, what: &'static str) -> Result<bool, Error> {
        match self {
            Value::Bool(b) => Ok(b),
            Value::Nil => Ok(false),
            _ => Err(Error::Malformed(what)),
        }
    }
}

/// Reads values off the front of a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads one map and hands each field to `field`.
    pub fn map(
        &mut self,
        mut field: impl FnMut(&[u8], Value<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let marker = Marker::from_u8(self.byte()?);
        let count = match marker {
            Marker::FixMap(n) => usize::from(n),
            Marker::Map16 => self.be(2)? as usize,
            Marker::Map32 => self.be(4)? as usize,
            _ => return Err(Error::Malformed("map")),
        };
        for _ in 0..count {
            let key = self.value(0)?.raw("map key")?;
            let value = self.value(0)?;
            field(key, value)?;
        }
        Ok(())
    }

    fn value(&mut self, depth: u8) -> Result<Value<'a>, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooLarge("msgpack nesting"));
        }
        Ok(match Marker::from_u8(self.byte()?) {
            Marker::Null => Value::Nil,
            Marker::False => Value::Bool(false),
            Marker::True => Value::Bool(true),
            Marker::FixPos(n) => Value::Uint(n.into()),
            Marker::FixNeg(_) => Value::Negative,
            Marker::U8 => Value::Uint(self.be(1)?),
            Marker::U16 => Value::Uint(self.be(2)?),
            Marker::U32 => Value::Uint(self.be(4)?),
            Marker::U64 => Value::Uint(self.be(8)?),
            Marker::I8 => self.signed(1)?,
            Marker::I16 => self.signed(2)?,
            Marker::I32 => self.signed(4)?,
            Marker::I64 => self.signed(8)?,
            Marker::FixStr(n) => Value::Raw(self.take(n.into())?),
            Marker::Str8 | Marker::Bin8 => self.counted(1)?,
            Marker::Str16 | Marker::Bin16 => self.counted(2)?,
            Marker::Str32 | Marker::Bin32 => self.counted(4)?,
            Marker::FixArray(n) => self.skip(n.into(), depth)?,
            Marker::Array16 => self.skip_counted(2, 1, depth)?,
            Marker::Array32 => self.skip_counted(4, 1, depth)?,
            Marker::FixMap(n) => self.skip(u64::from(n) * 2, depth)?,
            Marker::Map16 => self.skip_counted(2, 2, depth)?,
            Marker::Map32 => self.skip_counted(4, 2, depth)?,
            Marker::F32 => self.drop_bytes(4)?,
            Marker::F64 => self.drop_bytes(8)?,
            Marker::FixExt1 => self.drop_bytes(2)?,
            Marker::FixExt2 => self.drop_bytes(3)?,
            Marker::FixExt4 => self.drop_bytes(5)?,
            Marker::FixExt8 => self.drop_bytes(9)?,
            Marker::FixExt16 => self.drop_bytes(17)?,
            Marker::Ext8 => self.extension(1)?,
            Marker::Ext16 => self.extension(2)?,
            Marker::Ext32 => self.extension(4)?,
            Marker::Reserved => return Err(Error::Malformed("msgpack marker")),
        })
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }
    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(head)
    }
    /// A big-endian number of `width` bytes.
    fn be(&mut self, width: usize) -> Result<u64, Error> {
        Ok(self
            .take(width)?
            .iter()
            .fold(0, |acc, byte| acc << 8 | u64::from(*byte)))
    }
    fn signed(&mut self, width: usize) -> Result<Value<'a>, Error> {
        let value = self.be(width)?;
        let negative = value >> (8 * width - 1) == 1;
        Ok(if negative {
            Value::Negative
        } else {
            Value::Uint(value)
        })
    }
    fn counted(&mut self, width: usize) -> Result<Value<'a>, Error> {
        let len = self.be(width)?;
        Ok(Value::Raw(self.take(len as usize)?))
    }
    fn drop_bytes(&mut self, len: usize) -> Result<Value<'a>, Error> {
        self.take(len)?;
        Ok(Value::Other)
    }
    fn extension(&mut self, width: usize) -> Result<Value<'a>, Error> {
        let len = self.be(width)? as usize;
        self.drop_bytes(len.saturating_add(1))
    }
    fn skip_counted(&mut self, width: usize, per: u64, depth: u8) -> Result<Value<'a>, Error> {
        let count = self.be(width)? * per;
        self.skip(count, depth)
    }
    /// Each skipped value takes at least a byte, so a false count runs out of input soon.
    fn skip(&mut self, count: u64, depth: u8) -> Result<Value<'a>, Error> {
        for _ in 0..count {
            self.value(depth + 1)?;
        }
        Ok(Value::Other)
    }
}

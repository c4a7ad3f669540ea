//! memberlist's messages, one struct each, and their msgpack bodies.

use std::net::{IpAddr, SocketAddr};

use super::{
    Error, kind,
    msgpack::{MapWriter, Reader, Value},
};

/// The versions a node can speak: protocol min, max, current, then the delegate's.
pub type Versions = [u8; 6];

/// What we (and Docker) announce.
pub const VERSIONS: Versions = [1, 5, 2, 0, 0, 0];

/// `Node` says whom the sender means: a restarted agent at the same address must not answer for its predecessor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ping {
    pub seq: u32,
    pub node: String,
    pub source: Option<SocketAddr>,
    pub source_node: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndirectPing {
    pub seq: u32,
    pub target: SocketAddr,
    pub node: String,
    pub nack: bool,
    pub source: Option<SocketAddr>,
    pub source_node: String,
}

/// The body of both `suspect` and `dead`. A `dead` that the node itself sent means that it left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accusation {
    pub incarnation: u32,
    pub node: String,
    pub from: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    pub incarnation: u32,
    pub node: String,
    pub addr: SocketAddr,
    pub meta: Vec<u8>,
    pub versions: Versions,
}

/// What one message of a datagram says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Ping(Ping),
    IndirectPing(IndirectPing),
    Ack { seq: u32 },
    Nack { seq: u32 },
    Suspect(Accusation),
    Alive(Alive),
    Dead(Accusation),
    User(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Alive,
    Suspect,
    Dead,
    Left,
}

/// A row of a push/pull exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    pub alive: Alive,
    pub state: State,
    /// Go writes nil and empty differently; `meta` is empty for both.
    pub nil_meta: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushPullHeader {
    pub nodes: u32,
    pub user_state_len: u32,
    pub join: bool,
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn ip(bytes: &[u8]) -> Result<IpAddr, Error> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Ok(IpAddr::from(v4))
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        Ok(IpAddr::from(v6).to_canonical())
    } else {
        Err(Error::Malformed("address"))
    }
}

fn source(addr: &[u8], port: u16) -> Result<Option<SocketAddr>, Error> {
    if addr.is_empty() || port == 0 {
        return Ok(None);
    }
    Ok(Some(SocketAddr::new(ip(addr)?, port)))
}

impl Ping {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![kind::PING];
        let extra =
            if self.source.is_some() { 2 } else { 0 } + u8::from(!self.source_node.is_empty());
        let mut map = MapWriter::new(&mut out, 2 + extra);
        map.raw("Node", self.node.as_bytes())
            .uint("SeqNo", self.seq.into());
        write_source(&mut map, self.source, &self.source_node);
        out
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut ping = Self::default();
        let mut origin = Origin::default();
        reader.map(|key, value| {
            match key {
                b"SeqNo" => ping.seq = value.uint("SeqNo")?,
                b"Node" => ping.node = value.string("Node")?,
                _ => origin.field(key, value)?,
            }
            Ok(())
        })?;
        (ping.source, ping.source_node) = origin.finish()?;
        Ok(ping)
    }
}

/// The three optional fields that ping and indirectPing share.
#[derive(Default)]
struct Origin<'a> {
    addr: &'a [u8],
    port: u16,
    node: String,
}

impl<'a> Origin<'a> {
    fn field(&mut self, key: &[u8], value: Value<'a>) -> Result<(), Error> {
        match key {
            b"SourceAddr" => self.addr = value.raw("SourceAddr")?,
            b"SourcePort" => self.port = value.uint("SourcePort")?,
            b"SourceNode" => self.node = value.string("SourceNode")?,
            _ => {}
        }
        Ok(())
    }
    fn finish(self) -> Result<(Option<SocketAddr>, String), Error> {
        Ok((source(self.addr, self.port)?, self.node))
    }
}

fn write_source(map: &mut MapWriter<'_>, source: Option<SocketAddr>, node: &str) {
    if let Some(source) = source {
        map.raw("SourceAddr", &octets(source.ip()));
    }
    if !node.is_empty() {
        map.raw("SourceNode", node.as_bytes());
    }
    if let Some(source) = source {
        map.uint("SourcePort", source.port().into());
    }
}

impl IndirectPing {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![kind::INDIRECT_PING];
        let extra =
            if self.source.is_some() { 2 } else { 0 } + u8::from(!self.source_node.is_empty());
        let mut map = MapWriter::new(&mut out, 5 + extra);
        map.bool("Nack", self.nack)
            .raw("Node", self.node.as_bytes())
            .uint("Port", self.target.port().into())
            .uint("SeqNo", self.seq.into());
        write_source(&mut map, self.source, &self.source_node);
        map.raw("Target", &octets(self.target.ip()));
        out
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (mut seq, mut port, mut nack) = (0, 0, false);
        let (mut node, mut target) = (String::new(), &[][..]);
        let mut origin = Origin::default();
        reader.map(|key, value| {
            match key {
                b"SeqNo" => seq = value.uint("SeqNo")?,
                b"Port" => port = value.uint("Port")?,
                b"Nack" => nack = value.bool("Nack")?,
                b"Node" => node = value.string("Node")?,
                b"Target" => target = value.raw("Target")?,
                _ => origin.field(key, value)?,
            }
            Ok(())
        })?;
        let (source, source_node) = origin.finish()?;
        let target = SocketAddr::new(ip(target)?, port);
        Ok(Self {
            seq,
            target,
            node,
            nack,
            source,
            source_node,
        })
    }
}

impl Accusation {
    pub fn encode(&self, kind: u8) -> Vec<u8> {
        let mut out = vec![kind];
        MapWriter::new(&mut out, 3)
            .raw("From", self.from.as_bytes())
            .uint("Incarnation", self.incarnation.into())
            .raw("Node", self.node.as_bytes());
        out
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut out = Self::default();
        reader.map(|key, value| {
            match key {
                b"Incarnation" => out.incarnation = value.uint("Incarnation")?,
                b"Node" => out.node = value.string("Node")?,
                b"From" => out.from = value.string("From")?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(out)
    }
}

impl Alive {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![kind::ALIVE];
        MapWriter::new(&mut out, 6)
            .raw("Addr", &octets(self.addr.ip()))
            .uint("Incarnation", self.incarnation.into())
            .raw("Meta", &self.meta)
            .raw("Node", self.node.as_bytes())
            .uint("Port", self.addr.port().into())
            .raw("Vsn", &self.versions);
        out
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Row::decode(reader)?.alive)
    }
}

/// `alive` and `pushNodeState` carry the same facts under nearly the same names.
struct Row {
    alive: Alive,
    state: u64,
    nil_meta: bool,
}

impl Row {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (mut incarnation, mut port, mut state) = (0, 0, 0);
        let (mut node, mut addr, mut meta) = (String::new(), &[][..], Vec::new());
        let mut versions = [0; 6];
        let mut nil_meta = false;
        reader.map(|key, value| {
            match key {
                b"Incarnation" => incarnation = value.uint("Incarnation")?,
                b"Node" | b"Name" => node = value.string("node name")?,
                b"Addr" => addr = value.raw("Addr")?,
                b"Port" => port = value.uint("Port")?,
                b"State" => state = value.uint("State")?,
                b"Meta" => {
                    nil_meta = value == Value::Nil;
                    meta = value.raw("Meta")?.to_vec();
                }
                b"Vsn" => {
                    if let Some(six) = value.raw("Vsn")?.first_chunk::<6>() {
                        versions = *six;
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        let addr = SocketAddr::new(ip(addr)?, port);
        let alive = Alive {
            incarnation,
            node,
            addr,
            meta,
            versions,
        };
        Ok(Self {
            alive,
            state,
            nil_meta,
        })
    }
}

impl NodeState {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let meta = (!self.nil_meta).then_some(self.alive.meta.as_slice());
        MapWriter::new(out, 7)
            .raw("Addr", &octets(self.alive.addr.ip()))
            .uint("Incarnation", self.alive.incarnation.into())
            .optional("Meta", meta)
            .raw("Name", self.alive.node.as_bytes())
            .uint("Port", self.alive.addr.port().into())
            .uint("State", self.state as u64)
            .raw("Vsn", &self.alive.versions);
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let Row {
            alive,
            state,
            nil_meta,
        } = Row::decode(reader)?;
        let state = match state {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Dead,
            3 => State::Left,
            _ => return Err(Error::Malformed("node state")),
        };
        Ok(Self {
            alive,
            state,
            nil_meta,
        })
    }
}

impl PushPullHeader {
    pub fn encode(&self, out: &mut Vec<u8>) {
        MapWriter::new(out, 3)
            .bool("Join", self.join)
            .uint("Nodes", self.nodes.into())
            .uint("UserStateLen", self.user_state_len.into());
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut out = Self::default();
        reader.map(|key, value| {
            match key {
                b"Join" => out.join = value.bool("Join")?,
                b"Nodes" => out.nodes = value.uint("Nodes")?,
                b"UserStateLen" => out.user_state_len = value.uint("UserStateLen")?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(out)
    }
}

/// `{key: number}`, which is all of ack, nack and userMsgHeader that matters.
pub(super) fn decode_number(reader: &mut Reader<'_>, name: &'static str) -> Result<u32, Error> {
    let mut out = 0;
    reader.map(|key, value| {
        if key == name.as_bytes() {
            out = value.uint(name)?;
        }
        Ok(())
    })?;
    Ok(out)
}

pub fn encode_ack(seq: u32) -> Vec<u8> {
    let mut out = vec![kind::ACK];
    MapWriter::new(&mut out, 2)
        .optional("Payload", None)
        .uint("SeqNo", seq.into());
    out
}

pub fn encode_nack(seq: u32) -> Vec<u8> {
    let mut out = vec![kind::NACK];
    MapWriter::new(&mut out, 1).uint("SeqNo", seq.into());
    out
}

/// The bytes of one message of a datagram, without layers.
pub fn decode(bytes: &[u8]) -> Result<Message, Error> {
    let (&first, body) = bytes.split_first().ok_or(Error::Truncated)?;
    let reader = &mut Reader::new(body);
    Ok(match first {
        kind::PING => Message::Ping(Ping::decode(reader)?),
        kind::INDIRECT_PING => Message::IndirectPing(IndirectPing::decode(reader)?),
        kind::ACK => Message::Ack {
            seq: decode_number(reader, "SeqNo")?,
        },
        kind::NACK => Message::Nack {
            seq: decode_number(reader, "SeqNo")?,
        },
        kind::SUSPECT => Message::Suspect(Accusation::decode(reader)?),
        kind::ALIVE => Message::Alive(Alive::decode(reader)?),
        kind::DEAD => Message::Dead(Accusation::decode(reader)?),
        kind::USER => Message::User(body.to_vec()),
        _ => return Err(Error::Malformed("message type")),
    })
}

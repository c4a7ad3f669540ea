//! Statements as expressions of the kernel's rule machine.

use ipnet::IpNet;

use super::data;
use crate::netlink::wire::Msg;
use crate::nft::{Draw, Family, Field, Rule, Set, Statement, Type, Value, Word};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;

/// The verdict register and the first of the sixteen 4-byte registers.
const REG_VERDICT: u32 = 0;
const REG32: u32 = 8;
/// The first that no key in use reaches, with room for an address.
const REG32_HIGH: u32 = REG32 + 8;

const CMP_EQ: u32 = 0;
const CMP_NEQ: u32 = 1;

const META_PROTOCOL: u32 = 1;
const META_MARK: u32 = 3;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;

const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const CT_MARK: u32 = 3;
/// Bits of established and related in a `ct state`.
const ESTABLISHED_RELATED: u32 = 2 | 4;
/// IPS_DST_NAT in a `ct status`.
const TRANSLATED: u32 = 1 << 5;

/// NFT_NG_RANDOM
const RANDOM: u32 = 1;
/// Every host has to find the same.
pub(super) const HASH_SEED: u32 = 0x0070_6f6e;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Offset of the flags in a TCP header, and the one that begins a connection.
const TCP_FLAGS: u32 = 13;
const SYN: u8 = 2;
/// NFT_EXTHDR_OP_TCPOPT, and the option of the largest segment: two bytes behind its kind and length.
const TCP_OPTION: u32 = 1;
const MAXSEG: u8 = 2;
/// The internet's checksum is to be kept right.
const CSUM_INET: u32 = 1;

const LINK_LAYER: u32 = 0;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

const FIB_RESULT_ADDRTYPE: u32 = 3;
const FIB_SADDR: u32 = 1;
const FIB_DADDR: u32 = 2;
const RTN_LOCAL: u32 = 2;

const SNAT: u32 = 0;
const DNAT: u32 = 1;
/// NF_NAT_RANGE_PROTO_OFFSET, which counts from port 0 here.
const BY_OFFSET: u32 = 1 << 5;

pub(super) const NFPROTO_IPV4: u8 = 2;
pub(super) const NFPROTO_IPV6: u8 = 10;

/// Where a field comes from.
enum Source {
    Payload { base: u32, offset: u32 },
    Meta(u32),
    Ct(u32),
}

/// Bytes of a [`Word`].
const WORD: u32 = 4;

impl Word {
    fn source(self) -> Source {
        let ether = |offset| Source::Payload {
            base: LINK_LAYER,
            offset,
        };
        match self {
            Word::MetaMark => Source::Meta(META_MARK),
            Word::CtMark => Source::Ct(CT_MARK),
            Word::EtherDaddr => ether(2),
            Word::EtherSaddr => ether(8),
        }
    }
}

impl Field {
    pub(super) fn kind(self) -> Type {
        match self {
            Field::IpSaddr | Field::IpDaddr => Type::Ipv4,
            Field::Ip6Saddr | Field::Ip6Daddr => Type::Ipv6,
            Field::L4Proto => Type::Protocol,
            Field::ThSport | Field::ThDport => Type::Port,
            Field::IifName | Field::OifName => Type::Ifname,
            Field::MetaMark | Field::CtMark => Type::Mark,
            Field::EtherSaddr => Type::Mac,
        }
    }

    fn source(self) -> Source {
        let payload = |base, offset| Source::Payload { base, offset };
        match self {
            Field::IpSaddr => payload(NETWORK, 12),
            Field::IpDaddr => payload(NETWORK, 16),
            Field::Ip6Saddr => payload(NETWORK, 8),
            Field::Ip6Daddr => payload(NETWORK, 24),
            Field::ThSport => payload(TRANSPORT, 0),
            Field::ThDport => payload(TRANSPORT, 2),
            Field::EtherSaddr => payload(LINK_LAYER, 6),
            Field::L4Proto => Source::Meta(META_L4PROTO),
            Field::IifName => Source::Meta(META_IIFNAME),
            Field::OifName => Source::Meta(META_OIFNAME),
            Field::MetaMark => Source::Meta(META_MARK),
            Field::CtMark => Source::Ct(CT_MARK),
        }
    }
}

/// Writes a rule's expressions into an attribute. `set` finds a set of the rule's table.
pub fn put<'a>(
    msg: &mut Msg,
    attr: u16,
    rule: &Rule,
    set: impl Fn(&str) -> Option<&'a Set>,
) -> Result<(), String> {
    let mut result = Ok(());
    msg.nest(attr, |msg| {
        let mut writer = Writer {
            msg,
            family: rule.table.family,
            guard: None,
        };
        result = rule
            .body
            .iter()
            .try_for_each(|statement| writer.statement(statement, &set));
    });
    result
}

struct Writer<'m> {
    msg: &'m mut Msg,
    family: Family,
    /// The IP version that earlier expressions of the rule have made sure of.
    guard: Option<u8>,
}

impl Writer<'_> {
    fn expr(&mut self, name: &str, fill: impl FnOnce(&mut Msg)) {
        self.msg.nest(NFTA_LIST_ELEM, |m| {
            m.str(NFTA_EXPR_NAME, name).nest(NFTA_EXPR_DATA, fill);
        });
    }

    fn meta(&mut self, key: u32, reg: u32) {
        self.expr("meta", |m| {
            m.be32(1, reg).be32(2, key);
        });
    }

    fn cmp(&mut self, op: u32, reg: u32, bytes: &[u8]) {
        self.expr("cmp", |m| {
            m.be32(1, reg).be32(2, op);
            data::put_bytes(m, 3, bytes);
        });
    }

    fn immediate(&mut self, reg: u32, bytes: &[u8]) {
        self.expr("immediate", |m| {
            m.be32(1, reg);
            data::put_bytes(m, 2, bytes);
        });
    }

    fn mask(&mut self, reg: u32, mask: &[u8]) {
        self.expr("bitwise", |m| {
            m.be32(1, reg).be32(2, reg).be32(3, mask.len() as u32);
            data::put_bytes(m, 4, mask);
            data::put_bytes(m, 5, &vec![0; mask.len()]);
        });
    }

    /// In a family of several protocols a field of one of them means nothing in a packet of another.
    fn make_sure(&mut self, field: Field) {
        let wanted = match field {
            Field::IpSaddr | Field::IpDaddr => NFPROTO_IPV4,
            Field::Ip6Saddr | Field::Ip6Daddr => NFPROTO_IPV6,
            _ => return,
        };
        if self.guard.replace(wanted) == Some(wanted) {
            return;
        }
        match self.family {
            Family::Ip | Family::Ip6 => {}
            Family::Inet => {
                self.meta(META_NFPROTO, REG32);
                self.cmp(CMP_EQ, REG32, &[wanted]);
            }
            Family::Bridge | Family::Netdev => {
                let ether_type: u16 = if wanted == NFPROTO_IPV4 {
                    0x0800
                } else {
                    0x86dd
                };
                self.meta(META_PROTOCOL, REG32);
                self.cmp(CMP_EQ, REG32, &ether_type.to_be_bytes());
            }
        }
    }

    fn load(&mut self, field: Field, reg: u32) {
        self.get(field.source(), field.kind().bytes() as u32, reg);
    }

    fn get(&mut self, source: Source, bytes: u32, reg: u32) {
        match source {
            Source::Payload { base, offset } => self.expr("payload", |m| {
                m.be32(1, reg).be32(2, base).be32(3, offset).be32(4, bytes);
            }),
            Source::Meta(key) => self.meta(key, reg),
            Source::Ct(key) => self.expr("ct", |m| {
                m.be32(1, reg).be32(2, key);
            }),
        }
    }

    /// Writes the first register to where a field comes from. `checksum`: its kind and its place behind `base`.
    fn put(&mut self, target: Source, bytes: u32, checksum: Option<(u32, u32)>) {
        match target {
            Source::Payload { base, offset } => self.expr("payload", |m| {
                m.be32(2, base)
                    .be32(3, offset)
                    .be32(4, bytes)
                    .be32(5, REG32);
                if let Some((kind, place)) = checksum {
                    m.be32(6, kind).be32(7, place);
                }
            }),
            Source::Meta(key) => self.expr("meta", |m| {
                m.be32(2, key).be32(3, REG32);
            }),
            Source::Ct(key) => self.expr("ct", |m| {
                m.be32(2, key).be32(4, REG32);
            }),
        }
    }

    /// Loads a concatenation into the first registers; returns the next one.
    fn load_key(&mut self, key: &[Field]) -> u32 {
        for field in key {
            self.make_sure(*field);
        }
        let mut reg = REG32;
        for field in key {
            self.load(*field, reg);
            reg += field.kind().bytes().div_ceil(4) as u32;
        }
        reg
    }

    fn lookup(&mut self, set: &str, dreg: Option<u32>, not: bool) {
        self.expr("lookup", |m| {
            m.str(1, set).be32(2, REG32);
            if let Some(dreg) = dreg {
                m.be32(3, dreg);
            }
            if not {
                m.be32(5, 1);
            }
        });
    }

    /// The address is in the first register; `ports` are those of the port, or of the first and the last of a range.
    fn nat(&mut self, kind: u32, family: u8, ports: &[u32]) {
        self.expr("nat", |m| {
            m.be32(1, kind).be32(2, family.into()).be32(3, REG32);
            for (attr, port) in (5..).zip(ports) {
                m.be32(attr, *port);
            }
            if ports.len() > 1 {
                m.be32(7, BY_OFFSET);
            }
        });
    }

    /// Goes on when any of `bits` is set in a field of the connection.
    fn ct_has(&mut self, key: u32, bits: u32) {
        self.expr("ct", |m| {
            m.be32(1, REG32).be32(2, key);
        });
        self.mask(REG32, &bits.to_ne_bytes());
        self.cmp(CMP_NEQ, REG32, &[0; 4]);
    }

    /// NAT to a fixed address.
    fn nat_to(&mut self, kind: u32, to: std::net::IpAddr, port: Option<u16>) {
        let family = if to.is_ipv4() {
            NFPROTO_IPV4
        } else {
            NFPROTO_IPV6
        };
        if self.family == Family::Inet {
            let field = if to.is_ipv4() {
                Field::IpDaddr
            } else {
                Field::Ip6Daddr
            };
            self.make_sure(field);
        }
        self.immediate(REG32, &data::value(&Value::Ip(to)));
        // Behind the longest address.
        let reg = REG32 + 4;
        if let Some(port) = port {
            self.immediate(reg, &port.to_be_bytes());
        }
        let reg = port.map(|_| reg);
        self.nat(kind, family, reg.as_slice());
    }

    fn statement<'a>(
        &mut self,
        statement: &Statement,
        set: impl Fn(&str) -> Option<&'a Set>,
    ) -> Result<(), String> {
        let op = |not: bool| if not { CMP_NEQ } else { CMP_EQ };
        match statement {
            Statement::Match { field, not, value } => {
                if field.kind() != value.kind() {
                    return Err(format!("{field} cannot be compared with {value}"));
                }
                self.load_key(&[*field]);
                self.cmp(op(*not), REG32, &data::value(value));
            }
            Statement::MatchPrefix { field, not, prefix } => {
                let kind = Value::Ip(prefix.addr()).kind();
                if field.kind() != kind {
                    return Err(format!("{field} cannot be compared with {prefix}"));
                }
                self.load_key(&[*field]);
                let network = data::value(&Value::Ip(prefix.network()));
                if prefix.prefix_len() < prefix.max_prefix_len() {
                    self.mask(REG32, &netmask(prefix));
                }
                self.cmp(op(*not), REG32, &network);
            }
            Statement::InSet {
                key,
                not,
                set: name,
            } => {
                let map = fits(key, name, &set)?.data.is_some();
                if map && *not {
                    return Err(format!("what is not in map {name} cannot be asked for"));
                }
                self.load_key(key);
                // A map gives its data, whether or not it is wanted.
                self.lookup(name, map.then_some(REG32), *not);
            }
            Statement::Vmap { key, map } => {
                fits(key, map, &set)?;
                self.load_key(key);
                self.lookup(map, Some(REG_VERDICT), false);
            }
            Statement::FibLocal { saddr, not } => {
                let side = if *saddr { FIB_SADDR } else { FIB_DADDR };
                self.expr("fib", |m| {
                    m.be32(1, REG32).be32(2, FIB_RESULT_ADDRTYPE).be32(3, side);
                });
                self.cmp(op(*not), REG32, &RTN_LOCAL.to_ne_bytes());
            }
            Statement::CtEstablishedRelated => self.ct_has(CT_STATE, ESTABLISHED_RELATED),
            Statement::CtTranslated => self.ct_has(CT_STATUS, TRANSLATED),
            Statement::MatchMark { value, mask } => {
                self.load(Field::MetaMark, REG32);
                self.mask(REG32, &mask.to_ne_bytes());
                self.cmp(CMP_EQ, REG32, &value.to_ne_bytes());
            }
            Statement::Dup(via) => {
                self.immediate(REG32, &data::value(&Value::Ip(*via)));
                self.expr("dup", |m| {
                    m.be32(1, REG32);
                });
            }
            Statement::Notrack => self.expr("notrack", |_| {}),
            Statement::Counter => self.expr("counter", |m| {
                m.put(1, &[0; 8]).put(2, &[0; 8]);
            }),
            Statement::Verdict(verdict) => self.expr("immediate", |m| {
                m.be32(1, REG_VERDICT);
                data::put_verdict(m, 2, verdict);
            }),
            Statement::Masquerade => self.expr("masq", |_| {}),
            Statement::Snat { to, port } => self.nat_to(SNAT, *to, *port),
            Statement::Dnat { to, port } => self.nat_to(DNAT, *to, *port),
            Statement::SnatMap { key, map } => {
                let found = fits(key, map, &set)?;
                let family = match found.data.as_deref() {
                    Some([Type::Ipv4]) => NFPROTO_IPV4,
                    Some([Type::Ipv6]) => NFPROTO_IPV6,
                    _ => return Err(format!("map {map} does not hold an address")),
                };
                self.load_key(key);
                self.lookup(map, Some(REG32), false);
                self.nat(SNAT, family, &[]);
            }
            Statement::DnatMap { key, map } => {
                let found = fits(key, map, &set)?;
                let (family, ports) = translated(found, 2)?;
                self.load_key(key);
                self.lookup(map, Some(REG32), false);
                self.nat(DNAT, family, &ports);
            }
            Statement::DnatToOne { key, draw, of, map } => {
                let found = set(map).ok_or_else(|| format!("there is no map {map}"))?;
                let kinds = key.iter().map(|f| f.kind()).chain([Type::Mark]);
                let (family, ports) = translated(found, 1)?;
                if !kinds.eq(found.key.iter().copied()) {
                    return Err(format!("the fields are not of the types of {found}"));
                }
                if let Draw::Hash(field) = draw {
                    self.make_sure(*field);
                }
                let number = self.load_key(key);
                match draw {
                    Draw::Random => self.expr("numgen", |m| {
                        m.be32(1, number).be32(2, *of).be32(3, RANDOM);
                    }),
                    Draw::Hash(field) => {
                        self.load(*field, REG32_HIGH);
                        self.expr("hash", |m| {
                            m.be32(1, REG32_HIGH)
                                .be32(2, number)
                                .be32(3, field.kind().bytes() as u32)
                                .be32(4, *of)
                                .be32(5, HASH_SEED);
                        });
                    }
                }
                self.lookup(map, Some(REG32), false);
                self.nat(DNAT, family, &ports);
            }
            Statement::SetMetaMark(mark) => {
                self.immediate(REG32, &mark.to_ne_bytes());
                self.put(Source::Meta(META_MARK), WORD, None);
            }
            Statement::SetMetaMarkBy { key, map } => {
                if fits(key, map, &set)?.data.as_deref() != Some(&[Type::Mark]) {
                    return Err(format!("map {map} does not hold a mark"));
                }
                self.load_key(key);
                self.lookup(map, Some(REG32), false);
                self.put(Source::Meta(META_MARK), WORD, None);
            }
            Statement::SetCtMark(mark) => {
                self.immediate(REG32, &mark.to_ne_bytes());
                self.put(Source::Ct(CT_MARK), WORD, None);
            }
            Statement::Copy { from, to } => {
                self.get(from.source(), WORD, REG32);
                self.put(to.source(), WORD, None);
            }
            Statement::ClampMss(size) => {
                self.load(Field::L4Proto, REG32);
                self.cmp(CMP_EQ, REG32, &[TCP]);
                let flags = Source::Payload {
                    base: TRANSPORT,
                    offset: TCP_FLAGS,
                };
                self.get(flags, 1, REG32);
                self.mask(REG32, &[SYN]);
                self.cmp(CMP_EQ, REG32, &[SYN]);
                self.immediate(REG32, &size.to_be_bytes());
                self.expr("exthdr", |m| {
                    m.u8(2, MAXSEG)
                        .be32(3, 2)
                        .be32(4, 2)
                        .be32(6, TCP_OPTION)
                        .be32(7, REG32);
                });
            }
            Statement::SetPort {
                protocol,
                field,
                to,
            } => {
                let checksum = match *protocol {
                    TCP => 16,
                    UDP => 6,
                    _ => return Err(format!("no port of protocol {protocol} can be set")),
                };
                if field.kind() != Type::Port {
                    return Err(format!("{field} is not a port"));
                }
                self.immediate(REG32, &to.to_be_bytes());
                self.put(field.source(), 2, Some((CSUM_INET, checksum)));
            }
        }
        Ok(())
    }
}

/// The set, when the fields are of its key's types.
fn fits<'a>(
    key: &[Field],
    name: &str,
    set: impl Fn(&str) -> Option<&'a Set>,
) -> Result<&'a Set, String> {
    let found = set(name).ok_or_else(|| format!("there is no set or map {name}"))?;
    if key.iter().map(|f| f.kind()).eq(found.key.iter().copied()) {
        Ok(found)
    } else {
        Err(format!("the fields are not of the types of {found}"))
    }
}

/// The family of the addresses that a map holds, and where their ports are once it was asked; at most so many.
fn translated(map: &Set, most: usize) -> Result<(u8, Vec<u32>), String> {
    let (family, width, ports) = match map.data.as_deref() {
        Some([Type::Ipv4, ports @ ..]) => (NFPROTO_IPV4, 1, ports),
        Some([Type::Ipv6, ports @ ..]) => (NFPROTO_IPV6, 4, ports),
        _ => return Err(format!("{map} does not hold addresses")),
    };
    if ports.len() > most || ports.iter().any(|p| *p != Type::Port) {
        return Err(format!("{map} holds more than addresses and ports"));
    }
    let first = REG32 + width;
    Ok((family, (first..).take(ports.len()).collect()))
}

fn netmask(prefix: &IpNet) -> Vec<u8> {
    data::value(&Value::Ip(prefix.netmask()))
}

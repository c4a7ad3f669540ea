//! What we say about our own names: bytes in, bytes out.

use std::net::IpAddr;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::View;
use crate::wire::{self, Malformed, Query, Response, qtype, rcode};

/// Seconds that an answer about a name of ours may be kept. Docker says 600, and its users meet dead addresses for as
/// long. Names here are right within two seconds of any change, so a cache must not outlive that by much; asking again
/// costs a few microseconds on the same host. Not 0, which some caches take for an error.
pub const TTL: u32 = 1;

const CLASS_IN: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response is in `out`.
    Answer,
    /// Not ours: send it to an upstream as it is.
    Forward,
    /// Not a query; say nothing.
    Ignore,
}

impl Transport {
    /// The most bytes that the client can take.
    pub(crate) fn limit(self, query: &Query<'_>) -> usize {
        match self {
            Self::Tcp => usize::from(u16::MAX),
            Self::Udp => query.udp_limit(),
        }
    }
}

/// Answers `query` from `view` into `out`, or says what else to do with it. Several addresses come in random order.
pub fn answer(
    query: &[u8],
    view: &View,
    transport: Transport,
    rng: &mut StdRng,
    out: &mut Vec<u8>,
) -> Outcome {
    match consider(query, view, transport, rng, out) {
        Step::Answered => Outcome::Answer,
        Step::Forward(_) => Outcome::Forward,
        Step::Ignore => Outcome::Ignore,
    }
}

/// [`Outcome`], with the query that is to be forwarded.
pub(crate) enum Step<'a> {
    Answered,
    Forward(Query<'a>),
    Ignore,
}

/// [`answer`].
pub(crate) fn consider<'a>(
    query: &'a [u8],
    view: &View,
    transport: Transport,
    rng: &mut StdRng,
    out: &mut Vec<u8>,
) -> Step<'a> {
    let parsed = match Query::parse(query) {
        Ok(parsed) => parsed,
        Err(Malformed::Ignore) => return Step::Ignore,
        Err(Malformed::Answer(rcode)) => {
            wire::header_only(query, rcode, out);
            return Step::Answered;
        }
    };
    let limit = transport.limit(&parsed);
    if parsed.edns.is_some_and(|edns| edns.version != 0) {
        Response::new(out, &parsed, limit, rcode::BADVERS).finish();
        return Step::Answered;
    }
    let Some(records) = own_records(&parsed, view) else {
        return Step::Forward(parsed);
    };
    let mut response = Response::new(out, &parsed, limit, rcode::NOERROR);
    match records {
        Records::Addresses(mut addresses) => {
            addresses.shuffle(rng);
            for address in addresses {
                response.address(TTL, address);
            }
        }
        Records::Pointer(name) => response.pointer(TTL, &name),
    }
    response.finish();
    Step::Answered
}

enum Records {
    Addresses(Vec<IpAddr>),
    Pointer(String),
}

/// `None`: the name is not ours.
fn own_records(query: &Query<'_>, view: &View) -> Option<Records> {
    let name = query.name.as_deref()?;
    if !matches!(query.qclass, CLASS_IN | qtype::ANY) {
        return None;
    }
    if query.qtype == qtype::PTR
        && let Some(address) = wire::reverse_address(name)
    {
        return view.reverse(&address).map(Records::Pointer);
    }
    // A known name without a record of the wanted type is known all the same: empty, not forwarded.
    let wanted = |address: &&IpAddr| match query.qtype {
        qtype::A => address.is_ipv4(),
        qtype::AAAA => address.is_ipv6(),
        other => other == qtype::ANY,
    };
    let known = |name: &str| {
        view.lookup(name, |addresses| {
            Records::Addresses(addresses.iter().filter(wanted).copied().collect())
        })
    };
    known(name)
        .or_else(|| known(service_owner(name)?).map(|_| Records::Addresses(Vec::new())))
        .or_else(|| {
            // The user's own ndots says that such names are complete; the world does not know them.
            let empty = view.ndots_set
                && !name.contains('.')
                && matches!(query.qtype, qtype::A | qtype::AAAA);
            empty.then(|| Records::Addresses(Vec::new()))
        })
}

/// `web` of the SRV owner name `_http._tcp.web`.
fn service_owner(name: &str) -> Option<&str> {
    let (port, rest) = name.split_once('.')?;
    let (protocol, owner) = rest.split_once('.')?;
    (port.starts_with('_') && protocol.starts_with('_')).then_some(owner)
}

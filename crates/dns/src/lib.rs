//! The resolver at 127.0.0.11: name tables, answers, and forwarding of the rest.
//!
//! ```text
//!            sandbox                         │            daemon
//!  client ──► 127.0.0.11:53 ─(redirect)─► UDP/TCP sockets ──► answer(query, View) ──► own name: answered here
//!                                            │                     │
//!                                            │                     └─ unknown ──► Cache ──► Forwarder ──► Link per upstream
//! ```
//!
//! * [`answer`] is the whole of what we say about our own names: a pure function of the bytes and a [`View`].
//! * [`Cache`] keeps what upstreams said, as long as they said; it belongs to a list of servers and the place that asks them.
//! * `Forwarder` and `Race` decide which upstream is asked when; they know no socket and no clock.
//! * [`Resolver`] owns the sockets: one task per sandbox, no buffer while idle, reads of the tables never lock.
//!
//! Unlike Docker (libnetwork/resolver.go): a name of ours is answered for every query type and so never leaves the
//! host; TTL is [`TTL`] instead of 600 s; a silent upstream costs a fraction of a second instead of 4 s; too many
//! queries at once drop the oldest of the busiest client instead of refusing everybody; identical questions in flight
//! are one, so that a forwarder which points back at us comes to rest; what upstreams said is kept (also that a name does
//! not exist, RFC 2308).
//!
//! It does not validate DNSSEC, or decide what is in a zone.
#![forbid(unsafe_code)]

mod answer;
mod batch;
mod cache;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod link;
mod race;
mod resolver;
mod tcp;
mod view;
mod wire;

pub use answer::{Outcome, TTL, Transport, answer};
pub use cache::{Cache, Caches};
pub use link::{Dial, open_tcp, open_udp};
pub use resolver::Resolver;
pub use view::{Scope, Upstream, View, Zone};

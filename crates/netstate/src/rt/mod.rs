//! rtnetlink: rows as messages, messages as what was seen.

pub mod entry;
pub mod link;
pub mod nexthop;
pub mod rule;

/// `rtm_protocol`, `IFA_PROTO` and `NDA_PROTOCOL` of what we make; not in iproute2's list of known ones.
pub const OURS: u8 = 112;

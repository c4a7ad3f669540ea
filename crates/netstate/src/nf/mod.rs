//! nfnetlink: nftables rows as messages, dumps as rows. Sources: the kernel's `nf_tables.h` and what `nft` itself sends.

mod data;
pub mod diff;
mod expr;
pub mod object;
pub mod plan;
pub mod read;
pub mod text;
pub mod view;

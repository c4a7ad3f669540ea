//! What macvlan and ipvlan links can be, with the kernel's names and numbers.

use crate::Ns;

/// The link that others are made on. They go when it goes; a link cannot change its parent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parent {
    pub ns: Ns,
    pub name: String,
}

/// Whom a macvlan's frames reach at once: the stations beside it, nobody, or whoever the switch turns them back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MacvlanMode {
    Bridge,
    Private,
    Vepa,
    /// All that arrives at the parent, which takes the station's MAC and can have no other.
    Passthru,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpvlanMode {
    L2,
    L3,
    /// L3, seen by the host's connection tracking.
    L3s,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpvlanFlag {
    Bridge,
    Private,
    Vepa,
}

impl MacvlanMode {
    pub const ALL: [Self; 4] = [Self::Bridge, Self::Private, Self::Vepa, Self::Passthru];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Private => "private",
            Self::Vepa => "vepa",
            Self::Passthru => "passthru",
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Private => 1,
            Self::Vepa => 2,
            Self::Bridge => 4,
            Self::Passthru => 8,
        }
    }
}

impl IpvlanMode {
    pub const ALL: [Self; 3] = [Self::L2, Self::L3, Self::L3s];

    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        }
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            Self::L2 => 0,
            Self::L3 => 1,
            Self::L3s => 2,
        }
    }
}

impl IpvlanFlag {
    pub const ALL: [Self; 3] = [Self::Bridge, Self::Private, Self::Vepa];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Private => "private",
            Self::Vepa => "vepa",
        }
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            Self::Bridge => 0,
            Self::Private => 1,
            Self::Vepa => 2,
        }
    }
}

//! Tasks that are told of their clients by a header in front of each connection (the PROXY protocol), and who puts it there.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use async_trait::async_trait;
use engine_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::controller::Inner;
use crate::model::Record;
use crate::state::State;
use crate::ways::Way;

/// The header's version: a line of text, or binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Proxy {
    V1,
    V2,
}

impl Proxy {
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The bits of the relay's marks that tell versions apart.
    pub const MARKS: u32 = 3;

    /// Of the relay's packets to tasks that want this header.
    pub fn mark(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The same for one client, whose connections can be kept together by it.
    pub fn mark_for(self, client: IpAddr) -> u32 {
        let folded = match client {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                (bits ^ bits >> 32 ^ bits >> 64 ^ bits >> 96) as u32
            }
        };
        folded << 2 | self.mark()
    }

    /// Where the relay takes connections for them: a port of the mesh's own sandbox, where nothing else listens.
    pub fn relay_port(self) -> u16 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

impl FromStr for Proxy {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|proxy| proxy.to_string() == text)
            .ok_or(())
    }
}

/// A process of its own that takes connections in the mesh's sandbox and passes them on to tasks with the header. It goes on
/// without us.
#[async_trait]
pub trait Relay: fmt::Debug + Send + Sync + 'static {
    /// Where that sandbox is (`None`: nowhere any more), and whether a port of it wants a relay now. Returns when it listens.
    async fn keep(&self, sandbox: Option<PathBuf>, wanted: bool) -> Result<()>;
}

impl State {
    /// Whether a port of the mesh leads to a task that wants a header.
    pub fn wants_relay(&self) -> bool {
        let ingress = self.networks.values().find(|e| e.network.ingress);
        let mut wanted = false;
        if let Some(entry) = ingress {
            let id = &entry.network.id;
            self.each_task(id, &self.here(id), &Way::Relay, |_, _| wanted = true);
        }
        wanted
    }
}

impl Inner {
    pub async fn keep_relay(&self, wanted: bool) {
        let Some(relay) = &self.config.relay else {
            return;
        };
        let entry = self.state().entry().and_then(Record::ns);
        let sandbox = entry.map(|ns| self.kernel.netns_path(&ns));
        if let Err(Error { message, .. }) = relay.keep(sandbox, wanted).await {
            tracing::error!(
                message,
                "nobody passes on connections with a PROXY header: is tried again every second"
            );
        }
    }
}

//! What a lab is, as it stands in its directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::process;

pub(crate) const OUTSIDE: &str = "outside";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub name: String,
    /// The process that the lab ends with.
    pub owner: Option<process::Id>,
    pub hosts: BTreeMap<String, HostState>,
    /// Each is a set of hosts that is cut off from the rest.
    pub cuts: Vec<BTreeSet<String>>,
    /// Percent of packets lost, by host.
    pub loss: BTreeMap<String, u8>,
    /// The longest packet that the router passes on, when it is less than what the wires carry.
    #[serde(default)]
    pub router_mtu: Option<u32>,
    /// The longest UDP or ICMP packet that is not lost, by host.
    #[serde(default)]
    pub swallowed: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HostState {
    /// From 1; segment 0 is outside.
    pub segment: u8,
    pub addr: Ipv4Addr,
}

impl State {
    pub fn new(
        name: &str,
        hosts_per_segment: &[usize],
        owner: Option<process::Id>,
    ) -> Result<Self> {
        let fits = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        // Sockets below the lab's directory must fit into 107 bytes.
        if !fits || name.is_empty() || name.len() > 24 {
            bail!("lab name {name:?} must be 1 to 24 of a-z, 0-9 and -");
        }
        if hosts_per_segment.len() > 250 || hosts_per_segment.iter().sum::<usize>() > 200 {
            bail!("a lab has at most 250 segments and 200 hosts");
        }
        let places = (1u8..)
            .zip(hosts_per_segment)
            .flat_map(|(segment, count)| std::iter::repeat_n(segment, *count));
        let hosts = (1u8..).zip(places).map(|(number, segment)| {
            let addr = Ipv4Addr::new(198, 18, segment, 10 + number);
            (format!("h{number}"), HostState { segment, addr })
        });
        Ok(Self {
            name: name.to_string(),
            owner,
            hosts: hosts.collect(),
            cuts: Vec::new(),
            loss: BTreeMap::new(),
            router_mtu: None,
            swallowed: BTreeMap::new(),
        })
    }

    pub fn segments(&self) -> BTreeSet<u8> {
        let of_hosts = self.hosts.values().map(|host| host.segment);
        of_hosts.chain([0]).collect()
    }

    /// Of a host or of outside.
    pub fn address(&self, name: &str) -> Result<Ipv4Addr> {
        match self.hosts.get(name) {
            Some(host) => Ok(host.addr),
            None if name == OUTSIDE => Ok(Ipv4Addr::new(198, 18, 0, 2)),
            None => bail!("lab {} has no host {name}", self.name),
        }
    }

    /// Hosts and outside with their segment.
    pub fn stations(&self) -> impl Iterator<Item = (&str, u8)> {
        let hosts = self.hosts.iter();
        hosts
            .map(|(name, host)| (name.as_str(), host.segment))
            .chain([(OUTSIDE, 0)])
    }

    pub fn save(&self) -> Result<()> {
        let dir = crate::dir(&self.name);
        // Keys and tokens of the daemons are below.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir.join("netns"))
            .context("cannot make the lab's directory")?;
        let new = dir.join("state.json.new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&new, dir.join("state.json"))?;
        Ok(())
    }

    pub fn load(name: &str) -> Result<Self> {
        let text = std::fs::read(crate::dir(name).join("state.json"))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

pub(crate) fn names() -> Vec<String> {
    let entries = std::fs::read_dir(crate::ROOT)
        .into_iter()
        .flatten()
        .flatten();
    let names = entries
        .filter(|entry| entry.path().join("state.json").exists())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

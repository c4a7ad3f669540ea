//! `/proc/sys/net`, which shows every thread the namespace that it is in, and what ethtool sets.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::Run;
use crate::desired::Change;
use crate::ethtool::Offload;
use crate::key::{Item, Key};
use crate::netns::{Space, within};
use crate::{Error, Ns, Row};

fn path(key: &str) -> Option<PathBuf> {
    let parts: Vec<&str> = match key.contains('/') {
        true => key.split('/').collect(),
        false => key.split('.').collect(),
    };
    let safe = parts.first() == Some(&"net") && !parts.iter().any(|p| p.is_empty() || *p == "..");
    safe.then(|| ["/proc/sys"].iter().chain(&parts).collect())
}

/// Whether it is a setting of one link, which must be there first.
pub fn is_of_link(key: &Key) -> bool {
    let Item::Sysctl(key) = &key.item else {
        return false;
    };
    let parts: Vec<&str> = key.split(['.', '/']).collect();
    parts.first() == Some(&"ethtool")
        || matches!(parts.as_slice(), ["net", "ipv4" | "ipv6", "conf" | "neigh", link, _, ..]
        if !matches!(*link, "all" | "default"))
}

/// Tabs or spaces: the kernel does not care.
pub fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// Settings of links that are not files, "on" or "off": "ethtool/LINK/tx-checksumming" and others of [`Offload`].
fn offload(key: &str) -> Option<(&str, Offload)> {
    let (link, name) = key.strip_prefix("ethtool/")?.rsplit_once('/')?;
    let offload = Offload::ALL.into_iter().find(|o| o.name() == name)?;
    Some((link, offload))
}

fn read(key: &str) -> io::Result<String> {
    if let Some((link, offload)) = offload(key) {
        let on = offload.is_on(link)?;
        return Ok(if on { "on" } else { "off" }.to_owned());
    }
    let path = path(key).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

fn write(key: &str, value: &str) -> io::Result<()> {
    if same(&read(key)?, value) {
        return Ok(());
    }
    if let Some((link, offload)) = offload(key) {
        return offload.set(link, value == "on");
    }
    let path = path(key).ok_or(io::ErrorKind::InvalidInput)?;
    fs::write(path, value)
}

/// The values of these keys; `None` for one that is not there.
pub fn read_all(space: &Space, keys: &[&str]) -> io::Result<Vec<Option<String>>> {
    within(space.fd(), || {
        keys.iter().map(|key| read(key).ok()).collect()
    })
}

impl Run<'_> {
    pub(super) fn write_sysctls(&mut self, changes: &[&Change]) -> Result<(), Error> {
        let mut by_ns: BTreeMap<&Ns, Vec<(&str, &str, &Row)>> = BTreeMap::new();
        for change in changes {
            if let Some(row @ Row::Sysctl { ns, key, value }) = &change.new {
                by_ns.entry(ns).or_default().push((key, value, row));
            }
        }
        for (ns, settings) in by_ns {
            let space = match self.kernel.spaces.get(ns) {
                Ok(space) => space,
                Err(error) => {
                    self.note(error)?;
                    continue;
                }
            };
            let results = within(space.fd(), || {
                settings
                    .iter()
                    .map(|(key, value, _)| write(key, value))
                    .collect::<Vec<_>>()
            });
            let results = match results {
                Ok(results) => results,
                Err(e) => {
                    self.note(Error::new(format!("cannot enter netns {ns}"), e))?;
                    continue;
                }
            };
            for (result, (key, _, row)) in results.into_iter().zip(&settings) {
                let Err(e) = result else { continue };
                let why = match e.kind() {
                    io::ErrorKind::NotFound => "there is no such setting".to_owned(),
                    io::ErrorKind::InvalidInput if path(key).is_none() => {
                        "only settings under net can be set".to_owned()
                    }
                    _ => e.to_string(),
                };
                self.note(Error::new(format!("cannot set {row}"), why))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lead_under_net_only() {
        let at = |key: &str| path(key).map(|p| p.display().to_string());
        assert_eq!(
            at("net.ipv4.ip_forward").as_deref(),
            Some("/proc/sys/net/ipv4/ip_forward")
        );
        assert_eq!(
            at("net/ipv4/conf/eth0.5/forwarding").as_deref(),
            Some("/proc/sys/net/ipv4/conf/eth0.5/forwarding")
        );
        assert_eq!(at("kernel.panic"), None);
        assert_eq!(at("net/../kernel/panic"), None);
    }

    #[test]
    fn settings_of_links_wait_for_them() {
        let of_link = |key: &str| {
            is_of_link(&Key {
                ns: Ns::Host,
                item: Item::Sysctl(key.into()),
            })
        };
        assert!(of_link("net.ipv6.conf.eth0.disable_ipv6"));
        assert!(!of_link("net.ipv6.conf.default.disable_ipv6"));
        assert!(!of_link("net.ipv4.ip_forward"));
        assert!(of_link("ethtool/vxlan0/tx-checksumming"));
    }
}

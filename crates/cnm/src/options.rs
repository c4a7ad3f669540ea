//! What a container may ask of its interface: an endpoint's driver options, link-local addresses.

use std::net::IpAddr;

use engine_types::network::EndpointSettings;
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::{Ns, Row};

use crate::model::{Endpoint, Network, Record};

const IFNAME: &str = "com.docker.network.endpoint.ifname";
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
const PREFIX: &str = "com.docker.network.container_iface_prefix";
/// Stands for the interface in sysctls; the CLI's long syntax makes it lower case.
const PLACEHOLDER: &str = "IFNAME";

/// The interface name that the user asks for.
pub(crate) fn wanted_name(settings: &EndpointSettings) -> Option<&str> {
    option(settings, IFNAME)
}

/// The name that was asked for, or the first free of `eth0`, `eth1` …
pub(crate) fn interface(
    record: &Record,
    network: &Network,
    settings: &EndpointSettings,
) -> Result<String> {
    let used = |name: &str| record.endpoints.iter().any(|e| e.ifname == name);
    if let Some(name) = wanted_name(settings) {
        let fine = (1..=15).contains(&name.len())
            && !matches!(name, "." | ".." | "lo")
            && name
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
        return match (fine, used(name)) {
            (true, false) => Ok(name.to_string()),
            (true, true) => Err(Error::conflict(format!(
                "interface name {name} is already in use"
            ))),
            (false, _) => Err(Error::invalid(format!("invalid interface name: {name}"))),
        };
    }
    let prefix = network.option(PREFIX).unwrap_or("eth");
    let mut names = (0..).map(|i: u32| format!("{prefix}{i}"));
    names
        .find(|name| !used(name))
        .ok_or_else(|| Error::system("no interface name is free"))
}

/// What is wrong with the sysctls, if anything.
pub(crate) fn fault(settings: &EndpointSettings) -> Option<String> {
    sysctls(settings).find_map(|sysctl| match parsed(sysctl) {
        Some(_) => None,
        None => Some(format!(
            "invalid sysctl {sysctl:?} in {SYSCTLS}: want net.<family>.<table>.IFNAME.<key>=<value>"
        )),
    })
}

/// What they become in the container's namespace.
pub(crate) fn rows(endpoint: &Endpoint, ns: &Ns) -> Vec<Row> {
    if endpoint.ifname.is_empty() {
        return Vec::new();
    }
    let sysctl = |[before, after, value]: [&str; 3]| Row::Sysctl {
        ns: ns.clone(),
        // A name may hold dots.
        key: format!(
            "{}/{}/{}",
            before.replace('.', "/"),
            endpoint.ifname,
            after.replace('.', "/")
        ),
        value: value.to_string(),
    };
    let mut rows: Vec<Row> = sysctls(&endpoint.settings)
        .filter_map(parsed)
        .map(sysctl)
        .collect();
    rows.extend(link_local(endpoint).map(|address| Row::Address {
        ns: ns.clone(),
        link: endpoint.ifname.clone(),
        address,
    }));
    rows
}

fn link_local(endpoint: &Endpoint) -> impl Iterator<Item = IpNet> {
    let config = endpoint.settings.ipam_config.iter();
    let texts = config.flat_map(|c| c.link_local_ips.iter().flatten());
    texts.filter_map(|text| {
        let ip: IpAddr = text.parse().ok()?;
        IpNet::new(ip, if ip.is_ipv4() { 16 } else { 64 }).ok()
    })
}

fn option<'a>(settings: &'a EndpointSettings, key: &str) -> Option<&'a str> {
    settings.driver_opts.as_ref()?.get(key).map(String::as_str)
}

fn sysctls(settings: &EndpointSettings) -> impl Iterator<Item = &str> {
    let list = option(settings, SYSCTLS).unwrap_or_default().split(',');
    list.map(str::trim).filter(|sysctl| !sysctl.is_empty())
}

/// `net.ipv4.conf.IFNAME.log_martians=1` as `net.ipv4.conf`, `log_martians` and `1`.
pub(crate) fn parsed(sysctl: &str) -> Option<[&str; 3]> {
    let (key, value) = sysctl.split_once('=')?;
    let at = key.to_ascii_uppercase().find(&format!(".{PLACEHOLDER}."))?;
    let (before, after) = (key.get(..at)?, key.get(at + PLACEHOLDER.len() + 2..)?);
    let plain = |text: &str| {
        let mut parts = text.split('.');
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        parts.all(|part| !part.is_empty() && part.chars().all(fine))
    };
    let known = ["net.ipv4.", "net.ipv6.", "net.mpls."];
    let known = known.iter().any(|prefix| before.starts_with(prefix));
    (known && plain(before) && plain(after) && !value.is_empty()).then_some([before, after, value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_name_the_interface() {
        for (text, expected) in [
            (
                "net.ipv4.conf.IFNAME.log_martians=1",
                Some(["net.ipv4.conf", "log_martians", "1"]),
            ),
            (
                "net.ipv6.conf.ifname.accept_ra=2",
                Some(["net.ipv6.conf", "accept_ra", "2"]),
            ),
            (
                "net.mpls.conf.IFNAME.input=1",
                Some(["net.mpls.conf", "input", "1"]),
            ),
            ("net.ipv4.conf.eth0.log_martians=1", None),
            ("net.ipv4.conf.IFNAME.log_martians", None),
            ("net.ipv4.conf.IFNAME.=1", None),
            ("net.ipv4.conf.IFNAME.../../x=1", None),
            ("kernel.conf.IFNAME.x=1", None),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }
}

//! A container's `hosts` and `resolv.conf`. They are bind-mounted: always the same inode, written in place.

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use engine_types::{Error, Result};
use sha2::{Digest, Sha256};

use crate::Mode;
use crate::links::Linked;
use crate::model::Record;
use crate::resolv_conf::{Kind, Overrides, Rendered, ResolvConf};
use crate::state::{GATEWAY_BRIDGE, State};

const FIXED: &str = "127.0.0.1\tlocalhost\n";
const FIXED6: &str = "::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

impl State {
    /// Docker's `hosts`: fixed lines, `--add-host`, legacy links, then the container's name at each of its addresses.
    ///
    /// With the host's namespace it is a copy of the host's file, unless there is something to add.
    pub fn hosts(&self, record: &Record) -> String {
        if record.spec.mode == Mode::Host
            && record.spec.extra_hosts.is_empty()
            && let Ok(unchanged) = std::fs::read_to_string("/etc/hosts")
        {
            return unchanged;
        }
        let ipv6 = !record.spec.ipv6_disabled;
        let mut text = [FIXED, if ipv6 { FIXED6 } else { "" }].concat();
        for entry in &record.spec.extra_hosts {
            let Some((name, ip)) = entry.split_once([':', '=']) else {
                continue;
            };
            let ips = match ip {
                "host-gateway" => self.host_gateway(),
                _ => ip.trim_matches(['[', ']']).parse().into_iter().collect(),
            };
            for ip in ips.into_iter().filter(|ip: &IpAddr| ipv6 || ip.is_ipv4()) {
                let _ = writeln!(text, "{ip}\t{name}");
            }
        }
        for Linked {
            to,
            endpoint,
            alias,
        } in self.legacy_links(record)
        {
            let hostname = &to.spec.hostname;
            for address in endpoint.addresses() {
                let _ = match alias == hostname {
                    true => writeln!(text, "{}\t{alias}", address.addr()),
                    false => writeln!(text, "{}\t{alias} {hostname}", address.addr()),
                };
            }
        }
        let spec = &record.spec;
        let full = match spec.domainname.as_str() {
            "" => spec.hostname.clone(),
            domain => format!("{}.{domain}", spec.hostname),
        };
        let names = match full.split_once('.') {
            Some((short, _)) => format!("{full} {short}"),
            None => full,
        };
        let shown = |network: &str| {
            let network = self.network(network);
            network.is_ok_and(|n| !n.ingress && n.name != GATEWAY_BRIDGE)
        };
        for endpoint in record.endpoints.iter().filter(|e| shown(&e.network)) {
            let addresses = endpoint.addresses().map(|a| a.addr());
            for address in addresses.filter(|ip| ipv6 || ip.is_ipv4()) {
                let _ = writeln!(text, "{address}\t{names}");
            }
        }
        text
    }

    /// What `host-gateway` stands for: as the daemon was told, or the host's addresses on the default bridge.
    fn host_gateway(&self) -> Vec<IpAddr> {
        if !self.host_gateway.is_empty() {
            return self.host_gateway.clone();
        }
        let bridge = self.resolve("bridge").map(|n| n.pools.iter());
        bridge
            .into_iter()
            .flatten()
            .filter_map(|p| p.gateway)
            .collect()
    }

    pub fn resolv_conf(&self, record: &Record, daemon: &Overrides) -> Result<Rendered> {
        let spec = &record.spec;
        let own = Overrides {
            nameservers: parse_servers(&spec.dns)?,
            search: spec.dns_search.clone(),
            options: spec.dns_options.clone(),
        };
        fn or<T: Clone>(own: Vec<T>, daemon: &[T]) -> Vec<T> {
            if own.is_empty() { daemon.to_vec() } else { own }
        }
        let overrides = Overrides {
            nameservers: or(own.nameservers, &daemon.nameservers),
            search: or(own.search, &daemon.search),
            options: or(own.options, &daemon.options),
        };
        let kind = match spec.mode {
            Mode::Host => Kind::Host,
            _ if self.needs_resolver(record) => Kind::Internal,
            _ => Kind::Legacy,
        };
        let ipv6 = record.endpoints.iter().any(|e| e.ipv6.is_some());
        let (host, source) = ResolvConf::of_host();
        let mut rendered = host.render(source, kind, &overrides, ipv6);
        if kind == Kind::Host
            && overrides.is_empty()
            && let Ok(unchanged) = std::fs::read_to_string(source)
        {
            rendered.text = unchanged;
        }
        Ok(rendered)
    }
}

pub(crate) fn parse_servers(texts: &[String]) -> Result<Vec<IpAddr>> {
    let bad = |text: &String| Error::invalid(format!("bad nameserver address {text}"));
    texts
        .iter()
        .map(|text| text.parse().map_err(|_| bad(text)))
        .collect()
}

/// Writes both files, leaving alone a `resolv.conf` that the user has edited.
pub(crate) fn write(dir: &Path, mode: &Mode, hosts: &str, resolv_conf: &str) -> Result<()> {
    let failed = |what: &str| {
        let path = dir.join(what);
        move |error: io::Error| Error::system(format!("cannot write {}: {error}", path.display()))
    };
    std::fs::create_dir_all(dir).map_err(failed(""))?;
    match mode {
        Mode::Private | Mode::Host => put(&dir.join("hosts"), hosts).map_err(failed("hosts"))?,
        Mode::Container(_) => return Ok(()),
    }
    let path = dir.join("resolv.conf");
    let hash_path = dir.join("resolv.conf.hash");
    if is_edited(&path, &hash_path) {
        return Ok(());
    }
    put(&path, resolv_conf).map_err(failed("resolv.conf"))?;
    put(&hash_path, &digest(resolv_conf.as_bytes())).map_err(failed("resolv.conf.hash"))
}

fn is_edited(path: &Path, hash_path: &Path) -> bool {
    match (std::fs::read(path), std::fs::read_to_string(hash_path)) {
        (Ok(content), Ok(hash)) => digest(&content) != hash,
        _ => false,
    }
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn put(path: &Path, content: &str) -> io::Result<()> {
    match std::fs::read(path) {
        Ok(present) if present == content.as_bytes() => Ok(()),
        _ => std::fs::write(path, content),
    }
}

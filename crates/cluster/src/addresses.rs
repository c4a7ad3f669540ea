//! Which addresses this node listens on and tells others: pure choices from the request and the host's interfaces.

use std::net::{IpAddr, SocketAddr};

use engine_types::{Error, Result};

pub const DEFAULT_PORT: u16 = 2377;

/// An address of an interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub ip: IpAddr,
}

/// `10.0.0.1`, `10.0.0.1:2377`, `eth0`, `eth0:2377`, `[fe80::1]:2377`, `:2377`.
pub fn split(text: &str, default_port: u16) -> Result<(&str, u16)> {
    let bad = || {
        Error::invalid(format!(
            "invalid address \"{text}\": must be an IP address or interface name with an optional port"
        ))
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(bad)?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((host, port.parse().map_err(|_| bad())?)),
            None if port.is_empty() => Ok((host, default_port)),
            None => Err(bad()),
        };
    }
    match text.rsplit_once(':') {
        // More than one colon: a bare IPv6 address.
        Some((host, _)) if host.contains(':') => Ok((text, default_port)),
        Some((host, port)) => Ok((host, port.parse().map_err(|_| bad())?)),
        None => Ok((text, default_port)),
    }
}

/// `--listen-addr`: an address or an interface; nothing is every address.
pub fn listen(text: &str, interfaces: &[Interface]) -> Result<SocketAddr> {
    let bad = || {
        Error::invalid(
            "listen address must be an IP address or network interface (with optional port number)",
        )
    };
    let (host, port) = split(text, DEFAULT_PORT).map_err(|_| bad())?;
    if host.is_empty() {
        return Ok(SocketAddr::from(([0, 0, 0, 0], port)));
    }
    let ip = resolve(host, interfaces).ok_or_else(bad)?;
    Ok(SocketAddr::new(ip, port))
}

/// `--advertise-addr`, else the listen address, else the daemon's default, else the host's only address.
pub fn advertise(
    text: &str,
    listen: SocketAddr,
    default: Option<&str>,
    interfaces: &[Interface],
) -> Result<SocketAddr> {
    let text = if text.is_empty() {
        default.unwrap_or_default()
    } else {
        text
    };
    if !text.is_empty() {
        let bad = || {
            Error::invalid(
                "advertise address must be a non-zero IP address or network interface (with optional port number)",
            )
        };
        let (host, port) = split(text, listen.port()).map_err(|_| bad())?;
        let ip = resolve(host, interfaces).filter(|ip| !ip.is_unspecified());
        return Ok(SocketAddr::new(ip.ok_or_else(bad)?, port));
    }
    if !listen.ip().is_unspecified() {
        return Ok(listen);
    }
    Ok(SocketAddr::new(only_address(interfaces)?, listen.port()))
}

/// Every address is every one of IPv6 as well, where that is how others find this node.
pub fn for_family(listen: SocketAddr, advertise: IpAddr) -> SocketAddr {
    match listen.ip().is_unspecified() && advertise.is_ipv6() {
        true => SocketAddr::from(([0u16; 8], listen.port())),
        false => listen,
    }
}

/// `--data-path-addr`: an address or an interface, no port.
pub fn data_path(text: &str, interfaces: &[Interface]) -> Result<IpAddr> {
    let ip = resolve(text, interfaces).filter(|ip| !ip.is_unspecified());
    ip.ok_or_else(|| {
        Error::invalid(
            "data path address must be a non-zero IP address or network interface (without a port number)",
        )
    })
}

/// An address, or an interface's: its IPv4 address before its IPv6 one.
fn resolve(host: &str, interfaces: &[Interface]) -> Option<IpAddr> {
    let of_name = || interfaces.iter().filter(|i| i.name == host).map(|i| i.ip);
    host.parse()
        .ok()
        .or_else(|| of_name().find(IpAddr::is_ipv4))
        .or_else(|| of_name().next())
}

/// Loopback and the bridges that the engine itself made are no addresses to reach this node at.
fn only_address(interfaces: &[Interface]) -> Result<IpAddr> {
    let own =
        |name: &str| name == "docker0" || name == "docker_gwbridge" || name.starts_with("br-");
    let usable = |i: &&Interface| !i.ip.is_loopback() && !own(&i.name) && !is_link_local(i.ip);
    let of = |v4: bool| {
        interfaces
            .iter()
            .filter(usable)
            .filter(|i| i.ip.is_ipv4() == v4)
            .collect::<Vec<_>>()
    };
    let mut found = of(true);
    if found.is_empty() {
        found = of(false);
    }
    match found.as_slice() {
        [] => Err(Error::invalid("could not find the system's IP address")),
        [one] => Ok(one.ip),
        [a, b, ..] if a.name == b.name => Err(Error::invalid(format!(
            "could not choose an IP address to advertise since this system has multiple addresses on interface {} ({} and {})",
            a.name, a.ip, b.ip
        ))),
        [a, b, ..] => Err(Error::invalid(format!(
            "could not choose an IP address to advertise since this system has multiple addresses on different interfaces ({} on {} and {} on {})",
            a.ip, a.name, b.ip, b.name
        ))),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// What the host has now.
pub fn interfaces() -> Result<Vec<Interface>> {
    let all = if_addrs::get_if_addrs()
        .map_err(|e| Error::system(format!("list this host's addresses: {e}")))?;
    Ok(all
        .into_iter()
        .map(|i| Interface {
            ip: i.ip(),
            name: i.name,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(rows: &[(&str, &str)]) -> Vec<Interface> {
        rows.iter()
            .map(|(name, ip)| Interface {
                name: (*name).into(),
                ip: ip.parse().unwrap(),
            })
            .collect()
    }

    #[test]
    fn listen_forms() {
        let host = host(&[("eth0", "10.1.0.1"), ("eth0", "fd00::1")]);
        let check = |text, want: &str| {
            assert_eq!(
                listen(text, &host).unwrap(),
                want.parse::<SocketAddr>().unwrap(),
                "{text}"
            )
        };
        check("0.0.0.0:2377", "0.0.0.0:2377");
        check("eth0", "10.1.0.1:2377");
        check("eth0:99", "10.1.0.1:99");
        check("10.1.0.1", "10.1.0.1:2377");
        check("[fd00::1]:99", "[fd00::1]:99");
        check("fd00::1", "[fd00::1]:2377");
        check(":99", "0.0.0.0:99");
        assert_eq!(
            listen("nope", &host).unwrap_err().message,
            "listen address must be an IP address or network interface (with optional port number)"
        );
        assert!(listen("10.1.0.1:high", &host).is_err());
    }

    #[test]
    fn every_address_is_of_both_families_for_who_is_found_by_ipv6() {
        let any: SocketAddr = "0.0.0.0:99".parse().unwrap();
        let one: SocketAddr = "10.1.0.1:99".parse().unwrap();
        let six: IpAddr = "fd00::1".parse().unwrap();
        assert_eq!(for_family(any, six), "[::]:99".parse().unwrap());
        assert_eq!(for_family(any, one.ip()), any);
        assert_eq!(for_family(one, six), one);
    }

    #[test]
    fn advertise_is_chosen_only_when_there_is_one_choice() {
        let any = "0.0.0.0:2377".parse().unwrap();
        let one = host(&[
            ("lo", "127.0.0.1"),
            ("eth0", "10.1.0.1"),
            ("docker0", "172.17.0.1"),
        ]);
        assert_eq!(
            advertise("", any, None, &one).unwrap(),
            "10.1.0.1:2377".parse().unwrap()
        );
        let two = host(&[("eth0", "10.1.0.1"), ("eth1", "10.2.0.1")]);
        assert_eq!(
            advertise("", any, None, &two).unwrap_err().message,
            "could not choose an IP address to advertise since this system has multiple addresses on different interfaces (10.1.0.1 on eth0 and 10.2.0.1 on eth1)"
        );
        assert_eq!(
            advertise("eth1", any, None, &two).unwrap(),
            "10.2.0.1:2377".parse().unwrap()
        );
        assert_eq!(
            advertise("", any, Some("eth0"), &two).unwrap(),
            "10.1.0.1:2377".parse().unwrap()
        );
        assert_eq!(
            advertise("0.0.0.0", any, None, &two).unwrap_err().message,
            "advertise address must be a non-zero IP address or network interface (with optional port number)"
        );
        assert_eq!(
            advertise("", any, None, &[]).unwrap_err().message,
            "could not find the system's IP address"
        );
    }
}

//! The network `bridge`, as the daemon's flags want it.

use std::net::IpAddr;

use engine_types::network::{CreateOptions, IPAM, IPAMConfig};
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::Ns;

use crate::controller::{Config, Inner};
use crate::kernel::run_in;

/// `--bridge`, `--bip` and their kin.
#[derive(Clone, Debug)]
pub struct DefaultBridge {
    /// A bridge that is there already, with the addresses that it has (`--bridge`).
    pub device: Option<String>,
    /// There is no default bridge (`--bridge=none`).
    pub disabled: bool,
    /// Address and prefix length of the bridge (`--bip`, `--bip6`).
    pub bip: Option<String>,
    pub bip6: Option<String>,
    /// Where containers' addresses are from (`--fixed-cidr`, `--fixed-cidr-v6`).
    pub fixed_cidr: Option<String>,
    pub fixed_cidr_v6: Option<String>,
    pub gateway: Option<IpAddr>,
    pub gateway_v6: Option<IpAddr>,
    pub ipv6: bool,
    pub icc: bool,
    pub masquerade: bool,
}

impl Default for DefaultBridge {
    fn default() -> Self {
        Self {
            device: None,
            disabled: false,
            bip: None,
            bip6: None,
            fixed_cidr: None,
            fixed_cidr_v6: None,
            gateway: None,
            gateway_v6: None,
            ipv6: false,
            icc: true,
            masquerade: true,
        }
    }
}

/// The flags of one family.
struct Family<'a> {
    bip: (&'a str, Option<&'a String>),
    fixed: (&'a str, Option<&'a String>),
    gateway: (&'a str, Option<IpAddr>),
    aux: &'a str,
    v6: bool,
}

impl Inner {
    /// What to make, or nothing where there is to be none.
    pub async fn default_bridge(&self) -> Result<Option<CreateOptions>> {
        let bridge = &self.config.bridge;
        if bridge.disabled {
            return Ok(None);
        }
        let has = match &bridge.device {
            Some(device) => self.device_addresses(device).await?,
            None => Vec::new(),
        };
        options(&self.config, &has).map(Some)
    }

    async fn device_addresses(&self, device: &str) -> Result<Vec<IpNet>> {
        let name = device.to_string();
        let found = run_in(self.kernel.as_ref(), &Ns::Host, move || {
            let all = if_addrs::get_if_addrs()?.into_iter();
            let own = all.filter(|i| i.name == name).filter_map(|i| {
                let prefix = match &i.addr {
                    if_addrs::IfAddr::V4(a) => a.prefixlen,
                    if_addrs::IfAddr::V6(a) => a.prefixlen,
                };
                IpNet::new(i.ip(), prefix).ok()
            });
            Ok::<_, std::io::Error>(own.collect::<Vec<_>>())
        });
        let found = found.await?.map_err(Error::system)?;
        match found.iter().any(|a| a.addr().is_ipv4()) {
            true => Ok(found),
            false => Err(Error::forbidden(format!(
                "bridge device with non default name {device} must be created manually and have a valid IP address"
            ))),
        }
    }
}

/// `has`: the addresses of the device that is to be used.
fn options(config: &Config, has: &[IpNet]) -> Result<CreateOptions> {
    let bridge = &config.bridge;
    let (mtu, binding) = (config.mtu.to_string(), config.default_binding.to_string());
    let options = [
        ("bridge.default_bridge", "true"),
        ("bridge.enable_icc", text(bridge.icc)),
        ("bridge.enable_ip_masquerade", text(bridge.masquerade)),
        ("bridge.host_binding_ipv4", &binding),
        ("bridge.name", bridge.device.as_deref().unwrap_or("docker0")),
        ("driver.mtu", &mtu),
    ];
    let families = [
        Family {
            bip: ("--bip", bridge.bip.as_ref()),
            fixed: ("--fixed-cidr", bridge.fixed_cidr.as_ref()),
            gateway: ("--default-gateway", bridge.gateway),
            aux: "DefaultGatewayIPv4",
            v6: false,
        },
        Family {
            bip: ("--bip6", bridge.bip6.as_ref()),
            fixed: ("--fixed-cidr-v6", bridge.fixed_cidr_v6.as_ref()),
            gateway: ("--default-gateway-v6", bridge.gateway_v6),
            aux: "DefaultGatewayIPv6",
            v6: true,
        },
    ];
    let mut configs = Vec::new();
    for family in families {
        let own = |a: &&IpNet| {
            // What every link has is not what containers are to use.
            let link_local = matches!(a, IpNet::V6(a) if a.addr().is_unicast_link_local());
            a.addr().is_ipv6() == family.v6 && !link_local
        };
        let config = pool(&family, has.iter().find(own))?;
        if !family.v6 || bridge.ipv6 {
            configs.extend(config);
        }
    }
    let named =
        options.map(|(key, value)| (format!("com.docker.network.{key}"), value.to_string()));
    Ok(CreateOptions {
        driver: "bridge".into(),
        enable_ipv6: Some(bridge.ipv6),
        ipam: Some(IPAM {
            driver: "default".into(),
            options: None,
            config: Some(configs).filter(|c| !c.is_empty()),
        }),
        options: Some(named.into_iter().collect()),
        ..CreateOptions::default()
    })
}

/// The subnet is the bridge's; without one, the range of the containers' addresses; without either, a default.
fn pool(family: &Family, device: Option<&IpNet>) -> Result<Option<IPAMConfig>> {
    let parse = |(flag, value): (&str, Option<&String>)| -> Result<Option<IpNet>> {
        let Some(value) = value else { return Ok(None) };
        let parsed = value.parse::<IpNet>().ok();
        let fits = parsed.filter(|net| net.addr().is_ipv6() == family.v6);
        let bad = || {
            Error::invalid(format!(
                "invalid {flag} {value:?}: it must be an address with its prefix length"
            ))
        };
        fits.ok_or_else(bad).map(Some)
    };
    let (bip, fixed) = (parse(family.bip)?, parse(family.fixed)?);
    let bridge = bip.as_ref().or(device);
    let (flag, gateway) = family.gateway;
    let Some(subnet) = bridge.map(IpNet::trunc).or(fixed.map(|f| f.trunc())) else {
        return match gateway {
            Some(_) => Err(Error::invalid(format!(
                "{flag} needs to know the subnet that it is in: give {} or {}",
                family.bip.0, family.fixed.0
            ))),
            None => Ok(None),
        };
    };
    if let Some(outside) = gateway.filter(|g| !subnet.contains(g)) {
        return Err(Error::invalid(format!(
            "invalid {flag} {outside}: it is not in {subnet}, the default bridge's subnet"
        )));
    }
    let range = fixed.filter(|_| bridge.is_some()).map(|f| f.trunc());
    if let Some(outside) = range.filter(|r| !subnet.contains(r)) {
        return Err(Error::invalid(format!(
            "invalid {} {outside}: it is not in {subnet}, the default bridge's subnet",
            family.fixed.0
        )));
    }
    let aux = gateway.map(|g| (family.aux.to_string(), g.to_string()));
    Ok(Some(IPAMConfig {
        subnet: subnet.to_string(),
        ip_range: range.map(|r| r.to_string()).unwrap_or_default(),
        gateway: bridge.map(|b| b.addr().to_string()).unwrap_or_default(),
        auxiliary_addresses: aux.map(|aux| [aux].into()),
    }))
}

fn text(on: bool) -> &'static str {
    if on { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(change: impl FnOnce(&mut DefaultBridge), has: &[&str]) -> String {
        let mut config = Config::default();
        change(&mut config.bridge);
        let has: Vec<IpNet> = has.iter().map(|a| a.parse().unwrap()).collect();
        match options(&config, &has) {
            Err(error) => error.message,
            Ok(made) => {
                let configs = made.ipam.unwrap().config.unwrap_or_default().into_iter();
                let one = |c: IPAMConfig| {
                    let aux: Vec<_> = c.auxiliary_addresses.into_iter().flatten().collect();
                    format!("{} {} {} {aux:?}", c.subnet, c.ip_range, c.gateway)
                };
                configs.map(one).collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn flags_make_subnets() {
        let some = |text: &str| Some(text.to_string());
        assert_eq!(made(|_| (), &[]), "");
        assert_eq!(
            made(|b| b.bip = some("10.1.0.9/16"), &[]),
            "10.1.0.0/16  10.1.0.9 []"
        );
        assert_eq!(
            made(|b| b.fixed_cidr = some("10.1.4.0/24"), &[]),
            "10.1.4.0/24   []"
        );
        let both = |b: &mut DefaultBridge| {
            b.bip = some("10.1.0.1/16");
            b.fixed_cidr = some("10.1.4.0/24");
            b.gateway = Some([10, 1, 0, 254].into());
        };
        assert_eq!(
            made(both, &[]),
            "10.1.0.0/16 10.1.4.0/24 10.1.0.1 [(\"DefaultGatewayIPv4\", \"10.1.0.254\")]"
        );
        let six = |b: &mut DefaultBridge| {
            b.bip6 = some("fd00::1/64");
            b.ipv6 = true;
        };
        assert_eq!(made(six, &[]), "fd00::/64  fd00::1 []");
        assert_eq!(
            made(
                |b| b.ipv6 = true,
                &["10.2.0.1/24", "fe80::1/64", "fd02::1/64"]
            ),
            "10.2.0.0/24  10.2.0.1 []; fd02::/64  fd02::1 []"
        );
    }

    #[test]
    fn mistakes_are_named() {
        let some = |text: &str| Some(text.to_string());
        assert_eq!(
            made(|b| b.bip = some("10.1.0.9"), &[]),
            "invalid --bip \"10.1.0.9\": it must be an address with its prefix length"
        );
        assert_eq!(
            made(|b| b.bip6 = some("10.1.0.9/8"), &[]),
            "invalid --bip6 \"10.1.0.9/8\": it must be an address with its prefix length"
        );
        let outside = |b: &mut DefaultBridge| {
            b.bip = some("10.1.0.1/16");
            b.fixed_cidr = some("10.2.4.0/24");
        };
        assert_eq!(
            made(outside, &[]),
            "invalid --fixed-cidr 10.2.4.0/24: it is not in 10.1.0.0/16, the default bridge's subnet"
        );
        assert_eq!(
            made(|b| b.gateway = Some([10, 1, 0, 1].into()), &[]),
            "--default-gateway needs to know the subnet that it is in: give --bip or --fixed-cidr"
        );
    }
}

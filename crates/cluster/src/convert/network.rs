use std::collections::BTreeMap;
use std::net::IpAddr;

use cnm::{Subnet, SwarmNetwork};
use engine_types::{Error, Result, network, swarm};
use ipnet::IpNet;
use swarm_wire::pb;

use super::{annotations_json, driver_json, driver_pb, each, meta_json, time_json};

/// Driver option that carries the VNIs of a network's subnets, comma separated, in the subnets' order.
const VNI_LIST: &str = "com.docker.network.driver.overlay.vxlanid_list";

/// The swarm API's shape (in tasks).
pub(super) fn network_json(n: &pb::Network) -> swarm::Network {
    let spec = n.spec.clone().unwrap_or_default();
    swarm::Network {
        id: n.id.clone(),
        meta: meta_json(n.meta.as_ref()),
        spec: swarm::NetworkSpec {
            annotations: annotations_json(spec.annotations.as_ref()),
            driver_configuration: driver_json(spec.driver_config.as_ref()),
            ipv6_enabled: spec.ipv6_enabled,
            internal: spec.internal,
            attachable: spec.attachable,
            ingress: spec.ingress,
            ipam_options: ipam_json(spec.ipam.as_ref()),
            config_from: config_from(&spec).map(|network| network::ConfigReference { network }),
            scope: "swarm".into(),
        },
        driver_state: driver_json(n.driver_state.as_ref()).unwrap_or_default(),
        ipam_options: ipam_json(n.ipam.as_ref()),
    }
}

fn ipam_json(ipam: Option<&pb::IpamOptions>) -> Option<swarm::IPAMOptions> {
    ipam.map(|ipam| swarm::IPAMOptions {
        driver: driver_json(ipam.driver.as_ref()).unwrap_or_default(),
        configs: each(&ipam.configs, |c| swarm::IPAMConfig {
            subnet: c.subnet.clone(),
            range: c.range.clone(),
            gateway: c.gateway.clone(),
        }),
    })
}

/// The network API's shape (`docker network ls|inspect` on a manager).
pub fn inspect_json(n: &pb::Network) -> network::Inspect {
    let spec = n.spec.clone().unwrap_or_default();
    let config_from = config_from(&spec);
    let annotations = spec.annotations.unwrap_or_default();
    let state = n.driver_state.clone().unwrap_or_default();
    let driver = if state.name.is_empty() {
        spec.driver_config.unwrap_or_default().name
    } else {
        state.name
    };
    let ipam = n.ipam.clone().unwrap_or_default();
    let ipam_driver = ipam.driver.unwrap_or_default();
    network::Inspect {
        name: annotations.name,
        id: n.id.clone(),
        created: time_json(n.meta.as_ref().and_then(|m| m.created_at.as_ref())),
        scope: "swarm".into(),
        driver: if driver.is_empty() {
            "overlay".into()
        } else {
            driver
        },
        enable_ipv4: !spec.ipv4_disabled,
        enable_ipv6: spec.ipv6_enabled,
        ipam: network::IPAM {
            driver: if ipam_driver.name.is_empty() {
                "default".into()
            } else {
                ipam_driver.name
            },
            options: None,
            config: Some(
                ipam.configs
                    .iter()
                    .map(|c| network::IPAMConfig {
                        subnet: c.subnet.clone(),
                        ip_range: c.range.clone(),
                        gateway: c.gateway.clone(),
                        auxiliary_addresses: None,
                    })
                    .collect(),
            ),
        },
        internal: spec.internal,
        attachable: spec.attachable,
        ingress: spec.ingress,
        config_from: network::ConfigReference {
            network: config_from.unwrap_or_default(),
        },
        options: Some(state.options),
        labels: Some(annotations.labels),
        ..Default::default()
    }
}

pub fn network_spec_pb(name: &str, options: network::CreateOptions) -> Result<pb::NetworkSpec> {
    let ipam = options.ipam.unwrap_or_default();
    let mut configs: Vec<_> = ipam
        .config
        .unwrap_or_default()
        .into_iter()
        .map(|c| pb::IpamConfig {
            family: (if c.subnet.contains(':') {
                pb::ipam_config::AddressFamily::Ipv6
            } else {
                pb::ipam_config::AddressFamily::Ipv4
            })
            .into(),
            subnet: c.subnet,
            range: c.ip_range,
            gateway: c.gateway,
            reserved: c.auxiliary_addresses.unwrap_or_default(),
        })
        .collect();
    // The CLI gives them in any order.
    configs.sort_by_key(|c| c.family() == pb::ipam_config::AddressFamily::Ipv6);
    Ok(pb::NetworkSpec {
        annotations: Some(pb::Annotations {
            name: name.to_owned(),
            labels: options.labels.unwrap_or_default(),
            indices: Vec::new(),
        }),
        driver_config: driver_pb(Some(swarm::Driver {
            name: options.driver,
            options: options.options,
        })),
        ipv6_enabled: options.enable_ipv6.unwrap_or(false),
        internal: options.internal,
        ipam: Some(pb::IpamOptions {
            driver: Some(pb::Driver {
                name: ipam.driver,
                options: ipam.options.unwrap_or_default(),
            }),
            configs,
        }),
        attachable: options.attachable,
        ingress: options.ingress,
        config_from: options
            .config_from
            .filter(|from| !from.network.is_empty())
            .map(|from| pb::network_spec::ConfigFrom::Network(from.network)),
        ipv4_disabled: options.enable_ipv4 == Some(false),
    })
}

/// What a node needs to build the network: only complete once the allocator has been at it.
pub fn swarm_network(n: &pb::Network, vxlan_port: u32) -> Result<SwarmNetwork> {
    let spec = n.spec.clone().unwrap_or_default();
    let config_from = config_from(&spec);
    let annotations = spec.annotations.unwrap_or_default();
    let bad = |what: String| Error::invalid(format!("network {}: {what}", annotations.name));
    let state = n.driver_state.clone().unwrap_or_default();
    let vnis: Vec<u32> = match state.options.get(VNI_LIST) {
        Some(list) => list
            .split(',')
            .map(|vni| {
                vni.trim()
                    .parse()
                    .map_err(|_| bad(format!("invalid VNI \"{vni}\"")))
            })
            .collect::<Result<_>>()?,
        None => Vec::new(),
    };
    let configs = n
        .ipam
        .as_ref()
        .map(|i| i.configs.as_slice())
        .unwrap_or_default();
    let mut subnets = Vec::new();
    for c in configs {
        let subnet: IpNet = c
            .subnet
            .parse()
            .map_err(|_| bad(format!("invalid subnet \"{}\"", c.subnet)))?;
        subnets.push(Subnet {
            subnet,
            gateway: gateway(&c.gateway),
            vni: 0,
        });
    }
    // Numbers are of the IPv4 subnets, in order, and of the others where there is none; whoever gets none shares the first.
    let v4 = subnets.iter().any(|s| s.subnet.addr().is_ipv4());
    let numbered = subnets
        .iter_mut()
        .filter(|s| !v4 || s.subnet.addr().is_ipv4());
    for (subnet, vni) in numbered.zip(vnis) {
        subnet.vni = vni;
    }
    Ok(SwarmNetwork {
        id: n.id.clone(),
        name: annotations.name,
        driver: if state.name.is_empty() {
            "overlay".into()
        } else {
            state.name
        },
        created: time_json(n.meta.as_ref().and_then(|m| m.created_at.as_ref()))
            .as_str()
            .to_owned(),
        internal: spec.internal,
        attachable: spec.attachable,
        ingress: spec.ingress,
        enable_ipv6: spec.ipv6_enabled,
        labels: annotations.labels,
        options: state.options.into_iter().collect::<BTreeMap<_, _>>(),
        subnets,
        config_from: config_from.unwrap_or_default(),
        ipam: configs
            .iter()
            .map(|c| network::IPAMConfig {
                subnet: c.subnet.clone(),
                ip_range: c.range.clone(),
                gateway: c.gateway.clone(),
                auxiliary_addresses: Some(c.reserved.clone()).filter(|r| !r.is_empty()),
            })
            .collect(),
        vxlan_port: u16::try_from(vxlan_port)
            .ok()
            .filter(|p| *p != 0)
            .unwrap_or(4789),
    })
}

/// The network on each node whose settings it has.
fn config_from(spec: &pb::NetworkSpec) -> Option<String> {
    let pb::network_spec::ConfigFrom::Network(name) = spec.config_from.as_ref()?;
    Some(name.clone()).filter(|name| !name.is_empty())
}

/// Managers write it with or without a prefix length.
fn gateway(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(subnets: &[&str], vnis: &str) -> pb::Network {
        let config = |subnet: &&str| pb::IpamConfig {
            subnet: (*subnet).to_owned(),
            ..Default::default()
        };
        pb::Network {
            ipam: Some(pb::IpamOptions {
                configs: subnets.iter().map(config).collect(),
                ..Default::default()
            }),
            driver_state: Some(pb::Driver {
                name: "overlay".into(),
                options: [(VNI_LIST.to_owned(), vnis.to_owned())].into(),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn numbers_are_of_ipv4_subnets_as_long_as_there_are_any() {
        let (four, more, six, mix) = ("10.0.1.0/24", "10.0.2.0/24", "fd61::/64", "fd62::/64");
        for (subnets, vnis, expected) in [
            (&[four, more][..], "7,8", &[7, 8][..]),
            // Docker's managers leave them as they were given.
            (&[six, four], "7", &[0, 7]),
            (&[four, more, six], "7", &[7, 0, 0]),
            (&[six, mix], "7", &[7, 0]),
        ] {
            let made = swarm_network(&network(subnets, vnis), 0).unwrap();
            let numbers: Vec<u32> = made.subnets.iter().map(|s| s.vni).collect();
            assert_eq!(numbers, expected, "{subnets:?}");
        }
    }

    #[test]
    fn that_ipv4_is_disabled_is_kept() {
        for given in [None, Some(true), Some(false)] {
            let options = network::CreateOptions {
                enable_ipv4: given,
                enable_ipv6: Some(true),
                ..Default::default()
            };
            let spec = Some(network_spec_pb("six", options).unwrap());
            let shown = inspect_json(&pb::Network {
                spec,
                ..Default::default()
            });
            assert_eq!(shown.enable_ipv4, given.unwrap_or(true));
        }
    }
}

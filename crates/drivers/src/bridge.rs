//! `bridge`: a Linux bridge in the host's namespace, a veth pair per endpoint, NAT towards the outside.

pub(crate) mod firewall;
mod gate;
pub(crate) mod publish;
mod settings;

use cnm::driver::{Capability, Driver, Gateway, Host};
use cnm::model::{Endpoint, Mapping, Network, Pool, Scope};
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::{BridgePort, Link, LinkKind, Mac, Ns, Row, VethPeer};
use std::net::IpAddr;

use crate::options;
use settings::{Mode, Settings};

pub struct Bridge;

impl Driver for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }
    fn capability(&self) -> Capability {
        Capability {
            scope: Scope::Local,
            addresses: true,
            macs: true,
            spans: false,
            lazy: false,
        }
    }

    fn gateway(&self, _network: &Network) -> Gateway {
        Gateway::Own
    }

    fn validate(&self, network: &Network, others: &[&Network]) -> Result<()> {
        let name = Settings::read(network)?.bridge;
        for v6 in [false, true] {
            if pools(network, v6).count() > 1 {
                return Err(Error::forbidden(
                    "bridge driver doesn't support multiple subnets",
                ));
            }
        }
        for other in others {
            if Settings::of(other).bridge == name {
                return Err(Error::forbidden(format!(
                    "cannot create network {} ({name}): conflicts with network {} ({name}): networks have same bridge name",
                    network.id, other.id
                )));
            }
        }
        Ok(())
    }

    fn network_rows(&self, network: &Network, host: &Host) -> Vec<Row> {
        let settings = Settings::of(network);
        let name = &settings.bridge;
        let mut rows = vec![Row::Link(Link {
            ns: Ns::Host,
            name: name.clone(),
            kind: LinkKind::Bridge,
            mac: Some(bridge_mac(&network.id)),
            mtu: settings.mtu,
            master: None,
            port: BridgePort::default(),
        })];
        for pool in &network.pools {
            let v6 = pool.subnet.addr().is_ipv6();
            if let Some(gateway) = pool.gateway
                && (v6 || !settings.inhibit_ipv4)
                && settings.mode(v6) != Mode::Isolated
                && let Ok(address) = IpNet::new(gateway, pool.subnet.prefix_len())
            {
                rows.push(Row::Address {
                    ns: Ns::Host,
                    link: name.clone(),
                    address,
                });
            }
        }
        rows.push(sysctl(format!("net/ipv6/conf/{name}/accept_ra"), "0"));
        let has = |v6| pools(network, v6).next().is_some();
        let isolated = |v6| has(v6) && settings.mode(v6) == Mode::Isolated;
        if isolated(true) || (isolated(false) && !has(true)) {
            // Nor has it the address that every link gives itself.
            rows.push(sysctl(format!("net/ipv6/conf/{name}/disable_ipv6"), "1"));
        }
        let firewall = &host.firewall;
        if !network.internal {
            if has(false) {
                if firewall.forward {
                    rows.push(sysctl("net/ipv4/ip_forward".into(), "1"));
                }
                // What is published is also published on 127.0.0.1, and on ::1 below; the firewall keeps the bridge away from
                // the rest.
                if firewall.ipv4 {
                    rows.push(sysctl(format!("net/ipv4/conf/{name}/route_localnet"), "1"));
                }
            }
            if has(true) && firewall.forward {
                rows.push(sysctl("net/ipv6/conf/all/forwarding".into(), "1"));
            }
            if has(true) && firewall.ipv6 && !isolated(true) {
                rows.push(Row::RouteLocalhost {
                    ns: Ns::Host,
                    link: name.clone(),
                });
            }
        }
        if links_pass_through(network, &settings) && firewall.ipv4 {
            // Isolated ports meet only here: the host answers for the others, and the firewall decides.
            rows.push(sysctl(format!("net/ipv4/conf/{name}/proxy_arp_pvlan"), "1"));
            rows.push(sysctl(format!("net/ipv4/conf/{name}/send_redirects"), "0"));
        }
        for (v6, on) in [(false, firewall.ipv4), (true, firewall.ipv6)] {
            if on && has(v6) {
                rows.extend(firewall::network_rows(network, &settings, host, v6));
            }
        }
        rows
    }

    fn endpoint_rows(&self, network: &Network, endpoint: &Endpoint, sandbox: &Ns) -> Vec<Row> {
        let settings = Settings::of(network);
        let port = BridgePort {
            // Isolated ports reach the bridge itself but no other isolated port: no traffic between containers.
            isolated: !settings.icc,
            // Where br_netfilter is loaded, a translated packet goes back into the bridge below IP: through the port that
            // it came from, when a container calls its own published port.
            hairpin: !network.internal,
            ..BridgePort::default()
        };
        let mut rows = veth(
            endpoint,
            sandbox,
            &Ns::Host,
            &settings.bridge,
            settings.mtu,
            port,
        );
        // A bridge's port speaks for nobody. With addresses and routes of its own it would cost every other one: the kernel
        // walks them all for each link that comes and goes.
        let key = format!("net/ipv6/conf/{}/disable_ipv6", endpoint.veth());
        rows.push(sysctl(key, "1"));
        rows
    }

    fn publish_rows(&self, _network: &Network, to: &Endpoint, ports: &[Mapping]) -> Vec<Row> {
        publish::rows(to, ports)
    }

    fn publish_within_rows(
        &self,
        _network: &Network,
        to: &Endpoint,
        port: &Mapping,
        within: &IpNet,
    ) -> Vec<Row> {
        publish::within(to, port, within)
    }

    fn concealed_rows(&self, _network: &Network, to: &Endpoint, from: &[IpNet]) -> Vec<Row> {
        firewall::concealed_rows(to, from)
    }

    fn link_rows(
        &self,
        network: &Network,
        from: &Endpoint,
        to: &Endpoint,
        ports: &[(String, u16)],
    ) -> Vec<Row> {
        match links_pass_through(network, &Settings::of(network)) {
            true => firewall::link_rows(from, to, ports),
            false => Vec::new(),
        }
    }

    fn host_binding(&self, network: &Network) -> Option<IpAddr> {
        Settings::of(network).host_binding
    }

    fn has_gateway(&self, network: &Network, v6: bool) -> bool {
        // Errors are `validate`'s.
        let Ok(settings) = Settings::read(network) else {
            return true;
        };
        let inhibited = !v6 && settings.inhibit_ipv4 && network.internal;
        settings.mode(v6) != Mode::Isolated && !inhibited
    }

    fn translates(&self, network: &Network, v6: bool) -> bool {
        Settings::of(network).mode(v6) != Mode::Routed
    }
}

/// Whether containers that may not talk to each other may where they are linked: on the default bridge.
fn links_pass_through(network: &Network, settings: &Settings) -> bool {
    !settings.icc && network.option(options::DEFAULT_BRIDGE) == Some("true")
}

fn pools(network: &Network, v6: bool) -> impl Iterator<Item = &Pool> {
    let of_family = move |p: &&Pool| p.subnet.addr().is_ipv6() == v6;
    network.pools.iter().filter(of_family)
}

/// A veth pair with its addresses: one end in `sandbox`, the other a port of `bridge`.
pub(crate) fn veth(
    endpoint: &Endpoint,
    sandbox: &Ns,
    bridge_ns: &Ns,
    bridge: &str,
    mtu: Option<u32>,
    port: BridgePort,
) -> Vec<Row> {
    let peer = VethPeer {
        ns: sandbox.clone(),
        name: endpoint.ifname.clone(),
        mac: Some(endpoint.mac),
    };
    let link = Row::Link(Link {
        ns: bridge_ns.clone(),
        name: endpoint.veth(),
        kind: LinkKind::Veth { peer },
        mac: None,
        mtu,
        master: Some(bridge.to_string()),
        port,
    });
    let addresses = endpoint.addresses().map(|address| Row::Address {
        ns: sandbox.clone(),
        link: endpoint.ifname.clone(),
        address,
    });
    std::iter::once(link).chain(addresses).collect()
}

/// A bridge without an address of its own takes the lowest of its ports' and so changes it as they come and go.
fn bridge_mac(id: &str) -> Mac {
    let mut mac = [0x02, 0x42, 0, 0, 0, 0];
    for (i, byte) in mac.iter_mut().skip(2).enumerate() {
        let hex = id.get(2 * i..2 * i + 2).unwrap_or_default();
        *byte = u8::from_str_radix(hex, 16).unwrap_or_default();
    }
    Mac(mac)
}

fn sysctl(key: String, value: &str) -> Row {
    Row::Sysctl {
        ns: Ns::Host,
        key,
        value: value.to_string(),
    }
}

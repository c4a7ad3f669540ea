//! Rows of the two tables that Docker's nodes share, from and to this host's terms.

use std::net::IpAddr;

use bytes::Bytes;
use cnm::{Balance, LocalEndpoint, NameRecord, Peer, Port, Prefer, ServiceBinding};
use gossip::records::{EndpointRecord, PeerRecord, PortConfig};
use ipnet::IpNet;
use prost::Message;

use crate::publish_labels;

pub fn peer_record(endpoint: &LocalEndpoint, vtep: IpAddr) -> Bytes {
    let record = PeerRecord {
        endpoint_ip: endpoint.address.to_string(),
        endpoint_mac: endpoint.mac.to_string(),
        tunnel_endpoint_ip: vtep.to_string(),
        endpoint_ipv6: text(endpoint.address_v6),
    };
    record.encode_to_vec().into()
}

pub fn name_record(record: &NameRecord, service_disabled: bool) -> Bytes {
    let service = &record.service;
    let record = EndpointRecord {
        name: record.name.clone(),
        service_name: service.name.clone(),
        service_id: service.id.clone(),
        virtual_ip: if service.virtual_ip.is_empty() {
            "<nil>".into()
        } else {
            service.virtual_ip.clone()
        },
        endpoint_ip: text(record.address),
        ingress_ports: service
            .ingress_ports
            .iter()
            .map(|p| PortConfig {
                name: publish_labels::named(&p.name, p.proxy),
                protocol: match p.protocol.as_str() {
                    "udp" => 1,
                    "sctp" => 2,
                    _ => 0,
                },
                target_port: p.target.into(),
                published_port: p.published.into(),
                concealed: p.concealed,
                within: text(p.within),
            })
            .collect(),
        aliases: service.aliases.clone(),
        task_aliases: record.task_aliases.clone(),
        service_disabled,
        direct: record.direct,
        sticky: service.balance.sticky,
        least: service.balance.least,
        prefer: match service.balance.prefer {
            Prefer::Any => 0,
            Prefer::Node => 1,
            Prefer::Zone => 2,
        },
        zone: record.zone.clone(),
        endpoint_ipv6: text(record.address_v6),
        virtual_ipv6: service.virtual_ip_v6.clone(),
    };
    record.encode_to_vec().into()
}

/// Empty for none.
fn text(address: Option<impl ToString>) -> String {
    address.map_or_else(String::new, |a| a.to_string())
}

pub fn disabled(value: &Bytes) -> Bytes {
    match EndpointRecord::decode(value.clone()) {
        Ok(record) => EndpointRecord {
            service_disabled: true,
            ..record
        }
        .encode_to_vec()
        .into(),
        Err(_) => value.clone(),
    }
}

pub fn is_disabled(value: &Bytes) -> bool {
    EndpointRecord::decode(value.clone()).is_ok_and(|r| r.service_disabled)
}

pub fn read_peer(value: &Bytes) -> Option<Peer> {
    let record = PeerRecord::decode(value.clone()).ok()?;
    Some(Peer {
        address: record.endpoint_ip.parse().ok()?,
        address_v6: record.endpoint_ipv6.parse().ok().filter(is_v6),
        mac: parse_mac(&record.endpoint_mac)?,
        vtep: record.tunnel_endpoint_ip.parse().ok()?,
    })
}

fn is_v6(net: &IpNet) -> bool {
    net.addr().is_ipv6()
}

/// `Some(None)`: the endpoint takes no new connections, so its names go.
pub fn read_name(value: &Bytes) -> Option<Option<NameRecord>> {
    let record = EndpointRecord::decode(value.clone()).ok()?;
    let address: IpAddr = record.endpoint_ip.parse().ok()?;
    if record.service_disabled {
        return Some(None);
    }
    let port = |p: &PortConfig| {
        let (name, proxy) = publish_labels::split(&p.name);
        Some(Port {
            name: name.to_owned(),
            protocol: ["tcp", "udp", "sctp"]
                .get(usize::try_from(p.protocol).ok()?)
                .map(|s| (*s).into())?,
            target: u16::try_from(p.target_port).ok()?,
            published: u16::try_from(p.published_port).ok()?,
            concealed: p.concealed,
            // One that cannot be read is no reason to answer everywhere.
            within: match p.within.as_str() {
                "" => None,
                within => Some(within.parse().ok()?),
            },
            // Nor is a header that we cannot write one to leave it away.
            proxy: proxy.map(str::parse).transpose().ok()?,
        })
    };
    Some(Some(NameRecord {
        name: record.name,
        task_aliases: record.task_aliases,
        address: Some(address),
        address_v6: record.endpoint_ipv6.parse().ok().filter(IpAddr::is_ipv6),
        direct: record.direct,
        zone: record.zone,
        service: ServiceBinding {
            id: record.service_id,
            name: record.service_name,
            virtual_ip: own_address(&record.virtual_ip, IpAddr::is_ipv4),
            virtual_ip_v6: own_address(&record.virtual_ipv6, IpAddr::is_ipv6),
            aliases: record.aliases,
            ingress_ports: record.ingress_ports.iter().filter_map(port).collect(),
            balance: Balance {
                sticky: record.sticky,
                least: record.least,
                prefer: match record.prefer {
                    1 => Prefer::Node,
                    2 => Prefer::Zone,
                    _ => Prefer::Any,
                },
            },
        },
    }))
}

/// Docker writes `<nil>` where there is none.
fn own_address(text: &str, fits: fn(&IpAddr) -> bool) -> String {
    let own = text.parse::<IpAddr>().ok().filter(fits);
    own.map_or_else(String::new, |ip| ip.to_string())
}

fn parse_mac(text: &str) -> Option<netstate::Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(netstate::Mac(mac))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const VTEP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 10));

    pub fn endpoint(name: Option<&str>) -> LocalEndpoint {
        LocalEndpoint {
            address: "10.0.1.5/24".parse().unwrap(),
            address_v6: None,
            mac: netstate::Mac([2, 0x42, 10, 0, 1, 5]),
            tunnelled: true,
            record: name.map(|name| NameRecord {
                name: name.into(),
                address: Some("10.0.1.5".parse().unwrap()),
                ..Default::default()
            }),
        }
    }

    #[test]
    fn peer_record_has_the_reference_bytes() {
        let expected = "0a0b31302e302e312e352f3234121130323a34323a30613a30303a30313a30351a0c3139322e3136382e312e3130";
        let bytes = peer_record(&endpoint(None), VTEP);
        assert_eq!(
            bytes.iter().map(|b| format!("{b:02x}")).collect::<String>(),
            expected
        );
        let peer = read_peer(&bytes).unwrap();
        assert_eq!(
            (peer.address, peer.vtep),
            ("10.0.1.5/24".parse().unwrap(), VTEP)
        );
    }

    #[test]
    fn the_second_address_travels_beside_the_first() {
        let mut both = endpoint(Some("c1"));
        both.address_v6 = "fd61::5/64".parse().ok();
        let peer = read_peer(&peer_record(&both, VTEP)).unwrap();
        assert_eq!(
            (peer.address, peer.address_v6),
            (both.address, both.address_v6)
        );
        let mut name = both.record.unwrap();
        name.address_v6 = "fd61::5".parse().ok();
        name.service.virtual_ip_v6 = "fd61::2".into();
        let read = read_name(&name_record(&name, false)).unwrap().unwrap();
        assert_eq!(read, name);
        // One that is of the other family is none.
        name.address_v6 = "10.0.1.6".parse().ok();
        let read = read_name(&name_record(&name, false)).unwrap().unwrap();
        assert_eq!(read.address_v6, None);
    }

    #[test]
    fn the_header_that_a_task_wants_travels_with_the_name_of_its_port() {
        let mut name = endpoint(Some("web")).record.unwrap();
        name.service.ingress_ports = vec![Port {
            name: "http".into(),
            protocol: "tcp".into(),
            target: 80,
            published: 8080,
            concealed: false,
            within: None,
            proxy: Some(cnm::Proxy::V2),
        }];
        let bytes = name_record(&name, false);
        assert_eq!(read_name(&bytes).unwrap().unwrap(), name);
        // One that we cannot write: the port leads nowhere, rather than without it.
        let mut record = EndpointRecord::decode(bytes).unwrap();
        record.ingress_ports[0].name = "http;pontoon.proxy=v9".into();
        let read = read_name(&record.encode_to_vec().into()).unwrap().unwrap();
        assert_eq!(read.service.ingress_ports, []);
    }

    #[test]
    fn an_address_of_ipv6_alone_is_the_first() {
        let mut six = endpoint(Some("c1"));
        six.address = "fd61::5/64".parse().unwrap();
        let peer = read_peer(&peer_record(&six, VTEP)).unwrap();
        assert_eq!((peer.address, peer.address_v6), (six.address, None));
        let mut name = six.record.unwrap();
        name.address = "fd61::5".parse().ok();
        name.service.virtual_ip_v6 = "fd61::2".into();
        let read = read_name(&name_record(&name, false)).unwrap().unwrap();
        assert_eq!(read, name);
    }

    #[test]
    fn nothing_usable_is_refused() {
        assert!(read_peer(&Bytes::from_static(b"\xff\xff")).is_none());
        assert!(read_name(&Bytes::new()).is_none(), "no address");
        assert!(parse_mac("02:42:0a:00:01").is_none());
        assert!(parse_mac("02:42:0a:00:01:05:06").is_none());
    }
}

//! Published ports as elements: a port, or a range of them, is one of a map and one of a set.

use std::net::IpAddr;

use cnm::model::{Endpoint, Mapping};
use ipnet::IpNet;
use netstate::Row;
use netstate::nft::Value;

use super::firewall::{
    Ip, PORTS, PORTS_AT, PUBLISHED, PUBLISHED_RANGES, RANGES, SHIFTED, protocol_number,
};

pub(super) fn rows(to: &Endpoint, ports: &[Mapping]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut ranges = Vec::new();
    for port in ports {
        let v6 = port.host_ip.is_ipv6();
        let Some(container) = to.address(v6) else {
            continue;
        };
        let ip = Ip::new(v6);
        let container = container.addr();
        let number = protocol_number(&port.protocol);
        rows.extend(translation(&ip, port, container));
        if port.count == 1 {
            let key = vec![
                Value::Ip(container),
                Value::Protocol(number),
                Value::Port(port.target),
            ];
            rows.push(ip.element(PUBLISHED, key));
        } else {
            ranges.push((container, number, port.target, port.last_target()));
        }
    }
    rows.extend(apart(ranges).into_iter().map(published_range));
    // Two host ports may lead to one container port.
    rows.sort();
    rows.dedup();
    rows
}

/// One entry whose ports are the same on both sides, at the host's addresses in a subnet.
pub(super) fn within(to: &Endpoint, port: &Mapping, subnet: &IpNet) -> Vec<Row> {
    let v6 = subnet.addr().is_ipv6();
    let (Some(to), Some((first, last))) = (to.address(v6), port.host_ports()) else {
        return Vec::new();
    };
    let ip = Ip::new(v6);
    let number = protocol_number(&port.protocol);
    let at = |ip, port| vec![Value::Ip(ip), Value::Protocol(number), Value::Port(port)];
    let (low, high) = (subnet.network(), subnet.broadcast());
    let to = to.addr();
    vec![
        ip.entry(
            RANGES,
            at(low, first),
            Some(at(high, last)),
            Some(vec![Value::Ip(to)]),
        ),
        published_range((to, number, first, last)),
    ]
}

/// How host ports become those of the container.
pub(crate) fn translation(ip: &Ip, port: &Mapping, container: IpAddr) -> Vec<Row> {
    let protocol = Value::Protocol(protocol_number(&port.protocol));
    match port.count {
        1 => single(ip, port, container, protocol).into_iter().collect(),
        _ => range(ip, port, container, protocol),
    }
}

type Range = (IpAddr, u8, u16, u16);

/// Two ranges of host ports may lead to the same ports of the container in part, and intervals of a set must not overlap.
fn apart(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort();
    let mut apart: Vec<Range> = Vec::new();
    for (ip, protocol, first, last) in ranges {
        match apart.last_mut() {
            Some((i, p, _, end)) if (*i, *p) == (ip, protocol) && first <= *end => {
                *end = last.max(*end);
            }
            _ => apart.push((ip, protocol, first, last)),
        }
    }
    apart
}

fn published_range((ip, protocol, first, last): Range) -> Row {
    let at = |port| vec![Value::Ip(ip), Value::Protocol(protocol), Value::Port(port)];
    Ip::new(ip.is_ipv6()).entry(PUBLISHED_RANGES, at(first), Some(at(last)), None)
}

fn single(ip: &Ip, port: &Mapping, container: IpAddr, protocol: Value) -> Option<Row> {
    let host_port = Value::Port(port.host_port?);
    let target = vec![Value::Ip(container), Value::Port(port.target)];
    let (map, key) = match port.host_ip.is_unspecified() {
        true => (PORTS, vec![protocol, host_port]),
        false => (PORTS_AT, vec![Value::Ip(port.host_ip), protocol, host_port]),
    };
    Some(ip.entry(map, key, None, Some(target)))
}

fn range(ip: &Ip, port: &Mapping, container: IpAddr, protocol: Value) -> Vec<Row> {
    let Some(host_port) = port.host_port else {
        return Vec::new();
    };
    let (lowest, highest) = match port.host_ip {
        any @ IpAddr::V4(_) if any.is_unspecified() => (any, [0xff; 4].into()),
        any @ IpAddr::V6(_) if any.is_unspecified() => (any, [0xff; 16].into()),
        one => (one, one),
    };
    let entry = |map, first, last, data| {
        let at = |ip, port| vec![Value::Ip(ip), protocol.clone(), Value::Port(port)];
        ip.entry(map, at(lowest, first), Some(at(highest, last)), Some(data))
    };
    let container = Value::Ip(container);
    if host_port == port.target {
        return vec![entry(
            RANGES,
            host_port,
            port.last_target(),
            vec![container],
        )];
    }
    let shifts = shifts(host_port, port.target, port.count).into_iter();
    let shifts = shifts.map(|Shift { ports, into }| {
        let into = [into.0, into.1].map(Value::Port);
        let data = std::iter::once(container.clone()).chain(into).collect();
        entry(SHIFTED, ports.0, ports.1, data)
    });
    shifts.collect()
}

/// Ports, first and last, and the range that sends them where they belong: port `p` becomes
/// `into.0 + p % (into.1 - into.0 + 1)`.
#[derive(Debug, PartialEq, Eq)]
struct Shift {
    ports: (u16, u16),
    into: (u16, u16),
}

/// How `count` ports from `host` on become as many from `target` on. Upwards nothing has to wrap around; downwards it has
/// to exactly once, which takes several pieces only for a range that begins below its own length.
fn shifts(host: u16, target: u16, count: u16) -> Vec<Shift> {
    if target >= host {
        return vec![Shift {
            ports: (host, host + (count - 1)),
            into: (target - host, u16::MAX),
        }];
    }
    let mut found = Vec::new();
    let (mut host, mut target, mut left) = (u32::from(host), u32::from(target), u32::from(count));
    while left > 0 {
        // The modulus: each port holds it once, and the range ends where ports do.
        let modulus = host.min(((1 << 16) + host - target) / 2);
        let n = left.min(2 * modulus - host);
        let first = target + modulus - host;
        let port = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        found.push(Shift {
            ports: (port(host), port(host + n - 1)),
            into: (port(first), port(first + modulus - 1)),
        });
        (host, target, left) = (host + n, target + n, left - n);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_port_of_a_range_is_moved_by_the_same(host in 1..=u16::MAX, target in 1..=u16::MAX, count in 1..=u16::MAX) {
            let count = count.min(u16::MAX - host + 1).min(u16::MAX - target + 1);
            let shifts = shifts(host, target, count);
            let mut next = u32::from(host);
            for shift in &shifts {
                prop_assert_eq!(u32::from(shift.ports.0), next, "without gap");
                prop_assert!(shift.into.0 <= shift.into.1);
                next = u32::from(shift.ports.1) + 1;
                let size = u32::from(shift.into.1 - shift.into.0) + 1;
                for p in [shift.ports.0, shift.ports.0 + (shift.ports.1 - shift.ports.0) / 2, shift.ports.1] {
                    let sent = u32::from(shift.into.0) + u32::from(p) % size;
                    prop_assert_eq!(sent, u32::from(target) + u32::from(p - host));
                }
            }
            prop_assert_eq!(next, u32::from(host) + u32::from(count), "to its end");
            prop_assert!(shifts.len() <= 16);
        }
    }

    #[test]
    fn ranges_that_overlap_are_one() {
        let ip = IpAddr::from([10, 0, 0, 2]);
        let ranges = vec![
            (ip, 6, 85, 89),
            (ip, 6, 80, 86),
            (ip, 6, 90, 91),
            (ip, 17, 80, 80),
        ];
        assert_eq!(
            apart(ranges),
            [(ip, 6, 80, 89), (ip, 6, 90, 91), (ip, 17, 80, 80)]
        );
    }

    #[test]
    fn a_common_range_is_one_piece() {
        assert_eq!(
            shifts(8000, 80, 100),
            [Shift {
                ports: (8000, 8099),
                into: (80, 8079)
            }]
        );
        assert_eq!(shifts(80, 8000, 100).len(), 1);
        assert_eq!(shifts(40000, 30000, 16000).len(), 1);
    }
}

//! What the decoders of plugins' answers are held to, whatever the bytes: no panic, and nothing gets through that a row or
//! a line of text must not hold.

use plugin::fuzzing;

fn is_link_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'/' && b != b':')
}

/// An answer of a plugin, whatever was asked.
pub fn answer(data: &[u8]) {
    if let Some(answer) = fuzzing::joined(data) {
        let joined = &answer.joined;
        assert!(joined.link.iter().all(|name| is_link_name(name)));
        assert!(answer.prefix.is_empty() || is_link_name(&format!("{}999", answer.prefix)));
        assert!(joined.gateways.len() <= 2 && joined.routes.len() <= 1024);
        for route in &joined.routes {
            assert_eq!(route.dst, route.dst.trunc());
            assert!(
                route
                    .via
                    .is_none_or(|via| via.is_ipv6() == route.dst.addr().is_ipv6())
            );
        }
    }
    if let Some(assigned) = fuzzing::assigned(data) {
        assert!(assigned.ipv4.is_none_or(|a| a.addr().is_ipv4()));
        assert!(assigned.ipv6.is_none_or(|a| a.addr().is_ipv6()));
        assert!(
            assigned
                .mac
                .is_none_or(|mac| mac.0[0] & 1 == 0 && mac.0 != [0; 6])
        );
    }
    if let Some(pool) = fuzzing::pool(data) {
        assert_eq!(pool.subnet, pool.subnet.trunc());
        assert!((1..=1024).contains(&pool.id.len()));
    }
    fuzzing::address(data);
    assert!(
        fuzzing::published(data)
            .iter()
            .all(|p| p.host_port.is_some_and(|port| port > 0))
    );
    let text = fuzzing::refusal(data);
    assert!(text.chars().count() <= 1024 && !text.chars().any(char::is_control));
}

/// What an engine asks of our driver: ids are names of files, and nothing is outside of its subnet.
pub fn request(data: &[u8]) {
    if let Some(network) = fuzzing::network(data) {
        assert!(is_id(&network.id));
        for pool in &network.pools {
            assert_eq!(pool.subnet, pool.subnet.trunc());
            let inside = pool.gateway.iter().chain(pool.aux.values());
            assert!({ inside }.all(|ip| pool.subnet.contains(ip)));
        }
        if let Some(endpoint) = fuzzing::endpoint(data, &network) {
            assert!(is_id(&endpoint.id) && is_link_name(&endpoint.ifname));
            assert!({ endpoint.addresses() }.all(|a| network.pool_of(&a.addr()).is_some()));
        }
    }
    if let Some((subnet, range)) = fuzzing::asked(data) {
        assert!(subnet == subnet.trunc() && !subnet.addr().is_unspecified());
        assert!(range.is_none_or(|range| range == range.trunc() && subnet.contains(&range)));
    }
    for port in fuzzing::ports(data) {
        assert!(port.target > 0 && port.count > 0);
        assert!(port.target.checked_add(port.count - 1).is_some());
        assert!(
            port.host
                .is_none_or(|(first, last)| first > 0 && first <= last)
        );
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// A file that says where a plugin is.
pub fn specification(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for address in fuzzing::specifications(&text) {
        assert_eq!(fuzzing::specifications(&address), [address]);
    }
}

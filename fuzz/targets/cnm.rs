//! What the parsers of ports, sysctls and answers to our own questions are held to, whatever the bytes.

use std::collections::BTreeMap;

use cnm::fuzzing;
use engine_types::PortMap;
use engine_types::container::PortBinding;

/// `PortBindings` of a request: every port of it is read once or all of it is refused, and ranges say what single ports do.
pub fn ports(data: &[u8]) {
    type Map = BTreeMap<String, Option<Vec<PortBinding>>>;
    let Ok(ports) = serde_json::from_slice::<PortMap>(data) else {
        return;
    };
    let one_by_one: Map = ports.iter().collect();
    let text = serde_json::to_string(&ports).expect("a map is written");
    assert_eq!(
        text,
        serde_json::to_string(&one_by_one).expect("a map is written")
    );
    assert_eq!(
        serde_json::from_str::<PortMap>(&text).expect("and read"),
        ports
    );
    let Ok(all) = cnm::published(&ports) else {
        return;
    };
    let mut count = 0;
    for one in &all {
        assert!(one.target > 0 && one.count > 0);
        assert!(one.target.checked_add(one.count - 1).is_some());
        if let Some((first, last)) = one.host {
            assert!(first > 0 && first <= last);
            assert!(
                one.count == 1 || (first == last && first.checked_add(one.count - 1).is_some())
            );
        }
        count += usize::from(one.count);
    }
    let bindings = |b: &Option<Vec<PortBinding>>| b.as_ref().map_or(1, |b| b.len().max(1));
    assert_eq!(count, one_by_one.values().map(bindings).sum::<usize>());
}

/// A sysctl that a user asks for becomes a path below `/proc/sys`: never out of it.
pub fn sysctl(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some([before, after, value]) = fuzzing::sysctl(&text) {
        assert!(before.starts_with("net.") && !value.is_empty());
        for part in before.split('.').chain(after.split('.')) {
            assert!(!part.is_empty() && !part.contains(['/', '.', '\0']));
        }
    }
}

/// Whatever a raw socket hears, of either family.
pub fn icmp(data: &[u8]) {
    for v6 in [false, true] {
        let about = fuzzing::icmp(v6, data);
        assert!(!about || data.len() >= 8);
        assert!(!fuzzing::reset(v6, data) || data.len() >= 20);
    }
}

/// Whoever sits behind 127.0.0.11.
pub fn answer(data: &[u8]) {
    if let Some(found) = fuzzing::answer(data) {
        assert!(found.len() <= data.len());
    }
}

//! Things by port, `80/tcp`: one by one on the wire, a range in memory where they are in step.
//!
//! `docker run -p 20000-36199:20000-36199` says everything twice 16,200 times over. Kept as it is written that is
//! megabytes for each container.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Empty;
use crate::container::PortBinding;

/// Where a container's ports lead to.
pub type PortMap = Ports<Option<Vec<PortBinding>>>;
/// Ports that are exposed.
pub type PortSet = Ports<Empty>;

/// What a port can have so that the next one has it too, a port further.
pub trait InStep: Clone + Default + PartialEq {
    fn further(&self, by: u16) -> Option<Self>;
}

impl InStep for Empty {
    fn further(&self, _by: u16) -> Option<Self> {
        Some(*self)
    }
}

impl InStep for Option<Vec<PortBinding>> {
    fn further(&self, by: u16) -> Option<Self> {
        let further = |binding: &PortBinding| {
            let host_port = match binding.exact() {
                Some(port) => port.checked_add(by)?.to_string(),
                None => binding.host_port.clone(),
            };
            Some(PortBinding {
                host_ip: binding.host_ip.clone(),
                host_port,
            })
        };
        match self {
            None => Some(None),
            Some(bindings) => bindings
                .iter()
                .map(further)
                .collect::<Option<_>>()
                .map(Some),
        }
    }
}

impl PortBinding {
    /// The host's port, when it is one and written as a number is.
    pub fn exact(&self) -> Option<u16> {
        canonical(&self.host_port)
    }
}

fn canonical(text: &str) -> Option<u16> {
    let plain = !text.starts_with(['0', '+']) || text == "0";
    text.parse().ok().filter(|_| plain)
}

/// A map from names of ports.
#[derive(Clone, Debug, PartialEq)]
pub struct Ports<V>(BTreeMap<Key, Run<V>>);

/// What stands behind the number, and the number; none where a name does not begin with one.
type Key = (String, Option<u16>);

#[derive(Clone, Debug, PartialEq)]
struct Run<V> {
    count: u16,
    /// Of the first.
    value: V,
}

/// So many ports in a row, in step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range<'a, V> {
    pub first: Option<u16>,
    /// What stands behind the number: `/tcp`.
    pub rest: &'a str,
    pub count: u16,
    /// Of the first.
    pub value: &'a V,
}

impl<V> Default for Ports<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

fn key(name: &str) -> Key {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = name.split_at(digits);
    match canonical(number) {
        Some(number) => (rest.to_string(), Some(number)),
        None => (name.to_string(), None),
    }
}

fn name(first: Option<u16>, rest: &str, further: u16) -> String {
    let number = first.map(|first| first.saturating_add(further).to_string());
    number.unwrap_or_default() + rest
}

impl<V: InStep> Ports<V> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn ranges(&self) -> impl Iterator<Item = Range<'_, V>> {
        self.0.iter().map(|((rest, first), run)| Range {
            first: *first,
            rest,
            count: run.count,
            value: &run.value,
        })
    }

    /// Each port by itself.
    pub fn iter(&self) -> impl Iterator<Item = (String, V)> + use<'_, V> {
        self.0.iter().flat_map(|((rest, first), run)| {
            let at = |i| Some((name(*first, rest, i), run.value.further(i)?));
            (0..run.count).filter_map(at)
        })
    }

    pub fn names(&self) -> impl Iterator<Item = String> + use<'_, V> {
        self.iter().map(|(name, _)| name)
    }

    pub fn get(&self, name: &str) -> Option<V> {
        let (start, by) = self.find(&key(name))?;
        self.0.get(&start)?.value.further(by)
    }

    /// The range that the port is in, and its place there.
    fn find(&self, key: &Key) -> Option<(Key, u16)> {
        let (start, run) = self.0.range(..=key).next_back()?;
        let by = match (start.1, key.1) {
            (Some(first), Some(port)) => port.checked_sub(first)?,
            (None, None) => 0,
            _ => return None,
        };
        (start.0 == key.0 && by < run.count).then(|| (start.clone(), by))
    }

    pub fn insert(&mut self, name: &str, value: V) {
        let at = key(name);
        if let Some((start, by)) = self.find(&at) {
            self.cut_out(start, by);
        }
        let mut run = Run { count: 1, value };
        let mut at = at;
        if let Some(port) = at.1 {
            // The one before goes on with it, and it with the one behind.
            let before = self.0.range(..&at).next_back();
            if let Some((start, former)) = before
                && let (Some(first), true) = (start.1, start.0 == at.0)
                && first.checked_add(former.count) == Some(port)
                && former.value.further(former.count).as_ref() == Some(&run.value)
                && let Some(count) = former.count.checked_add(1)
            {
                let (start, value) = (start.clone(), former.value.clone());
                run = Run { count, value };
                at = start;
            }
            let behind = (at.0.clone(), port.checked_add(1));
            if behind.1.is_some()
                && let Some(next) = self.0.get(&behind)
                && run.value.further(run.count).as_ref() == Some(&next.value)
                && let Some(count) = run.count.checked_add(next.count)
            {
                run.count = count;
                self.0.remove(&behind);
            }
        }
        self.0.insert(at, run);
    }

    fn cut_out(&mut self, start: Key, by: u16) {
        let Some(run) = self.0.remove(&start) else {
            return;
        };
        let tail = by + 1;
        if let (Some(first), Some(value), true) =
            (start.1, run.value.further(tail), tail < run.count)
        {
            let at = (start.0.clone(), first.checked_add(tail));
            let count = run.count - tail;
            self.0.insert(at, Run { count, value });
        }
        if by > 0 {
            let count = by;
            self.0.insert(start, Run { count, ..run });
        }
    }
}

impl<S: AsRef<str>, V: InStep> Extend<(S, V)> for Ports<V> {
    fn extend<I: IntoIterator<Item = (S, V)>>(&mut self, all: I) {
        for (name, value) in all {
            self.insert(name.as_ref(), value);
        }
    }
}

impl<S: AsRef<str>, V: InStep> FromIterator<(S, V)> for Ports<V> {
    fn from_iter<I: IntoIterator<Item = (S, V)>>(all: I) -> Self {
        let mut ports = Self::default();
        ports.extend(all);
        ports
    }
}

impl<S: AsRef<str>, V: InStep, const N: usize> From<[(S, V); N]> for Ports<V> {
    fn from(all: [(S, V); N]) -> Self {
        all.into_iter().collect()
    }
}

/// In Go's order: by the text of the names.
impl<V: InStep + Serialize> Serialize for Ports<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all: Vec<(String, V)> = self.iter().collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        serializer.collect_map(all)
    }
}

impl<'de, V: InStep + Deserialize<'de>> Deserialize<'de> for Ports<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<V>(PhantomData<V>);
        impl<'de, V: InStep + Deserialize<'de>> Visitor<'de> for Map<V> {
            type Value = Ports<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of ports")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ports<V>, A::Error> {
                let mut ports = Ports::default();
                // `null` is a zero value, as Go has it.
                while let Some((name, value)) = map.next_entry::<String, Option<V>>()? {
                    ports.insert(&name, value.unwrap_or_default());
                }
                Ok(ports)
            }
        }
        deserializer.deserialize_map(Map(PhantomData))
    }
}

/// Go's `omitempty`.
pub fn none(ports: &Option<PortSet>) -> bool {
    ports.as_ref().is_none_or(Ports::is_empty)
}

/// As ranges on disk, too (`#[serde(with = …)]`): the name of the first port, how many, and what the first has.
pub mod as_ranges {
    use super::*;

    pub fn serialize<V: InStep + Serialize, S: Serializer>(
        ports: &Option<Ports<V>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let ranges = ports.as_ref().map(|ports| {
            let range = |r: Range<'_, V>| (name(r.first, r.rest, 0), r.count, r.value.clone());
            ports.ranges().map(range).collect::<Vec<_>>()
        });
        ranges.serialize(serializer)
    }

    pub fn deserialize<'de, V: InStep + Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Ports<V>>, D::Error> {
        let ranges = Option::<Vec<(String, u16, V)>>::deserialize(deserializer)?;
        Ok(ranges.map(|ranges| {
            let range = |(name, count, value)| (key(name), Run { count, value });
            let whole = |(name, count, value): &(String, u16, V)| {
                let last = value.further(count.saturating_sub(1));
                let first = key(name)
                    .1
                    .map_or(1, |first| u32::from(first) + u32::from(*count));
                *count > 0 && last.is_some() && first <= 1 << 16
            };
            let ranges = ranges.iter().filter(|r| whole(r));
            Ports(
                ranges
                    .map(|(name, count, value)| range((name, *count, value.clone())))
                    .collect(),
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to(port: &str) -> Option<Vec<PortBinding>> {
        Some(vec![PortBinding {
            host_ip: String::new(),
            host_port: port.into(),
        }])
    }

    #[test]
    fn a_range_is_one() {
        let ports: PortMap = (20_000..36_200)
            .map(|p| (format!("{p}/tcp"), to(&(p + 1).to_string())))
            .collect();
        assert_eq!(ports.ranges().count(), 1);
        assert_eq!(ports.get("20007/tcp"), Some(to("20008")));
        assert_eq!(ports.get("20007/udp"), None);
        let all: PortSet = (0..=u16::MAX).map(|p| (p.to_string(), Empty {})).collect();
        assert_eq!(
            all.ranges().map(|r| r.count).collect::<Vec<_>>(),
            [u16::MAX, 1]
        );
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_survives_the_wire_and_the_disk(
            entries in proptest::collection::vec((0..9u8, 0..2u8, 0..5u8, 0..3u8), 0..40),
        ) {
            let mut model = BTreeMap::new();
            let mut ports = PortMap::default();
            for (port, rest, host, kind) in entries {
                let rest = ["/tcp", ""][usize::from(rest)];
                let value = match kind {
                    0 => None,
                    1 => to(&(8000 + u16::from(host) + u16::from(port)).to_string()),
                    _ => to(["", "0", "80-90", "065", "65535"][usize::from(host)]),
                };
                let name = match port {
                    8 => format!("x{rest}"),
                    7 => format!("07{rest}"),
                    _ => format!("{}{rest}", u32::from(port) + 65_530 * u32::from(host % 2)),
                };
                ports.insert(&name, value.clone());
                model.insert(name, value);
            }
            prop_assert_eq!(&ports.iter().collect::<BTreeMap<_, _>>(), &model);
            prop_assert!(model.iter().all(|(name, value)| ports.get(name).as_ref() == Some(value)));
            let text = serde_json::to_string(&ports).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&model).unwrap());
            prop_assert_eq!(&serde_json::from_str::<PortMap>(&text).unwrap(), &ports);

            #[derive(Serialize, Deserialize)]
            struct Disk(#[serde(with = "as_ranges")] Option<PortMap>);
            let text = serde_json::to_string(&Disk(Some(ports.clone()))).unwrap();
            prop_assert_eq!(serde_json::from_str::<Disk>(&text).unwrap().0, Some(ports));
        }
    }
}

//! Go's JSON conventions where serde's differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// RFC 3339 with nanoseconds; empty is Go's zero time, `0001-01-01T00:00:00Z`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub String);

const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

impl Time {
    pub fn now() -> Self {
        Self(format!("{:.9}", jiff::Timestamp::now()))
    }
    pub fn from_unix(seconds: i64, nanos: i32) -> Self {
        match jiff::Timestamp::new(seconds, nanos) {
            Ok(t) => Self(t.to_string()),
            Err(_) => Self::default(),
        }
    }
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() {
            ZERO_TIME
        } else {
            &self.0
        }
    }
    pub fn is_zero(&self) -> bool {
        self.0.is_empty() || self.0 == ZERO_TIME
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(d)?.unwrap_or_default();
        Ok(Self(if text == ZERO_TIME {
            String::new()
        } else {
            text
        }))
    }
}

/// Bytes, written as standard base64 text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        s.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(d)?;
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// Go's `struct{}`: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// `filters=` of a listing: key to accepted values. Reads both Docker's forms, `{"k":{"v":true}}` and `{"k":["v"]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

impl Filters {
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// True when there is no filter `key`, or one of its values satisfies `matches`.
    pub fn any(&self, key: &str, matches: impl Fn(&str) -> bool) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().any(|v| matches(v))
    }

    /// `key` or `key=value` filters, all of which must hold (Docker's `label`).
    pub fn labels_match(&self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        self.get(key).iter().all(|want| match want.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
            None => labels.contains_key(want),
        })
    }

    /// Docker's error for a key that the listing does not know.
    pub fn validate(&self, accepted: &[&str]) -> crate::Result<()> {
        match self.0.keys().find(|key| !accepted.contains(&key.as_str())) {
            Some(key) => Err(crate::Error::invalid(format!("invalid filter '{key}'"))),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Values {
            Set(BTreeMap<String, bool>),
            List(Vec<String>),
        }
        let map = BTreeMap::<String, Values>::deserialize(d)?;
        Ok(Self(
            map.into_iter()
                .map(|(key, values)| match values {
                    Values::Set(set) => (
                        key,
                        set.into_iter()
                            .filter_map(|(v, on)| on.then_some(v))
                            .collect(),
                    ),
                    Values::List(list) => (key, list),
                })
                .collect(),
        ))
    }
}

/// `null` reads as the zero value, as Go does.
pub fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// A map whose values may be `null`, which then are zero values (Go's nil pointers).
pub fn null_values<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<Option<BTreeMap<String, T>>, D::Error> {
    let map = Option::<BTreeMap<String, Option<T>>>::deserialize(d)?;
    Ok(map.map(|map| {
        map.into_iter()
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .collect()
    }))
}

/// A command line: one string stands for a list of one.
pub fn str_slice<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Words>::deserialize(d)?.map(|words| match words {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    }))
}

/// Go's `[2]uint` is never `null`: height and width, both 0 when unknown.
pub fn console_size<S: Serializer>(size: &Option<Vec<u64>>, s: S) -> Result<S::Ok, S::Error> {
    match size {
        Some(size) => size.serialize(s),
        None => [0, 0].serialize(s),
    }
}

/// Go writes whole floats without a point.
pub fn float<S: Serializer>(value: &f32, s: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        s.serialize_i64(*value as i64)
    } else {
        s.serialize_f32(*value)
    }
}

/// Go's `omitempty` for slices and maps: nil, or without elements.
pub fn no_items<C>(items: &Option<C>) -> bool
where
    for<'a> &'a C: IntoIterator,
{
    items
        .as_ref()
        .is_none_or(|items| items.into_iter().next().is_none())
}

/// Go's `omitempty`.
pub fn is_empty<T: OmitEmpty>(value: &T) -> bool {
    value.omit()
}

/// What Go's encoder calls empty: false, 0, "", nil. For slices and maps see [`no_items`].
pub trait OmitEmpty {
    fn omit(&self) -> bool;
}

macro_rules! omit_when_default {
    ($($t:ty),*) => { $(impl OmitEmpty for $t { fn omit(&self) -> bool { *self == <$t>::default() } })* };
}
omit_when_default!(bool, i32, i64, u16, u32, u64, f32, String);

impl OmitEmpty for Time {
    /// Go never omits a `time.Time`, which is a struct.
    fn omit(&self) -> bool {
        false
    }
}

/// A nil pointer.
impl<T> OmitEmpty for Option<T> {
    fn omit(&self) -> bool {
        self.is_none()
    }
}

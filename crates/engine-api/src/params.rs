//! A request's query, read as Docker reads it.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use engine_types::{Error, Filters};

use crate::reply::Failure;

/// The query's pairs in order.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|e| Error::invalid(e.body_text()).into())
    }
}

impl Params {
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// The first value; empty when there is none.
    pub fn text(&self, key: &str) -> &str {
        self.all(key).next().unwrap_or_default()
    }

    pub fn optional(&self, key: &str) -> Option<&str> {
        Some(self.text(key)).filter(|v| !v.is_empty())
    }

    /// Anything but nothing, `0`, `no`, `false` and `none` is true.
    pub fn flag(&self, key: &str) -> bool {
        let value = self.text(key).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// `None` when it is absent.
    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(text) = self.optional(key) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Error::invalid(format!("invalid value for {key}: '{text}'"))),
        }
    }

    /// `version=`, which every update of a swarm object needs.
    pub fn version(&self, object: &str) -> Result<u64, Error> {
        let text = self.text("version");
        text.parse().map_err(|_| {
            Error::invalid(format!(
                "invalid {object} version '{text}': strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })
    }

    pub fn filters(&self) -> Result<Filters, Error> {
        match self.optional("filters") {
            None => Ok(Filters::default()),
            Some(text) => serde_json::from_str(text).map_err(|_| Error::invalid("invalid filter")),
        }
    }

    /// A moment as `seconds[.nanoseconds]` since 1970; `0` and nothing mean none.
    pub fn moment(&self, key: &str) -> Result<Option<(i64, i32)>, Error> {
        match self.text(key) {
            "" | "0" => Ok(None),
            text => moment(text)
                .map(Some)
                .ok_or_else(|| Error::invalid(format!("invalid value for {key}: '{text}'"))),
        }
    }
}

fn moment(text: &str) -> Option<(i64, i32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some((seconds.parse().ok()?, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        let uri = format!("/x?{query}").parse().unwrap();
        Params(Query::try_from_uri(&uri).unwrap().0)
    }

    #[test]
    fn flags_are_true_unless_they_say_no() {
        for (query, expected) in [
            ("", false),
            ("a=", false),
            ("a=0", false),
            ("a=False", false),
            ("a=none", false),
            ("a=1", true),
            ("a=true", true),
            ("a=x", true),
        ] {
            assert_eq!(params(query).flag("a"), expected, "{query}");
        }
    }

    #[test]
    fn filters_come_in_both_forms_or_fail() {
        let both = [
            "filters=%7B%22name%22%3A%7B%22x%22%3Atrue%7D%7D",
            "filters=%7B%22name%22%3A%5B%22x%22%5D%7D",
        ];
        for query in both {
            assert_eq!(params(query).filters().unwrap().get("name"), ["x"]);
        }
        assert!(params("").filters().unwrap().0.is_empty());
        assert_eq!(
            params("filters=nonsense").filters().unwrap_err().message,
            "invalid filter"
        );
    }

    #[test]
    fn moments_have_up_to_nanoseconds() {
        for (text, expected) in [
            ("t=12", Ok(Some((12, 0)))),
            ("t=12.5", Ok(Some((12, 500_000_000)))),
            ("t=12.000000007", Ok(Some((12, 7)))),
            ("t=0", Ok(None)),
            ("", Ok(None)),
            ("t=yesterday", Err(())),
            ("t=1.0000000001", Err(())),
        ] {
            assert_eq!(params(text).moment("t").map_err(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn values_repeat_and_numbers_are_checked() {
        let names: Vec<String> = params("names=a&names=b%2Fc")
            .all("names")
            .map(Into::into)
            .collect();
        assert_eq!(names, ["a", "b/c"]);
        assert_eq!(params("t=-1").number::<i64>("t"), Ok(Some(-1)));
        assert!(params("t=soon").number::<i64>("t").is_err());
        assert_eq!(
            params("version=x").version("node").unwrap_err().message,
            "invalid node version 'x': strconv.ParseUint: parsing \"x\": invalid syntax"
        );
    }
}

//! Filters that several listings know.

use std::collections::BTreeMap;

use engine_types::{Error, Filters, Result, Time};

/// Part of the name, or anchored with `^` and `$`; Docker shows names with a slash, so both forms count.
pub(crate) fn name_matches(want: &str, name: &str) -> bool {
    let (starts, rest) = match want.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, want),
    };
    let (ends, rest) = match rest.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let bare = rest.strip_prefix('/').unwrap_or(rest);
    match (starts || rest.len() != bare.len(), ends) {
        (true, true) => name == bare,
        (true, false) => name.starts_with(bare),
        (false, true) => name.ends_with(bare),
        (false, false) => name.contains(bare),
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(time: &Time) -> i64 {
    time.as_str()
        .parse::<jiff::Timestamp>()
        .map_or(0, jiff::Timestamp::as_second)
}

/// The `until` filter: seconds since 1970, a time, or a duration before now (`10m`).
pub(crate) fn until(filters: &Filters) -> Result<Option<i64>> {
    let [text] = filters.get("until") else {
        return match filters.get("until").len() {
            0 => Ok(None),
            _ => Err(Error::invalid("more than one until filter specified")),
        };
    };
    let invalid = || Error::invalid(format!("invalid filter 'until={text}'"));
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(Some(seconds as i64));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(Some(time.as_second()));
    }
    let nanos = crate::image::changes::duration(text).ok_or_else(invalid)?;
    Ok(Some(
        jiff::Timestamp::now().as_second() - nanos / 1_000_000_000,
    ))
}

/// `label!=…` filters: none of them may hold.
pub(crate) fn labels_exclude(filters: &Filters, labels: &BTreeMap<String, String>) -> bool {
    !filters
        .get("label!")
        .iter()
        .any(|want| match want.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
            None => labels.contains_key(want),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_filters() {
        for (want, name, expected) in [
            ("web", "my-web-1", true),
            ("^/web$", "web", true),
            ("^web$", "web1", false),
            ("^web", "web1", true),
            ("/web", "xweb", false),
        ] {
            assert_eq!(name_matches(want, name), expected, "{want} {name}");
        }
    }
}

//! API versions: the `/v1.NN` in front of a path, and what a version that we do not speak is told.

use std::fmt;

use axum::extract::Request;
use axum::http::Uri;
use engine_types::Error;

/// The newest API version that is served, and the one that an unversioned path means.
pub const MAX_VERSION: ApiVersion = ApiVersion(1, 51);
/// The oldest one: that of the first engine with swarm mode.
pub const MIN_VERSION: ApiVersion = ApiVersion(1, 24);

/// The API version that a request is made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u32, pub u32);

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl ApiVersion {
    pub fn at_least(self, minor: u32) -> bool {
        self >= Self(1, minor)
    }
}

/// Takes the version off the request's path and leaves it in the extensions.
pub fn strip(request: &mut Request) -> Result<(), Error> {
    let version = match split(request.uri().path()) {
        None => MAX_VERSION,
        Some((version, rest)) => {
            let version = check(version)?;
            let target = match request.uri().query() {
                Some(query) => format!("{rest}?{query}"),
                None => rest.to_owned(),
            };
            *request.uri_mut() = target.parse::<Uri>().map_err(Error::invalid)?;
            version
        }
    };
    request.extensions_mut().insert(version);
    Ok(())
}

/// `/v1.41/info` → `("1.41", "/info")`.
fn split(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v")?;
    let end = rest.find('/')?;
    let (version, rest) = rest.split_at(end);
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    (version.starts_with(|c: char| c.is_ascii_digit()) && version.chars().all(digits))
        .then_some((version, rest))
}

fn check(text: &str) -> Result<ApiVersion, Error> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
        return Err(Error::invalid(format!("invalid API version {text}")));
    };
    let version = ApiVersion(major, minor);
    if version < MIN_VERSION {
        Err(Error::invalid(format!(
            "client version {text} is too old. Minimum supported API version is {MIN_VERSION}, please upgrade your client to a newer version"
        )))
    } else if version > MAX_VERSION {
        Err(Error::invalid(format!(
            "client version {text} is too new. Maximum supported API version is {MAX_VERSION}"
        )))
    } else {
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn stripped(uri: &str) -> Result<(String, ApiVersion), String> {
        let mut request = Request::builder().uri(uri).body(Body::empty()).unwrap();
        strip(&mut request).map_err(|e| e.message)?;
        let version = *request.extensions().get::<ApiVersion>().unwrap();
        Ok((request.uri().to_string(), version))
    }

    #[test]
    fn a_version_is_taken_off() {
        assert_eq!(
            stripped("/v1.41/containers/json?all=1&filters=%7B%7D"),
            Ok((
                "/containers/json?all=1&filters=%7B%7D".into(),
                ApiVersion(1, 41)
            ))
        );
        assert_eq!(stripped("/info"), Ok(("/info".into(), MAX_VERSION)));
    }

    #[test]
    fn a_path_that_only_looks_like_a_version_stays() {
        for path in ["/version", "/volumes/x", "/vx/info", "/v1.41"] {
            assert_eq!(stripped(path), Ok((path.into(), MAX_VERSION)), "{path}");
        }
    }

    #[test]
    fn versions_out_of_range_get_dockers_text() {
        assert_eq!(
            stripped("/v1.23/info").unwrap_err(),
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        );
        assert_eq!(
            stripped("/v1.52/info").unwrap_err(),
            "client version 1.52 is too new. Maximum supported API version is 1.51"
        );
        assert_eq!(
            stripped("/v1..4/info").unwrap_err(),
            "invalid API version 1..4"
        );
    }
}

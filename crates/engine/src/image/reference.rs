//! Image names: `repository:tag` as users write and see them.

use engine_types::{Error, Result};

/// A parsed name, in Docker's familiar form (`docker.io/library/busybox` is `busybox`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || Error::invalid("invalid reference format");
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest {
            let hex = digest.strip_prefix("sha256:").ok_or_else(invalid)?;
            if !is_id(hex) {
                return Err(invalid());
            }
        }
        // A colon after the last slash begins the tag; before it, it is a registry's port.
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid());
        }
        let (domain, path) = match repository.split_once('/') {
            Some((domain, path)) if is_registry(domain) => (Some(domain), path),
            _ => (None, repository),
        };
        if domain.is_some_and(|domain| !is_domain(domain)) {
            return Err(invalid());
        }
        if !path.split('/').all(is_component) || repository.len() > 255 {
            if path.chars().any(|c| c.is_ascii_uppercase()) {
                return Err(Error::invalid(
                    "invalid reference format: repository name must be lowercase",
                ));
            }
            return Err(invalid());
        }
        let repository = match domain {
            None | Some("docker.io" | "index.docker.io") => familiar(path),
            Some(_) => repository.to_owned(),
        };
        Ok(Self {
            repository,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// `repository:tag`, with `latest` when no tag was given.
    pub fn tagged(&self) -> String {
        format!(
            "{}:{}",
            self.repository,
            self.tag.as_deref().unwrap_or("latest")
        )
    }
}

/// The shortest text that still means `path` on Docker's own registry.
fn familiar(path: &str) -> String {
    match path.split_once('/') {
        Some(("library", name)) if !name.contains('/') => name.to_owned(),
        // Alone, its first part would be taken for a registry.
        Some((first, _)) if is_registry(first) => format!("docker.io/{path}"),
        _ => path.to_owned(),
    }
}

fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

/// 64 lower-case hex characters.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

pub(crate) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= 128
        && !tag.starts_with(['.', '-'])
        && !tag.is_empty()
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    }) && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Lower-case letters and digits, parted by `.`, `_`, `__` or dashes.
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = bytes.first().copied().is_some_and(alphanumeric)
        && bytes.last().copied().is_some_and(alphanumeric);
    ends && bytes
        .split(|b| alphanumeric(*b))
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |text: &str, expected: Option<&str>| {
            let got = Reference::parse(text).ok().map(|r| r.tagged());
            assert_eq!(got.as_deref(), expected, "{text}");
        };
        check("busybox", Some("busybox:latest"));
        check("library/busybox:1", Some("busybox:1"));
        check("docker.io/library/busybox:1.2-x", Some("busybox:1.2-x"));
        check("docker.io/me/app", Some("me/app:latest"));
        check("localhost:5000/a/b:c", Some("localhost:5000/a/b:c"));
        check("quay.io/a__b/c--d", Some("quay.io/a__b/c--d:latest"));
        check("library/library/x", Some("library/library/x:latest"));
        check(
            "index.docker.io/quay.io/x",
            Some("docker.io/quay.io/x:latest"),
        );
        check("Busybox", None);
        check("a//b", None);
        check("a:", None);
        check("", None);
        check("a_-b", None);
        check("a@sha256:12", None);
        let digest = format!("a@sha256:{}", "0".repeat(64));
        assert!(Reference::parse(&digest).unwrap().digest.is_some());
    }
}

//! Image references: `[host[:port]/]path[:tag][@digest]`.

/// Whether the reference is one that Docker's parser takes.
pub fn valid(reference: &str) -> bool {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (Some(host), path),
        _ => (None, name),
    };
    host.is_none_or(valid_host)
        && path.split('/').all(valid_component)
        && tag.is_none_or(valid_tag)
        && digest.is_none_or(valid_digest)
}

fn is_host(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.chars().any(|c| c.is_ascii_uppercase())
}

fn valid_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    name.split('.').all(label) && !port.is_empty() && port.chars().all(|c| c.is_ascii_digit())
}

/// Lower-case words, joined by `.`, `_`, `__` or any number of `-`.
fn valid_component(component: &str) -> bool {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = component.split(lower).filter(|between| !between.is_empty());
    component.starts_with(lower)
        && component.ends_with(lower)
        && separators.all(|s| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

fn valid_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&tag.len())
        && tag.starts_with(word)
        && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

fn valid_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
        && algorithm
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+._-".contains(c))
        && hex.len() >= 32
        && hex.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::valid;

    #[test]
    fn references_are_docker_s() {
        let digest = format!("busybox@sha256:{}", "0a".repeat(32));
        for good in [
            "busybox",
            "library/busybox:1.36",
            "localhost:5000/a/b:latest",
            "registry.example.com/team/app_x--y:V1.2-rc",
            "localhost/x",
            &digest,
        ] {
            assert!(valid(good), "{good}");
        }
        for bad in [
            "",
            "Busybox",
            "a//b",
            "a:",
            "a b",
            "a___b",
            "-a",
            "a@sha256:12",
            "a:b:c/d:",
            "host:port/a",
        ] {
            assert!(!valid(bad), "{bad}");
        }
    }
}

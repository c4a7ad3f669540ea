//! Names of objects.

use swarm_wire::pb;

use super::refusal::Refusal;

/// Of services and networks: they become DNS labels.
pub fn check(annotations: Option<&pb::Annotations>) -> Result<(), Refusal> {
    let name = annotations.map_or("", |annotations| &annotations.name);
    if name.is_empty() {
        return Err(Refusal::invalid("meta: name must be provided"));
    }
    if !edges_are_alphanumeric(name)
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    {
        return Err(Refusal::invalid(
            "name must be valid as a DNS name component",
        ));
    }
    if name.len() > 63 {
        return Err(Refusal::invalid("name must be 63 characters or fewer"));
    }
    Ok(())
}

/// Of secrets and configs.
pub fn check_payload(annotations: Option<&pb::Annotations>) -> Result<(), Refusal> {
    let name = annotations.map_or("", |annotations| &annotations.name);
    if name.is_empty() {
        return Err(Refusal::invalid("name must be provided"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.len() > 64 || !edges_are_alphanumeric(name) || !name.chars().all(allowed) {
        return Err(Refusal::invalid(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]",
        ));
    }
    Ok(())
}

fn edges_are_alphanumeric(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        let long = "a".repeat(64);
        for (name, expected) in [
            ("web", None),
            ("a", None),
            ("Web_2--x", None),
            ("", Some("meta: name must be provided")),
            ("-web", Some("name must be valid as a DNS name component")),
            ("web-", Some("name must be valid as a DNS name component")),
            ("we.b", Some("name must be valid as a DNS name component")),
            (&long, Some("name must be 63 characters or fewer")),
        ] {
            let annotations = pb::Annotations {
                name: name.into(),
                ..Default::default()
            };
            let text = check(Some(&annotations)).err().map(|refusal| refusal.text);
            assert_eq!(text.as_deref(), expected, "{name}");
        }
    }
}

//! Generic resources: so many of a kind (`ssd=2`), or named ones (`gpu=UUID1`).

use swarm_wire::pb;
use swarm_wire::pb::generic_resource::Resource;

/// What a task reserves.
pub fn reserved(task: &pb::Task) -> Vec<pb::GenericResource> {
    let resources = task.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let reserved = resources.and_then(|resources| resources.reservations.as_ref());
    reserved
        .map(|reserved| reserved.generic.clone())
        .unwrap_or_default()
}

/// What the node has and nobody was given.
pub fn available(node: &pb::Node, given: &[pb::GenericResource]) -> Vec<pb::GenericResource> {
    let resources = node.description.as_ref().and_then(|d| d.resources.as_ref());
    let mut left = resources
        .map(|resources| resources.generic.clone())
        .unwrap_or_default();
    for taken in given {
        match &taken.resource {
            Some(Resource::NamedResourceSpec(_)) => left.retain(|resource| resource != taken),
            Some(Resource::DiscreteResourceSpec(taken)) => {
                for resource in &mut left {
                    if let Some(Resource::DiscreteResourceSpec(has)) = &mut resource.resource
                        && has.kind == taken.kind
                    {
                        has.value = has.value.saturating_sub(taken.value);
                    }
                }
            }
            None => {}
        }
    }
    left
}

pub fn enough(available: &[pb::GenericResource], wanted: &[pb::GenericResource]) -> bool {
    wanted
        .iter()
        .all(|wanted| pick(available, wanted).is_some())
}

/// Which ones a task gets.
pub fn choose(
    available: &[pb::GenericResource],
    wanted: &[pb::GenericResource],
) -> Vec<pb::GenericResource> {
    wanted
        .iter()
        .filter_map(|wanted| pick(available, wanted))
        .flatten()
        .collect()
}

fn pick(
    available: &[pb::GenericResource],
    wanted: &pb::GenericResource,
) -> Option<Vec<pb::GenericResource>> {
    let Some(Resource::DiscreteResourceSpec(wanted)) = &wanted.resource else {
        // A reservation is a number of a kind.
        return None;
    };
    let number = usize::try_from(wanted.value).ok()?;
    let named: Vec<_> = available
        .iter()
        .filter(|has| matches!(&has.resource, Some(Resource::NamedResourceSpec(n)) if n.kind == wanted.kind))
        .take(number)
        .cloned()
        .collect();
    if named.len() == number && number > 0 {
        return Some(named);
    }
    let discrete = available.iter().any(|has| {
        matches!(&has.resource, Some(Resource::DiscreteResourceSpec(d))
            if d.kind == wanted.kind && d.value >= wanted.value)
    });
    discrete.then(|| {
        vec![pb::GenericResource {
            resource: Some(Resource::DiscreteResourceSpec(wanted.clone())),
        }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discrete(kind: &str, value: i64) -> pb::GenericResource {
        pb::GenericResource {
            resource: Some(Resource::DiscreteResourceSpec(
                pb::DiscreteGenericResource {
                    kind: kind.into(),
                    value,
                },
            )),
        }
    }

    fn named(kind: &str, value: &str) -> pb::GenericResource {
        pb::GenericResource {
            resource: Some(Resource::NamedResourceSpec(pb::NamedGenericResource {
                kind: kind.into(),
                value: value.into(),
            })),
        }
    }

    #[test]
    fn resources_are_given_once() {
        let node = pb::Node {
            description: Some(pb::NodeDescription {
                resources: Some(pb::Resources {
                    generic: vec![discrete("ssd", 3), named("gpu", "a"), named("gpu", "b")],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let wanted = [discrete("ssd", 2), discrete("gpu", 1)];
        let all = available(&node, &[]);
        assert!(enough(&all, &wanted));
        let given = choose(&all, &wanted);
        assert_eq!(given, [discrete("ssd", 2), named("gpu", "a")]);
        let left = available(&node, &given);
        assert_eq!(left, [discrete("ssd", 1), named("gpu", "b")]);
        assert!(!enough(&left, &wanted));
        assert!(!enough(&all, &[discrete("fpga", 1)]));
    }
}

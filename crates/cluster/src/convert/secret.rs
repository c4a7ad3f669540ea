use engine_types::{Base64, swarm};
use swarm_wire::pb;

use super::{annotations_json, annotations_pb, driver_json, driver_pb, meta_json};

/// Without the data: a secret never leaves the managers through the API.
pub fn secret_json(secret: &pb::Secret) -> swarm::Secret {
    let spec = secret.spec.clone().unwrap_or_default();
    swarm::Secret {
        id: secret.id.clone(),
        meta: meta_json(secret.meta.as_ref()),
        spec: swarm::SecretSpec {
            annotations: annotations_json(spec.annotations.as_ref()),
            data: None,
            driver: driver_json(spec.driver.as_ref()),
            templating: driver_json(spec.templating.as_ref()),
        },
    }
}

pub fn secret_spec_pb(spec: swarm::SecretSpec) -> pb::SecretSpec {
    pb::SecretSpec {
        annotations: annotations_pb(spec.annotations),
        data: spec.data.unwrap_or_default().0,
        templating: driver_pb(spec.templating),
        driver: driver_pb(spec.driver),
    }
}

pub fn config_json(config: &pb::Config) -> swarm::Config {
    let spec = config.spec.clone().unwrap_or_default();
    swarm::Config {
        id: config.id.clone(),
        meta: meta_json(config.meta.as_ref()),
        spec: swarm::ConfigSpec {
            annotations: annotations_json(spec.annotations.as_ref()),
            data: Some(Base64(spec.data)),
            templating: driver_json(spec.templating.as_ref()),
        },
    }
}

pub fn config_spec_pb(spec: swarm::ConfigSpec) -> pb::ConfigSpec {
    pb::ConfigSpec {
        annotations: annotations_pb(spec.annotations),
        data: spec.data.unwrap_or_default().0,
        templating: driver_pb(spec.templating),
    }
}

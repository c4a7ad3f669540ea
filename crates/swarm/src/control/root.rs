//! The root CA that a cluster's spec asks for: another key for the same certificate, or the way to another root.

use std::time::{Duration, SystemTime};

use swarm_wire::pb;

use super::refusal::Refusal;
use crate::ca::certificate::Leaf;
use crate::ca::root::RootCa;

const MIN_EXPIRY: Duration = Duration::from_secs(365 * 24 * 3600);

/// `current` as it is to be. A new root is asked for by a certificate with its key, or by a higher number.
pub(super) fn wanted(current: &pb::RootCa, spec: &pb::CaConfig) -> Result<pb::RootCa, Refusal> {
    let failed = |error: crate::ca::Error| Refusal::invalid(error.to_string());
    let (cert, key) = (&spec.signing_ca_cert, &spec.signing_ca_key);
    let next = match (cert.is_empty(), key.is_empty()) {
        (true, true) if spec.force_rotate == current.last_forced_rotation => {
            return Ok(current.clone());
        }
        (true, true) => RootCa::create().map_err(failed)?,
        (true, false) => {
            return Err(Refusal::invalid(
                "if a signing CA key is provided, the signing CA cert must also be provided",
            ));
        }
        (false, true) => {
            return Err(Refusal::unimplemented(
                "external CAs are not supported: give the CA's key too",
            ));
        }
        (false, false) => given(cert, key)?,
    };
    let mut root = current.clone();
    root.last_forced_rotation = spec.force_rotate;
    if next.cert_pem == current.ca_cert {
        // Back to where we are: a rotation that is under way ends, its certificates hold under this root too.
        root.ca_key = next.key_pem;
        root.root_rotation = None;
        return Ok(root);
    }
    if next.key_pem == current.ca_key {
        return Err(Refusal::invalid(
            "Cannot update to a cert with an identical key",
        ));
    }
    if let Some(rotation) = &mut root.root_rotation
        && rotation.ca_cert == next.cert_pem
    {
        rotation.ca_key = next.key_pem;
        return Ok(root);
    }
    let old = RootCa {
        cert_pem: current.ca_cert.clone(),
        key_pem: current.ca_key.clone(),
    };
    root.root_rotation = Some(pb::RootRotation {
        cross_signed_ca_cert: old.cross_sign(&next).map_err(failed)?,
        ca_cert: next.cert_pem,
        ca_key: next.key_pem,
    });
    Ok(root)
}

/// The user's own.
fn given(cert: &[u8], key: &[u8]) -> Result<RootCa, Refusal> {
    let leaf = Leaf::parse(cert)
        .map_err(|_| Refusal::invalid("could not parse the desired CA certificate"))?;
    if leaf.not_after < SystemTime::now() + MIN_EXPIRY {
        return Err(Refusal::invalid("CA certificate expires too soon"));
    }
    RootCa::given(cert, key).map_err(|error| Refusal::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current() -> pb::RootCa {
        let root = RootCa::create().unwrap();
        pb::RootCa {
            ca_cert: root.cert_pem,
            ca_key: root.key_pem,
            ..Default::default()
        }
    }

    fn spec(cert: &[u8], key: &[u8], force_rotate: u64) -> pb::CaConfig {
        pb::CaConfig {
            signing_ca_cert: cert.into(),
            signing_ca_key: key.into(),
            force_rotate,
            ..Default::default()
        }
    }

    #[test]
    fn a_higher_number_or_a_certificate_begins_a_rotation() {
        let current = current();
        assert_eq!(wanted(&current, &spec(b"", b"", 0)).unwrap(), current);
        let forced = wanted(&current, &spec(b"", b"", 1)).unwrap();
        assert_eq!(
            (forced.last_forced_rotation, &forced.ca_cert),
            (1, &current.ca_cert)
        );
        let rotation = forced.root_rotation.clone().unwrap();
        assert_ne!(rotation.ca_cert, current.ca_cert);
        assert_eq!(wanted(&forced, &spec(b"", b"", 1)).unwrap(), forced, "once");

        let own = RootCa::create().unwrap();
        let mut untidy = b"\n".to_vec();
        untidy.extend(own.cert_pem.iter().chain(b"\n\n"));
        let given = wanted(&forced, &spec(&untidy, &own.key_pem, 2)).unwrap();
        assert_eq!(given.root_rotation.clone().unwrap().ca_cert, own.cert_pem);
        assert_eq!(
            wanted(&given, &spec(&own.cert_pem, &own.key_pem, 2)).unwrap(),
            given,
            "the same again"
        );
        let back = wanted(&given, &spec(&current.ca_cert, &current.ca_key, 3)).unwrap();
        assert_eq!(back.root_rotation, None);
    }

    #[test]
    fn what_is_no_root_is_refused_in_docker_s_words() {
        let (current, own) = (current(), RootCa::create().unwrap());
        let text =
            |cert: &[u8], key: &[u8]| wanted(&current, &spec(cert, key, 1)).unwrap_err().text;
        assert!(text(b"", &own.key_pem).starts_with("if a signing CA key is provided"));
        assert!(text(&own.cert_pem, b"").starts_with("external CAs are not supported"));
        assert_eq!(
            text(b"nothing", &own.key_pem),
            "could not parse the desired CA certificate"
        );
        assert!(
            text(&own.cert_pem, &current.ca_key).contains("identical key")
                || text(&own.cert_pem, &current.ca_key).contains("does not match")
        );
        let other = RootCa::create().unwrap();
        assert!(text(&own.cert_pem, &other.key_pem).contains("does not match"));
    }
}

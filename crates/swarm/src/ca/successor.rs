//! Replacing a root: the user's own as the next one, and the old root's word for it.

use rcgen::{DistinguishedName, DnType, DnValue, Issuer, KeyIdMethod, KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use super::Error;
use super::certificate::{Leaf, is_ca, subject_and_key};
use super::root::{RootCa, failed, root_params, text};

impl RootCa {
    /// Somebody's own: a certificate of a CA and its key.
    pub fn given(cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, Error> {
        let tidy = |pem| Ok::<_, Error>(format!("{}\n", text(pem)?.trim()));
        let (cert, key) = (tidy(cert_pem)?, tidy(key_pem)?);
        let pair = KeyPair::from_pem(&key).map_err(failed)?;
        if subject_and_key(cert.as_bytes())?.1 != pair.subject_public_key_info() {
            return Err(Error::Other(
                "the CA's key does not match its certificate".into(),
            ));
        }
        match is_ca(cert.as_bytes())? {
            true => Ok(Self {
                cert_pem: cert.into(),
                key_pem: key.into(),
            }),
            false => Err(Error::Other("the certificate is not a CA's".into())),
        }
    }

    /// `other`'s certificate, signed by this root: who trusts this one then believes what that one signs.
    pub fn cross_sign(&self, other: &Self) -> Result<Vec<u8>, Error> {
        let key = KeyPair::from_pem(text(&self.key_pem)?).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(text(&self.cert_pem)?, key).map_err(failed)?;
        let mut params = root_params(&[]);
        params.not_after = Leaf::parse(&other.cert_pem)?.not_after.into();
        (params.distinguished_name, params.key_identifier_method) = name_of(&other.cert_pem)?;
        let key = KeyPair::from_pem(text(&other.key_pem)?).map_err(failed)?;
        let signed: Vec<u8> = params
            .signed_by(&key, &issuer)
            .map_err(failed)?
            .pem()
            .into();
        match subject_and_key(&signed)? == subject_and_key(&other.cert_pem)? {
            true => Ok(signed),
            false => Err(Error::Other(
                "the CA's name is written in a way that cannot be signed again".into(),
            )),
        }
    }
}

/// A certificate's subject, and how certificates that it signs refer to its key.
fn name_of(cert_pem: &[u8]) -> Result<(DistinguishedName, KeyIdMethod), Error> {
    let der = CertificateDer::from_pem_slice(cert_pem).map_err(failed)?;
    let (_, x509) = X509Certificate::from_der(&der).map_err(failed)?;
    let mut name = DistinguishedName::new();
    for attribute in x509.subject().iter_attributes() {
        let oid = attribute.attr_type().iter();
        let oid: Vec<u64> = oid.map(Iterator::collect).unwrap_or_default();
        let text = attribute.as_str().map_err(failed)?;
        let value = match attribute.attr_value().tag() {
            Tag::PrintableString => DnValue::PrintableString(text.try_into().map_err(failed)?),
            Tag::Ia5String => DnValue::Ia5String(text.try_into().map_err(failed)?),
            _ => DnValue::Utf8String(text.into()),
        };
        name.push(DnType::from_oid(&oid), value);
    }
    let mut ids =
        x509.extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => {
                    Some(KeyIdMethod::PreSpecified(id.0.to_vec()))
                }
                _ => None,
            });
    Ok((name, ids.next().unwrap_or(KeyIdMethod::Sha256)))
}

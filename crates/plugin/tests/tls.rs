//! A plugin beyond this host: over TCP, with TLS in both directions.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cnm::remote::Plugins as _;
use plugin::Plugins;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join(name), ca.pem()).unwrap();
        Self(ca)
    }

    fn certificate(&self) -> (CertificateDer<'static>, KeyPair, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), key, certificate.pem())
    }
}

/// Answers those whose certificate the CA has signed.
async fn serve(ca: &Ca) -> u16 {
    let (certificate, key, _) = ca.certificate();
    let mut roots = RootCertStore::empty();
    roots.add(ca.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..n]).into_owned();
            let body = match text.starts_with("POST /Plugin.Activate ") {
                true => r#"{"Implements":["NetworkDriver"]}"#,
                false => r#"{"Scope":"local"}"#,
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new(dir.path(), "ca.pem");
    Ca::new(dir.path(), "other.pem");
    let (_, key, certificate) = ca.certificate();
    std::fs::write(dir.path().join("cert.pem"), certificate).unwrap();
    std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
    let port = serve(&ca).await;
    let file = |name: &str| dir.path().join(name).display().to_string();
    let write = |name: &str, tls: String| {
        let text =
            format!(r#"{{"Name":"{name}","Addr":"https://127.0.0.1:{port}/x","TLSConfig":{tls}}}"#);
        std::fs::write(dir.path().join(format!("{name}.json")), text).unwrap();
    };
    let own = format!(
        r#""CertFile":"{}","KeyFile":"{}""#,
        file("cert.pem"),
        file("key.pem")
    );
    write("far", format!(r#"{{"CAFile":"{}",{own}}}"#, file("ca.pem")));
    write(
        "trusting",
        format!(r#"{{"InsecureSkipVerify":true,{own}}}"#),
    );
    write("anonymous", format!(r#"{{"CAFile":"{}"}}"#, file("ca.pem")));
    write(
        "foreign",
        format!(r#"{{"CAFile":"{}",{own}}}"#, file("other.pem")),
    );
    write(
        "lost",
        format!(r#"{{"CAFile":"{}",{own}}}"#, file("nothing.pem")),
    );
    let plugins = Plugins::with_patience(vec![dir.path().into()], Duration::from_millis(900));
    for name in ["far", "trusting"] {
        plugins.network(name).await.unwrap();
    }
    for (name, part) in [
        ("anonymous", "broke off Plugin.Activate"),
        ("foreign", "invalid peer certificate"),
        ("lost", "nothing.pem"),
    ] {
        let error = plugins.network(name).await.err().unwrap().message;
        assert!(error.contains(part), "{name}: {error}");
    }
}

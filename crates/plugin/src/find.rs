//! Where a plugin is: a socket of its name, or a file that says where.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::address::Address;
use crate::tls::TlsConfig;

/// A specification is an address, or a page of JSON.
const MAX_SPEC: u64 = 64 << 10;

/// What is known of a plugin before it is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub address: Address,
    pub tls: TlsConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Json {
    addr: String,
    #[serde(
        default,
        rename = "TLSConfig",
        deserialize_with = "engine_types::null_default"
    )]
    tls: TlsConfig,
}

/// Sockets of all folders come first, then `.spec` and `.json` of each folder. `Ok(None)`: there is no such plugin.
pub fn find(dirs: &[PathBuf], name: &str) -> Result<Option<Place>, String> {
    if !is_name(name) {
        return Ok(None);
    }
    for path in dirs.iter().flat_map(|dir| layouts(dir, name, "sock")) {
        if path.metadata().is_ok_and(|m| m.file_type().is_socket()) {
            let address = Address::Unix(path);
            let tls = TlsConfig::default();
            return Ok(Some(Place { address, tls }));
        }
    }
    for dir in dirs {
        for path in layouts(dir, name, "spec") {
            if let Some(text) = read(&path)? {
                return spec(&text).map(Some).map_err(|e| at(&path, e));
            }
        }
        for path in layouts(dir, name, "json") {
            if let Some(text) = read(&path)? {
                return json(&text).map(Some).map_err(|e| at(&path, e));
            }
        }
    }
    Ok(None)
}

/// `<dir>/<name>.<ext>`, `<dir>/<name>/<name>.<ext>`
fn layouts(dir: &Path, name: &str, ext: &str) -> [PathBuf; 2] {
    let file = format!("{name}.{ext}");
    [dir.join(&file), dir.join(name).join(file)]
}

/// A name leads to no other folder.
fn is_name(name: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    name.len() < 128
        && name.bytes().all(fine)
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
}

fn read(path: &Path) -> Result<Option<String>, String> {
    let Ok(metadata) = path.metadata() else {
        return Ok(None);
    };
    if !metadata.is_file() || metadata.len() > MAX_SPEC {
        return Err(at(path, "not a file of at most 64 KiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| at(path, e))?;
    Ok(Some(text))
}

fn at(path: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

pub fn spec(text: &str) -> Result<Place, String> {
    Ok(Place {
        address: Address::parse(text.trim())?,
        tls: TlsConfig::default(),
    })
}

pub fn json(text: &str) -> Result<Place, String> {
    let json: Json = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(Place {
        address: Address::parse(json.addr.trim())?,
        tls: json.tls,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn sockets_before_files_and_folders_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let (run, etc) = (dir.path().join("run"), dir.path().join("etc"));
        for sub in [run.join("deep"), etc.join("far")] {
            std::fs::create_dir_all(sub).unwrap();
        }
        let _sockets =
            ["flat.sock", "deep/deep.sock"].map(|name| UnixListener::bind(run.join(name)).unwrap());
        std::fs::write(run.join("plain.sock"), "not a socket").unwrap();
        std::fs::write(etc.join("flat.spec"), "tcp://127.0.0.1:1").unwrap();
        std::fs::write(etc.join("text.spec"), "\n tcp://127.0.0.1:80 \n").unwrap();
        std::fs::write(etc.join("bad.spec"), "nowhere").unwrap();
        std::fs::write(
            etc.join("far/far.json"),
            r#"{"Name":"x","Addr":"https://far.example:443/plugin","TLSConfig":{"CAFile":"/ca","CertFile":"/c","KeyFile":"/k"}}"#,
        )
        .unwrap();
        let dirs = [run.clone(), etc];
        let place = |name: &str| match find(&dirs, name) {
            Ok(None) => "none".to_string(),
            Ok(Some(place)) => place.address.to_string(),
            Err(error) => error.replace(&dir.path().display().to_string(), ""),
        };
        let run = run.display();
        for (name, expected) in [
            ("flat", format!("unix://{run}/flat.sock")),
            ("deep", format!("unix://{run}/deep/deep.sock")),
            ("text", "tcp://127.0.0.1:80".into()),
            ("far", "https://far.example:443".into()),
            ("plain", "none".into()),
            ("nobody", "none".into()),
            ("../run/flat", "none".into()),
            ("", "none".into()),
            (".", "none".into()),
            (
                "bad",
                "/etc/bad.spec: not an address of a plugin: nowhere".into(),
            ),
        ] {
            assert_eq!(place(name), expected, "{name}");
        }
        let tls = find(&dirs, "far").unwrap().unwrap().tls;
        assert_eq!(tls.ca_file, "/ca");
    }
}

//! `<dir>/certificates/`: Docker's file names and modes.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::Error;

const ROOT: &str = "swarm-root-ca.crt";
const CERT: &str = "swarm-node.crt";
const KEY: &str = "swarm-node.key";

/// Root, certificate and key, or `None` when one of them has never been written.
pub(super) type Stored = Option<(Vec<u8>, Vec<u8>, Vec<u8>)>;

pub(super) fn load(dir: &Path) -> Result<Stored, Error> {
    let dir = dir.join("certificates");
    let read = |name: &str| {
        let path = dir.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, &error)),
        }
    };
    let (Some(root), Some(cert), Some(key)) = (read(ROOT)?, read(CERT)?, read(KEY)?) else {
        return Ok(None);
    };
    Ok(Some((root, cert, without_headers(&key)?)))
}

/// The key last: whoever finds it finds the rest.
pub(super) fn save(dir: &Path, root: &[u8], cert: &[u8], key: &[u8]) -> Result<(), Error> {
    let dir = dir.join("certificates");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|error| failed(&dir, &error))?;
    for (name, bytes, mode) in [(ROOT, root, 0o644), (CERT, cert, 0o644), (KEY, key, 0o600)] {
        write(&dir.join(name), bytes, mode)?;
    }
    Ok(())
}

/// Replaces `path` in one step: a reader, and a restart after a crash, sees the old bytes or the new.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written = fs::remove_file(&temporary)
        .or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
        .and_then(|()| {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| failed(path, &error))
}

/// Docker keeps `kek-version` and raft headers in the key's PEM block; the key itself is what follows the blank line.
fn without_headers(pem: &[u8]) -> Result<Vec<u8>, Error> {
    let text =
        std::str::from_utf8(pem).map_err(|_| Error::Other(format!("{KEY}: not a PEM file")))?;
    if text.contains("ENCRYPTED PRIVATE KEY") {
        return Err(Error::Other(format!(
            "{KEY}: the key is locked (autolock); unlock the swarm on the engine that wrote it, then try again"
        )));
    }
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.contains(':'));
    let mut key = String::with_capacity(text.len());
    for line in lines {
        key.push_str(line.trim());
        key.push('\n');
    }
    Ok(key.into_bytes())
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn modes_and_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        save(dir.path(), b"root", b"cert", b"key\n").unwrap();
        save(dir.path(), b"root2", b"cert", b"key\n").unwrap();
        assert_eq!(
            load(dir.path()).unwrap().unwrap(),
            (b"root2".to_vec(), b"cert".to_vec(), b"key\n".to_vec())
        );
        let mode = |name| {
            let path = dir.path().join("certificates").join(name);
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode(ROOT), mode(CERT), mode(KEY)), (0o644, 0o644, 0o600));
        assert_eq!(
            fs::read_dir(dir.path().join("certificates"))
                .unwrap()
                .count(),
            3
        );
    }

    #[test]
    fn docker_headers_are_skipped() {
        let pem = b"-----BEGIN PRIVATE KEY-----\nkek-version: 0\nraft-dek: EA==\n\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(
            without_headers(pem).unwrap(),
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
        );
        assert!(without_headers(b"-----BEGIN ENCRYPTED PRIVATE KEY-----").is_err());
    }
}

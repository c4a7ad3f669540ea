//! What was asked for, as files: one object each, whole or not there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use engine_types::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A directory of objects by id. Ids are names of files: the caller has checked them.
pub(super) struct Files<T> {
    dir: PathBuf,
    /// They outlive a power cut, too.
    synced: bool,
    object: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned> Files<T> {
    pub fn open(dir: PathBuf, synced: bool) -> Result<Self> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir);
        made.map_err(|e| failed("make", &dir, e))?;
        Ok(Self {
            dir,
            synced,
            object: PhantomData,
        })
    }

    /// Those that cannot be read are left out with a warning: one bad file must not keep the rest down.
    pub fn all(&self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(|e| failed("read", &self.dir, e))? {
            let path = entry.map_err(|e| failed("read", &self.dir, e))?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
            match read {
                Ok(object) => all.push(object),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "file cannot be read; it is left alone");
                }
            }
        }
        Ok(all)
    }

    pub fn write(&self, id: &str, object: &T) -> Result<()> {
        let path = self.path(id);
        let write = || -> io::Result<()> {
            let next = self.dir.join("next");
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&next)?;
            file.write_all(&serde_json::to_vec(object)?)?;
            if self.synced {
                file.sync_all()?;
            }
            fs::rename(next, &path)?;
            self.sync()
        };
        write().map_err(|e| failed("write", &path, e))
    }

    pub fn remove(&self, id: &str) -> Result<()> {
        let path = self.path(id);
        match fs::remove_file(&path).and_then(|()| self.sync()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, e)),
            _ => Ok(()),
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    fn sync(&self) -> io::Result<()> {
        match self.synced {
            true => File::open(&self.dir)?.sync_all(),
            false => Ok(()),
        }
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::system(format!("cannot {what} {}: {error}", path.display()))
}

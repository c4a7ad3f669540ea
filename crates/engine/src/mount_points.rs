//! What `-v`, `--mount`, `--tmpfs` and an image's volumes mean.

use std::path::Path;

use engine_types::container::{HostConfig, Mount, MountPoint};
use engine_types::{Error, Result};

use crate::error::Doing;
use crate::record::Record;
use crate::spec::mounts::Mounted;
use crate::volumes::{Labels, Volumes};

impl Volumes {
    /// Everything that the configuration mounts, checked; volumes' folders exist afterwards.
    pub fn resolve(&self, record: &Record, from: &[Mounted]) -> Result<Vec<Mounted>> {
        let host = &record.host_config;
        let mut mounts: Vec<Mounted> = from.to_vec();
        let mut add = |mounted: Mounted, replace: bool| -> Result<()> {
            let target = &mounted.point.destination;
            let have = mounts.iter().position(|m| m.point.destination == *target);
            match have {
                Some(at) if replace && at < from.len() => mounts[at] = mounted,
                Some(_) => {
                    return Err(Error::invalid(format!("Duplicate mount point: {target}")));
                }
                None => mounts.push(mounted),
            }
            Ok(())
        };
        for bind in host.binds.iter().flatten() {
            add(self.bind(bind)?, true)?;
        }
        for mount in host.mounts.iter().flatten() {
            add(self.mount(mount)?, true)?;
        }
        for (target, options) in host.tmpfs.iter().flatten() {
            let options = options.split(',').filter(|o| !o.is_empty());
            let target = destination(target).map_err(Error::invalid)?;
            add(tmpfs(target, options.map(str::to_owned).collect()), true)?;
        }
        for target in record.config.volumes.iter().flatten().map(|(path, _)| path) {
            let target = destination(target).map_err(Error::invalid)?;
            if !mounts.iter().any(|m| m.point.destination == target) {
                mounts.push(self.volume("", &target, true, "", &Labels::new())?);
            }
        }
        Ok(mounts)
    }

    /// `-v source:target[:options]`
    fn bind(&self, text: &str) -> Result<Mounted> {
        let invalid = || Error::invalid(format!("invalid volume specification: '{text}'"));
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, mode) = match parts.as_slice() {
            ["", ..] => return Err(invalid()),
            [target] => ("", *target, ""),
            [_, mode] if Options::parse(mode).is_some() => return Err(invalid()),
            [source, target] => (*source, *target, ""),
            [source, target, mode] => (*source, *target, *mode),
            _ => return Err(invalid()),
        };
        let Some(options) = Options::parse(mode) else {
            return Err(Error::invalid(format!("invalid mode: {mode}")));
        };
        let is_path = source.starts_with('/');
        let kind = if is_path { "bind" } else { "volume" };
        let why = |why: String| {
            let mount = format!("invalid mount config for type {kind:?}: {why}");
            Error::invalid(mount).context(invalid())
        };
        let target = destination(target).map_err(why)?;
        if !is_path {
            if !options.propagation.is_empty() {
                return Err(why("field BindOptions must not be specified".to_owned()));
            }
            let mut mounted = self.volume(source, &target, options.rw, mode, &Labels::new())?;
            mounted.copy_up &= options.copy;
            return Ok(mounted);
        }
        let host_path = Path::new(source);
        if !host_path.exists() {
            std::fs::create_dir_all(host_path)
                .doing(format!("error while creating mount source path '{source}'"))?;
        }
        Ok(Mounted {
            point: MountPoint {
                r#type: "bind".to_owned(),
                source: source.to_owned(),
                destination: target,
                mode: mode.to_owned(),
                rw: options.rw,
                propagation: match options.propagation {
                    "" => "rprivate".to_owned(),
                    given => given.to_owned(),
                },
                ..MountPoint::default()
            },
            ..Mounted::default()
        })
    }

    /// `--mount type=…`
    fn mount(&self, mount: &Mount) -> Result<Mounted> {
        let invalid = |text: String| {
            Error::invalid(format!(
                "invalid mount config for type {:?}: {text}",
                mount.r#type
            ))
        };
        let target = destination(&mount.target).map_err(invalid)?;
        match mount.r#type.as_str() {
            "bind" => bind_mount(mount, target, &invalid),
            "volume" => self.volume_mount(mount, &target),
            "tmpfs" => tmpfs_mount(mount, target, &invalid),
            _ => Err(invalid("mount type unknown".to_owned())),
        }
    }

    fn volume_mount(&self, mount: &Mount, target: &str) -> Result<Mounted> {
        let options = mount.volume_options.clone().unwrap_or_default();
        if !options.subpath.is_empty() {
            return Err(Error::not_implemented(
                "volume subpaths are not supported by this build",
            ));
        }
        let driver = options.driver_config.as_ref();
        let name = driver.and_then(|d| d["Name"].as_str()).unwrap_or("local");
        let plain = driver.is_none_or(|d| d["Options"].as_object().is_none_or(|o| o.is_empty()));
        if !matches!(name, "" | "local") || !plain {
            return Err(Error::not_implemented(
                "volume drivers and their options are not supported by this build",
            ));
        }
        let labels = options.labels.unwrap_or_default();
        let rw = !mount.read_only;
        let mut mounted = self.volume(&mount.source, target, rw, "z", &labels)?;
        mounted.copy_up &= !options.no_copy;
        Ok(mounted)
    }

    fn volume(
        &self,
        name: &str,
        target: &str,
        rw: bool,
        mode: &str,
        labels: &Labels,
    ) -> Result<Mounted> {
        let anonymous = name.is_empty();
        let name = self.make(name, labels)?;
        Ok(Mounted {
            point: MountPoint {
                r#type: "volume".to_owned(),
                source: self.data(&name).to_string_lossy().into_owned(),
                name,
                destination: target.to_owned(),
                driver: "local".to_owned(),
                mode: mode.to_owned(),
                rw,
                ..MountPoint::default()
            },
            anonymous,
            copy_up: true,
            ..Mounted::default()
        })
    }
}

/// Mounts of other containers (`--volumes-from name[:mode]`); their volumes are not this container's to remove.
pub(crate) fn borrowed(mounts: &[Mounted], mode: &str) -> Result<Vec<Mounted>> {
    if !matches!(mode, "" | "ro" | "rw" | "z" | "Z") {
        return Err(Error::invalid(format!("invalid mode: {mode}")));
    }
    Ok(mounts
        .iter()
        .filter(|m| m.point.r#type != "tmpfs")
        .cloned()
        .map(|mut m| {
            m.anonymous = false;
            m.copy_up = false;
            m.point.rw &= mode != "ro";
            m
        })
        .collect())
}

/// The options behind `-v`'s second colon.
struct Options<'a> {
    rw: bool,
    copy: bool,
    propagation: &'a str,
}

impl<'a> Options<'a> {
    /// `None` when one is unknown or there are two of a kind.
    fn parse(mode: &'a str) -> Option<Self> {
        let mut options = Self {
            rw: true,
            copy: true,
            propagation: "",
        };
        let mut kinds = Vec::new();
        for option in mode.split(',').filter(|_| !mode.is_empty()) {
            let kind = match option {
                "rw" | "ro" => "access",
                "nocopy" => "copy",
                "z" | "Z" => "label",
                "cached" | "delegated" | "consistent" | "default" => "consistency",
                _ if PROPAGATIONS.contains(&option) => "propagation",
                _ => return None,
            };
            if kinds.contains(&kind) {
                return None;
            }
            kinds.push(kind);
            match kind {
                "access" => options.rw = option == "rw",
                "copy" => options.copy = false,
                "propagation" => options.propagation = option,
                // SELinux labels and macOS consistency: without meaning on this host, as in Docker.
                _ => {}
            }
        }
        Some(options)
    }
}

const PROPAGATIONS: &[&str] = &[
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

fn bind_mount(
    mount: &Mount,
    target: String,
    invalid: &impl Fn(String) -> Error,
) -> Result<Mounted> {
    let options = mount.bind_options.clone().unwrap_or_default();
    if options.read_only_force_recursive {
        return Err(invalid(
            "recursively read-only binds are not supported".to_owned(),
        ));
    }
    if mount.source.is_empty() {
        return Err(invalid("field Source must not be empty".to_owned()));
    }
    let propagation = match options.propagation.as_str() {
        "" => "rprivate".to_owned(),
        p if PROPAGATIONS.contains(&p) => p.to_owned(),
        other => return Err(invalid(format!("invalid propagation mode: {other}"))),
    };
    let source = Path::new(&mount.source);
    if !source.is_absolute() {
        return Err(invalid(relative(&mount.source)));
    }
    if !source.exists() {
        if !options.create_mountpoint {
            return Err(invalid(format!(
                "bind source path does not exist: {}",
                mount.source
            )));
        }
        std::fs::create_dir_all(source).doing(format!("create {}", source.display()))?;
    }
    Ok(Mounted {
        point: MountPoint {
            r#type: "bind".to_owned(),
            source: mount.source.clone(),
            destination: target,
            rw: !mount.read_only,
            propagation,
            ..MountPoint::default()
        },
        non_recursive: options.non_recursive,
        ..Mounted::default()
    })
}

fn tmpfs_mount(
    mount: &Mount,
    target: String,
    invalid: &impl Fn(String) -> Error,
) -> Result<Mounted> {
    if !mount.source.is_empty() {
        return Err(invalid("field Source must not be specified".to_owned()));
    }
    let options = mount.tmpfs_options.clone().unwrap_or_default();
    let mut list = Vec::new();
    if options.size_bytes > 0 {
        list.push(format!("size={}", options.size_bytes));
    }
    if options.mode != 0 {
        list.push(format!("mode={:o}", options.mode));
    }
    if mount.read_only {
        list.push("ro".to_owned());
    }
    Ok(tmpfs(target, list))
}

fn tmpfs(target: String, options: Vec<String>) -> Mounted {
    let rw = !options.iter().any(|option| option == "ro");
    Mounted {
        point: MountPoint {
            r#type: "tmpfs".to_owned(),
            destination: target,
            mode: options.join(","),
            rw,
            ..MountPoint::default()
        },
        options: options
            .into_iter()
            .filter(|option| option != "ro" && option != "rw")
            .collect(),
        ..Mounted::default()
    }
}

/// The clean form of a path in the container, or why it is none.
fn destination(target: &str) -> Result<String, String> {
    if target.is_empty() {
        return Err("field Target must not be empty".to_owned());
    }
    match crate::root::clean(Path::new(target)) {
        _ if !target.starts_with('/') => Err(relative(target)),
        Some(path) if !path.as_os_str().is_empty() => Ok(format!("/{}", path.display())),
        _ => Err("invalid specification: destination can't be '/'".to_owned()),
    }
}

fn relative(path: &str) -> String {
    format!("invalid mount path: '{path}' mount path must be absolute")
}

/// Shown by inspect for API clients: tmpfs from `--tmpfs` is not among a container's mounts.
pub(crate) fn shown(record: &Record) -> Vec<MountPoint> {
    let host: &HostConfig = &record.host_config;
    let by_flag = |m: &Mounted| {
        m.point.r#type == "tmpfs"
            && host
                .tmpfs
                .as_ref()
                .is_some_and(|t| t.contains_key(&m.point.destination))
    };
    record
        .mounts
        .iter()
        .filter(|m| !by_flag(m))
        .map(|m| m.point.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(dir.path(), crate::Events::new());
        let check = |text: &str, expected: Option<(&str, &str, bool)>| {
            let got = volumes.bind(text).ok();
            let got = got.as_ref().map(|m| {
                (
                    m.point.r#type.as_str(),
                    m.point.destination.as_str(),
                    m.point.rw,
                )
            });
            assert_eq!(got, expected, "{text}");
        };
        check("/tmp:/t", Some(("bind", "/t", true)));
        check("/tmp:/t/:ro", Some(("bind", "/t", false)));
        check("data:/t", Some(("volume", "/t", true)));
        check("/t", Some(("volume", "/t", true)));
        check("/tmp:/t:bogus", None);
        check("/tmp:/", None);
        check("/tmp:t", None);
        check("../x:/t", None);
        check("a:b:c:d", None);
        check("/tmp:ro", None);
        check("/tmp:/t:ro,rw", None);
        check("data:/t:shared", None);
        assert!(dir.path().join("volumes/data/_data").is_dir());
        let text = |text: &str| volumes.bind(text).unwrap_err().message;
        assert_eq!(
            text("/nope/nope:relative"),
            "invalid volume specification: '/nope/nope:relative': invalid mount config for type \"bind\": invalid mount \
             path: 'relative' mount path must be absolute"
        );
        assert!(!Path::new("/nope/nope").exists());
        assert_eq!(
            text("data:/"),
            "invalid volume specification: 'data:/': invalid mount config for type \"volume\": invalid specification: \
             destination can't be '/'"
        );
        assert_eq!(text("/tmp:/t:bogus"), "invalid mode: bogus");
        assert_eq!(text("a:b:c:d"), "invalid volume specification: 'a:b:c:d'");
    }
}

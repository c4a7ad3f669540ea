//! What `GET /info` and `GET /version` tell of this host, gathered once at start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use engine_types::Time;
use engine_types::system::{
    AddressPool, FirewallInfo, IndexInfo, Info, PluginsInfo, RegistryConfig, Runtime, Version,
    VersionComponent, VersionPlatform,
};

use crate::version::{MAX_VERSION, MIN_VERSION};

mod host;

pub use host::Cgroups;
pub(crate) use host::go_arch;
use host::{engine_id, os_release, total_memory};

/// What the daemon was told (flags, `daemon.json`) and what it was built from.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub version: String,
    pub git_commit: String,
    /// RFC 3339, or empty.
    pub build_time: String,
    pub data_root: PathBuf,
    pub labels: Vec<String>,
    pub debug: bool,
    pub live_restore: bool,
    /// Name to binary.
    pub runtimes: BTreeMap<String, String>,
    pub default_runtime: String,
    pub storage_driver: String,
    pub log_drivers: Vec<String>,
    pub default_log_driver: String,
    pub cgroup_driver: String,
    /// `name=seccomp,profile=builtin` …
    pub security_options: Vec<String>,
    pub default_address_pools: Vec<AddressPool>,
    pub insecure_registries: Vec<String>,
    pub registry_mirrors: Vec<String>,
    /// What programs the packet filter, when something does.
    pub firewall: Option<String>,
}

/// [`Settings`] and the facts of the host.
#[derive(Clone, Debug)]
pub struct SystemInfo {
    pub settings: Settings,
    /// A UUID that stays with the data root.
    pub id: String,
    pub hostname: String,
    pub kernel: String,
    pub operating_system: String,
    pub os_version: String,
    pub cpus: usize,
    pub memory: i64,
    pub cgroups: Cgroups,
}

impl SystemInfo {
    /// Reads `/proc`, `/etc/os-release`, the cgroup mounts, and `<data-root>/engine-id`, which it makes when it is not there.
    pub fn gather(settings: Settings) -> io::Result<Self> {
        let release = ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default();
        let field = |name| os_release(&release, name).unwrap_or_default();
        let line = |path| std::fs::read_to_string(path).map(|s| s.trim().to_owned());
        Ok(Self {
            id: engine_id(&settings.data_root)?,
            hostname: line("/proc/sys/kernel/hostname")?,
            kernel: line("/proc/sys/kernel/osrelease")?,
            operating_system: field("PRETTY_NAME"),
            os_version: field("VERSION_ID"),
            cpus: std::thread::available_parallelism()?.get(),
            memory: total_memory(&line("/proc/meminfo")?),
            cgroups: Cgroups::detect(Path::new("/sys/fs/cgroup")),
            settings,
        })
    }

    pub(crate) fn server(&self) -> String {
        format!("Docker/{} (linux)", self.settings.version)
    }

    /// What does not change; the rest is filled in by who answers.
    pub(crate) fn info(&self) -> Info {
        let Settings {
            labels,
            default_address_pools,
            log_drivers,
            ..
        } = self.settings.clone();
        let settings = &self.settings;
        let cgroups = &self.cgroups;
        let runtimes = settings.runtimes.iter().map(|(name, path)| {
            let path = path.clone();
            let runtime_args = None;
            (name.clone(), Runtime { path, runtime_args })
        });
        Info {
            id: self.id.clone(),
            driver: settings.storage_driver.clone(),
            plugins: PluginsInfo {
                log: log_drivers,
                ..Default::default()
            },
            memory_limit: cgroups.memory,
            swap_limit: cgroups.swap,
            cpu_cfs_period: cgroups.cpu_quota,
            cpu_cfs_quota: cgroups.cpu_quota,
            cpu_shares: cgroups.cpu_shares,
            cpu_set: cgroups.cpuset,
            pids_limit: cgroups.pids,
            ipv4_forwarding: std::fs::read("/proc/sys/net/ipv4/ip_forward")
                .is_ok_and(|text| text.starts_with(b"1")),
            debug: settings.debug,
            n_fd: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            oom_kill_disable: cgroups.oom_kill_disable,
            n_goroutines: tokio::runtime::Handle::try_current()
                .map_or(0, |runtime| runtime.metrics().num_alive_tasks()),
            system_time: Time::now().0,
            logging_driver: settings.default_log_driver.clone(),
            cgroup_driver: settings.cgroup_driver.clone(),
            cgroup_version: if cgroups.v2 { "2" } else { "1" }.into(),
            kernel_version: self.kernel.clone(),
            operating_system: self.operating_system.clone(),
            os_version: self.os_version.clone(),
            os_type: "linux".into(),
            architecture: std::env::consts::ARCH.into(),
            index_server_address: "https://index.docker.io/v1/".into(),
            registry_config: self.registries(),
            n_cpu: self.cpus,
            mem_total: self.memory,
            docker_root_dir: settings.data_root.display().to_string(),
            name: self.hostname.clone(),
            labels,
            server_version: settings.version.clone(),
            runtimes: runtimes.collect(),
            default_runtime: settings.default_runtime.clone(),
            live_restore_enabled: settings.live_restore,
            security_options: settings.security_options.clone(),
            default_address_pools: Some(default_address_pools),
            firewall_backend: settings
                .firewall
                .clone()
                .map(|driver| FirewallInfo { driver, info: None }),
            warnings: Some(cgroups.warnings()).filter(|warnings| !warnings.is_empty()),
            ..Default::default()
        }
    }

    fn registries(&self) -> RegistryConfig {
        let mirrors = &self.settings.registry_mirrors;
        let (cidrs, names): (Vec<String>, Vec<String>) = (self.settings.insecure_registries.iter())
            .cloned()
            .partition(|registry| registry.contains('/'));
        let index = |name: String, mirrors: &[String], official| IndexInfo {
            name,
            mirrors: mirrors.to_vec(),
            secure: official,
            official,
        };
        let hub = index("docker.io".into(), mirrors, true);
        let insecure = names.into_iter().map(|name| index(name, &[], false));
        let mut insecure_registry_cidrs = vec!["::1/128".into(), "127.0.0.0/8".into()];
        insecure_registry_cidrs.extend(cidrs);
        RegistryConfig {
            insecure_registry_cidrs,
            index_configs: insecure
                .chain([hub])
                .map(|index| (index.name.clone(), index))
                .collect(),
            mirrors: Some(mirrors.clone()),
        }
    }

    pub(crate) fn version_response(&self) -> Version {
        let settings = &self.settings;
        let version = Version {
            platform: VersionPlatform {
                name: "Pontoon".into(),
            },
            version: settings.version.clone(),
            api_version: MAX_VERSION.to_string(),
            min_api_version: MIN_VERSION.to_string(),
            git_commit: settings.git_commit.clone(),
            // Clients print it as it is; what we are written in is what they want to know.
            go_version: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).into(),
            os: "linux".into(),
            arch: go_arch().into(),
            kernel_version: self.kernel.clone(),
            build_time: settings.build_time.clone(),
            ..Default::default()
        };
        let details = [
            ("ApiVersion", &version.api_version),
            ("Arch", &version.arch),
            ("BuildTime", &version.build_time),
            ("Experimental", &"false".to_owned()),
            ("GitCommit", &version.git_commit),
            ("GoVersion", &version.go_version),
            ("KernelVersion", &version.kernel_version),
            ("MinAPIVersion", &version.min_api_version),
            ("Os", &version.os),
        ];
        let engine = VersionComponent {
            name: "Engine".into(),
            version: version.version.clone(),
            details: details
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .into(),
        };
        Version {
            components: vec![engine],
            ..version
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_with_the_data_root() {
        let dir = tempfile::tempdir().unwrap();
        let settings = || Settings {
            data_root: dir.path().into(),
            ..Default::default()
        };
        let first = SystemInfo::gather(settings()).unwrap();
        let second = SystemInfo::gather(settings()).unwrap();
        assert_eq!(first.id.len(), 36);
        assert_eq!(first.id, second.id);
        assert!(first.memory > 0 && first.cpus > 0 && !first.kernel.is_empty());
    }

    #[test]
    fn registries_are_sorted_into_names_and_ranges() {
        let dir = tempfile::tempdir().unwrap();
        let system = SystemInfo::gather(Settings {
            data_root: dir.path().into(),
            insecure_registries: vec!["10.0.0.0/8".into(), "reg:5000".into()],
            ..Default::default()
        })
        .unwrap();
        let config = system.info().registry_config;
        assert_eq!(
            config.insecure_registry_cidrs,
            ["::1/128", "127.0.0.0/8", "10.0.0.0/8"]
        );
        assert!(!config.index_configs["reg:5000"].secure);
        assert!(config.index_configs["docker.io"].official);
    }
}

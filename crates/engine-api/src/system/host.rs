//! Facts of the host, out of its own files.

use std::io;
use std::path::Path;

/// What can be limited here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    pub v2: bool,
    pub memory: bool,
    pub swap: bool,
    pub cpu_quota: bool,
    pub cpu_shares: bool,
    pub cpuset: bool,
    pub pids: bool,
    pub oom_kill_disable: bool,
}

impl Cgroups {
    pub fn detect(root: &Path) -> Self {
        let controllers = std::fs::read_to_string(root.join("cgroup.controllers"));
        if let Ok(controllers) = controllers {
            let has = |name| controllers.split_whitespace().any(|c| c == name);
            return Self {
                v2: true,
                memory: has("memory"),
                swap: has("memory"),
                cpu_quota: has("cpu"),
                cpu_shares: has("cpu"),
                cpuset: has("cpuset"),
                pids: has("pids"),
                oom_kill_disable: false,
            };
        }
        let has = |path| root.join(path).exists();
        Self {
            v2: false,
            memory: has("memory/memory.limit_in_bytes"),
            swap: has("memory/memory.memsw.limit_in_bytes"),
            cpu_quota: has("cpu/cpu.cfs_quota_us"),
            cpu_shares: has("cpu/cpu.shares"),
            cpuset: has("cpuset/cpuset.cpus"),
            pids: has("pids"),
            oom_kill_disable: has("memory/memory.oom_control"),
        }
    }

    pub fn warnings(&self) -> Vec<String> {
        let missing = [
            (self.memory, "memory limit"),
            (self.swap, "swap limit"),
            (self.cpu_quota, "cpu cfs quota"),
            (self.cpu_shares, "cpu shares"),
            (self.cpuset, "cpuset"),
            (self.pids, "pids limit"),
        ];
        missing
            .iter()
            .filter(|(have, _)| !have)
            .map(|(_, what)| format!("WARNING: No {what} support"))
            .collect()
    }
}

/// Go's name of this machine's architecture, which is what platforms are written in.
pub fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// The UUID in `engine-id`, made at the first start.
pub fn engine_id(data_root: &Path) -> io::Result<String> {
    let path = data_root.join("engine-id");
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
            let id = id.trim().to_owned();
            std::fs::write(&path, &id)?;
            Ok(id)
        }
    }
}

/// A field of `os-release`.
pub fn os_release(text: &str, name: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
pub fn total_memory(meminfo: &str) -> i64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok());
    kilobytes.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_text() {
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=12\n";
        assert_eq!(
            os_release(release, "PRETTY_NAME").as_deref(),
            Some("Debian GNU/Linux 12")
        );
        assert_eq!(os_release(release, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(os_release(release, "VERSION"), None);
        assert_eq!(total_memory("MemTotal:  16 kB\nMemFree: 1 kB"), 16384);
        assert_eq!(total_memory("nonsense"), 0);
    }

    #[test]
    fn both_cgroup_versions_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Cgroups::detect(dir.path()), Cgroups::default());
        assert_eq!(Cgroups::default().warnings().len(), 6);
        std::fs::create_dir(dir.path().join("memory")).unwrap();
        std::fs::write(dir.path().join("memory/memory.limit_in_bytes"), "").unwrap();
        assert!(Cgroups::detect(dir.path()).memory);
        std::fs::write(dir.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        let v2 = Cgroups::detect(dir.path());
        assert!(v2.v2 && v2.cpu_quota && v2.pids && !v2.memory && !v2.cpuset);
    }
}

//! Which capabilities a container's processes get.

use engine_types::container::HostConfig;
use engine_types::{Error, Result};
use serde_json::{Value, json};

/// All that Linux has, in the kernel's order.
const ALL: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Docker's default set.
const DEFAULT: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The container's capabilities (`CAP_…`), sorted as the kernel numbers them.
pub(crate) fn effective(host: &HostConfig) -> Result<Vec<String>> {
    let named = |list: &Option<Vec<String>>, what: &str| {
        let known = normalize(list.as_deref().unwrap_or_default());
        known.map_err(|error| error.context(format!("invalid {what}")))
    };
    let add = named(&host.cap_add, "CapAdd")?;
    let drop = named(&host.cap_drop, "CapDrop")?;
    if host.privileged {
        return Ok(spelled(|_| true));
    }
    let all = |list: &[String]| list.iter().any(|c| c == "ALL");
    let has = |list: &[String], name: &str| list.iter().any(|c| c == name);
    Ok(spelled(|name| {
        if has(&drop, name) {
            return false;
        }
        if has(&add, name) || all(&add) {
            return true;
        }
        !all(&drop) && DEFAULT.contains(&name)
    }))
}

/// The sets for a process of `uid`: only root has them in effect, others may gain them by executing.
pub(crate) fn sets(capabilities: &[String], uid: u32) -> Value {
    if uid == 0 {
        json!({"bounding": capabilities, "effective": capabilities, "permitted": capabilities})
    } else {
        json!({"bounding": capabilities})
    }
}

fn spelled(keep: impl Fn(&str) -> bool) -> Vec<String> {
    ALL.iter()
        .filter(|name| keep(name))
        .map(|name| format!("CAP_{name}"))
        .collect()
}

fn normalize(names: &[String]) -> Result<Vec<String>> {
    names
        .iter()
        .map(|name| {
            let upper = name.to_ascii_uppercase();
            let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if bare == "ALL" || ALL.contains(&bare) {
                Ok(bare.to_owned())
            } else {
                Err(Error::invalid(format!(
                    "unknown capability: \"CAP_{bare}\""
                )))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(add: &[&str], drop: &[&str], expected: usize, has: &str, expected_has: bool) {
        let own = |list: &[&str]| Some(list.iter().map(|s| (*s).to_owned()).collect());
        let host = HostConfig {
            cap_add: own(add),
            cap_drop: own(drop),
            ..HostConfig::default()
        };
        let got = effective(&host).unwrap();
        assert_eq!(got.len(), expected, "{add:?} {drop:?}");
        assert_eq!(got.iter().any(|c| c == has), expected_has);
    }

    #[test]
    fn add_and_drop() {
        check(&[], &[], 14, "CAP_NET_RAW", true);
        check(&["net_admin"], &[], 15, "CAP_NET_ADMIN", true);
        check(&["CAP_NET_ADMIN"], &["ALL"], 1, "CAP_NET_ADMIN", true);
        check(&["ALL"], &["SYS_ADMIN"], 40, "CAP_SYS_ADMIN", false);
        check(&[], &["net_raw"], 13, "CAP_NET_RAW", false);
        let host = HostConfig {
            cap_drop: Some(vec!["nope".to_owned()]),
            ..HostConfig::default()
        };
        assert_eq!(
            effective(&host).unwrap_err().message,
            "invalid CapDrop: unknown capability: \"CAP_NOPE\""
        );
    }
}

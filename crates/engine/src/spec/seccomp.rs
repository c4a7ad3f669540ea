//! The system call filter: calls that would reach the whole host are refused, each unless a capability allows it.
//!
//! The list follows Docker's documentation of what its default profile blocks. Docker's profile names what is allowed
//! and refuses the rest; this one names what is refused, so a call that is newer than this list is not filtered.

use engine_types::container::HostConfig;
use engine_types::{Error, Result};
use serde_json::{Value, json};

/// Refused calls, each group with the capability that lifts it (empty: none does).
const REFUSED: &[(&str, &[&str])] = &[
    (
        "CAP_SYS_ADMIN",
        &[
            "bpf",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "swapoff",
            "swapon",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("CAP_SYS_BOOT", &["kexec_file_load", "kexec_load", "reboot"]),
    (
        "CAP_SYS_MODULE",
        &[
            "create_module",
            "delete_module",
            "finit_module",
            "init_module",
            "query_module",
        ],
    ),
    ("CAP_SYS_PACCT", &["acct"]),
    (
        "CAP_SYS_TIME",
        &[
            "clock_adjtime",
            "clock_adjtime64",
            "clock_settime",
            "clock_settime64",
            "settimeofday",
            "stime",
        ],
    ),
    ("CAP_SYS_RAWIO", &["iopl", "ioperm"]),
    (
        "CAP_SYS_PTRACE",
        &[
            "kcmp",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
        ],
    ),
    (
        "CAP_SYS_NICE",
        &[
            "get_mempolicy",
            "mbind",
            "migrate_pages",
            "move_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
    (
        "",
        &[
            "_sysctl",
            "add_key",
            "get_kernel_syms",
            "io_uring_enter",
            "io_uring_register",
            "io_uring_setup",
            "keyctl",
            "nfsservctl",
            "request_key",
            "sysfs",
            "uselib",
            "userfaultfd",
            "ustat",
            "vm86",
            "vm86old",
        ],
    ),
];

/// `CLONE_NEW*`, all of them.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// The profile's name as `docker info` and security options show it.
pub(crate) fn filter(host: &HostConfig, capabilities: &[String]) -> Result<Option<Value>> {
    if host.privileged {
        return Ok(None);
    }
    for option in host.security_opt.iter().flatten() {
        match option.split_once(['=', ':']) {
            Some(("seccomp", "unconfined")) => return Ok(None),
            Some(("seccomp", "builtin")) => {}
            Some(("seccomp", _)) => {
                return Err(Error::not_implemented(
                    "custom seccomp profiles are not supported by this build: use seccomp=unconfined or the default",
                ));
            }
            _ => {}
        }
    }
    let has = |name: &str| capabilities.iter().any(|c| c == name);
    let mut rules: Vec<Value> = REFUSED
        .iter()
        .filter(|(lifted_by, _)| lifted_by.is_empty() || !has(lifted_by))
        .map(|(_, names)| refuse(names, EPERM))
        .collect();
    if !has("CAP_SYS_ADMIN") {
        let mut clone = refuse(&["clone"], EPERM);
        // Each flag by itself: a filter can say "all these bits", not "any of them".
        for bit in (0..64).map(|bit| 1_u64 << bit) {
            if NAMESPACE_FLAGS & bit != 0 {
                clone["args"] = json!([
                    {"index": 0, "value": bit, "valueTwo": bit, "op": "SCMP_CMP_MASKED_EQ"}
                ]);
                rules.push(clone.clone());
            }
        }
        // Its flags are in memory, where no filter looks: programs fall back to clone.
        rules.push(refuse(&["clone3"], ENOSYS));
    }
    Ok(Some(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": architectures(),
        "syscalls": rules,
    })))
}

fn refuse(names: &[&str], errno: u32) -> Value {
    json!({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno})
}

fn architectures() -> &'static [&'static str] {
    match std::env::consts::ARCH {
        "x86_64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => &[],
    }
}

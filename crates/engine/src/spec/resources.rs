//! Limits: what cgroups and rlimits hold a container to.

use std::os::unix::fs::MetadataExt;

use engine_types::container::{Resources, Ulimit};
use engine_types::{Error, Result};
use serde_json::{Map, Value, json};

use super::devices::{Device, parse_rule};

const DEFAULT_CPU_PERIOD: i64 = 100_000;

/// `linux.resources` of the runtime's configuration.
pub(crate) fn limits(resources: &Resources, privileged: bool, devices: &[Device]) -> Result<Value> {
    let mut limits = cgroup(resources)?;
    let mut rules = vec![json!({"allow": privileged, "access": "rwm"})];
    if !privileged {
        // Nodes may be made anywhere; using them is another matter.
        for kind in ["c", "b"] {
            rules.push(json!({"allow": true, "type": kind, "access": "m"}));
        }
        rules.extend(devices.iter().map(Device::rule));
        for rule in resources.device_cgroup_rules.iter().flatten() {
            rules.push(parse_rule(rule)?);
        }
    }
    limits["devices"] = json!(rules);
    Ok(limits)
}

/// The part that `docker update` can change while the container runs.
pub(crate) fn cgroup(resources: &Resources) -> Result<Value> {
    let mut memory = Map::new();
    let mut set = |key: &str, value: i64| {
        if value != 0 {
            memory.insert(key.to_owned(), json!(value));
        }
    };
    set("limit", resources.memory);
    set("reservation", resources.memory_reservation);
    set("swap", resources.memory_swap);
    if let Some(swappiness) = resources.memory_swappiness.filter(|s| *s >= 0) {
        memory.insert("swappiness".to_owned(), json!(swappiness));
    }
    if resources.oom_kill_disable == Some(true) {
        memory.insert("disableOOMKiller".to_owned(), json!(true));
    }
    let mut cpu = Map::new();
    let mut set = |key: &str, value: Value| {
        let empty = value == json!(0) || value == json!("");
        if !empty {
            cpu.insert(key.to_owned(), value);
        }
    };
    set("shares", json!(resources.cpu_shares));
    set("cpus", json!(resources.cpuset_cpus));
    set("mems", json!(resources.cpuset_mems));
    set("realtimePeriod", json!(resources.cpu_realtime_period));
    set("realtimeRuntime", json!(resources.cpu_realtime_runtime));
    if resources.nano_cpus > 0 {
        let quota =
            i128::from(resources.nano_cpus) * i128::from(DEFAULT_CPU_PERIOD) / 1_000_000_000;
        set("period", json!(DEFAULT_CPU_PERIOD));
        set("quota", json!(i64::try_from(quota).unwrap_or(i64::MAX)));
    } else {
        set("period", json!(resources.cpu_period));
        set("quota", json!(resources.cpu_quota));
    }
    let mut limits = json!({});
    if !memory.is_empty() {
        limits["memory"] = Value::Object(memory);
    }
    if !cpu.is_empty() {
        limits["cpu"] = Value::Object(cpu);
    }
    if let Some(pids) = resources.pids_limit.filter(|pids| *pids != 0) {
        limits["pids"] = json!({"limit": if pids < 0 { -1 } else { pids }});
    }
    let block = block_io(resources)?;
    if !block.is_empty() {
        limits["blockIO"] = Value::Object(block);
    }
    Ok(limits)
}

fn block_io(resources: &Resources) -> Result<Map<String, Value>> {
    let mut block = Map::new();
    if resources.blkio_weight != 0 {
        block.insert("weight".to_owned(), json!(resources.blkio_weight));
    }
    let lists = [
        (
            "weightDevice",
            "Weight",
            "weight",
            &resources.blkio_weight_device,
        ),
        (
            "throttleReadBpsDevice",
            "Rate",
            "rate",
            &resources.blkio_device_read_bps,
        ),
        (
            "throttleWriteBpsDevice",
            "Rate",
            "rate",
            &resources.blkio_device_write_bps,
        ),
        (
            "throttleReadIOPSDevice",
            "Rate",
            "rate",
            &resources.blkio_device_read_i_ops,
        ),
        (
            "throttleWriteIOPSDevice",
            "Rate",
            "rate",
            &resources.blkio_device_write_i_ops,
        ),
    ];
    for (key, from, to, list) in lists {
        let rows = list
            .iter()
            .flatten()
            .map(|row| {
                let path = row["Path"].as_str().unwrap_or_default();
                let device = std::fs::metadata(path).map_err(|error| {
                    Error::invalid(format!("invalid block device {path:?}: {error}"))
                })?;
                Ok(json!({
                    "major": rustix::fs::major(device.rdev()),
                    "minor": rustix::fs::minor(device.rdev()),
                    to: row[from],
                }))
            })
            .collect::<Result<Vec<_>>>()?;
        if !rows.is_empty() {
            block.insert(key.to_owned(), json!(rows));
        }
    }
    Ok(block)
}

/// Its own limits, and those of `defaults` that it has not.
pub(crate) fn rlimits(resources: &Resources, defaults: &[Ulimit]) -> Vec<Value> {
    let limit = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let own = resources.ulimits.as_deref().unwrap_or_default();
    let has = |name: &str| own.iter().any(|own| own.name.eq_ignore_ascii_case(name));
    own.iter()
        .chain(defaults.iter().filter(|limit| !has(&limit.name)))
        .map(|ulimit| {
            json!({
                "type": format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase()),
                "hard": limit(ulimit.hard),
                "soft": limit(ulimit.soft),
            })
        })
        .collect()
}

/// Docker's checks, with its texts.
pub(crate) fn validate(resources: &Resources) -> Result<()> {
    const MINIMUM: i64 = 6 << 20;
    let fail = |text: &str| Err(Error::invalid(text));
    let r = resources;
    if r.memory != 0 && r.memory < MINIMUM {
        return fail("Minimum memory limit allowed is 6MB");
    }
    if r.memory == 0 && r.memory_swap > 0 {
        return fail(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    if r.memory > 0 && r.memory_swap > 0 && r.memory_swap < r.memory {
        return fail("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if r.memory > 0 && r.memory_reservation > r.memory {
        return fail(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    if r.memory_reservation > 0 && r.memory_reservation < MINIMUM {
        return fail("Minimum memory reservation allowed is 6MB");
    }
    if r.memory_swappiness
        .is_some_and(|s| !(-1..=100).contains(&s))
    {
        return fail("Invalid value for memory swappiness, valid memory swappiness range is 0-100");
    }
    if r.nano_cpus < 0 {
        return fail("Range of CPUs is from 0.01 to the number of CPUs of this host");
    }
    if r.nano_cpus > 0 && (r.cpu_period > 0 || r.cpu_quota > 0) {
        return fail("Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set");
    }
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if r.nano_cpus
        > i64::try_from(cpus)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000_000)
    {
        return fail(&format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        ));
    }
    if r.cpu_period != 0 && !(1_000..=1_000_000).contains(&r.cpu_period) {
        return fail(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if r.cpu_quota > 0 && r.cpu_quota < 1_000 {
        return fail("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if r.blkio_weight != 0 && !(10..=1000).contains(&r.blkio_weight) {
        return fail("Range of blkio weight is from 10 to 1000");
    }
    for rule in r.device_cgroup_rules.iter().flatten() {
        parse_rule(rule)?;
    }
    if r.device_requests
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        return Err(Error::not_implemented(
            "device requests (--gpus) are not supported by this build: pass the devices with --device",
        ));
    }
    Ok(())
}

use engine_types::{Error, Result, container, swarm};
use swarm_wire::pb;

use super::names::{CONSISTENCY, ISOLATION, MOUNT_TYPE, PROPAGATION};
use super::{driver_pb, duration_json, duration_pb, each, some, some_map};

pub fn container_spec_json(c: &pb::ContainerSpec) -> swarm::ContainerSpec {
    swarm::ContainerSpec {
        image: c.image.clone(),
        labels: some_map(&c.labels),
        command: some(&c.command),
        args: some(&c.args),
        hostname: c.hostname.clone(),
        env: some(&c.env),
        dir: c.dir.clone(),
        user: c.user.clone(),
        groups: some(&c.groups),
        privileges: c.privileges.as_ref().map(|p| swarm::Privileges {
            no_new_privileges: p.no_new_privileges,
            ..Default::default()
        }),
        init: c.init,
        stop_signal: c.stop_signal.clone(),
        tty: c.tty,
        open_stdin: c.open_stdin,
        read_only: c.read_only,
        mounts: each(&c.mounts, mount_json),
        stop_grace_period: c.stop_grace_period.as_ref().map(|d| duration_json(Some(d))),
        healthcheck: c.healthcheck.as_ref().map(health_json),
        hosts: some(&c.hosts),
        // Docker always writes the field, empty when nothing is set.
        dns_config: Some(c.dns_config.as_ref().map_or_else(Default::default, |d| {
            swarm::DNSConfig {
                nameservers: some(&d.nameservers),
                search: some(&d.search),
                options: some(&d.options),
            }
        })),
        secrets: each(&c.secrets, secret_json),
        configs: each(&c.configs, config_json),
        isolation: ISOLATION.word(c.isolation),
        sysctls: some_map(&c.sysctls),
        capability_add: some(&c.capability_add),
        capability_drop: some(&c.capability_drop),
        ulimits: each(&c.ulimits, |u| container::Ulimit {
            name: u.name.clone(),
            hard: u.hard,
            soft: u.soft,
        }),
        oom_score_adj: c.oom_score_adj,
    }
}

pub fn container_spec_pb(c: swarm::ContainerSpec, pids_limit: i64) -> Result<pb::ContainerSpec> {
    let privileges = match c.privileges {
        Some(p) if p.credential_spec.is_some() => {
            return Err(Error::invalid(
                "credential specs are for Windows containers only",
            ));
        }
        Some(p) if p.se_linux_context.is_some() || p.seccomp.is_some() || p.app_armor.is_some() => {
            return Err(Error::not_implemented(
                "SELinux, seccomp and AppArmor settings of services are not supported",
            ));
        }
        Some(p) => Some(pb::Privileges {
            no_new_privileges: p.no_new_privileges,
            ..Default::default()
        }),
        None => None,
    };
    Ok(pb::ContainerSpec {
        image: c.image,
        labels: c.labels.unwrap_or_default(),
        command: c.command.unwrap_or_default(),
        args: c.args.unwrap_or_default(),
        hostname: c.hostname,
        env: c.env.unwrap_or_default(),
        dir: c.dir,
        user: c.user,
        groups: c.groups.unwrap_or_default(),
        privileges,
        init: c.init,
        tty: c.tty,
        open_stdin: c.open_stdin,
        read_only: c.read_only,
        stop_signal: c.stop_signal,
        mounts: c
            .mounts
            .unwrap_or_default()
            .into_iter()
            .map(mount_pb)
            .collect::<Result<_>>()?,
        stop_grace_period: c.stop_grace_period.map(duration_pb),
        pull_options: None,
        secrets: c
            .secrets
            .unwrap_or_default()
            .into_iter()
            .map(secret_pb)
            .collect(),
        configs: c
            .configs
            .unwrap_or_default()
            .into_iter()
            .map(config_pb)
            .collect(),
        hosts: c.hosts.unwrap_or_default(),
        dns_config: c.dns_config.map(|d| pb::container_spec::DnsConfig {
            nameservers: d.nameservers.unwrap_or_default(),
            search: d.search.unwrap_or_default(),
            options: d.options.unwrap_or_default(),
        }),
        healthcheck: c.healthcheck.map(health_pb),
        isolation: ISOLATION.value(&c.isolation)?,
        pids_limit,
        sysctls: c.sysctls.unwrap_or_default(),
        capability_add: c.capability_add.unwrap_or_default(),
        capability_drop: c.capability_drop.unwrap_or_default(),
        ulimits: c
            .ulimits
            .unwrap_or_default()
            .into_iter()
            .map(|u| pb::container_spec::Ulimit {
                name: u.name,
                soft: u.soft,
                hard: u.hard,
            })
            .collect(),
        oom_score_adj: c.oom_score_adj,
    })
}

pub(crate) fn mount_json(m: &pb::Mount) -> container::Mount {
    container::Mount {
        r#type: MOUNT_TYPE.word(m.r#type),
        source: m.source.clone(),
        target: m.target.clone(),
        read_only: m.readonly,
        consistency: if m.consistency == 0 {
            String::new()
        } else {
            CONSISTENCY.word(m.consistency)
        },
        bind_options: m.bind_options.as_ref().map(|b| container::BindOptions {
            propagation: PROPAGATION.word(b.propagation),
            non_recursive: b.nonrecursive,
            create_mountpoint: b.createmountpoint,
            read_only_non_recursive: b.readonlynonrecursive,
            read_only_force_recursive: b.readonlyforcerecursive,
        }),
        volume_options: m.volume_options.as_ref().map(|v| container::VolumeOptions {
            no_copy: v.nocopy,
            labels: some_map(&v.labels),
            subpath: v.subpath.clone(),
            driver_config: v
                .driver_config
                .as_ref()
                .map(|d| serde_json::json!({"Name": d.name, "Options": d.options})),
        }),
        tmpfs_options: m.tmpfs_options.as_ref().map(|t| container::TmpfsOptions {
            size_bytes: t.size_bytes,
            mode: t.mode,
        }),
    }
}

fn mount_pb(m: container::Mount) -> Result<pb::Mount> {
    Ok(pb::Mount {
        r#type: MOUNT_TYPE.value(&m.r#type)?,
        source: m.source,
        target: m.target,
        readonly: m.read_only,
        consistency: CONSISTENCY.value(&m.consistency)?,
        bind_options: match m.bind_options {
            Some(b) => Some(pb::mount::BindOptions {
                propagation: PROPAGATION.value(&b.propagation)?,
                nonrecursive: b.non_recursive,
                createmountpoint: b.create_mountpoint,
                readonlynonrecursive: b.read_only_non_recursive,
                readonlyforcerecursive: b.read_only_force_recursive,
            }),
            None => None,
        },
        volume_options: match m.volume_options {
            Some(v) => Some(pb::mount::VolumeOptions {
                nocopy: v.no_copy,
                labels: v.labels.unwrap_or_default(),
                driver_config: match v.driver_config {
                    Some(d) => driver_pb(serde_json::from_value(d).map_err(|e| {
                        Error::invalid(format!("invalid volume driver of mount: {e}"))
                    })?),
                    None => None,
                },
                subpath: v.subpath,
            }),
            None => None,
        },
        tmpfs_options: m.tmpfs_options.map(|t| pb::mount::TmpfsOptions {
            size_bytes: t.size_bytes,
            mode: t.mode,
            options: String::new(),
        }),
    })
}

pub(crate) fn health_json(h: &pb::HealthConfig) -> container::HealthConfig {
    container::HealthConfig {
        test: some(&h.test),
        interval: duration_json(h.interval.as_ref()),
        timeout: duration_json(h.timeout.as_ref()),
        start_period: duration_json(h.start_period.as_ref()),
        start_interval: duration_json(h.start_interval.as_ref()),
        retries: h.retries.into(),
    }
}

fn health_pb(h: container::HealthConfig) -> pb::HealthConfig {
    let duration = |nanos: i64| (nanos != 0).then(|| duration_pb(nanos));
    pb::HealthConfig {
        test: h.test.unwrap_or_default(),
        interval: duration(h.interval),
        timeout: duration(h.timeout),
        retries: i32::try_from(h.retries).unwrap_or(i32::MAX),
        start_period: duration(h.start_period),
        start_interval: duration(h.start_interval),
    }
}

fn secret_json(r: &pb::SecretReference) -> swarm::SecretReference {
    swarm::SecretReference {
        file: r
            .target
            .as_ref()
            .map(
                |pb::secret_reference::Target::File(f)| swarm::SecretReferenceFileTarget {
                    name: f.name.clone(),
                    uid: f.uid.clone(),
                    gid: f.gid.clone(),
                    mode: f.mode,
                },
            ),
        secret_id: r.secret_id.clone(),
        secret_name: r.secret_name.clone(),
    }
}

fn secret_pb(r: swarm::SecretReference) -> pb::SecretReference {
    pb::SecretReference {
        secret_id: r.secret_id,
        secret_name: r.secret_name,
        target: r.file.map(|f| {
            pb::secret_reference::Target::File(pb::FileTarget {
                name: f.name,
                uid: f.uid,
                gid: f.gid,
                mode: f.mode,
            })
        }),
    }
}

fn config_json(r: &pb::ConfigReference) -> swarm::ConfigReference {
    use pb::config_reference::Target;
    let (file, runtime) = match &r.target {
        Some(Target::File(f)) => {
            let file = swarm::ConfigReferenceFileTarget {
                name: f.name.clone(),
                uid: f.uid.clone(),
                gid: f.gid.clone(),
                mode: f.mode,
            };
            (Some(file), None)
        }
        Some(Target::Runtime(_)) => (None, Some(swarm::ConfigReferenceRuntimeTarget {})),
        None => (None, None),
    };
    swarm::ConfigReference {
        file,
        runtime,
        config_id: r.config_id.clone(),
        config_name: r.config_name.clone(),
    }
}

fn config_pb(r: swarm::ConfigReference) -> pb::ConfigReference {
    use pb::config_reference::Target;
    let target = match (r.file, r.runtime) {
        (Some(f), _) => Some(Target::File(pb::FileTarget {
            name: f.name,
            uid: f.uid,
            gid: f.gid,
            mode: f.mode,
        })),
        (None, Some(_)) => Some(Target::Runtime(pb::RuntimeTarget {})),
        (None, None) => None,
    };
    pb::ConfigReference {
        config_id: r.config_id,
        config_name: r.config_name,
        target,
    }
}

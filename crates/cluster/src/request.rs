//! A swarm task as a container to be created: pure translation.

use std::collections::BTreeMap;

use cnm::{ConnectRequest, Port, ServiceBinding};
use engine_types::container::{
    Config, CreateRequest, HostConfig, LogConfig, PortBinding, Resources,
};
use engine_types::network::{EndpointIPAMConfig, EndpointSettings};
use engine_types::{Empty, Error, Result};
use swarm_wire::pb;

use crate::balance_labels::balance;
use crate::convert;
use crate::publish_labels::choices;

/// What a task's templates may name besides the task itself.
pub struct NodeFacts<'a> {
    pub id: &'a str,
    pub hostname: &'a str,
}

pub fn container_spec(task: &pb::Task) -> Result<&pb::ContainerSpec> {
    match task.spec.as_ref().and_then(|s| s.runtime.as_ref()) {
        Some(pb::task_spec::Runtime::Container(c)) => Ok(c),
        _ => Err(Error::not_implemented(
            "task is not a container: only container and network attachment tasks run here",
        )),
    }
}

/// `<service>.<slot>.<task>`; a global service's task has its node in place of the slot.
pub fn container_name(task: &pb::Task) -> String {
    format!("{}.{}", task_name(task), task.id)
}

fn task_name(task: &pb::Task) -> String {
    let service = task
        .service_annotations
        .as_ref()
        .map_or("", |a| a.name.as_str());
    if task.slot == 0 {
        format!("{service}.{}", task.node_id)
    } else {
        format!("{service}.{}", task.slot)
    }
}

/// `secrets`: files that were laid out for this task, as read-only binds.
pub fn create_request(
    task: &pb::Task,
    node: &NodeFacts<'_>,
    secrets: Vec<String>,
) -> Result<CreateRequest> {
    let c = container_spec(task)?;
    let expand = |text: &str| template(text, task, node);
    let limits = task
        .spec
        .as_ref()
        .and_then(|s| s.resources.as_ref())
        .and_then(|r| r.limits.clone())
        .unwrap_or_default();
    let reserved = task
        .spec
        .as_ref()
        .and_then(|s| s.resources.as_ref())
        .and_then(|r| r.reservations.clone())
        .unwrap_or_default();
    let dns = c.dns_config.clone().unwrap_or_default();
    let json = convert::container_spec_json(c);
    let mut mounts = json.mounts.unwrap_or_default();
    for mount in &mut mounts {
        mount.source = expand(&mount.source)?;
        mount.target = expand(&mount.target)?;
    }
    let host_ports = host_ports(task);
    let config = Config {
        image: c.image.clone(),
        hostname: expand(&c.hostname)?,
        env: Some(c.env.iter().map(|e| expand(e)).collect::<Result<_>>()?),
        entrypoint: (!c.command.is_empty()).then(|| c.command.clone()),
        cmd: (!c.args.is_empty()).then(|| c.args.clone()),
        working_dir: c.dir.clone(),
        user: c.user.clone(),
        labels: Some(labels(task, c)),
        tty: c.tty,
        open_stdin: c.open_stdin,
        stop_signal: c.stop_signal.clone(),
        healthcheck: json.healthcheck,
        exposed_ports: Some(host_ports.keys().map(|p| (p, Empty {})).collect()),
        ..Default::default()
    };
    let host_config = HostConfig {
        binds: Some(secrets),
        mounts: Some(mounts),
        network_mode: own_network(task),
        port_bindings: Some(host_ports.into_iter().collect()),
        group_add: Some(c.groups.clone()),
        init: c.init,
        readonly_rootfs: c.read_only,
        dns: Some(dns.nameservers),
        dns_search: Some(dns.search),
        dns_options: Some(dns.options),
        extra_hosts: Some(
            c.hosts
                .iter()
                .map(|h| extra_host(h))
                .collect::<Result<_>>()?,
        ),
        sysctls: Some(c.sysctls.clone()),
        cap_add: Some(c.capability_add.clone()),
        cap_drop: Some(c.capability_drop.clone()),
        oom_score_adj: c.oom_score_adj,
        security_opt: c
            .privileges
            .as_ref()
            .is_some_and(|p| p.no_new_privileges)
            .then(|| vec!["no-new-privileges".into()]),
        log_config: log_config(task),
        resources: Resources {
            nano_cpus: limits.nano_cpus,
            memory: limits.memory_bytes,
            memory_reservation: reserved.memory_bytes,
            pids_limit: (c.pids_limit > 0).then_some(c.pids_limit),
            ulimits: json.ulimits,
            ..Default::default()
        },
        ..Default::default()
    };
    Ok(CreateRequest {
        config,
        host_config: Some(host_config),
        networking_config: None,
    })
}

fn labels(task: &pb::Task, c: &pb::ContainerSpec) -> BTreeMap<String, String> {
    let mut labels = c.labels.clone();
    let service = task
        .service_annotations
        .as_ref()
        .map_or("", |a| a.name.as_str());
    let name = container_name(task);
    for (key, value) in [
        ("", ""),
        (".id", task.id.as_str()),
        (".name", name.as_str()),
    ] {
        labels.insert(format!("com.docker.swarm.task{key}"), value.into());
    }
    labels.insert("com.docker.swarm.node.id".into(), task.node_id.clone());
    labels.insert(
        "com.docker.swarm.service.id".into(),
        task.service_id.clone(),
    );
    labels.insert("com.docker.swarm.service.name".into(), service.into());
    labels
}

fn log_config(task: &pb::Task) -> LogConfig {
    let driver = task
        .spec
        .as_ref()
        .and_then(|s| s.log_driver.clone())
        .or_else(|| task.log_driver.clone());
    driver.map_or_else(LogConfig::default, |d| LogConfig {
        r#type: d.name,
        config: Some(d.options),
    })
}

/// Ports published on this node only; those of the mesh belong to the ingress network.
fn host_ports(task: &pb::Task) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let ports = task
        .endpoint
        .as_ref()
        .map(|e| e.ports.as_slice())
        .unwrap_or_default();
    let mut bindings: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    for p in convert::ports_json(ports)
        .unwrap_or_default()
        .iter()
        .filter(|p| p.publish_mode == "host")
    {
        let port = if p.published_port == 0 {
            String::new()
        } else {
            p.published_port.to_string()
        };
        bindings
            .entry(format!("{}/{}", p.target_port, p.protocol))
            .or_default()
            .get_or_insert_default()
            .push(PortBinding {
                host_ip: String::new(),
                host_port: port,
            });
    }
    bindings
}

fn is_predefined(network: &pb::Network) -> bool {
    let labels = network
        .spec
        .as_ref()
        .and_then(|s| s.annotations.as_ref())
        .map(|a| &a.labels);
    labels.is_some_and(|l| {
        l.get("com.docker.swarm.predefined")
            .is_some_and(|v| v == "true")
    })
}

fn network_name(network: &pb::Network) -> &str {
    network
        .spec
        .as_ref()
        .and_then(|s| s.annotations.as_ref())
        .map_or("", |a| a.name.as_str())
}

/// The network of the node that the task is on: the one that it asks for, or `bridge` when it asks for none at all.
fn own_network(task: &pb::Task) -> String {
    let mut networks = task.networks.iter().filter_map(|n| n.network.as_ref());
    match networks.find(|n| is_predefined(n)) {
        Some(network) => network_name(network).to_owned(),
        None if swarm_networks(task).next().is_none() => "bridge".to_owned(),
        None => String::new(),
    }
}

/// The networks of the swarm that this task is on.
pub fn swarm_networks(
    task: &pb::Task,
) -> impl Iterator<Item = (&pb::NetworkAttachment, &pb::Network)> {
    task.networks
        .iter()
        .filter_map(|a| a.network.as_ref().map(|n| (a, n)))
        .filter(|(_, n)| !is_predefined(n))
}

/// One connection per swarm network, with the address that the manager allocated where it did, and one to the node's own
/// network.
pub fn connections(task: &pb::Task) -> Result<Vec<ConnectRequest>> {
    let service_name = task
        .service_annotations
        .as_ref()
        .map_or("", |a| a.name.as_str());
    let endpoint = task.endpoint.clone().unwrap_or_default();
    let own = Some(own_network(task)).filter(|name| !name.is_empty());
    let own = own.map(|network| {
        Ok(ConnectRequest {
            network,
            ..Default::default()
        })
    });
    swarm_networks(task)
        .map(|(attachment, network)| {
            let name = network_name(network);
            let mut ipam = EndpointIPAMConfig::default();
            for address in &attachment.addresses {
                let ip: ipnet::IpNet = address.parse().map_err(|_| {
                    Error::invalid(format!("network {name}: invalid address \"{address}\""))
                })?;
                match ip.addr() {
                    std::net::IpAddr::V4(v4) => ipam.ipv4_address = v4.to_string(),
                    std::net::IpAddr::V6(v6) => ipam.ipv6_address = v6.to_string(),
                }
            }
            let vip = |v6: bool| {
                let mut own = endpoint.virtual_ips.iter();
                let own = own.find(|v| v.network_id == network.id && v.addr.contains(':') == v6);
                let addr = own.map_or("", |v| v.addr.as_str());
                addr.split('/').next().unwrap_or_default().to_owned()
            };
            let ingress = network.spec.as_ref().is_some_and(|s| s.ingress);
            let ports = convert::ports_json(&endpoint.ports).unwrap_or_default();
            let labels = task.service_annotations.as_ref().map(|a| &a.labels);
            let choices = labels.map(choices).transpose()?.unwrap_or_default();
            let balance = labels.map(balance).transpose()?.unwrap_or_default();
            Ok(ConnectRequest {
                network: network.id.clone(),
                settings: EndpointSettings {
                    ipam_config: Some(ipam).filter(|i| *i != EndpointIPAMConfig::default()),
                    driver_opts: Some(attachment.driver_attachment_opts.clone()),
                    ..Default::default()
                },
                preallocated: true,
                service: Some(ServiceBinding {
                    id: task.service_id.clone(),
                    name: service_name.to_owned(),
                    virtual_ip: vip(false),
                    virtual_ip_v6: vip(true),
                    aliases: attachment.aliases.clone(),
                    ingress_ports: ports
                        .iter()
                        .filter(|p| ingress && p.publish_mode == "ingress")
                        .filter_map(|p| {
                            Some(Port {
                                name: p.name.clone(),
                                protocol: p.protocol.clone(),
                                target: u16::try_from(p.target_port).ok()?,
                                published: u16::try_from(p.published_port).ok()?,
                                concealed: choices.concealed(p.published_port),
                                within: choices.within(p.published_port),
                                proxy: choices
                                    .proxy(p.published_port)
                                    .filter(|_| p.protocol == "tcp"),
                            })
                        })
                        .collect(),
                    balance,
                }),
            })
        })
        .chain(own)
        .collect()
}

/// The wire has `/etc/hosts` order (`ip name`), the engine takes `name:ip`.
fn extra_host(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some(ip), Some(name)) => Ok(format!("{name}:{ip}")),
        _ => Err(Error::invalid(format!(
            "invalid host \"{line}\": want an address and a name"
        ))),
    }
}

/// Docker's placeholders in hostname, environment and mounts, e.g. `{{.Task.Slot}}`.
fn template(text: &str, task: &pb::Task, node: &NodeFacts<'_>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (field, after) = after
            .split_once("}}")
            .ok_or_else(|| Error::invalid(format!("template \"{text}\": unclosed action")))?;
        out.push_str(before);
        out.push_str(&placeholder(field.trim(), task, node).ok_or_else(|| {
            Error::invalid(format!(
                "template \"{text}\": cannot evaluate \"{}\"",
                field.trim()
            ))
        })?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn placeholder(field: &str, task: &pb::Task, node: &NodeFacts<'_>) -> Option<String> {
    let service = task.service_annotations.as_ref();
    Some(match field {
        ".Service.ID" => task.service_id.clone(),
        ".Service.Name" => service?.name.clone(),
        ".Node.ID" => node.id.to_owned(),
        ".Node.Hostname" => node.hostname.to_owned(),
        ".Task.ID" => task.id.clone(),
        ".Task.Name" => container_name(task),
        ".Task.Slot" if task.slot == 0 => task.node_id.clone(),
        ".Task.Slot" => task.slot.to_string(),
        _ => {
            let label = field
                .strip_prefix("index .Service.Labels ")?
                .trim_matches('"');
            service?.labels.get(label).cloned().unwrap_or_default()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(slot: u64) -> pb::Task {
        pb::Task {
            id: "t1".into(),
            slot,
            node_id: "node1".into(),
            service_id: "s1".into(),
            service_annotations: Some(pb::Annotations {
                name: "web".into(),
                labels: [("tier".to_owned(), "front".to_owned())].into(),
                indices: Vec::new(),
            }),
            spec: Some(pb::TaskSpec {
                runtime: Some(pb::task_spec::Runtime::Container(pb::ContainerSpec {
                    image: "busybox".into(),
                    command: vec!["sh".into()],
                    env: vec!["SLOT={{.Task.Slot}}".into()],
                    hosts: vec!["10.0.0.9 db".into()],
                    hostname: "{{ .Service.Name }}-{{.Node.Hostname}}".into(),
                    ..Default::default()
                })),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    const NODE: NodeFacts<'static> = NodeFacts {
        id: "node1",
        hostname: "h1",
    };

    #[test]
    fn names_are_dockers() {
        assert_eq!(container_name(&task(3)), "web.3.t1");
        assert_eq!(container_name(&task(0)), "web.node1.t1");
    }

    #[test]
    fn spec_becomes_a_container() {
        let request = create_request(&task(3), &NODE, Vec::new()).unwrap();
        assert_eq!(request.config.hostname, "web-h1");
        assert_eq!(request.config.env, Some(vec!["SLOT=3".to_owned()]));
        assert_eq!(request.config.entrypoint, Some(vec!["sh".to_owned()]));
        let host = request.host_config.unwrap();
        assert_eq!(host.extra_hosts, Some(vec!["db:10.0.0.9".to_owned()]));
        assert_eq!(
            request.config.labels.unwrap()["com.docker.swarm.task.name"],
            "web.3.t1"
        );
    }

    #[test]
    fn without_a_network_a_task_is_on_the_nodes_bridge() {
        let named = |name: &str, labels: &[&str]| pb::NetworkAttachment {
            network: Some(pb::Network {
                id: "n1".into(),
                spec: Some(pb::NetworkSpec {
                    annotations: Some(pb::Annotations {
                        name: name.into(),
                        labels: labels
                            .iter()
                            .map(|l| ((*l).to_owned(), "true".to_owned()))
                            .collect(),
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            addresses: vec!["10.0.1.3/24".into()],
            ..Default::default()
        };
        let own = &["com.docker.swarm.predefined"][..];
        for (networks, connected, mode) in [
            (vec![], vec!["bridge"], "bridge"),
            (vec![named("host", own)], vec!["host"], "host"),
            (vec![named("over", &[])], vec!["n1"], ""),
        ] {
            let task = pb::Task {
                networks,
                ..task(1)
            };
            let to: Vec<_> = connections(&task)
                .unwrap()
                .into_iter()
                .map(|c| c.network)
                .collect();
            assert_eq!(to, connected);
            let request = create_request(&task, &NODE, Vec::new()).unwrap();
            assert_eq!(request.host_config.unwrap().network_mode, mode);
        }
    }

    #[test]
    fn templates() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(
                template(text, &task(3), &NODE).ok().as_deref(),
                want,
                "{text}"
            );
        };
        check("plain", Some("plain"));
        check("{{index .Service.Labels \"tier\"}}!", Some("front!"));
        check("{{.Task.Name}}/{{.Task.ID}}", Some("web.3.t1/t1"));
        check("{{.Task.Nope}}", None);
        check("{{.Task.ID", None);
    }
}

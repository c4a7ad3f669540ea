//! `--link` on the default bridge: who may be linked, and what the linking container's environment says of the others.

use engine_types::{Error, PortSet, Result};

use crate::error::lock;
use crate::inner::{Container, Inner};
use crate::record::{NetworkMode, Record};

/// `child:alias`, or `child` alone.
fn parse(link: &str) -> Result<(&str, &str)> {
    let (child, alias) = link.split_once(':').unwrap_or((link, link));
    let (child, alias) = (child.trim_start_matches('/'), base(alias));
    match child.is_empty() || alias.is_empty() || alias.contains(':') {
        true => Err(Error::invalid(format!("bad format for links: {link}"))),
        false => Ok((child, alias)),
    }
}

/// Docker writes aliases as `/parent/alias`.
fn base(alias: &str) -> &str {
    alias.rsplit_once('/').map_or(alias, |(_, base)| base)
}

/// The links of a container on the default bridge; on other networks they are names, which the networks answer for.
fn legacy(record: &Record) -> &[String] {
    match record.network_mode() {
        NetworkMode::Network("bridge") => record.host_config.links.as_deref().unwrap_or_default(),
        _ => &[],
    }
}

impl Inner {
    pub fn check_links(&self, record: &Record) -> Result<()> {
        for link in record.host_config.links.iter().flatten() {
            parse(link)?;
        }
        for link in legacy(record) {
            let (child, _) = parse(link)?;
            let child = self
                .find(child)
                .map_err(|_| Error::invalid(format!("could not get container for {child}")))?;
            if child.with(|record| record.network_mode() == NetworkMode::Host) {
                return Err(Error::invalid(
                    "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
                ));
            }
        }
        Ok(())
    }

    /// The variables that tell of linked containers, which have to run.
    pub fn link_environment(&self, container: &Container) -> Result<Vec<String>> {
        let record = container.record();
        let mut env = Vec::new();
        for link in legacy(&record) {
            let (child, alias) = parse(link)?;
            let child = self
                .find(child)
                .map_err(|_| Error::invalid(format!("could not get container for {child}")))?;
            let (name, config) = child.with(|r| (r.name.clone(), r.config.clone()));
            if lock(&child.live).is_none() {
                return Err(Error::system(format!(
                    "Cannot link to a non running container: /{name} AS /{}/{alias}",
                    record.name
                )));
            }
            let endpoints = self.networks.endpoints(&child.id);
            let Some(bridge) = endpoints.get("bridge") else {
                return Err(Error::system(format!(
                    "Cannot link to /{name}, as it does not belong to the default network"
                )));
            };
            let exposed = config.exposed_ports.iter().flat_map(PortSet::names);
            env.extend(variables(
                &format!("/{}/{alias}", record.name),
                alias,
                &bridge.ip_address,
                &cnm::exposed(exposed),
                config.env.as_deref().unwrap_or_default(),
            ));
        }
        Ok(env)
    }
}

fn variables(
    name: &str,
    alias: &str,
    ip: &str,
    exposed: &[(String, u16, u16)],
    child: &[String],
) -> Vec<String> {
    let prefix = alias.to_uppercase().replace('-', "_");
    let mut env = Vec::new();
    let all = exposed
        .iter()
        .flat_map(|(protocol, first, last)| (*first..=*last).map(move |port| (port, protocol)));
    if let Some((port, protocol)) = all.clone().min_by_key(|(port, p)| (*port, *p != "tcp")) {
        env.push(format!("{prefix}_PORT={protocol}://{ip}:{port}"));
    }
    for (protocol, first, last) in exposed.iter().filter(|(_, first, last)| first < last) {
        let range = format!("{prefix}_PORT_{first}_{}", protocol.to_uppercase());
        env.extend([
            format!("{range}_START={protocol}://{ip}:{first}"),
            format!("{range}_PORT_START={first}"),
            format!("{range}_END={protocol}://{ip}:{last}"),
            format!("{range}_PORT_END={last}"),
        ]);
    }
    for (port, protocol) in all {
        let port_prefix = format!("{prefix}_PORT_{port}_{}", protocol.to_uppercase());
        env.extend([
            format!("{port_prefix}={protocol}://{ip}:{port}"),
            format!("{port_prefix}_ADDR={ip}"),
            format!("{port_prefix}_PORT={port}"),
            format!("{port_prefix}_PROTO={protocol}"),
        ]);
    }
    env.push(format!("{prefix}_NAME={name}"));
    let own = child.iter().filter_map(|variable| variable.split_once('='));
    let told = own.filter(|(key, _)| !matches!(*key, "HOME" | "PATH"));
    env.extend(told.map(|(key, value)| format!("{prefix}_ENV_{key}={value}")));
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_tells_of_a_linked_container() {
        let exposed = [("tcp".into(), 80, 81), ("udp".into(), 53, 53)];
        let child = ["A=b".to_string(), "PATH=/bin".to_string()];
        let env = variables("/web/my-db", "my-db", "172.17.0.2", &exposed, &child);
        assert_eq!(
            env,
            [
                "MY_DB_PORT=udp://172.17.0.2:53",
                "MY_DB_PORT_80_TCP_START=tcp://172.17.0.2:80",
                "MY_DB_PORT_80_TCP_PORT_START=80",
                "MY_DB_PORT_80_TCP_END=tcp://172.17.0.2:81",
                "MY_DB_PORT_80_TCP_PORT_END=81",
                "MY_DB_PORT_80_TCP=tcp://172.17.0.2:80",
                "MY_DB_PORT_80_TCP_ADDR=172.17.0.2",
                "MY_DB_PORT_80_TCP_PORT=80",
                "MY_DB_PORT_80_TCP_PROTO=tcp",
                "MY_DB_PORT_81_TCP=tcp://172.17.0.2:81",
                "MY_DB_PORT_81_TCP_ADDR=172.17.0.2",
                "MY_DB_PORT_81_TCP_PORT=81",
                "MY_DB_PORT_81_TCP_PROTO=tcp",
                "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
                "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
                "MY_DB_PORT_53_UDP_PORT=53",
                "MY_DB_PORT_53_UDP_PROTO=udp",
                "MY_DB_NAME=/web/my-db",
                "MY_DB_ENV_A=b",
            ]
        );
    }

    #[test]
    fn links_are_a_container_and_an_alias() {
        assert_eq!(parse("db:alias").unwrap(), ("db", "alias"));
        assert_eq!(parse("db").unwrap(), ("db", "db"));
        assert_eq!(parse("/db:/web/alias").unwrap(), ("db", "alias"));
        for bad in ["", ":a", "a:", "a:b:c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

//! What the daemon runs with: flags over daemon.json, as dockerd merges them (both at once for one option is an error).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;
use cnm::driver::Firewall;
use engine_types::container::Ulimit;
use ipnet::IpNet;
use serde_json::Value;

use crate::flags::{FLAGS, Flag, Kind, Use};
use crate::limits;

const CONFIG_FILE: &str = "/etc/docker/daemon.json";

#[derive(Clone, Debug)]
pub struct Settings {
    pub data_root: PathBuf,
    pub exec_root: PathBuf,
    pub pidfile: PathBuf,
    pub hosts: Vec<String>,
    pub group: String,
    pub debug: bool,
    pub log_level: String,
    pub log_json: bool,
    pub bridge: cnm::DefaultBridge,
    pub mtu: u32,
    pub pools: Vec<ipam::DefaultPool>,
    pub excluded: Vec<IpNet>,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    pub host_gateway: Vec<IpAddr>,
    pub firewall: Firewall,
    pub default_binding: IpAddr,
    pub network_options: BTreeMap<String, BTreeMap<String, String>>,
    pub labels: Vec<String>,
    pub cgroup_parent: String,
    pub runtimes: BTreeMap<String, String>,
    pub default_runtime: String,
    pub ulimits: Vec<Ulimit>,
    pub plugin_dirs: Vec<PathBuf>,
    pub swarm_advertise: Option<String>,
    /// One line each, for the log once it is open.
    pub warnings: Vec<String>,
}

/// Every option that was given, by daemon.json key, in one shape.
struct Given(BTreeMap<&'static str, Vec<String>>);

impl Given {
    fn list(&self, key: &str) -> Vec<String> {
        self.0.get(key).cloned().unwrap_or_default()
    }
    fn value(&self, key: &str) -> Option<String> {
        self.0.get(key).and_then(|v| v.last().cloned())
    }
    fn bool(&self, key: &str, default: bool) -> bool {
        self.value(key).map_or(default, |v| v == "true")
    }
    fn path(&self, key: &str, default: &str) -> PathBuf {
        self.value(key)
            .map_or_else(|| default.into(), PathBuf::from)
    }
}

impl Settings {
    pub fn read(matches: &ArgMatches) -> Result<Self> {
        let mut given = from_flags(matches);
        let explicit = given.value("config-file");
        let path = explicit.clone().unwrap_or_else(|| CONFIG_FILE.into());
        merge_file(&mut given, Path::new(&path), explicit.is_some())
            .with_context(|| format!("unable to configure the Docker daemon with file {path}"))?;
        Self::build(&given)
    }

    fn build(given: &Given) -> Result<Self> {
        let mut warnings = Vec::new();
        for flag in FLAGS.iter().filter(|f| given.0.contains_key(f.key_name())) {
            match flag.r#use {
                Use::Honoured => {}
                Use::Ignored(why) => warnings.push(format!("--{} has no effect: {why}", flag.name)),
                // What is refused when it is asked for may well be declined.
                Use::Refused(_) if flag.kind == Kind::Bool && is_default(flag, given) => {}
                Use::Refused(why) => bail!("--{} is not supported: {why}", flag.name),
            }
        }
        let mtu = match given.value("mtu") {
            None => 1500,
            Some(text) => match text
                .parse()
                .with_context(|| format!("invalid --mtu \"{text}\""))?
            {
                0 => 1500,
                mtu @ 68..=65535 => mtu,
                mtu => bail!("invalid --mtu {mtu}: want 68 to 65535"),
            },
        };
        let binding = given.value("ip").unwrap_or_else(|| "0.0.0.0".into());
        let runtimes = runtimes(&given.list("runtimes"))?;
        let default_runtime = given
            .value("default-runtime")
            .unwrap_or_else(|| "runc".into());
        if !runtimes.contains_key(&default_runtime) {
            bail!("specified default runtime '{default_runtime}' does not exist");
        }
        let labels = given.list("labels");
        if let Some(bad) = labels.iter().find(|l| !l.contains('=')) {
            bail!("bad attribute format: {bad}");
        }
        let mut hosts = given.list("hosts");
        if hosts.is_empty() {
            hosts.push("unix:///var/run/docker.sock".into());
        }
        Ok(Self {
            data_root: given.path("data-root", "/var/lib/pontoon"),
            exec_root: given.path("exec-root", "/run/pontoon"),
            pidfile: given.path("pidfile", "/run/pontoon.pid"),
            hosts,
            group: given.value("group").unwrap_or_else(|| "docker".into()),
            debug: given.bool("debug", false),
            log_level: level(given.value("log-level").as_deref().unwrap_or("info"))?,
            log_json: match given.value("log-format").as_deref() {
                None | Some("text" | "") => false,
                Some("json") => true,
                Some(other) => bail!("invalid log format: {other}"),
            },
            bridge: default_bridge(given)?,
            mtu,
            pools: given
                .list("default-address-pools")
                .iter()
                .map(|p| pool(p))
                .collect::<Result<_>>()?,
            excluded: given
                .list("exclude-subnets")
                .iter()
                .map(|text| {
                    text.parse().with_context(|| {
                        format!(
                            "invalid --exclude-subnet \"{text}\": want a subnet like 10.0.0.0/8"
                        )
                    })
                })
                .collect::<Result<_>>()?,
            dns: given.list("dns"),
            dns_options: given.list("dns-opts"),
            dns_search: given.list("dns-search"),
            host_gateway: given
                .list("host-gateway-ips")
                .iter()
                .map(|ip| {
                    ip.parse()
                        .with_context(|| format!("{ip} is not an IP address"))
                })
                .collect::<Result<_>>()?,
            firewall: firewall(given)?,
            default_binding: binding
                .parse()
                .with_context(|| format!("invalid --ip \"{binding}\""))?,
            network_options: network_options(&given.list("default-network-opts"))?,
            labels,
            cgroup_parent: given
                .value("cgroup-parent")
                .unwrap_or_else(|| "/pontoon".into()),
            runtimes,
            default_runtime,
            ulimits: given
                .list("default-ulimits")
                .iter()
                .map(|text| limits::parse(text))
                .collect::<Result<_>>()?,
            plugin_dirs: match given.list("plugin-dirs") {
                none if none.is_empty() => plugin::default_dirs(),
                dirs => dirs.into_iter().map(PathBuf::from).collect(),
            },
            swarm_advertise: given.value("swarm-default-advertise-addr"),
            warnings,
        })
    }
}

/// The value that dockerd has anyway.
fn is_default(flag: &Flag, given: &Given) -> bool {
    !given.bool(flag.key_name(), false)
}

fn address(flag: &str, text: &str) -> Result<IpAddr> {
    text.parse()
        .with_context(|| format!("invalid --{flag} \"{text}\""))
}

fn default_bridge(given: &Given) -> Result<cnm::DefaultBridge> {
    let text = |key: &str| given.value(key).filter(|value| !value.is_empty());
    let ip = |key: &str| text(key).map(|value| address(key, &value)).transpose();
    let device = text("bridge");
    for conflicting in ["bip", "bip6"] {
        if device.is_some() && text(conflicting).is_some() {
            bail!(
                "you specified -b & --{conflicting}, mutually exclusive options: please specify only one"
            );
        }
    }
    Ok(cnm::DefaultBridge {
        disabled: device.as_deref() == Some("none"),
        device: device.filter(|name| name != "none"),
        bip: text("bip"),
        bip6: text("bip6"),
        fixed_cidr: text("fixed-cidr"),
        fixed_cidr_v6: text("fixed-cidr-v6"),
        gateway: ip("default-gateway")?,
        gateway_v6: ip("default-gateway-v6")?,
        ipv6: given.bool("ipv6", false),
        icc: given.bool("icc", true),
        masquerade: given.bool("ip-masq", true),
    })
}

fn firewall(given: &Given) -> Result<Firewall> {
    let firewall = Firewall {
        ipv4: given.bool("iptables", true),
        ipv6: given.bool("ip6tables", true),
        forward: given.bool("ip-forward", true),
        direct: given.bool("allow-direct-routing", false),
        accept_mark: match given.value("bridge-accept-fwmark") {
            None => None,
            Some(text) => Some(mark(&text).with_context(|| {
                format!("invalid --bridge-accept-fwmark \"{text}\": want mark or mark/mask")
            })?),
        },
        host_policy: match given.value("firewall-policy").as_deref() {
            None | Some("always") => false,
            Some("host") => true,
            Some(other) => bail!("invalid --firewall-policy \"{other}\": want always or host"),
        },
    };
    if !firewall.ipv4 && !given.bool("icc", true) {
        bail!(
            "you specified --iptables=false with --icc=false: the rules that keep containers apart would be missing"
        );
    }
    Ok(firewall)
}

/// `0x1`, `1/0xff`
fn mark(text: &str) -> Result<(u32, u32)> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Ok(match text.split_once('/') {
        Some((mark, mask)) => (number(mark)?, number(mask)?),
        None => (number(text)?, u32::MAX),
    })
}

/// `bridge=com.docker.network.driver.mtu=1400`
fn network_options(texts: &[String]) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut all = BTreeMap::<String, BTreeMap<_, _>>::new();
    for text in texts {
        let parts = text.split_once('=').and_then(|(driver, option)| {
            let (key, value) = option.split_once('=')?;
            Some((driver, key, value))
        });
        let Some((driver, key, value)) = parts else {
            bail!("invalid --default-network-opt \"{text}\": want driver=key=value");
        };
        let options = all.entry(driver.to_owned()).or_default();
        options.insert(key.to_owned(), value.to_owned());
    }
    Ok(all)
}

fn from_flags(matches: &ArgMatches) -> Given {
    let mut given = BTreeMap::new();
    for flag in FLAGS
        .iter()
        .filter(|f| matches.value_source(f.name) == Some(ValueSource::CommandLine))
    {
        let values = match flag.kind {
            Kind::Bool => matches
                .get_one::<bool>(flag.name)
                .map(bool::to_string)
                .into_iter()
                .collect(),
            Kind::Value | Kind::List => matches
                .get_many::<String>(flag.name)
                .map(|v| v.cloned().collect())
                .unwrap_or_default(),
        };
        given.insert(flag.key_name(), values);
    }
    Given(given)
}

fn merge_file(given: &mut Given, path: &Path, must_exist: bool) -> Result<()> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let file: BTreeMap<String, Value> = serde_json::from_slice(&bytes)?;
    let known = |key: &str| FLAGS.iter().find(|f| f.key_name() == key || f.name == key);
    let unknown: Vec<_> = file
        .keys()
        .filter(|k| known(k).is_none())
        .cloned()
        .collect();
    if !unknown.is_empty() {
        bail!(
            "the following directives don't match any configuration option: {}",
            unknown.join(", ")
        );
    }
    let mut conflicts = Vec::new();
    for (key, value) in &file {
        let Some(flag) = known(key) else { continue };
        let values = texts(flag.key_name(), value)?;
        // Labels and the like add up in neither direction: dockerd refuses the doubt.
        if let Some(have) = given.0.get(flag.key_name()) {
            conflicts.push(format!(
                "{key}: (from flag: {}, from file: {})",
                have.join(","),
                values.join(",")
            ));
        } else {
            given.0.insert(flag.key_name(), values);
        }
    }
    if !conflicts.is_empty() {
        bail!(
            "the following directives are specified both as a flag and in the configuration file: {}",
            conflicts.join(", ")
        );
    }
    Ok(())
}

/// A file's value in the words of the flag.
fn texts(key: &str, value: &Value) -> Result<Vec<String>> {
    let scalar = |v: &Value| match v {
        Value::String(s) => Ok(s.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(v.to_string()),
        _ => bail!("{key}: unexpected value {v}"),
    };
    match (key, value) {
        ("default-address-pools", Value::Array(pools)) => pools
            .iter()
            .map(|p| {
                Ok(format!(
                    "base={},size={}",
                    scalar(&p["base"])?,
                    scalar(&p["size"])?
                ))
            })
            .collect(),
        ("default-network-opts", Value::Object(drivers)) => {
            let mut texts = Vec::new();
            for (driver, options) in drivers {
                let Value::Object(options) = options else {
                    bail!("{key}: unexpected value {options}");
                };
                for (name, value) in options {
                    texts.push(format!("{driver}={name}={}", scalar(value)?));
                }
            }
            Ok(texts)
        }
        ("runtimes", Value::Object(all)) => all
            .iter()
            .map(|(name, r)| Ok(format!("{name}={}", scalar(&r["path"])?)))
            .collect(),
        ("default-ulimits", Value::Object(all)) => all
            .iter()
            .map(|(name, l)| {
                Ok(format!(
                    "{name}={}:{}",
                    scalar(&l["Soft"])?,
                    scalar(&l["Hard"])?
                ))
            })
            .collect(),
        (_, Value::Array(items)) => items.iter().map(scalar).collect(),
        (_, Value::Object(map)) => map
            .iter()
            .map(|(k, v)| Ok(format!("{k}={}", scalar(v)?)))
            .collect(),
        (_, v) => Ok(vec![scalar(v)?]),
    }
}

/// `base=10.10.0.0/16,size=24`
fn pool(text: &str) -> Result<ipam::DefaultPool> {
    let (mut base, mut size) = (None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("base", value)) => {
                base = Some(
                    value
                        .parse()
                        .with_context(|| format!("invalid base pool \"{value}\""))?,
                )
            }
            Some(("size", value)) => {
                size = Some(
                    value
                        .parse()
                        .with_context(|| format!("invalid size value \"{value}\""))?,
                )
            }
            _ => bail!(
                "invalid key '{part}' in default address pool \"{text}\": want base=CIDR,size=N"
            ),
        }
    }
    match (base, size) {
        (Some(base), Some(size)) => ipam::DefaultPool::new(base, size)
            .with_context(|| format!("default address pool \"{text}\"")),
        _ => bail!("default address pool \"{text}\" needs base and size"),
    }
}

fn runtimes(added: &[String]) -> Result<BTreeMap<String, String>> {
    let mut runtimes: BTreeMap<String, String> = ["runc", "crun", "youki"]
        .into_iter()
        .map(|name| (name.to_owned(), name.to_owned()))
        .collect();
    for text in added {
        let Some((name, path)) = text.split_once('=') else {
            bail!("invalid runtime \"{text}\": want name=path")
        };
        runtimes.insert(name.to_owned(), path.to_owned());
    }
    Ok(runtimes)
}

fn level(text: &str) -> Result<String> {
    Ok(match text {
        "trace" | "debug" | "info" | "error" => text,
        "warn" | "warning" => "warn",
        "fatal" | "panic" => "error",
        _ => bail!("invalid logging level: {text}"),
    }
    .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], file: Option<&str>) -> Result<Settings> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("daemon.json");
        std::fs::write(&path, file.unwrap_or("{}"))?;
        let mut all = vec!["pontoon", "daemon", "--config-file", path.to_str().unwrap()];
        all.extend(args);
        let matches = crate::flags::command().try_get_matches_from(all)?;
        Settings::read(matches.subcommand_matches("daemon").unwrap())
    }

    fn error(args: &[&str], file: Option<&str>) -> String {
        format!("{:#}", read(args, file).unwrap_err())
    }

    #[test]
    fn file_and_flags_come_together() {
        let file = r#"{"hosts":["unix:///a"],"debug":true,"default-address-pools":[{"base":"10.9.0.0/16","size":24}],"mtu":1400}"#;
        let s = read(&["--label", "a=b", "--iptables=false"], Some(file)).unwrap();
        assert_eq!(
            (s.hosts, s.debug, s.mtu, s.firewall.ipv4),
            (vec!["unix:///a".to_owned()], true, 1400, false)
        );
        assert_eq!(
            s.pools,
            [ipam::DefaultPool {
                base: "10.9.0.0/16".parse().unwrap(),
                size: 24
            }]
        );
        assert_eq!(s.labels, ["a=b"]);
        let file = r#"{"default-ulimits":{"nofile":{"Name":"nofile","Hard":9,"Soft":5}}}"#;
        let limit = &read(&[], Some(file)).unwrap().ulimits[0];
        assert_eq!((limit.soft, limit.hard), (5, 9));
        let file = r#"{"exclude-subnets":["10.0.0.0/9","fd00::/8"]}"#;
        let excluded = read(&[], Some(file)).unwrap().excluded;
        assert_eq!(excluded.len(), 2);
        assert!(
            error(&["--exclude-subnet", "10.0.0.1"], None)
                .starts_with("invalid --exclude-subnet \"10.0.0.1\"")
        );
    }

    #[test]
    fn mistakes_have_dockers_words() {
        assert!(error(&["--debug"], Some(r#"{"debug":true}"#)).ends_with(
            "the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: true)"
        ));
        assert!(
            error(&[], Some(r#"{"nope":1}"#))
                .ends_with("the following directives don't match any configuration option: nope")
        );
        assert_eq!(
            error(&["--log-level", "loud"], None),
            "invalid logging level: loud"
        );
        assert_eq!(
            error(&["--default-runtime", "kata"], None),
            "specified default runtime 'kata' does not exist"
        );
        assert!(
            error(&[], Some("{")).starts_with("unable to configure the Docker daemon with file ")
        );
    }

    #[test]
    fn a_flag_without_meaning_warns_and_a_promise_that_cannot_be_kept_is_refused() {
        let s = read(
            &[
                "--containerd",
                "/x",
                "--storage-driver=overlay2",
                "--tls=false",
                "--userland-proxy=false",
            ],
            None,
        )
        .unwrap();
        assert_eq!(s.warnings.len(), 2, "{:?}", s.warnings);
        for flag in ["--tlsverify", "--userland-proxy"] {
            assert!(error(&[flag], None).starts_with(&format!("{flag} is not supported")));
        }
    }

    #[test]
    fn the_default_bridge_is_as_the_flags_say() {
        let file = r#"{"default-network-opts":{"bridge":{"com.docker.network.driver.mtu":"1400"}},"fixed-cidr":"10.1.4.0/24"}"#;
        let flags = [
            "--bip=10.1.0.1/16",
            "--ipv6",
            "--bip6=fd00::1/64",
            "--default-gateway=10.1.0.254",
            "--icc=false",
            "--ip-masq=false",
            "--ip6tables=false",
            "--host-gateway-ip=192.0.2.1",
            "--bridge-accept-fwmark=0x10/0xff",
            "--firewall-policy=host",
            "--default-network-opt=macvlan=parent=eth1",
        ];
        let s = read(&flags[..10], Some(file)).unwrap();
        let bridge = s.bridge;
        assert!(bridge.ipv6 && !bridge.icc && !bridge.masquerade && !bridge.disabled);
        assert_eq!(bridge.bip.as_deref(), Some("10.1.0.1/16"));
        assert_eq!(bridge.fixed_cidr.as_deref(), Some("10.1.4.0/24"));
        assert_eq!(bridge.gateway, Some([10, 1, 0, 254].into()));
        assert!(s.firewall.ipv4 && !s.firewall.ipv6 && s.firewall.host_policy);
        assert_eq!(s.firewall.accept_mark, Some((0x10, 0xff)));
        assert_eq!(s.host_gateway, [IpAddr::from([192, 0, 2, 1])]);
        let mtu = &s.network_options["bridge"]["com.docker.network.driver.mtu"];
        assert_eq!(mtu, "1400");
        let s = read(&flags[10..], None).unwrap();
        assert_eq!(s.network_options["macvlan"]["parent"], "eth1");
        assert!(read(&["-b", "none"], None).unwrap().bridge.disabled);
        for (args, text) in [
            (
                &["-b", "br0", "--bip", "10.0.0.1/8"][..],
                "you specified -b & --bip, mutually exclusive options",
            ),
            (
                &["--iptables=false", "--icc=false"],
                "you specified --iptables=false with --icc=false",
            ),
            (
                &["--firewall-policy=never"],
                "invalid --firewall-policy \"never\": want always or host",
            ),
            (
                &["--bridge-accept-fwmark=x"],
                "invalid --bridge-accept-fwmark \"x\": want mark or mark/mask",
            ),
            (
                &["--default-network-opt=mtu=1"],
                "invalid --default-network-opt \"mtu=1\": want driver=key=value",
            ),
            (&["--default-gateway=x"], "invalid --default-gateway \"x\""),
        ] {
            assert!(
                error(args, None).starts_with(text),
                "{args:?}: {}",
                error(args, None)
            );
        }
    }
}

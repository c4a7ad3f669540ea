//! The command line. The daemon's flags are dockerd's; each is one row of [`FLAGS`].

use clap::{Arg, ArgAction, Command};

/// What becomes of a dockerd flag here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It does what it does in dockerd.
    Honoured,
    /// It has no meaning here: one warning, and on.
    Ignored(&'static str),
    /// It asks for something that would silently be missing: refused, with the reason.
    Refused(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `--flag`, `--flag=true`, `--flag=false`
    Bool,
    /// One value; a later one replaces it.
    Value,
    /// May be repeated.
    List,
}

pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    /// Its key in daemon.json where that differs.
    pub key: Option<&'static str>,
    pub kind: Kind,
    pub r#use: Use,
    help: &'static str,
}

const fn flag(name: &'static str, kind: Kind, r#use: Use, help: &'static str) -> Flag {
    Flag {
        name,
        short: None,
        key: None,
        kind,
        r#use,
        help,
    }
}

const fn used(name: &'static str, kind: Kind, help: &'static str) -> Flag {
    flag(name, kind, Use::Honoured, help)
}

impl Flag {
    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }
    const fn key(mut self, key: &'static str) -> Self {
        self.key = Some(key);
        self
    }
    /// Its key in daemon.json.
    pub fn key_name(&self) -> &'static str {
        self.key.unwrap_or(self.name)
    }
}

use Kind::{Bool, List, Value};
use Use::{Ignored, Refused};

const NO_CONTAINERD: &str = "containers run under the OCI runtime directly, without containerd";
const NO_REGISTRY: &str = "this build has no registry client";
const PROXY: &str = "this build makes no connection to registries that a proxy would carry";

/// Every flag of dockerd 28, and those of the older ones that harnesses still pass.
#[rustfmt::skip]
pub static FLAGS: &[Flag] = &[
    used("allow-direct-routing", Bool, "Published ports are reached at containers' own addresses as well"),
    used("bip", Value, "IPv4 address and prefix of the default bridge"),
    used("bip6", Value, "IPv6 address and prefix of the default bridge"),
    used("bridge", Value, "A bridge to use instead of docker0, with its addresses; none for no default bridge").short('b'),
    used("bridge-accept-fwmark", Value, "Packets to containers that carry this mark come in, mark[/mask]"),
    used("cgroup-parent", Value, "Parent cgroup of all containers"),
    used("config-file", Value, "Daemon configuration file [default: /etc/docker/daemon.json]"),
    used("data-root", Value, "Directory of persistent state [default: /var/lib/pontoon]"),
    used("debug", Bool, "Log at level debug").short('D'),
    used("default-address-pool", List, "Default pools of node-local networks, base=CIDR,size=N").key("default-address-pools"),
    used("default-gateway", Value, "Default gateway of containers on the default bridge"),
    used("default-gateway-v6", Value, "The same for IPv6"),
    used("default-network-opt", List, "Options of new networks of a driver, driver=key=value").key("default-network-opts"),
    used("default-runtime", Value, "OCI runtime of containers that name none [default: runc]"),
    used("default-ulimit", List, "Limit for containers that have none of their own, name=soft[:hard]").key("default-ulimits"),
    used("dns", List, "DNS servers of containers"),
    used("dns-opt", List, "DNS options of containers").key("dns-opts"),
    used("dns-search", List, "DNS search domains of containers"),
    used("exclude-subnet", List, "Subnet that no network of the default pools may overlap (not dockerd's)").key("exclude-subnets"),
    used("host-gateway-ip", List, "What host-gateway means in --add-host [default: the default bridge's]").key("host-gateway-ips"),
    used("exec-root", Value, "Directory of run-time state [default: /run/pontoon]"),
    used("firewall-policy", Value, "Published ports are open: always, or as the host's input rules say: host [default: always]"),
    used("fixed-cidr", Value, "Where containers' addresses on the default bridge are from"),
    used("fixed-cidr-v6", Value, "The same for IPv6"),
    used("group", Value, "Group of the unix socket [default: docker]").short('G'),
    used("host", List, "Where the API listens: unix:///path, tcp://ip:port, fd://").short('H').key("hosts"),
    used("icc", Bool, "Containers on the default bridge may talk to each other [default: true]"),
    used("ip", Value, "Default address that ports are published on [default: 0.0.0.0]"),
    used("ip-forward", Bool, "Switch forwarding on where a network needs it [default: true]"),
    used("ip-masq", Bool, "Containers on the default bridge leave with the host's address [default: true]"),
    used("ip6tables", Bool, "Program NAT and filter rules for IPv6 (in nftables) [default: true]"),
    used("iptables", Bool, "Program NAT and filter rules (in nftables) [default: true]"),
    used("ipv6", Bool, "IPv6 on the default bridge"),
    used("label", List, "Labels of this engine, key=value").key("labels"),
    used("log-format", Value, "Format of the daemon's log: text or json [default: text]"),
    used("log-level", Value, "Level of the daemon's log: debug, info, warn, error, fatal [default: info]").short('l'),
    used("mtu", Value, "MTU of the default bridge [default: 1500]"),
    used("pidfile", Value, "File of the daemon's process id [default: /run/pontoon.pid]").short('p'),
    used("add-runtime", List, "Another OCI runtime, name=path").key("runtimes"),
    used("plugin-dir", List, "Directories of plugins' sockets and specifications [default: /run/docker/plugins, /etc/docker/plugins, /usr/lib/docker/plugins]").key("plugin-dirs"),
    used("swarm-default-advertise-addr", Value, "Address or interface that swarm init and join advertise"),
    used("validate", Bool, "Check the configuration and exit"),
    // Nothing is lost by going on without these.
    flag("cdi-spec-dir", List, Ignored("container devices of CDI are not offered"), "").key("cdi-spec-dirs"),
    flag("containerd", Value, Ignored(NO_CONTAINERD), ""),
    flag("containerd-namespace", Value, Ignored(NO_CONTAINERD), ""),
    flag("containerd-plugins-namespace", Value, Ignored(NO_CONTAINERD), ""),
    flag("default-cgroupns-mode", Value, Ignored("containers see the host's cgroup namespace"), ""),
    flag("default-shm-size", Value, Ignored("/dev/shm is 64 MiB unless the container says otherwise"), ""),
    flag("exec-opt", List, Ignored("cgroups are driven through cgroupfs"), "").key("exec-opts"),
    flag("experimental", Bool, Ignored("there is no experimental mode"), ""),
    flag("feature", List, Ignored("there are no feature switches"), "").key("features"),
    flag("http-proxy", Value, Ignored(PROXY), ""),
    flag("https-proxy", Value, Ignored(PROXY), ""),
    flag("no-proxy", Value, Ignored(PROXY), ""),
    flag("insecure-registry", List, Ignored(NO_REGISTRY), "").key("insecure-registries"),
    flag("registry-mirror", List, Ignored(NO_REGISTRY), "").key("registry-mirrors"),
    flag("ip-forward-no-drop", Bool, Ignored("the policy of the host's FORWARD chain is left alone"), ""),
    flag("live-restore", Bool, Ignored("containers always outlive the daemon, in swarm mode too"), ""),
    flag("log-driver", Value, Ignored("containers' logs are kept in files of their own"), ""),
    flag("log-opt", List, Ignored("containers' logs are kept in files of their own"), "").key("log-opts"),
    flag("max-concurrent-downloads", Value, Ignored(NO_REGISTRY), ""),
    flag("max-concurrent-uploads", Value, Ignored(NO_REGISTRY), ""),
    flag("max-download-attempts", Value, Ignored(NO_REGISTRY), ""),
    flag("network-control-plane-mtu", Value, Ignored("gossip packets stay below 1400 bytes"), ""),
    flag("network-diagnostic-port", Value, Ignored("there is no diagnostic server"), ""),
    flag("raw-logs", Bool, Ignored("the log has colours only on a terminal"), ""),
    flag("shutdown-timeout", Value, Ignored("containers keep running when the daemon stops"), ""),
    flag("storage-driver", Value, Ignored("layers are always overlayfs"), "").short('s'),
    flag("storage-opt", List, Ignored("layers are always overlayfs"), "").key("storage-opts"),
    flag("userland-proxy-path", Value, Ignored("ports are published in the kernel, without a proxy process"), ""),
    // Going on without these would be a wrong promise.
    flag("authorization-plugin", List, Refused("requests would not be authorized by it"), "").key("authorization-plugins"),
    flag("cluster-advertise", Value, Refused("key-value store clusters are not supported yet: use docker swarm init"), ""),
    flag("cluster-store", Value, Refused("key-value store clusters are not supported yet: use docker swarm init"), ""),
    flag("cluster-store-opt", List, Refused("key-value store clusters are not supported yet: use docker swarm init"), "").key("cluster-store-opts"),
    flag("cpu-rt-period", Value, Refused("real-time scheduling is not set up"), ""),
    flag("cpu-rt-runtime", Value, Refused("real-time scheduling is not set up"), ""),
    flag("default-ipc-mode", Value, Refused("give --ipc to each container"), ""),
    flag("init", Bool, Refused("give --init to each container"), ""),
    flag("init-path", Value, Refused("give --init to each container"), ""),
    flag("metrics-addr", Value, Refused("there is no metrics endpoint yet"), ""),
    flag("no-new-privileges", Bool, Refused("give --security-opt no-new-privileges to each container"), ""),
    flag("node-generic-resource", List, Refused("generic resources are not scheduled"), "").key("node-generic-resources"),
    flag("rootless", Bool, Refused("the daemon needs root"), ""),
    flag("seccomp-profile", Value, Refused("a built-in profile is applied; profiles of your own are not read"), ""),
    flag("selinux-enabled", Bool, Refused("SELinux labels are not applied"), ""),
    flag("tls", Bool, Refused("the API has no TLS yet: use the unix socket, or ssh"), ""),
    flag("tlscacert", Value, Refused("the API has no TLS yet: use the unix socket, or ssh"), ""),
    flag("tlscert", Value, Refused("the API has no TLS yet: use the unix socket, or ssh"), ""),
    flag("tlskey", Value, Refused("the API has no TLS yet: use the unix socket, or ssh"), ""),
    flag("tlsverify", Bool, Refused("the API has no TLS yet: use the unix socket, or ssh"), ""),
    flag("userland-proxy", Bool, Refused("ports are published in the kernel, for the host itself and on 127.0.0.1 as well: leave it out, or say false"), ""),
    flag("userns-remap", Value, Refused("user namespaces are not set up"), ""),
];

pub fn command() -> Command {
    Command::new("pontoon")
        .version(concat!(env!("CARGO_PKG_VERSION")))
        .about("Container networks over many hosts, for the tools that you already use")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(daemon())
        .subcommand(crate::migrate_command::command())
        .subcommand(crate::operate::drift_command())
        .subcommand(crate::operate::network_command())
        .subcommand(crate::plugin_command::command())
        .subcommand(crate::relay_command::command())
        .subcommand(crate::lab_command::command())
}

fn daemon() -> Command {
    let about = "Serve the Docker Engine API (also when called as pontoond or dockerd)";
    let long = "Serve the Docker Engine API (also when called as pontoond or dockerd).\n\n\
        Takes dockerd's flags and daemon.json. A flag without meaning here is accepted with one warning; one whose effect \
        would silently be missing is refused with the reason.";
    let daemon = Command::new("daemon")
        .about(about)
        .long_about(long)
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .long("version")
                .short('v')
                .action(ArgAction::SetTrue)
                .help("Print version information and exit"),
        );
    FLAGS.iter().fold(daemon, |command, f| {
        let mut arg = Arg::new(f.name)
            .long(f.name)
            .hide(f.help.is_empty())
            .help(f.help);
        if let Some(short) = f.short {
            arg = arg.short(short);
        }
        command.arg(match f.kind {
            // Go's boolean flags: a value only behind an equals sign.
            Kind::Bool => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(clap::builder::BoolishValueParser::new())
                .action(ArgAction::Set)
                .overrides_with(f.name),
            Kind::Value => arg.action(ArgAction::Set).overrides_with(f.name),
            Kind::List => arg.action(ArgAction::Append),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_sound_and_reads_go_style_flags() {
        command().debug_assert();
        let m = command()
            .try_get_matches_from([
                "pontoon",
                "daemon",
                "-D",
                "--iptables=false",
                "-H",
                "unix:///x",
                "-H",
                "tcp://127.0.0.1:1",
                "-p",
                "/p",
            ])
            .unwrap();
        let m = m.subcommand_matches("daemon").unwrap();
        assert_eq!(m.get_one::<bool>("debug"), Some(&true));
        assert_eq!(m.get_one::<bool>("iptables"), Some(&false));
        assert_eq!(m.get_many::<String>("host").unwrap().count(), 2);
        assert!(
            command()
                .try_get_matches_from(["pontoon", "daemon", "--no-such-flag"])
                .is_err()
        );
    }

    #[test]
    fn names_and_shorts_are_unique() {
        let mut names: Vec<_> = FLAGS.iter().map(|f| f.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

//! A real DNS server (dnsmasq) somewhere in the lab, and questions put to a container's resolver.

use lab::Host;

use super::background::Background;
use super::{Shell as _, eventually, until};

/// It knows `www.world.test`, `big.world.test` and `nX.world.test` below 200, good for a minute, and that there is nothing
/// else in `world.test`.
pub struct Upstream(Background);

impl Upstream {
    /// On the host's own interface.
    pub fn of_the_world(host: &Host) -> Self {
        let text = |c: char| std::iter::repeat_n(c, 250).collect::<String>();
        let big: Vec<String> = ('a'..'l').map(text).collect();
        let many = (0..200).map(|n| format!(" --host-record=n{n}.world.test,192.0.2.{n}"));
        let records = format!(
            "--auth-server=ns.world.test,eth0 --auth-zone=world.test --auth-ttl=60 \
             --host-record=www.world.test,192.0.2.80,2001:db8::80 --txt-record=big.world.test,{}{}",
            big.join(","),
            many.collect::<String>()
        );
        Self::start(host, "", host.addr, &records)
    }

    /// In the network namespace that `within` enters (a command's beginning), at `address`.
    pub fn start(host: &Host, within: &str, address: impl ToString, options: &str) -> Self {
        let address = address.to_string();
        std::fs::create_dir_all(host.dir()).unwrap();
        let line = format!(
            "{within} dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --log-queries \
             --log-facility=- --listen-address={address} --bind-interfaces {options}"
        );
        let server = Self(Background::start(host, &line));
        until(5, "dnsmasq is up", || server.0.output().contains("started"));
        server
    }

    /// How often it was asked for the name.
    pub fn asked(&self, name: &str) -> usize {
        self.0.output().matches(&format!("] {name} from ")).count()
    }
}

/// `dig` in the network namespace of process `pid`, to its resolver. Without a cookie, as libraries ask.
pub fn dig(host: &Host, pid: &str, args: &str) -> String {
    host.sh(&format!(
        "nsenter -t {pid} -n dig +nocookie +tries=1 +time=5 @127.0.0.11 {args}"
    ))
    .stdout
}

/// The answers alone.
pub fn short(host: &Host, pid: &str, args: &str) -> String {
    let said = dig(host, pid, &format!("+short {args}"));
    let answers = said.lines().filter(|line| !line.starts_with(';'));
    answers.collect::<Vec<_>>().join("\n")
}

/// `NOERROR 1`: how it ended, and the number of answers.
pub fn outcome(host: &Host, pid: &str, args: &str) -> String {
    let said = dig(host, pid, args);
    let after = |mark: &str| {
        let rest = said.split_once(mark).map_or("", |(_, rest)| rest);
        rest.split([',', '\n']).next().unwrap_or_default().trim()
    };
    format!("{} {}", after("status: "), after("ANSWER: "))
}

/// How long the answer took, as dig says.
pub fn milliseconds(said: &str) -> u32 {
    let time = said.split_once("Query time: ").map(|(_, rest)| rest);
    time.and_then(|rest| rest.split(' ').next())
        .unwrap()
        .parse()
        .unwrap()
}

/// The resolver is up as soon as the container is, but the first packet may need the route.
pub fn reaches(host: &Host, pid: &str) {
    eventually(5, "192.0.2.80".to_string(), || {
        short(host, pid, "www.world.test")
    });
}

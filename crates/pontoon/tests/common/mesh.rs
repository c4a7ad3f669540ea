//! Services behind published ports, and who answers there.

use std::collections::BTreeSet;

use lab::Host;

use super::Shell as _;

/// A web server whose page is the client's address and the container's short id.
pub const SERVER: &str = "busybox sh -c \"mkdir -p /www/cgi-bin; \
    printf '#!/bin/sh\\necho; echo \\$REMOTE_ADDR \\$(hostname)\\n' >/www/cgi-bin/who; \
    chmod +x /www/cgi-bin/who; exec httpd -f -p 0.0.0.0:80 -h /www\"";

/// Options of a service of it: a task counts as running once it answers, and not while it only starts to.
pub const HEALTHY: &str = "--health-cmd \"busybox wget -q -O - 127.0.0.1/cgi-bin/who\" \
    --health-start-period 30s --health-start-interval 200ms --health-interval 5s";

/// Shell that fetches that page; nothing, when there is no answer.
pub fn get(at: &str, port: u16) -> String {
    let request = "printf \"GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n\"";
    format!("{request} | busybox nc -w 3 {at} {port} 2>/dev/null | tail -n 1 | grep .")
}

/// What the servers say: who asked, and who answered.
#[derive(Debug, Default, PartialEq)]
pub struct Answers {
    pub clients: BTreeSet<String>,
    pub servers: BTreeSet<String>,
    pub failed: usize,
}

impl Answers {
    pub fn read(text: &str) -> Self {
        let mut answers = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some((client, server)) => {
                    answers.clients.insert(client.to_owned());
                    answers.servers.insert(server.to_owned());
                }
                None => answers.failed += 1,
            }
        }
        answers
    }
}

/// So many requests from a host, or through the prefix from one of its containers.
pub fn ask(host: &Host, prefix: &str, at: &str, port: u16, requests: usize) -> Answers {
    let get = get(at, port);
    let all = format!("for i in $(seq {requests}); do {get} || echo FAILED; done");
    Answers::read(&host.ok(&format!("{prefix} sh -c '{all}'")))
}

pub fn only(text: impl ToString) -> BTreeSet<String> {
    [text.to_string()].into()
}

/// What is answered to a datagram of so many bytes.
pub fn udp(host: &Host, at: &str, bytes: usize) -> String {
    let send = format!("printf %{bytes}s . >&3; timeout 2 dd bs=9999 count=1 <&3 2>/dev/null");
    host.sh(&format!("bash -c 'exec 3<>/dev/udp/{at}/5353; {send}'"))
        .stdout
}

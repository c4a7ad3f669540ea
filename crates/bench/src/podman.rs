//! Two containers of Debian's podman on a bridge, with names.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result};
use lab::Host;

pub struct Podman {
    /// It holds the mount table that podman's files are in.
    pub process: Child,
    /// Of container `c1`.
    pub pid: u32,
    /// aardvark-dns, at the bridge's address.
    pub resolver: String,
}

/// podman reads the settings of docker's client, and keeps namespaces below /run/netns and the resolver's tables below
/// /run/containers, whatever its flags say: it gets both for itself. `$0`: a directory of its own, `$1`: the DNS server of
/// the host, `$2`: the parent of its cgroups.
const SCRIPT: &str = r#"
set -e
unset DOCKER_HOST DOCKER_CONFIG
mkdir -p "$0" /run/netns /run/containers
mount -t tmpfs tmpfs /run/netns && mount --make-shared /run/netns
mount -t tmpfs tmpfs /run/containers
echo "nameserver $1" >"$0/resolv.conf" && mount --bind "$0/resolv.conf" /etc/resolv.conf
p() {
  podman --root "$0/root" --runroot "$0/run" --tmpdir "$0/tmp" --network-config-dir "$0/net" --network-backend netavark \
    --cgroup-manager cgroupfs --events-backend none --runtime runc "$@"
}
p import "$0/busybox.tar" busybox >/dev/null
p network create --subnet 10.89.0.0/24 bench >/dev/null
for c in c1 c2; do
  p run -d --name $c --network bench --cgroup-parent "$2" --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
    busybox sleep 36000 >/dev/null
done
p inspect -f '{{.State.Pid}}' c1
exec sleep 36000
"#;

impl Podman {
    pub fn start(host: &Host, dns: &str) -> Result<Self> {
        let dir = host.dir().join("podman");
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("busybox.tar"), lab::busybox_tar()?)?;
        let mut process = host
            .command("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT])
            .arg(&dir)
            .arg(dns)
            .arg(host.cgroup())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let mut line = String::new();
        let output = process.stdout.take().context("no output of podman's")?;
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self {
            process,
            pid: line
                .trim()
                .parse()
                .context("podman does not start: is it installed (scripts/setup bench)?")?,
            resolver: "10.89.0.1:53".into(),
        })
    }
}

//! Debian's podman: two containers on a bridge, with names.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use lab::Host;

pub struct Podman {
    /// It holds the mount table that podman's files are in.
    pub process: Child,
    dir: PathBuf,
    /// aardvark-dns, at the bridge's address.
    pub resolver: String,
}

/// podman reads the settings of docker's client, and keeps namespaces below /run/netns and the resolver's tables below
/// /run/containers, whatever its flags say: it gets both for itself. `$0`: a directory of its own, `$1`: the DNS server of
/// the host, `$2`: options of containers.
const SCRIPT: &str = r#"
set -e
unset DOCKER_HOST DOCKER_CONFIG
mkdir -p "$0" /run/netns /run/containers
mount -t tmpfs tmpfs /run/netns && mount --make-shared /run/netns
mount -t tmpfs tmpfs /run/containers
echo "nameserver $1" >"$0/resolv.conf" && mount --bind "$0/resolv.conf" /etc/resolv.conf
cat >"$0/p" <<END
podman --root "$0/root" --runroot "$0/run" --tmpdir "$0/tmp" --network-config-dir "$0/net" --network-backend netavark \
  --cgroup-manager cgroupfs --events-backend none --runtime runc "\$@"
END
p() { sh "$0/p" "$@"; }
p import "$0/busybox.tar" busybox >/dev/null
p network create --subnet 10.89.0.0/24 bench >/dev/null
for c in c1 c2; do
  p run -d --name $c --network bench $2 busybox sleep 36000 >/dev/null
done
echo up
exec sleep 36000
"#;

/// For containers that this machine lets podman start, and that end at once.
pub fn options(host: &Host) -> String {
    format!(
        "--cgroup-parent {} --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --stop-timeout 0",
        host.cgroup()
    )
}

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
            .arg(options(host))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let mut line = String::new();
        let output = process.stdout.take().context("no output of podman's")?;
        BufReader::new(output).read_line(&mut line)?;
        if line.trim() != "up" {
            bail!("podman does not start: is it installed (scripts/setup bench)?");
        }
        Ok(Self {
            process,
            dir,
            resolver: "10.89.0.1:53".into(),
        })
    }

    /// Its command line, without `podman`, split at white space; gives what it printed.
    pub fn ok(&self, args: &str) -> Result<String> {
        let process = self.process.id();
        let output = Command::new("nsenter")
            .arg(format!("--mount=/proc/{process}/ns/mnt"))
            .arg(format!("--net=/proc/{process}/ns/net"))
            .arg("--")
            .args(["timeout", "60", "sh"])
            .arg(self.dir.join("p"))
            .args(args.split_whitespace())
            .env_remove("DOCKER_HOST")
            .output()?;
        if !output.status.success() {
            bail!("podman {args}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

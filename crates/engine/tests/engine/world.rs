//! A world of its own for each test: fresh mount and network namespaces, folders, a cgroup parent, and busybox.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use engine::{Attached, Chunks, Config, Engine, Events, LogOptions, StdStream, WaitCondition};
use engine_types::container::{self, CreateRequest, ExecOptions, HostConfig, Ulimit};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::UnshareFlags;
use tokio::sync::mpsc;

/// Nothing in these tests takes longer, and nothing is waited for longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    pub engine: Engine,
    pub config: Config,
    networks: cnm::Config,
    netns: PathBuf,
    dir: tempfile::TempDir,
}

/// Runs a test in its world, and checks that it leaves nothing behind.
pub fn in_world(test: impl AsyncFnOnce(&mut World) + Send + 'static) {
    std::thread::spawn(move || {
        let flags = UnshareFlags::NEWNS | UnshareFlags::NEWNET;
        // SAFETY: this thread has just begun; nothing in it depends on the namespaces that it leaves.
        unsafe { rustix::thread::unshare_unsafe(flags) }.expect("needs root");
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            tokio::time::timeout(PATIENCE, test(&mut world))
                .await
                .expect("the test took too long");
            world.check_clean().await;
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
    })
    .join()
    .unwrap();
}

/// Of every world's containers.
fn default_ulimit(name: &str) -> Ulimit {
    Ulimit {
        name: name.to_owned(),
        hard: 4321,
        soft: 4321,
    }
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().file_name().unwrap().to_string_lossy();
        let name = name.trim_start_matches('.').to_owned();
        let config = Config {
            data_root: dir.path().join("data"),
            exec_root: dir.path().join("exec"),
            cgroup_parent: format!("/pontoon-test-{name}"),
            runtimes: BTreeMap::from([("runc".to_owned(), "runc".to_owned())]),
            default_runtime: "runc".to_owned(),
            conmon: "/usr/bin/conmon".into(),
            labels: Vec::new(),
            default_ulimits: ["nofile", "msgqueue"].map(default_ulimit).into(),
        };
        let networks = cnm::Config {
            dir: dir.path().join("data/network"),
            ..cnm::Config::default()
        };
        let netns = dir.path().join("exec/netns");
        std::fs::create_dir_all(&netns).unwrap();
        std::fs::create_dir_all(&networks.dir).unwrap();
        let engine = start(&config, &networks, &netns).await;
        let world = Self {
            engine,
            config,
            networks,
            netns,
            dir,
        };
        world.import("busybox:latest", busybox()).await;
        world
    }

    /// The daemon goes and another one comes; `meanwhile` happens between them.
    pub async fn restart_daemon(&mut self, meanwhile: impl AsyncFnOnce()) {
        self.engine.shutdown().await;
        // The store's lock goes with the last handle.
        self.engine = {
            let (config, networks, netns) = (&self.config, &self.networks, &self.netns);
            let old = std::mem::replace(&mut self.engine, detached(config, networks, netns).await);
            drop(old);
            meanwhile().await;
            start(config, networks, netns).await
        };
    }

    /// A test that failed has not removed its containers.
    fn kill_all(&self) {
        let containers = self.config.exec_root.join("containers");
        for id in entries(&containers) {
            for file in ["conmon.pid", "pid"] {
                let pid = std::fs::read_to_string(containers.join(&id).join(file));
                let pid = pid
                    .ok()
                    .and_then(|pid| rustix::process::Pid::from_raw(pid.trim().parse().ok()?));
                if let Some(pid) = pid {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(200));
        let parent = self.config.cgroup_parent.trim_matches('/');
        for hierarchy in entries(Path::new("/sys/fs/cgroup")) {
            let group = Path::new("/sys/fs/cgroup").join(hierarchy).join(parent);
            for id in entries(&group) {
                let _ = std::fs::remove_dir(group.join(id));
            }
            let _ = std::fs::remove_dir(&group);
        }
    }

    async fn check_clean(&mut self) {
        for row in self
            .engine
            .list(true, None, false, &Default::default())
            .await
            .unwrap()
        {
            self.engine.remove(&row.id, true, true).await.unwrap();
        }
        self.engine.shutdown().await;
        let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
        let data = self.config.data_root.to_string_lossy();
        let left: Vec<&str> = mounts
            .lines()
            .filter(|line| line.contains(&*data))
            .collect();
        assert!(left.is_empty(), "mounts are left: {left:#?}");
        for (root, part) in [
            (&self.config.exec_root, "containers"),
            (&self.config.exec_root, "runtime"),
            (&self.config.data_root, "containers"),
            (&self.config.data_root, "tmp"),
        ] {
            assert_eq!(entries(&root.join(part)), Vec::<String>::new(), "{part}");
        }
        let parent = self.config.cgroup_parent.trim_matches('/');
        for hierarchy in entries(Path::new("/sys/fs/cgroup")) {
            let group = Path::new("/sys/fs/cgroup").join(hierarchy).join(parent);
            assert!(!group.exists(), "{} is left", group.display());
        }
    }

    pub async fn import(&self, name: &str, tar: Vec<u8>) -> String {
        let mut progress = self
            .engine
            .image_import(chunks(tar), name, "", &["CMD [\"sh\"]".to_owned()])
            .await
            .unwrap();
        let line = progress.recv().await.unwrap().unwrap();
        line["status"].as_str().unwrap().to_owned()
    }

    pub async fn create(&self, command: &[&str], host: HostConfig) -> String {
        self.create_with(request(command, host)).await
    }

    pub async fn create_with(&self, request: CreateRequest) -> String {
        self.engine.create(None, request).await.unwrap().id
    }

    /// Created and started.
    pub async fn run(&self, command: &[&str], host: HostConfig) -> String {
        let id = self.create(command, host).await;
        self.engine.start_container(&id).await.unwrap();
        id
    }

    pub async fn exit_code(&self, id: &str) -> i64 {
        let end = self
            .engine
            .wait(id, WaitCondition::NotRunning)
            .await
            .unwrap();
        end.await.unwrap().status_code
    }

    pub async fn log_of(&self, id: &str, stream: StdStream) -> String {
        let options = LogOptions {
            stdout: stream == StdStream::Stdout,
            stderr: stream == StdStream::Stderr,
            ..LogOptions::default()
        };
        text(self.engine.logs(id, options).await.unwrap()).await
    }

    pub async fn logs(&self, id: &str) -> String {
        let options = LogOptions {
            stdout: true,
            stderr: true,
            ..LogOptions::default()
        };
        text(self.engine.logs(id, options).await.unwrap()).await
    }

    /// Output and exit code.
    pub async fn exec(&self, id: &str, command: &[&str]) -> (String, i64) {
        let options = ExecOptions {
            attach_stdout: true,
            attach_stderr: true,
            cmd: Some(strings(command)),
            ..ExecOptions::default()
        };
        let exec = self.engine.exec_create(id, options).await.unwrap();
        let attached = self
            .engine
            .exec_start(&exec, false, false)
            .await
            .unwrap()
            .unwrap();
        let output = text(attached).await;
        let inspect = self.engine.exec_inspect(&exec).await.unwrap();
        assert_eq!(inspect["Running"], false);
        (output, inspect["ExitCode"].as_i64().unwrap())
    }

    pub async fn state(&self, id: &str) -> container::State {
        self.engine
            .inspect(id, false)
            .await
            .unwrap()
            .base
            .state
            .unwrap()
    }

    /// Waits until the state is as wanted, woken by events.
    pub async fn until(
        &self,
        id: &str,
        wanted: impl Fn(&container::State) -> bool,
    ) -> container::State {
        let (_, mut events) = self.engine.events().subscribe();
        loop {
            let state = self.state(id).await;
            if wanted(&state) {
                return state;
            }
            let _ = tokio::time::timeout(Duration::from_millis(200), events.recv()).await;
        }
    }

    pub async fn until_action(&self, id: &str, action: &str) {
        let (_, mut events) = self.engine.events().subscribe();
        while !self.actions(id).iter().any(|had| had == action) {
            let _ = tokio::time::timeout(Duration::from_millis(200), events.recv()).await;
        }
    }

    pub fn actions(&self, id: &str) -> Vec<String> {
        let (history, _) = self.engine.events().subscribe();
        history
            .into_iter()
            .filter(|event| event.actor.id == id)
            .map(|event| event.action)
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.kill_all();
        }
        // The folder of namespaces is a mount point; with it the test's folder could not go.
        let dir = self.dir.path().to_string_lossy();
        let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap_or_default();
        let ours = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for target in ours
            .filter(|target| target.starts_with(&*dir))
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            let _ = rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

async fn controller(networks: &cnm::Config, netns: &Path) -> cnm::Controller {
    let netstate = netstate::NetState::start(netstate::Config {
        netns_dir: netns.to_owned(),
        mark: "pontoon-test".to_owned(),
        cgroup: None,
    })
    .await
    .unwrap();
    let (events, _) = mpsc::unbounded_channel();
    cnm::Controller::start(networks.clone(), netstate, drivers::all(), None, events)
        .await
        .unwrap()
}

async fn start(config: &Config, networks: &cnm::Config, netns: &Path) -> Engine {
    let controller = controller(networks, netns).await;
    Engine::start(config.clone(), controller, Events::new())
        .await
        .unwrap()
}

/// An engine in folders of its own, to hold the place of one that is gone.
async fn detached(config: &Config, networks: &cnm::Config, netns: &Path) -> Engine {
    let aside = |path: &Path| path.with_extension("aside");
    let config = Config {
        data_root: aside(&config.data_root),
        exec_root: aside(&config.exec_root),
        ..config.clone()
    };
    let networks = cnm::Config {
        dir: aside(&networks.dir),
        ..networks.clone()
    };
    let netns = aside(netns);
    std::fs::create_dir_all(&netns).unwrap();
    std::fs::create_dir_all(&networks.dir).unwrap();
    start(&config, &networks, &netns).await
}

pub fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

/// No network, unless the test asks for one.
pub fn no_network() -> HostConfig {
    HostConfig {
        network_mode: "none".to_owned(),
        ..HostConfig::default()
    }
}

pub fn request(command: &[&str], host: HostConfig) -> CreateRequest {
    CreateRequest {
        config: container::Config {
            image: "busybox".to_owned(),
            cmd: Some(strings(command)),
            ..container::Config::default()
        },
        host_config: Some(host),
        networking_config: None,
    }
}

pub async fn text(mut attached: Attached) -> String {
    let mut bytes = Vec::new();
    while let Some((_, chunk)) = attached.output.recv().await {
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One stream's text up to the given ending.
pub async fn read_until(attached: &mut Attached, stream: StdStream, ending: &str) -> String {
    let mut got = String::new();
    while !got.ends_with(ending) {
        let (from, chunk) = attached
            .output
            .recv()
            .await
            .expect("the stream ended early");
        if from == stream {
            got.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
    got
}

pub fn chunks(bytes: Vec<u8>) -> Chunks {
    let (send, receive) = mpsc::channel(4);
    tokio::spawn(async move {
        for chunk in bytes.chunks(64 << 10) {
            if send.send(Ok(Bytes::copy_from_slice(chunk))).await.is_err() {
                return;
            }
        }
    });
    receive
}

pub async fn collect(mut chunks: Chunks) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    all
}

pub fn entries(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A root file system of this machine's static busybox.
pub fn busybox() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode) in [
        ("bin/", 0o755),
        ("etc/", 0o755),
        ("tmp/", 0o1777),
        ("data/", 0o750),
    ] {
        entry(&mut tar, tar::EntryType::Directory, path, mode, b"");
    }
    let mut program = Vec::new();
    std::fs::File::open("/bin/busybox")
        .unwrap()
        .read_to_end(&mut program)
        .unwrap();
    entry(
        &mut tar,
        tar::EntryType::Regular,
        "bin/busybox",
        0o755,
        &program,
    );
    for applet in [
        "sh", "sleep", "cat", "echo", "ls", "id", "stty", "env", "hostname", "kill", "true",
        "false", "test", "ip", "nslookup", "ping", "mount", "df", "pwd", "head", "stat", "touch",
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")
            .unwrap();
    }
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1001::/home:/bin/sh\n";
    entry(
        &mut tar,
        tar::EntryType::Regular,
        "etc/passwd",
        0o644,
        passwd,
    );
    let group = b"root:x:0:\nusers:x:1001:\nextra:x:1002:user\n";
    entry(&mut tar, tar::EntryType::Regular, "etc/group", 0o644, group);
    entry(
        &mut tar,
        tar::EntryType::Regular,
        "data/seed",
        0o600,
        b"from the image\n",
    );
    tar.into_inner().unwrap()
}

fn entry(
    tar: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    path: &str,
    mode: u32,
    data: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    tar.append_data(&mut header, path, data).unwrap();
}

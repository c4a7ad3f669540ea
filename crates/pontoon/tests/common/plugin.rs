//! A plugin of Docker's protocol that really makes bridges and veths on a lab host, and that can be told to misbehave.
//!
//! It speaks HTTP and JSON by itself, so that nothing of what it tests is on both sides.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab::Host;
use serde_json::{Value, json};

use super::{Shell as _, is_docker};

/// What a call is answered with instead of the truth.
#[derive(Clone, Debug)]
pub enum Lie {
    Json(Value),
    Raw(Vec<u8>),
    /// No answer.
    Hang,
    /// The connection is closed.
    Die,
}

pub struct Plugin {
    pub name: String,
    socket: PathBuf,
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    stop: AtomicBool,
    next: AtomicU32,
    calls: Mutex<Vec<(String, Value)>>,
    lies: Mutex<BTreeMap<String, Lie>>,
}

/// Where the engine under test looks for plugins; dockerd's place is fixed.
pub fn dir(own: &tempfile::TempDir) -> PathBuf {
    match is_docker() {
        true => "/run/docker/plugins".into(),
        false => own.path().into(),
    }
}

impl Plugin {
    pub fn start(host: &Host, dir: &std::path::Path, name: &str) -> Self {
        let name = format!("{name}{}", std::process::id());
        std::fs::create_dir_all(dir).unwrap();
        let socket = dir.join(format!("{name}.sock"));
        let listener = UnixListener::bind(&socket).unwrap();
        let inner = Arc::new(Inner {
            host: host.clone(),
            stop: AtomicBool::new(false),
            next: AtomicU32::new(2),
            calls: Mutex::default(),
            lies: Mutex::default(),
        });
        let server = inner.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.stop.load(Ordering::Relaxed) {
                    return;
                }
                let inner = server.clone();
                std::thread::spawn(move || inner.serve(stream));
            }
        });
        Self {
            name,
            socket,
            inner,
        }
    }

    /// From now on the method is answered so.
    pub fn lie(&self, method: &str, lie: Lie) {
        self.inner.lies.lock().unwrap().insert(method.into(), lie);
    }

    pub fn be_honest(&self) {
        self.inner.lies.lock().unwrap().clear();
    }

    /// What it was asked since the last time, in order.
    pub fn calls(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.inner.calls.lock().unwrap())
    }

    pub fn methods(&self) -> Vec<String> {
        let calls = self.calls().into_iter();
        calls.map(|(method, _)| method).collect()
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Relaxed);
        let _ = UnixStream::connect(&self.socket);
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Inner {
    fn serve(&self, stream: UnixStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some((method, body)) = request(&mut reader) {
            self.calls
                .lock()
                .unwrap()
                .push((method.clone(), body.clone()));
            let lie = self.lies.lock().unwrap().get(&method).cloned();
            let text = match lie {
                None => self.answer(&method, &body).to_string(),
                Some(Lie::Json(value)) => value.to_string(),
                Some(Lie::Raw(bytes)) => {
                    let _ = stream.write_all(&bytes);
                    return;
                }
                Some(Lie::Hang) => {
                    while !self.stop.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    return;
                }
                Some(Lie::Die) => return,
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.plugins.v1.2+json\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            if stream.write_all((head + &text).as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, body: &Value) -> Value {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_string();
        let short = |key: &str| text(key).chars().take(8).collect::<String>();
        let (network, endpoint) = (short("NetworkID"), short("EndpointID"));
        let done = |lines: &[String]| {
            for line in lines {
                let output = self.host.sh(line);
                if output.status != 0 {
                    return json!({ "Err": format!("{line}: {}", output.stderr.trim()) });
                }
            }
            json!({})
        };
        let given = |v6: bool| {
            let data = if v6 { "IPv6Data" } else { "IPv4Data" };
            body[data][0]["Gateway"].as_str().map(str::to_string)
        };
        match method {
            "Plugin.Activate" => json!({ "Implements": ["NetworkDriver", "IpamDriver"] }),
            "NetworkDriver.GetCapabilities" => {
                json!({ "Scope": "local", "ConnectivityScope": "local" })
            }
            "NetworkDriver.CreateNetwork" => {
                let bridge = format!("rb{network}");
                let mut lines = vec![format!(
                    "ip link add {bridge} type bridge && ip link set {bridge} up"
                )];
                lines.extend(
                    [given(false), given(true)]
                        .into_iter()
                        .flatten()
                        .map(|gateway| format!("ip addr add {gateway} dev {bridge}")),
                );
                done(&lines)
            }
            "NetworkDriver.DeleteNetwork" => done(&[format!("ip link del rb{network}")]),
            "NetworkDriver.CreateEndpoint" => {
                let made = done(&[
                    format!("ip link add ra{endpoint} type veth peer name rc{endpoint}"),
                    format!("ip link set ra{endpoint} master rb{network} up"),
                ]);
                let has = body["Interface"]["Address"].as_str();
                if made != json!({}) || has.is_some_and(|address| !address.is_empty()) {
                    return made;
                }
                // Nobody manages its addresses: the plugin does.
                let n = self.next.fetch_add(1, Ordering::Relaxed);
                json!({ "Interface": { "Address": format!("10.99.0.{n}/24") } })
            }
            "NetworkDriver.DeleteEndpoint" => done(&[format!("ip link del ra{endpoint}")]),
            "NetworkDriver.Join" => json!({
                "InterfaceName": { "SrcName": format!("rc{endpoint}"), "DstPrefix": "plug" },
                "Gateway": "",
                "StaticRoutes": [{ "Destination": "192.0.2.0/24", "RouteType": 1, "NextHop": "" }],
                "DisableGatewayService": true,
            }),
            "NetworkDriver.EndpointOperInfo" => json!({ "Value": {
                "com.docker.network.portmap": [{ "Proto": 6, "Port": 80, "HostIP": "0.0.0.0", "HostPort": 4711 }],
            } }),
            "IpamDriver.GetCapabilities" => {
                json!({ "RequiresMACAddress": true, "RequiresRequestReplay": true })
            }
            "IpamDriver.GetDefaultAddressSpaces" => {
                json!({ "LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "there" })
            }
            "IpamDriver.RequestPool" => {
                let pool = match text("Pool").as_str() {
                    "" => "10.77.0.0/16".to_string(),
                    pool => pool.to_string(),
                };
                json!({ "PoolID": format!("pool-{pool}"), "Pool": pool })
            }
            "IpamDriver.RequestAddress" => {
                let pool = text("PoolID").replace("pool-", "");
                let (net, prefix) = pool.split_once('/').unwrap();
                let base = net.rsplit_once('.').unwrap().0;
                let address = match (
                    text("Address").as_str(),
                    &body["Options"]["RequestAddressType"],
                ) {
                    ("", Value::String(_)) => format!("{base}.254"),
                    ("", _) => {
                        format!("{base}.{}", 100 + self.next.fetch_add(1, Ordering::Relaxed))
                    }
                    (address, _) => address.to_string(),
                };
                json!({ "Address": format!("{address}/{prefix}") })
            }
            _ => json!({}),
        }
    }
}

/// Path and body of the next request on a connection.
fn request(reader: &mut BufReader<UnixStream>) -> Option<(String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let method = line.split(' ').nth(1)?.trim_start_matches('/').to_string();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, serde_json::from_slice(&body).unwrap_or_default()))
}

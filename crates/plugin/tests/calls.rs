//! Calls to plugins that answer well, badly, late, or not at all.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cnm::model::Scope;
use cnm::remote::Plugins as _;
use engine_types::ErrorKind;
use plugin::Plugins;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

/// Bytes that answer a request, by its path; `None`: no answer, ever.
type Answers = fn(&str) -> Option<Vec<u8>>;

/// A plugin of one socket: remembers the paths that it was asked.
fn serve(dir: &Path, name: &str, answers: Answers) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(dir.join(format!("{name}.sock"))).unwrap();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let seen = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 65536];
                let n = stream.read(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request[..n]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_string();
                seen.lock().unwrap().push(path.clone());
                match answers(&path) {
                    Some(answer) => drop(stream.write_all(&answer).await),
                    None => tokio::time::sleep(Duration::from_secs(60)).await,
                }
            });
        }
    });
    asked
}

fn reply(status: u16, body: &str) -> Option<Vec<u8>> {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Some([head.as_bytes(), body.as_bytes()].concat())
}

fn good(path: &str) -> Option<Vec<u8>> {
    reply(
        200,
        match path {
            "/Plugin.Activate" => r#"{"Implements":["NetworkDriver","IpamDriver"]}"#,
            "/NetworkDriver.GetCapabilities" => r#"{"Scope":"global","ConnectivityScope":""}"#,
            "/IpamDriver.GetCapabilities" => r#"{"RequiresMACAddress":true}"#,
            _ => "{}",
        },
    )
}

async fn refusal(plugins: &Plugins, name: &str) -> (ErrorKind, String) {
    let error = plugins.network(name).await.err().unwrap();
    (error.kind, error.message)
}

#[tokio::test]
async fn a_plugin_is_activated_once_and_asked_for_what_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let asked = serve(dir.path(), "good", good);
    let plugins = Plugins::new(vec![dir.path().into()]);
    let network = plugins.network("good").await.unwrap();
    assert_eq!(network.scope(), Scope::Global);
    let ipam = plugins.ipam("good").await.unwrap();
    assert!(ipam.requires_mac() && !ipam.requires_replay());
    assert_eq!(network.delete_network("n").await, Ok(()));
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "/Plugin.Activate",
            "/NetworkDriver.GetCapabilities",
            "/IpamDriver.GetCapabilities",
            "/NetworkDriver.DeleteNetwork"
        ]
    );
    for missing in ["nobody", "../good", "good.sock"] {
        assert_eq!(
            refusal(&plugins, missing).await,
            (ErrorKind::NotFound, format!("plugin {missing:?} not found"))
        );
    }
}

#[tokio::test]
async fn what_plugins_do_wrong_is_told_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let table: [(&str, Answers, &str); 8] = [
        (
            "volumes",
            |_| reply(200, r#"{"Implements":["VolumeDriver"]}"#),
            "plugin \"volumes\" does not implement the requested driver (NetworkDriver)",
        ),
        (
            "empty",
            |_| reply(200, ""),
            "plugin \"empty\" answered Plugin.Activate with nonsense: EOF while parsing a value at line 1 column 0",
        ),
        (
            "garbage",
            |_| Some(vec![0; 4096]),
            "plugin \"garbage\" broke off Plugin.Activate: invalid HTTP version parsed",
        ),
        (
            "gone",
            |_| Some(Vec::new()),
            "plugin \"gone\" broke off Plugin.Activate: connection closed before message completed",
        ),
        (
            "refuses",
            |_| reply(500, r#"{"Err":"not today"}"#),
            "Plugin.Activate: not today",
        ),
        (
            "says",
            |_| reply(200, r#"{"Err":"not today"}"#),
            "remote: not today",
        ),
        (
            "huge",
            |_| {
                Some(
                    [
                        &b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
                        &[&b"40000\r\n"[..], &[b'a'; 0x40000], b"\r\n"]
                            .concat()
                            .repeat(5),
                    ]
                    .concat(),
                )
            },
            "plugin \"huge\" answered Plugin.Activate with nonsense: the answer cannot be read, or is longer than 1 MiB: length limit exceeded",
        ),
        (
            "scope",
            |path| match path {
                "/NetworkDriver.GetCapabilities" => reply(200, r#"{"Scope":"cosmic"}"#),
                other => good(other),
            },
            "plugin \"scope\" answered NetworkDriver.GetCapabilities with nonsense: invalid capability: expecting 'local' or 'global', got \"cosmic\"",
        ),
    ];
    let plugins = Plugins::with_patience(vec![dir.path().into()], Duration::from_secs(5));
    for (name, answers, expected) in table {
        serve(dir.path(), name, answers);
        let (kind, text) = refusal(&plugins, name).await;
        assert_eq!((kind, text.as_str()), (ErrorKind::System, expected));
    }
}

#[tokio::test]
async fn one_that_hangs_keeps_nobody_else_waiting_and_ends_in_time() {
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path(), "hangs", |_| None);
    serve(dir.path(), "good", good);
    let plugins = Plugins::with_patience(vec![dir.path().into()], Duration::from_secs(1));
    let start = Instant::now();
    let (late, fine) = tokio::join!(refusal(&plugins, "hangs"), async {
        plugins.network("good").await.unwrap();
        start.elapsed()
    });
    assert_eq!(
        late.1,
        "plugin \"hangs\" did not answer Plugin.Activate within 1 seconds"
    );
    assert!(fine < Duration::from_millis(500), "{fine:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_plugin_that_comes_late_is_waited_for_and_one_that_has_gone_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("late.sock");
    std::fs::write(
        dir.path().join("late.spec"),
        format!("unix://{}", socket.display()),
    )
    .unwrap();
    let plugins = Plugins::with_patience(vec![dir.path().into()], Duration::from_secs(5));
    let start = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        serve(dir.path(), "late", good);
    };
    let (found, ()) = tokio::join!(plugins.network("late"), later);
    found.unwrap();
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "tried again after a second"
    );
    // Its socket is left behind, and nobody listens.
    let (kind, text) = {
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("dead.sock")).unwrap());
        let plugins = Plugins::with_patience(vec![dir.path().into()], Duration::from_secs(1));
        refusal(&plugins, "dead").await
    };
    assert_eq!(kind, ErrorKind::System);
    assert!(text.ends_with("dead.sock: connection refused"), "{text}");
}

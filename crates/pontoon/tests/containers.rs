//! Containers of one host: what they run, how they are shaped, live and are shown.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::background::Background;
use common::container::{inspect, run};
use common::{Differences, Shell as _, World, eventually, is_docker, until};

#[test]
fn run_has_the_exit_code_of_the_command() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    for (options, code) in [
        ("busybox true", 0),
        ("busybox sh -c 'exit 3'", 3),
        ("--no-such-flag busybox", 125),
        ("--pull never no-such-image", 125),
        ("busybox /etc", 126),
        ("busybox /no/such", 127),
        ("busybox no-such", 127),
    ] {
        assert_eq!(
            h1.sh(&format!("docker run --rm {options}")).status,
            code,
            "{options}"
        );
    }
    let split = h1.sh("docker run --rm busybox sh -c 'echo out; echo err >&2'");
    assert_eq!(
        (split.stdout.as_str(), split.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(h1.ok("echo fed | docker run --rm -i busybox cat"), "fed");
    assert_eq!(
        h1.ok("head -c 3000000 /dev/zero | docker run --rm -i busybox wc -c"),
        "3000000"
    );
    assert_eq!(
        h1.ok("docker run --rm busybox head -c 3000000 /dev/zero | wc -c"),
        "3000000"
    );
    let tty = h1.ok("script -qec 'docker run --rm -it busybox sh -c \"stty size; tty\"' /dev/null");
    assert!(tty.contains("/dev/pts/0"), "{tty}");
    // Its size follows the caller's.
    let sized = h1.ok("script -qec 'stty rows 33 cols 77; docker run --rm -it busybox sh -c \"sleep 0.5; stty size\"' /dev/null");
    assert!(sized.contains("33 77"), "{sized}");
    eventually(5, String::new(), || h1.ok("docker ps -aq"));
    world.end();
}

#[test]
fn options_of_run_shape_the_container() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let dir = h1.dir().join("shared");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "theirs").unwrap();
    let bind = dir.display();
    let mut rows = Differences::default();
    for (options, expected) in [
        ("-e A=b -e C busybox sh -c 'echo $A$C$HOME'", "bc/root"),
        ("-w /some/where busybox pwd", "/some/where"),
        (
            "-u nobody busybox id",
            "uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)",
        ),
        ("-u 7:8 --group-add 9 busybox id", "uid=7 gid=8 groups=8,9"),
        ("--entrypoint echo busybox hello", "hello"),
        ("-h myhost busybox hostname", "myhost"),
        ("-h myhost busybox sh -c 'grep -c myhost /etc/hosts'", "1"),
        (
            "--add-host other:10.1.2.3 busybox grep other /etc/hosts",
            "10.1.2.3\tother",
        ),
        ("-v BIND:/mnt busybox cat /mnt/file", "theirs"),
        (
            "--mount type=bind,src=BIND,dst=/mnt,readonly busybox sh -c 'cat /mnt/file; touch /mnt/x 2>/dev/null || echo ro'",
            "theirsro",
        ),
        (
            "--read-only busybox sh -c 'touch /x 2>/dev/null || echo ro'",
            "ro",
        ),
        (
            "--tmpfs /scratch busybox sh -c 'grep -c \" /scratch tmpfs\" /proc/mounts'",
            "1",
        ),
        (
            "--cap-drop ALL busybox grep CapEff /proc/self/status",
            "CapEff:\t0000000000000000",
        ),
        (
            "--cap-drop ALL --cap-add CHOWN busybox grep CapEff /proc/self/status",
            "CapEff:\t0000000000000001",
        ),
        (
            "busybox grep CapEff /proc/self/status",
            "CapEff:\t00000000a80425fb",
        ),
        ("--network none busybox sh -c 'ls /sys/class/net'", "lo"),
        (
            "--sysctl net.ipv4.ip_default_ttl=77 busybox cat /proc/sys/net/ipv4/ip_default_ttl",
            "77",
        ),
        (
            "--memory 64m busybox sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes || cat memory.max' 2>/dev/null",
            "67108864",
        ),
        (
            "--dns 192.0.2.1 --dns-search example.test busybox sh -c 'grep ^[a-z] /etc/resolv.conf | sort | tr \"\\n\" \" \"'",
            "nameserver 192.0.2.1 search example.test",
        ),
        (
            "--network host busybox ip -4 -o addr show eth0 | grep -c HOST",
            "1",
        ),
        ("-t busybox test -t 1", ""),
    ] {
        let options = options
            .replace("BIND", &bind.to_string())
            .replace("HOST", &h1.addr.to_string());
        let output = h1.sh(&format!("C=c docker run --rm {options}"));
        rows.compare(
            &options,
            expected,
            &format!("{}{}", output.stdout.trim_end(), output.stderr),
        );
    }
    rows.assert_none();
    run(&h1, "labelled", "-l tier=front -l empty");
    assert_eq!(
        inspect(&h1, "labelled", "{{json .Config.Labels}}"),
        r#"{"empty":"","tier":"front"}"#
    );
    assert!(h1.ok("docker exec labelled hostname").len() == 12);
    world.end();
}

#[test]
fn restart_policies_bring_containers_back() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let starts = |name: &str| {
        inspect(
            &h1,
            name,
            "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}",
        )
    };
    h1.ok("docker run -d --name fails --restart on-failure:2 busybox sh -c 'exit 4'");
    h1.ok("docker run -d --name ends --restart on-failure busybox true");
    eventually(10, "2 exited 4".to_string(), || starts("fails"));
    eventually(5, "0 exited 0".to_string(), || starts("ends"));
    run(&h1, "stays", "--restart always");
    let pid = common::container::pid(&h1, "stays");
    h1.ok(&format!("kill -9 {pid}"));
    eventually(10, "1 running 0".to_string(), || starts("stays"));
    assert_ne!(common::container::pid(&h1, "stays"), pid);
    // What its owner stops stays down.
    h1.ok("docker stop stays");
    assert_eq!(inspect(&h1, "stays", "{{.State.Status}}"), "exited");
    h1.ok("docker start stays && docker update --restart no stays && docker kill stays");
    eventually(5, "exited".to_string(), || {
        inspect(&h1, "stays", "{{.State.Status}}")
    });
    world.end();
}

#[test]
fn containers_stop_die_wait_and_go() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let state = |name: &str| inspect(&h1, name, "{{.State.Status}} {{.State.ExitCode}}");
    let trap =
        "busybox sh -c 'trap \"exit 9\" TERM; trap \"exit 8\" USR1; while :; do sleep 0.1; done'";
    h1.ok(&format!("docker run -d --name polite {trap}"));
    let mut wait = Background::start(&h1, "docker wait polite");
    until(5, "it is up", || {
        h1.ok("docker top polite").contains("sleep 0.1")
    });
    h1.ok("docker stop polite");
    assert_eq!(state("polite"), "exited 9");
    until(5, "wait returns", || wait.status() == Some(0));
    assert_eq!(wait.output(), "9\n");
    assert_eq!(h1.ok("docker wait polite"), "9");
    h1.ok("docker start polite");
    until(5, "it is up", || {
        h1.ok("docker top polite").contains("sleep 0.1")
    });
    h1.ok("docker kill -s USR1 polite");
    eventually(5, "exited 8".to_string(), || state("polite"));

    run(&h1, "deaf", "");
    h1.ok("docker stop -t 1 deaf");
    assert_eq!(state("deaf"), "exited 137");
    let before =
        h1.ok("docker start deaf; docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' deaf");
    h1.ok("docker restart -t 0 deaf");
    assert_ne!(
        h1.ok("docker start deaf; docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' deaf"),
        before
    );
    h1.ok("docker pause deaf");
    assert_eq!(state("deaf"), "paused 0");
    assert!(h1.ok("docker ps").contains("(Paused)"));
    h1.ok("docker unpause deaf && docker exec deaf true");
    assert_eq!(h1.ok("docker rm -f deaf polite"), "deaf\npolite");
    assert_eq!(h1.ok("docker ps -aq"), "");

    let cut = h1.ok("docker create --name short busybox echo hello");
    assert_eq!(h1.ok(&format!("docker start -a {}", &cut[..6])), "hello");
    h1.ok(
        "docker run -d --name other busybox true && docker wait other && docker container prune -f",
    );
    assert_eq!(h1.ok("docker ps -aq"), "");
    world.end();
}

#[test]
fn ps_formats_and_filters() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker network create --label x=y net");
    run(
        &h1,
        "one",
        "-l tier=front --network net -p 127.0.0.1:8080:80",
    );
    run(&h1, "two", "-l tier=back");
    h1.ok("docker run --name gone busybox sh -c 'exit 3' || true");
    h1.ok("docker create --name made busybox true");
    let head = h1.ok("docker ps | head -1");
    assert_eq!(
        head.split_whitespace().collect::<Vec<_>>().join(" "),
        "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES"
    );
    let mut rows = Differences::default();
    for (options, expected) in [
        ("", "two one"),
        ("-a", "made gone two one"),
        ("-n 2", "made gone"),
        ("-l", "made"),
        ("-f status=running", "two one"),
        ("-f status=exited", "gone"),
        ("-f status=created", "made"),
        ("-a -f exited=3", "gone"),
        ("-a -f name=on", "gone one"),
        ("-a -f name=^gone$", "gone"),
        ("-f label=tier", "two one"),
        ("-f label=tier=front", "one"),
        ("-f network=net", "one"),
        ("-f publish=8080", "one"),
        ("-f expose=80/tcp", "one"),
        ("-a -f ancestor=busybox", "made gone two one"),
        ("-a -f before=gone", "two one"),
        ("-a -f since=gone", "made"),
        ("-a -f label=tier=none", ""),
    ] {
        let output = h1.sh(&format!("docker ps {options} --format '{{{{.Names}}}}'"));
        let names = format!(
            "{}{}",
            output.stdout.trim_end().replace('\n', " "),
            output.stderr
        );
        rows.compare(&format!("docker ps {options}"), expected, &names);
    }
    for (field, expected) in [
        ("Names", "one"),
        ("Image", "busybox"),
        ("Command", r#""sleep 3600""#),
        ("Ports", "127.0.0.1:8080->80/tcp"),
        ("State", "running"),
        ("Networks", "net"),
        ("Label \"tier\"", "front"),
    ] {
        let line = format!("docker ps -f name=^one$ --format '{{{{.{field}}}}}'");
        rows.compare(&line, expected, &h1.ok(&line));
    }
    rows.assert_none();
    let status = |name: &str| {
        h1.ok(&format!(
            "docker ps -a -f name=^{name}$ --format '{{{{.Status}}}}'"
        ))
    };
    assert!(status("one").starts_with("Up "), "{}", status("one"));
    assert!(
        status("gone").starts_with("Exited (3) "),
        "{}",
        status("gone")
    );
    assert_eq!(status("made"), "Created");
    assert_eq!(
        h1.ok("docker ps -q")
            .lines()
            .map(str::len)
            .collect::<Vec<_>>(),
        [12, 12]
    );
    assert_eq!(h1.ok("docker port one"), "80/tcp -> 127.0.0.1:8080");
    world.end();
}

#[test]
fn inspect_tells_all_about_a_container() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let id = run(
        &h1,
        "c1",
        "-h host1 -l a=b -e A=b -p 8080:80 --restart unless-stopped --init=false",
    );
    assert_eq!(id.len(), 64);
    let c = h1.json("docker inspect -f '{{json .}}' c1");
    let pid = common::container::pid(&h1, "c1");
    let mut rows = Differences::default();
    for (pointer, expected) in [
        ("/Id", format!("{id:?}")),
        ("/Name", r#""/c1""#.into()),
        ("/Path", r#""sleep""#.into()),
        ("/Args", r#"["3600"]"#.into()),
        ("/State/Status", r#""running""#.into()),
        ("/State/Running", "true".into()),
        ("/State/Paused", "false".into()),
        ("/State/OOMKilled", "false".into()),
        ("/State/Pid", pid),
        ("/State/ExitCode", "0".into()),
        ("/State/Error", r#""""#.into()),
        ("/State/FinishedAt", r#""0001-01-01T00:00:00Z""#.into()),
        ("/RestartCount", "0".into()),
        ("/Driver", r#""overlay2""#.into()),
        ("/Platform", r#""linux""#.into()),
        (
            "/HostConfig/NetworkMode",
            if is_docker() {
                r#""default""#
            } else {
                r#""bridge""#
            }
            .into(),
        ),
        (
            "/HostConfig/PortBindings",
            r#"{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}"#.into(),
        ),
        (
            "/HostConfig/RestartPolicy",
            r#"{"MaximumRetryCount":0,"Name":"unless-stopped"}"#.into(),
        ),
        ("/Config/Hostname", r#""host1""#.into()),
        ("/Config/Labels", r#"{"a":"b"}"#.into()),
        ("/Config/Cmd", r#"["sleep","3600"]"#.into()),
        ("/Config/Image", r#""busybox""#.into()),
        ("/Config/ExposedPorts", r#"{"80/tcp":{}}"#.into()),
        ("/Mounts", "[]".into()),
        (
            "/NetworkSettings/Networks/bridge/Gateway",
            r#""172.17.0.1""#.into(),
        ),
        (
            "/NetworkSettings/Networks/bridge/IPAddress",
            r#""172.17.0.2""#.into(),
        ),
        ("/NetworkSettings/Networks/bridge/IPPrefixLen", "16".into()),
        ("/NetworkSettings/IPAddress", r#""172.17.0.2""#.into()),
    ] {
        let actual = c
            .pointer(pointer)
            .map(ToString::to_string)
            .unwrap_or_default();
        rows.compare(pointer, &expected, &actual);
    }
    rows.assert_none();
    for time in ["/Created", "/State/StartedAt"] {
        let time = c.pointer(time).unwrap().as_str().unwrap();
        assert!(
            time.starts_with("20") && time.ends_with('Z') && time.len() > 20,
            "{time}"
        );
    }
    assert!(c["Image"].as_str().unwrap().starts_with("sha256:"));
    let environment = c["Config"]["Env"].as_array().unwrap();
    assert!(environment.iter().any(|e| e == "A=b"), "{environment:?}");
    assert_eq!(
        c["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"],
        "8080"
    );
    assert_eq!(
        c["NetworkSettings"]["SandboxID"].as_str().unwrap().len(),
        64
    );
    for file in ["HostnamePath", "HostsPath", "ResolvConfPath"] {
        assert!(
            std::path::Path::new(c[file].as_str().unwrap()).exists(),
            "{file}"
        );
    }
    let mac = c["NetworkSettings"]["Networks"]["bridge"]["MacAddress"]
        .as_str()
        .unwrap();
    assert_eq!(h1.ok("docker exec c1 cat /sys/class/net/eth0/address"), mac);
    let bridge = h1.json("docker network inspect -f '{{json .Containers}}' bridge");
    assert_eq!(bridge[&id]["Name"], "c1");
    assert_eq!(bridge[&id]["IPv4Address"], "172.17.0.2/16");
    assert_eq!(bridge[&id]["MacAddress"], mac);
    world.end();
}

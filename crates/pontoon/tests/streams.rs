//! What goes in and out of a container: exec, attach, logs, events, files.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::background::Background;
use common::container::{inspect, run};
use common::{Shell as _, World, eventually, is_docker, until};

#[test]
fn exec_runs_beside_the_first_process() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    run(&h1, "c1", "-e BASE=1");
    for (options, expected) in [
        ("c1 sh -c 'echo $BASE'", "1"),
        ("-e ADDED=2 c1 sh -c 'echo $BASE$ADDED'", "12"),
        ("-w /tmp c1 pwd", "/tmp"),
        ("-u nobody c1 id -u", "65534"),
        (
            "c1 sh -c 'cat /proc/1/cmdline | tr \"\\0\" \" \"'",
            "sleep 3600",
        ),
    ] {
        assert_eq!(
            h1.ok(&format!("docker exec {options}")),
            expected,
            "{options}"
        );
    }
    assert_eq!(h1.sh("docker exec c1 sh -c 'exit 7'").status, 7);
    assert_eq!(h1.sh("docker exec c1 /etc").status, 126);
    // 20.10 has 126 here, a shell and later Dockers have 127.
    assert_eq!(
        h1.sh("docker exec c1 /no/such").status,
        if is_docker() { 126 } else { 127 }
    );
    assert_eq!(h1.ok("echo fed | docker exec -i c1 cat"), "fed");
    let split = h1.sh("docker exec c1 sh -c 'echo out; echo err >&2'");
    assert_eq!(
        (split.stdout.as_str(), split.stderr.as_str()),
        ("out\n", "err\n")
    );
    let tty = h1.ok("script -qec 'stty rows 33 cols 77; docker exec -it c1 sh -c \"sleep 0.5; stty size; tty\"' /dev/null");
    assert!(tty.contains("33 77") && tty.contains("/dev/pts/0"), "{tty}");
    h1.ok("docker exec -d c1 sh -c 'sleep 0.1; echo done > /tmp/proof'");
    until(5, "a detached exec does its work", || {
        h1.sh("docker exec c1 grep done /tmp/proof").status == 0
    });
    world.end();
}

#[test]
fn attach_and_logs_show_what_a_container_says() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    h1.ok("docker run -d --name talks busybox sh -c 'for i in 1 2 3; do echo line $i; done; echo oops >&2; sleep 1; echo last; exit 5'");
    let mut attached = Background::start(&h1, "docker attach --no-stdin talks");
    let mut followed = Background::start(&h1, "docker logs -f talks");
    until(5, "logs", || {
        h1.sh("docker logs talks").stdout == "line 1\nline 2\nline 3\n"
    });
    until(5, "followed logs", || followed.output().contains("line 3"));
    until(5, "attach ends with the container's exit code", || {
        attached.status() == Some(5)
    });
    until(5, "followed logs end", || followed.status() == Some(0));
    assert_eq!(attached.output(), "last\n");
    let logs = h1.sh("docker logs talks");
    assert_eq!(
        (logs.stdout.as_str(), logs.stderr.as_str()),
        ("line 1\nline 2\nline 3\nlast\n", "oops\n")
    );
    assert_eq!(h1.ok("docker logs --tail 1 talks"), "last");
    assert_eq!(h1.ok("docker logs --tail 0 talks 2>&1"), "");
    assert_eq!(
        h1.ok("docker logs -t --tail 1 talks | grep -cE '^20[0-9-]+T[0-9:]+\\.[0-9]{9}Z last$'"),
        "1"
    );
    assert_eq!(
        h1.ok("docker logs --since 2h talks 2>/dev/null | wc -l"),
        "4"
    );
    assert_eq!(h1.ok("docker logs --until 1h talks 2>&1 | wc -l"), "0");

    // Standard input reaches a container that keeps it open, and the end of it too.
    h1.ok("docker create -i --name listens busybox cat");
    assert_eq!(h1.ok("echo heard | docker start -ai listens"), "heard");
    assert_eq!(h1.ok("docker logs listens"), "heard");
    h1.ok("docker run -di --name obeys busybox sh");
    assert_eq!(h1.sh("echo exit 6 | docker attach obeys").status, 6);
    // The detach keys leave it running.
    h1.ok("docker run -dit --name shell busybox sh");
    let detached = h1.sh("(sleep 0.5; printf '\\020\\021'; sleep 0.5) | script -qec 'docker attach shell' /dev/null").stdout;
    assert!(detached.contains("read escape sequence"), "{detached}");
    assert_eq!(inspect(&h1, "shell", "{{.State.Status}}"), "running");
    world.end();
}

#[test]
fn events_tell_a_containers_life() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    let events = Background::start(
        &h1,
        "docker events --format '{{.Type}} {{.Action}} {{index .Actor.Attributes \"name\"}}'",
    );
    // The stream is open once it shows something.
    until(5, "events flow", || {
        h1.ok("docker network create probe && docker network rm probe");
        events.output().contains("probe")
    });
    h1.ok("docker network create net");
    h1.ok("docker run --name c1 --network net busybox true");
    h1.ok("docker rename c1 c2 && docker tag busybox other && docker rm c2 && docker network rm net && docker rmi other");
    let expected = "network create net\ncontainer create c1\ncontainer attach c1\nnetwork connect net\ncontainer start c1\n\
                    container die c1\nnetwork disconnect net\ncontainer rename c2\nimage tag other:latest\n\
                    container destroy c2\nnetwork destroy net\nimage untag ";
    // A connection is told before or after the start, depending on the engine's age; all else has this order.
    let told = || {
        let output = events.output();
        let lines = output.lines().filter(|line| !line.ends_with("probe"));
        lines
            .map(|line| line.replace("sha256:", "").to_string())
            .collect::<Vec<_>>()
    };
    eventually(5, expected.lines().count(), || told().len());
    for (told, expected) in told().iter().zip(expected.lines()) {
        assert!(told.starts_with(expected), "{told:?} for {expected:?}");
    }
    // The past is kept, and filtered.
    let past = h1.ok("docker events --since 10m --until $(($(date +%s) + 1)) --filter type=container --filter event=die --format '{{json .}}'");
    let die: serde_json::Value = serde_json::from_str(&past).unwrap();
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "0");
    assert_eq!(die["Actor"]["Attributes"]["image"], "busybox");
    assert_eq!(
        (die["scope"].as_str(), die["Type"].as_str()),
        (Some("local"), Some("container"))
    );
    world.end();
}

#[test]
fn files_are_copied_processes_listed_and_names_changed() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    run(&h1, "c1", "");
    let dir = h1.dir().display().to_string();
    h1.ok(&format!(
        "mkdir -p {dir}/tree/sub && echo deep > {dir}/tree/sub/file"
    ));
    h1.ok(&format!("docker cp {dir}/tree c1:/tmp/"));
    assert_eq!(h1.ok("docker exec c1 cat /tmp/tree/sub/file"), "deep");
    h1.ok("docker exec c1 sh -c 'echo changed > /tmp/tree/sub/file'");
    h1.ok(&format!("docker cp c1:/tmp/tree {dir}/back"));
    assert_eq!(h1.ok(&format!("cat {dir}/back/sub/file")), "changed");
    assert_eq!(
        h1.ok("docker cp c1:/tmp/tree/sub/file - | tar -xO"),
        "changed"
    );
    h1.ok("docker stop c1");
    h1.ok(&format!(
        "docker cp {dir}/back/sub/file c1:/stopped && docker start c1"
    ));
    assert_eq!(h1.ok("docker exec c1 cat /stopped"), "changed");

    let top = h1.ok("docker top c1");
    assert!(
        top.starts_with("UID") && top.lines().count() == 2 && top.ends_with("sleep 3600"),
        "{top}"
    );
    assert_eq!(
        h1.ok("docker top c1 -o pid,comm | tail -1 | awk '{print $2}'"),
        "sleep"
    );

    h1.ok("docker rename c1 renamed && docker exec renamed true");
    assert_eq!(h1.sh("docker exec c1 true").status, 1);
    assert_eq!(inspect(&h1, "renamed", "{{.Name}}"), "/renamed");
    run(&h1, "c1", "");
    assert_eq!(h1.sh("docker rename c1 renamed").status, 1);
    world.end();
}

//! The underlay alone: reachability, faults, and nothing left.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::time::Duration;

use lab::{Host, Lab, leftovers};

/// Pings once, with less patience than a test needs for its own work.
fn reaches(from: &Host, to: &Host) -> bool {
    let ping = ["ping", "-c1", "-W1", "-i0.2", &to.addr.to_string()];
    from.exec(&ping).unwrap().status == 0
}

/// Pairs that do not reach each other, in either direction.
fn apart(lab: &Lab) -> BTreeSet<String> {
    let names: Vec<&str> = lab.hosts().chain(["outside"]).collect();
    let mut pairs = Vec::new();
    for from in &names {
        for to in names.iter().filter(|to| *to != from) {
            pairs.push((lab.host(from).unwrap(), lab.host(to).unwrap()));
        }
    }
    std::thread::scope(|scope| {
        let probes = pairs.iter().map(|(from, to)| {
            scope.spawn(move || (!reaches(from, to)).then(|| format!("{}-{}", from.name, to.name)))
        });
        let probes: Vec<_> = probes.collect();
        probes
            .into_iter()
            .filter_map(|probe| probe.join().unwrap())
            .collect()
    })
}

fn pairs(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(ToString::to_string).collect()
}

fn root_links() -> String {
    let output = std::process::Command::new("ip")
        .args(["-o", "addr"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn segments_meet_at_the_router_and_partitions_heal() {
    let before = root_links();
    let mut lab = Lab::new(&[2, 1]).unwrap();
    let name = lab.name().to_string();
    assert_eq!(lab.hosts().collect::<Vec<_>>(), ["h1", "h2", "h3"]);
    assert_eq!(lab.host("h3").unwrap().addr.to_string(), "198.18.2.13");
    assert_eq!(apart(&lab), pairs(""));

    // h1 and h3 are together on different segments, h2 and outside are the rest.
    lab.partition(&["h1", "h3"]).unwrap();
    assert_eq!(
        apart(&lab),
        pairs("h1-h2 h2-h1 h1-outside outside-h1 h3-h2 h2-h3 h3-outside outside-h3")
    );
    let h1 = lab.host("h1").unwrap();
    assert_eq!(
        h1.exec(&["cat", "/sys/class/net/lo/carrier"])
            .unwrap()
            .status,
        0
    );
    assert!(
        h1.exec(&["ip", "-o", "link", "show", "eth0"])
            .unwrap()
            .ok()
            .unwrap()
            .contains("LOWER_UP")
    );
    lab.heal().unwrap();
    assert_eq!(apart(&lab), pairs(""));

    // The state is in its directory: another process may go on with it.
    let mut same = Lab::open(&name).unwrap();
    same.loss("h2", 100).unwrap();
    assert_eq!(Lab::open(&name).unwrap().hosts().count(), 3);
    assert!(!reaches(&h1, &lab.host("h2").unwrap()));
    same.heal().unwrap();
    assert!(reaches(&h1, &lab.host("h2").unwrap()));
    drop(same);

    assert!(!leftovers(&name).is_empty());
    assert_eq!(lab.down(), Vec::<String>::new());
    assert_eq!(root_links(), before);
}

#[test]
fn full_size_packets_pass_and_nothing_leaves_the_lab() {
    let lab = Lab::new(&[1, 1]).unwrap();
    let (h1, h2) = (lab.host("h1").unwrap(), lab.host("h2").unwrap());
    let full = ["ping", "-c1", "-W2", "-Mdo", "-s1472", &h2.addr.to_string()];
    h1.exec(&full).unwrap().ok().unwrap();
    let beyond = h1.exec(&["ping", "-c1", "-W1", "192.0.2.1"]).unwrap();
    assert!(beyond.stdout.contains("Unreachable"), "{beyond:?}");
}

#[test]
fn a_panic_leaves_nothing() {
    let (send, receive) = std::sync::mpsc::channel();
    let panicked = std::thread::spawn(move || {
        let lab = Lab::new(&[1]).unwrap();
        // A process that ignores what can be ignored.
        let mut sleeper = lab.host("h1").unwrap().command("sh");
        let sleeper = sleeper
            .args(["-c", "trap '' TERM INT HUP; sleep 300 & wait"])
            .spawn()
            .unwrap();
        send.send((lab.name().to_string(), sleeper)).unwrap();
        panic!("as a failing test does");
    });
    assert!(panicked.join().is_err());
    let (name, mut sleeper) = receive.recv().unwrap();
    assert!(!sleeper.wait().unwrap().success());
    assert_eq!(leftovers(&name), Vec::<String>::new());
}

#[test]
fn labs_of_dead_processes_are_swept() {
    // The child leaves its lab behind as a killed test does; its name comes back on standard output.
    if std::env::var_os("LAB_TEST_CHILD").is_some() {
        let lab = Lab::new(&[1]).unwrap();
        println!("lab={}", lab.name());
        std::process::abort();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["labs_of_dead_processes_are_swept", "--exact", "--nocapture"])
        .env("LAB_TEST_CHILD", "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let name = text
        .lines()
        .find_map(|line| line.split_once("lab="))
        .unwrap()
        .1
        .to_string();
    // Another test of this run may have swept it already.
    lab::sweep();
    for _ in 0..500 {
        if leftovers(&name).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{:?}", leftovers(&name));
}

#[test]
fn a_named_lab_stays_until_it_is_taken_down() {
    let name = format!("n{}", std::process::id());
    let lab = Lab::up(&name, &[1]).unwrap();
    assert_eq!(lab.hosts().count(), 1);
    drop(lab);
    assert!(Lab::list().contains(&name));
    assert!(
        Lab::up(&name, &[1])
            .unwrap_err()
            .to_string()
            .contains("is up already")
    );
    let lab = Lab::open(&name).unwrap();
    assert!(lab.host("h2").is_err());
    assert_eq!(lab.down(), Vec::<String>::new());
    assert!(Lab::open(&name).is_err());
}

#[test]
fn many_hosts_come_in_order() {
    let lab = Lab::new(&[8, 4]).unwrap();
    let expected: Vec<String> = (1..=12).map(|n| format!("h{n}")).collect();
    assert_eq!(lab.hosts().collect::<Vec<_>>(), expected);
    assert!(reaches(&lab.host("h1").unwrap(), &lab.host("h12").unwrap()));
    assert!(Lab::up("Bad Name", &[1]).is_err());
}

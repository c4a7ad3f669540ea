//! Services of a swarm of several hosts.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;

use common::container::{address, pings, resolve};
use common::swarm::{CREATE, networks, node_id, replicas, task_on, update_state};
use common::{Differences, Shell as _, World, eventually, until};
use lab::Host;

#[test]
fn a_service_runs_on_every_host() {
    let world = World::swarm(&[2, 1]);
    let hosts: [Host; 3] = world.hosts();
    let h1 = &hosts[0];
    h1.ok("docker network create -d overlay uber-net");
    assert!(networks(h1).contains("uber-net") && !networks(&hosts[1]).contains("uber-net"));
    let id = h1.ok(&format!(
        "{CREATE} --name test --network uber-net --replicas 3 busybox sleep infinity"
    ));
    assert_eq!(id.len(), 25);
    eventually(20, "3/3".to_string(), || replicas(h1, "test"));
    assert_eq!(
        h1.ok("docker service ls --format '{{.Name}} {{.Mode}} {{.Replicas}} {{.Image}}'"),
        "test replicated 3/3 busybox:latest"
    );
    let ps = h1.ok("docker service ps test --format '{{.Name}} {{.Image}} {{.DesiredState}} {{.CurrentState}}' | sort");
    for (slot, line) in (1..).zip(ps.lines()) {
        assert!(
            line.starts_with(&format!("test.{slot} busybox:latest Running Running ")),
            "{ps}"
        );
    }
    assert_eq!(ps.lines().count(), 3);
    let tasks: Vec<String> = hosts.iter().map(|host| task_on(host, "test")).collect();
    let addresses: BTreeSet<String> = hosts
        .iter()
        .zip(&tasks)
        .map(|(h, t)| address(h, t, "uber-net"))
        .collect();
    assert_eq!(addresses.len(), 3);
    for (host, task) in hosts.iter().zip(&tasks) {
        assert!(networks(host).contains("uber-net"));
        eventually(5, addresses.clone(), || resolve(host, task, "tasks.test"));
        let service = resolve(host, task, "test");
        assert!(
            service.len() == 1 && service.is_disjoint(&addresses),
            "{service:?}"
        );
        for there in &addresses {
            assert!(pings(host, task, there));
        }
        let name = host.ok(&format!("docker inspect -f '{{{{.Name}}}}' {task}"));
        assert!(name.starts_with("/test."), "{name}");
        let reverse = host
            .sh(&format!(
                "docker exec {task} timeout 2 nslookup {}",
                address(host, task, "uber-net")
            ))
            .stdout;
        assert!(
            reverse.contains(&format!("name = {}.uber-net", &name[1..])),
            "{reverse}"
        );
    }
    assert_eq!(h1.sh("docker network rm uber-net").status, 1);
    assert_eq!(h1.ok("docker service rm test"), "test");
    for (host, task) in hosts.iter().zip(&tasks) {
        until(10, "the task is gone", || {
            host.sh(&format!("docker inspect {task}")).status == 1
        });
    }
    until(10, "the network can be removed", || {
        h1.sh("docker network rm uber-net").status == 0
    });
    for host in &hosts {
        until(10, "the network has left the host", || {
            !networks(host).contains("uber-net")
        });
    }
    world.end();
}

#[test]
fn services_scale_update_and_heal() {
    let world = World::swarm(&[2]);
    let [h1, h2] = world.hosts();
    for host in [&h1, &h2] {
        host.ok("docker tag busybox busybox:2");
    }
    h1.ok(&format!(
        "{CREATE} --name web --replicas 1 --env A=1 --restart-delay 100ms busybox sleep infinity"
    ));
    eventually(20, "1/1".to_string(), || replicas(&h1, "web"));
    assert_eq!(h1.ok("docker service scale -d web=4"), "web scaled to 4");
    eventually(20, "4/4".to_string(), || replicas(&h1, "web"));
    let here = |host: &Host| host.ok("docker ps -q -f name=web | wc -l");
    assert_eq!((here(&h1).as_str(), here(&h2).as_str()), ("2", "2"));
    h1.ok("docker service update -d --replicas 2 web");
    eventually(20, "2/2".to_string(), || replicas(&h1, "web"));
    eventually(20, "1".to_string(), || here(&h2));

    h1.ok("docker service update -d --image busybox:2 --env-add B=2 --update-parallelism 0 --no-resolve-image web");
    let image = |host: &Host| host.ok("docker ps -f name=web --format '{{.Image}}' | sort -u");
    eventually(
        20,
        ("busybox:2".to_string(), "busybox:2".to_string()),
        || (image(&h1), image(&h2)),
    );
    eventually(20, "2/2".to_string(), || replicas(&h1, "web"));
    let task = task_on(&h2, "web");
    assert_eq!(
        h2.ok(&format!("docker exec {task} sh -c 'echo $A$B'")),
        "12"
    );
    let service = h1.json("docker service inspect -f '{{json .}}' web");
    let mut differences = Differences::default();
    for (pointer, expected) in [
        ("/Spec/Name", r#""web""#),
        ("/Spec/Mode/Replicated/Replicas", "2"),
        ("/Spec/TaskTemplate/ContainerSpec/Image", r#""busybox:2""#),
        ("/PreviousSpec/TaskTemplate/ContainerSpec/Env", r#"["A=1"]"#),
        ("/Spec/TaskTemplate/RestartPolicy/Delay", "100000000"),
    ] {
        let actual = service
            .pointer(pointer)
            .map(ToString::to_string)
            .unwrap_or_default();
        differences.compare(pointer, expected, &actual);
    }
    differences.assert_none();
    eventually(20, "completed".to_string(), || update_state(&h1, "web"));

    // A task that dies is replaced; its predecessor stays in the list.
    h2.ok(&format!("docker rm -f {task}"));
    until(20, "another takes its place", || {
        h2.ok("docker ps -q -f name=web").len() == 12 && task_on(&h2, "web") != task
    });
    let failed =
        h1.ok("docker service ps web -f desired-state=shutdown --format '{{.CurrentState}}'");
    assert!(failed.contains("Failed"), "{failed}");
    // A global service has a task on each node, and a drained node has none.
    h1.ok(&format!(
        "{CREATE} --name each --mode global busybox sleep infinity"
    ));
    eventually(20, "2/2".to_string(), || replicas(&h1, "each"));
    h1.ok(&format!(
        "docker node update --availability drain {}",
        node_id(&h2)
    ));
    eventually(20, "1/1".to_string(), || replicas(&h1, "each"));
    eventually(20, "0".to_string(), || here(&h2));
    eventually(20, "2/2".to_string(), || replicas(&h1, "web"));
    assert_eq!(h1.ok("docker service rm web each"), "web\neach");
    eventually(10, String::new(), || h1.ok("docker ps -aq"));
    world.end();
}

#[test]
fn what_a_service_asks_for_is_kept() {
    let world = World::swarm(&[2]);
    let [h1, h2] = world.hosts();
    let id2 = node_id(&h2);
    h1.ok(&format!("docker node update --label-add disk=ssd {id2}"));
    for (name, constraint) in [
        ("id", format!("node.id=={id2}")),
        ("role", "node.role==worker".into()),
        ("label", "node.labels.disk==ssd".into()),
    ] {
        h1.ok(&format!(
            "{CREATE} --name {name} --replicas 2 --constraint {constraint} busybox sleep infinity"
        ));
    }
    h1.ok(&format!(
        "{CREATE} --name none --constraint node.labels.disk==none busybox sleep infinity"
    ));
    h1.ok(&format!("{CREATE} --name says --hostname its-name -w /tmp --user nobody -l a=b --container-label c=d --restart-condition none \
                    busybox sh -c 'hostname; pwd; id -un; echo done'"));
    for name in ["id", "role", "label"] {
        eventually(20, "2/2".to_string(), || replicas(&h1, name));
        assert_eq!(h2.ok(&format!("docker ps -q -f name=^{name} | wc -l")), "2");
    }
    assert_eq!(replicas(&h1, "none"), "0/1");
    let pending =
        h1.ok("docker service ps none --no-trunc --format '{{.CurrentState}} {{.Error}}'");
    assert!(
        pending.starts_with("Pending ")
            && pending
                .contains("no suitable node (scheduling constraints not satisfied on 2 nodes)"),
        "{pending}"
    );
    until(20, "it is done", || {
        h1.ok("docker service ps says --format '{{.CurrentState}}'")
            .starts_with("Complete")
    });
    until(10, "logs through the manager", || {
        h1.ok("docker service logs --raw says 2>&1") == "its-name\n/tmp\nnobody\ndone"
    });
    assert_eq!(h1.ok("docker service inspect -f '{{.Spec.Labels.a}} {{.Spec.TaskTemplate.ContainerSpec.Labels.c}}' says"), "b d");
    assert_eq!(
        h1.ok("docker node ps self -q | wc -l")
            .parse::<u8>()
            .unwrap()
            + h1.ok(&format!("docker node ps {id2} -q | wc -l"))
                .parse::<u8>()
                .unwrap(),
        7
    );
    world.end();
}

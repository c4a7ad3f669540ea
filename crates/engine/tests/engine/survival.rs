//! Containers outlive the daemon, and a daemon that died in the middle leaves nothing half-made.

use engine::LogOptions;
use engine_types::container::{HostConfig, RestartPolicy};

use crate::world::{entries, in_world, no_network, text};

#[test]
fn a_new_daemon_takes_over_what_runs() {
    in_world(async |world| {
        let command = "echo before; until test -e /tmp/go; do sleep 0.02; done; echo after; exit 4";
        let id = world.run(&["sh", "-c", command], no_network()).await;
        let before = world.state(&id).await;
        world.restart_daemon(async || {}).await;
        let after = world.state(&id).await;
        assert_eq!(after, before);
        let (output, code) = world
            .exec(&id, &["sh", "-c", "echo > /tmp/go; echo done"])
            .await;
        assert_eq!((output.as_str(), code), ("done\n", 0));
        let options = LogOptions {
            stdout: true,
            follow: true,
            ..LogOptions::default()
        };
        let output = text(world.engine.logs(&id, options).await.unwrap()).await;
        assert_eq!(output, "before\nafter\n");
        assert_eq!(world.exit_code(&id).await, 4);
        assert_eq!(world.state(&id).await.started_at, before.started_at);
    });
}

#[test]
fn an_end_while_the_daemon_is_away_is_recorded_with_its_time() {
    in_world(async |world| {
        let id = world
            .run(&["sh", "-c", "sleep 0.3; exit 6"], no_network())
            .await;
        let bundle = world.config.exec_root.join("containers").join(&id);
        let away = jiff::Timestamp::now();
        world
            .restart_daemon(async || {
                while !bundle.join("exit").exists() {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            })
            .await;
        let state = world.state(&id).await;
        assert_eq!((state.status.as_str(), state.exit_code), ("exited", 6));
        let finished: jiff::Timestamp = state.finished_at.parse().unwrap();
        let late = finished.duration_since(away).as_millis();
        assert!(
            (0..650).contains(&late),
            "ended {late} ms after the daemon left"
        );
        world.engine.start_container(&id).await.unwrap();
        assert_eq!(world.exit_code(&id).await, 6);
    });
}

#[test]
fn policies_hold_across_daemons() {
    in_world(async |world| {
        let policy = |name: &str| HostConfig {
            restart_policy: RestartPolicy {
                name: name.to_owned(),
                ..RestartPolicy::default()
            },
            ..no_network()
        };
        let always = world.run(&["sleep", "100"], policy("always")).await;
        let stopped = world.run(&["sleep", "100"], policy("unless-stopped")).await;
        let plain = world.run(&["sleep", "100"], policy("no")).await;
        for id in [&always, &stopped] {
            world.engine.stop(id, None, Some(0)).await.unwrap();
        }
        world.restart_daemon(async || {}).await;
        world.until(&always, |state| state.running).await;
        assert_eq!(world.state(&stopped).await.status, "exited");
        assert_eq!(world.state(&plain).await.status, "running");
    });
}

#[test]
fn what_a_crash_left_is_swept() {
    in_world(async |world| {
        let lost = "f".repeat(64);
        let (data, exec) = (
            world.config.data_root.clone(),
            world.config.exec_root.clone(),
        );
        let id = world.run(&["sleep", "100"], no_network()).await;
        world
            .restart_daemon(async || {
                for dir in [
                    data.join("containers").join(&lost).join("rootfs"),
                    exec.join("containers").join(&lost),
                    data.join("layers/tmp-x/diff"),
                    data.join("tmp/load-x"),
                ] {
                    std::fs::create_dir_all(dir).unwrap();
                }
            })
            .await;
        assert_eq!(entries(&data.join("containers")), std::slice::from_ref(&id));
        assert_eq!(entries(&exec.join("containers")), std::slice::from_ref(&id));
        assert_eq!(entries(&data.join("layers")).len(), 1);
        assert!(world.state(&id).await.running);
    });
}

#[test]
fn a_container_does_not_outlive_its_conmon() {
    in_world(async |world| {
        let id = world.run(&["sleep", "100"], no_network()).await;
        let bundle = world.config.exec_root.join("containers").join(&id);
        let pid: i32 = std::fs::read_to_string(bundle.join("conmon.pid"))
            .unwrap()
            .parse()
            .unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        assert_eq!(world.exit_code(&id).await, 137);
        assert_eq!(world.state(&id).await.status, "exited");
    });
}

#[test]
fn what_removes_itself_does_so_after_a_restart_too() {
    in_world(async |world| {
        let host = HostConfig {
            auto_remove: true,
            ..no_network()
        };
        let id = world.run(&["sleep", "0.2"], host).await;
        let bundle = world.config.exec_root.join("containers").join(&id);
        world
            .restart_daemon(async || {
                while !bundle.join("exit").exists() {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            })
            .await;
        while world.engine.resolve(&id).is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_runtime_that_was_killed_half_way_leaves_nothing() {
    in_world(async |world| {
        let id = world.create(&["sleep", "100"], no_network()).await;
        let (exec, parent) = (
            world.config.exec_root.clone(),
            world.config.cgroup_parent.clone(),
        );
        let group = std::path::Path::new("/sys/fs/cgroup/pids")
            .join(parent.trim_matches('/'))
            .join(&id);
        world
            .restart_daemon(async || {
                std::fs::create_dir_all(exec.join("runtime").join(&id)).unwrap();
                std::fs::create_dir_all(exec.join("containers").join(&id)).unwrap();
                std::fs::create_dir_all(&group).unwrap();
                let stray = std::process::Command::new("sleep")
                    .arg("100")
                    .spawn()
                    .unwrap();
                std::fs::write(group.join("cgroup.procs"), stray.id().to_string()).unwrap();
                // Reaped here, whenever it is killed.
                std::thread::spawn(move || { stray }.wait());
            })
            .await;
        assert!(!group.exists());
        assert_eq!(world.state(&id).await.status, "created");
        world.engine.start_container(&id).await.unwrap();
    });
}

#[test]
fn removing_what_is_just_starting_ends_it() {
    in_world(async |world| {
        let id = world.create(&["sleep", "100"], no_network()).await;
        let (started, removed) = tokio::join!(
            world.engine.start_container(&id),
            world.engine.remove(&id, true, false)
        );
        // Either order is fine; a container that runs without a record is not.
        removed.unwrap();
        drop(started);
        assert!(world.engine.resolve(&id).is_err());
    });
}

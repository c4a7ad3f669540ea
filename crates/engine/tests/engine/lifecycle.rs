//! From create to remove: states, texts, policies.

use engine::{StdStream, WaitCondition};
use engine_types::ErrorKind;
use engine_types::container::{HealthConfig, HostConfig, RestartPolicy};

use crate::world::{in_world, no_network, request, strings};

#[test]
fn a_run_leaves_its_output_and_exit_code() {
    in_world(async |world| {
        let id = world
            .run(
                &["sh", "-c", "echo out; echo err >&2; printf partial; exit 3"],
                no_network(),
            )
            .await;
        assert_eq!(world.exit_code(&id).await, 3);
        assert_eq!(
            world.log_of(&id, StdStream::Stdout).await,
            "out
partial"
        );
        assert_eq!(
            world.log_of(&id, StdStream::Stderr).await,
            "err
"
        );
        let state = world.state(&id).await;
        assert_eq!(
            (state.status.as_str(), state.exit_code, state.pid),
            ("exited", 3, 0)
        );
        assert!(state.finished_at > state.started_at);
        assert_eq!(world.actions(&id), ["create", "start", "die"]);
        let all = world
            .engine
            .list(true, None, false, &Default::default())
            .await
            .unwrap();
        assert!(
            all[0].status.starts_with("Exited (3) "),
            "{}",
            all[0].status
        );
        assert_eq!(
            all[0].command,
            "sh -c 'echo out; echo err >&2; printf partial; exit 3'"
        );
        let running = world
            .engine
            .list(false, None, false, &Default::default())
            .await
            .unwrap();
        assert!(running.is_empty());
    });
}

#[test]
fn names_are_unique_and_errors_are_dockers() {
    in_world(async |world| {
        let engine = &world.engine;
        let make = |name: &'static str| engine.create(Some(name), request(&["true"], no_network()));
        let id = make("web").await.unwrap().id;
        let error = make("web").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert_eq!(
            error.message,
            format!(
                "Conflict. The container name \"/web\" is already in use by container \"{id}\". You have to remove (or \
                 rename) that container to be able to reuse that name."
            )
        );
        assert_eq!(
            make("w").await.unwrap_err().kind,
            ErrorKind::InvalidParameter
        );
        let mut missing = request(&["true"], no_network());
        missing.config.image = "nope".to_owned();
        let error = engine.create(None, missing).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::NotFound, "No such image: nope:latest")
        );
        let error = engine.inspect("nope", false).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::NotFound, "No such container: nope")
        );
        assert_eq!(engine.resolve("/web").unwrap(), id);
        assert_eq!(engine.resolve(&id[..6]).unwrap(), id);
        engine.rename(&id, "site").await.unwrap();
        assert!(engine.resolve("web").is_err());
        assert_eq!(
            engine.inspect("site", false).await.unwrap().base.name,
            "/site"
        );
        assert_eq!(
            engine.stop("site", None, None).await.unwrap_err().kind,
            ErrorKind::NotModified
        );
        let error = engine.kill("site", "KILL").await.unwrap_err();
        assert_eq!(
            error.message,
            format!("cannot kill container: site: container {id} is not running")
        );
        make("web").await.unwrap();
    });
}

#[test]
fn a_command_that_is_not_there_is_127_and_leaves_nothing() {
    in_world(async |world| {
        let id = world.create(&["/no/such/program"], no_network()).await;
        let error = world.engine.start_container(&id).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidParameter);
        assert!(
            error.message.starts_with(
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc \
                 create failed: "
            ),
            "{error}"
        );
        assert!(
            error.message.contains("no such file or directory"),
            "{error}"
        );
        let state = world.state(&id).await;
        assert_eq!((state.status.as_str(), state.exit_code), ("created", 127));
        assert!(!world.config.exec_root.join("containers").join(&id).exists());
        let id = world.create(&["/etc/passwd"], no_network()).await;
        world.engine.start_container(&id).await.unwrap_err();
        assert_eq!(world.state(&id).await.exit_code, 126);
    });
}

#[test]
fn stop_asks_first_and_kills_then() {
    in_world(async |world| {
        let kind = world
            .run(
                &[
                    "sh",
                    "-c",
                    "trap 'exit 7' TERM; echo ready; while true; do sleep 0.05; done",
                ],
                no_network(),
            )
            .await;
        let deaf = world
            .run(
                &["sh", "-c", "trap '' TERM; while true; do sleep 1; done"],
                no_network(),
            )
            .await;
        while !world.logs(&kind).await.contains("ready") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        world.engine.stop(&kind, None, Some(10)).await.unwrap();
        assert_eq!(world.state(&kind).await.exit_code, 7);
        world.engine.stop(&deaf, None, Some(0)).await.unwrap();
        assert_eq!(world.state(&deaf).await.exit_code, 137);
        assert_eq!(
            world.actions(&deaf),
            ["create", "start", "kill", "kill", "die", "stop"]
        );
        let error = world.engine.remove(&deaf, false, false).await;
        assert!(error.is_ok());
    });
}

#[test]
fn a_running_container_is_removed_only_by_force() {
    in_world(async |world| {
        let id = world.run(&["sleep", "100"], no_network()).await;
        let error = world.engine.remove(&id, false, false).await.unwrap_err();
        assert_eq!(
            error.message,
            format!(
                "cannot remove container {id:?}: container is running: stop the container before removing or force \
                 remove"
            )
        );
        let removed = world
            .engine
            .wait(&id, WaitCondition::Removed)
            .await
            .unwrap();
        world.engine.remove(&id, true, false).await.unwrap();
        assert_eq!(removed.await.unwrap().status_code, 137);
        assert!(world.engine.inspect(&id, false).await.is_err());
    });
}

#[test]
fn auto_remove_removes() {
    in_world(async |world| {
        let host = HostConfig {
            auto_remove: true,
            ..no_network()
        };
        let id = world.create(&["sh", "-c", "exit 5"], host).await;
        let removed = world
            .engine
            .wait(&id, WaitCondition::Removed)
            .await
            .unwrap();
        world.engine.start_container(&id).await.unwrap();
        assert_eq!(removed.await.unwrap().status_code, 5);
        assert!(world.engine.resolve(&id).is_err());
    });
}

#[test]
fn restart_policies_restart_and_stop_ends_them() {
    in_world(async |world| {
        let policy = |name: &str, maximum_retry_count| HostConfig {
            restart_policy: RestartPolicy {
                name: name.to_owned(),
                maximum_retry_count,
            },
            ..no_network()
        };
        let failing = world.run(&["false"], policy("on-failure", 2)).await;
        let restless = world.run(&["true"], policy("always", 0)).await;
        let state = world
            .until(&failing, |state| state.status == "exited")
            .await;
        assert_eq!(state.exit_code, 1);
        let inspect = world.engine.inspect(&failing, false).await.unwrap();
        assert_eq!(inspect.base.restart_count, 2);
        world.until(&restless, |state| state.restarting).await;
        world.engine.stop(&restless, None, None).await.unwrap();
        let count = world
            .engine
            .inspect(&restless, false)
            .await
            .unwrap()
            .base
            .restart_count;
        assert!(count >= 1);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert_eq!(world.state(&restless).await.status, "exited");
        world.engine.restart(&restless, None, None).await.unwrap();
    });
}

#[test]
fn pause_update_and_top() {
    in_world(async |world| {
        let id = world.run(&["sleep", "100"], no_network()).await;
        world.engine.pause(&id, true).await.unwrap();
        assert_eq!(world.state(&id).await.status, "paused");
        let options = engine_types::container::ExecOptions {
            cmd: Some(strings(&["true"])),
            ..Default::default()
        };
        let error = world.engine.exec_create(&id, options).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        world.engine.pause(&id, false).await.unwrap();
        assert_eq!(world.state(&id).await.status, "running");
        let mut update = engine_types::container::ContainerUpdate::default();
        update.resources.pids_limit = Some(50);
        update.restart_policy.name = "unless-stopped".to_owned();
        world.engine.update(&id, update).await.unwrap();
        let host = world
            .engine
            .inspect(&id, false)
            .await
            .unwrap()
            .base
            .host_config
            .unwrap();
        assert_eq!(
            (host.resources.pids_limit, host.restart_policy.name.as_str()),
            (Some(50), "unless-stopped")
        );
        let (titles, rows) = world.engine.top(&id, "-ef").await.unwrap();
        assert_eq!(titles[7], "CMD");
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0][7].trim(), "sleep 100");
        // `f` and a list of processes exclude each other in `ps`.
        for args in ["-o pid,comm", "f -eo pid,comm"] {
            let (titles, rows) = world.engine.top(&id, args).await.unwrap();
            assert_eq!(titles, ["PID", "COMMAND"], "{args}");
            assert_eq!(rows.len(), 1, "{args}");
            assert!(rows[0][1].ends_with("sleep"), "{args}: {rows:?}");
        }
        let error = world.engine.top(&id, "-o ppid=PID").await.unwrap_err();
        assert_eq!(error.message, "specifying \"ppid=PID\" is not allowed");
        assert!(world.engine.top(&id, "--nonsense").await.is_err());
    });
}

#[test]
fn health_checks_turn_healthy_and_unhealthy() {
    in_world(async |world| {
        let mut request = request(&["sh", "-c", "echo > /tmp/ok; sleep 100"], no_network());
        request.config.healthcheck = Some(HealthConfig {
            test: Some(strings(&["CMD-SHELL", "echo looked; test -e /tmp/ok"])),
            interval: 50_000_000,
            retries: 2,
            ..HealthConfig::default()
        });
        let id = world.create_with(request).await;
        world.engine.start_container(&id).await.unwrap();
        let status = |state: &engine_types::container::State| state.health.clone().unwrap().status;
        assert_eq!(status(&world.state(&id).await), "starting");
        let state = world.until(&id, |state| status(state) == "healthy").await;
        let log = state.health.unwrap().log.unwrap();
        assert_eq!(log[0].output, "looked\n");
        let up = world
            .engine
            .list(false, None, false, &Default::default())
            .await
            .unwrap();
        assert!(up[0].status.ends_with("(healthy)"), "{}", up[0].status);
        world.exec(&id, &["sh", "-c", "busybox rm /tmp/ok"]).await;
        let state = world.until(&id, |state| status(state) == "unhealthy").await;
        assert!(state.health.unwrap().failing_streak >= 2);
        world.until_action(&id, "health_status: unhealthy").await;
    });
}

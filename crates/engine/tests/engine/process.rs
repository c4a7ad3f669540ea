//! What a container's processes get: streams, terminals, users, limits, mounts, networks.

use engine::{LogOptions, StdStream};
use engine_types::ErrorKind;
use engine_types::container::{ExecOptions, HostConfig, Ulimit};
use engine_types::network::{ConnectOptions, DisconnectOptions};

use crate::world::{chunks, collect, in_world, no_network, read_until, request, strings, text};

#[test]
fn attached_before_the_start_gets_everything_and_feeds_stdin() {
    in_world(async |world| {
        let mut request = request(&["sh", "-c", "echo hello; cat; echo end >&2"], no_network());
        request.config.open_stdin = true;
        request.config.stdin_once = true;
        let id = world.create_with(request).await;
        let mut attached = world
            .engine
            .attach(&id, true, true, true, false, true)
            .await
            .unwrap();
        world.engine.start_container(&id).await.unwrap();
        assert_eq!(
            read_until(&mut attached, StdStream::Stdout, "\n").await,
            "hello\n"
        );
        let stdin = attached.stdin.take().unwrap();
        stdin.send("line\n".into()).await.unwrap();
        assert_eq!(
            read_until(&mut attached, StdStream::Stdout, "\n").await,
            "line\n"
        );
        drop(stdin);
        assert_eq!(
            read_until(&mut attached, StdStream::Stderr, "\n").await,
            "end\n"
        );
        assert_eq!(world.exit_code(&id).await, 0);
    });
}

#[test]
fn a_second_look_does_not_end_the_input() {
    in_world(async |world| {
        let mut request = request(&["cat"], no_network());
        request.config.open_stdin = true;
        request.config.stdin_once = true;
        let id = world.create_with(request).await;
        let mut main = world
            .engine
            .attach(&id, true, true, true, false, true)
            .await
            .unwrap();
        world.engine.start_container(&id).await.unwrap();
        let look = world
            .engine
            .attach(&id, false, true, true, false, true)
            .await
            .unwrap();
        drop(look);
        let stdin = main.stdin.take().unwrap();
        for line in ["one\n", "two\n"] {
            stdin.send(line.into()).await.unwrap();
            assert_eq!(read_until(&mut main, StdStream::Stdout, "\n").await, line);
        }
        drop(stdin);
        assert_eq!(world.exit_code(&id).await, 0);
        let mut again = world
            .engine
            .attach(&id, false, true, true, true, false)
            .await
            .unwrap();
        assert_eq!(
            read_until(&mut again, StdStream::Stdout, "two\n").await,
            "one\ntwo\n"
        );
    });
}

#[test]
fn terminals_have_the_size_they_are_given() {
    in_world(async |world| {
        let mut request = request(&["sh"], no_network());
        request.config.open_stdin = true;
        request.config.tty = true;
        let id = world.create_with(request).await;
        let mut attached = world
            .engine
            .attach(&id, true, true, true, false, true)
            .await
            .unwrap();
        assert!(attached.tty);
        world.engine.start_container(&id).await.unwrap();
        world.engine.resize(&id, 41, 123).await.unwrap();
        let stdin = attached.stdin.take().unwrap();
        stdin
            .send("sleep 0.2; stty size; exit\n".into())
            .await
            .unwrap();
        let output = text(attached).await;
        assert!(output.contains("41 123"), "{output}");
        let options = ExecOptions {
            cmd: Some(strings(&["true"])),
            ..ExecOptions::default()
        };
        world.until(&id, |state| !state.running).await;
        assert!(world.engine.exec_create(&id, options).await.is_err());
    });
}

#[test]
fn exec_runs_beside_and_reports_its_code() {
    in_world(async |world| {
        let id = world.run(&["sleep", "100"], no_network()).await;
        let (output, code) = world
            .exec(&id, &["sh", "-c", "id -u; echo $PATH; exit 9"])
            .await;
        assert_eq!(
            output,
            "0\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        );
        assert_eq!(code, 9);
        let (output, code) = world.exec(&id, &["nope"]).await;
        assert_eq!(code, 127);
        assert!(
            output.starts_with("OCI runtime exec failed: exec failed: unable to start container process: exec: \"nope\""),
            "{output}"
        );
        let options = ExecOptions {
            user: "user".to_owned(),
            working_dir: "/tmp".to_owned(),
            env: Some(strings(&["A=b"])),
            attach_stdin: true,
            attach_stdout: true,
            cmd: Some(strings(&["sh", "-c", "id; pwd; echo $A; cat"])),
            ..ExecOptions::default()
        };
        let exec = world.engine.exec_create(&id, options).await.unwrap();
        let mut attached = world
            .engine
            .exec_start(&exec, false, false)
            .await
            .unwrap()
            .unwrap();
        let stdin = attached.stdin.take().unwrap();
        stdin.send("typed\n".into()).await.unwrap();
        drop(stdin);
        let output = text(attached).await;
        assert_eq!(
            output,
            "uid=1000(user) gid=1001(users) groups=1001(users),1002(extra)\n/tmp\nb\ntyped\n"
        );
        assert!(world.engine.exec_start(&exec, false, false).await.is_err());
        let actions = world.actions(&id);
        assert!(!actions.contains(&"exec_start: nope".to_owned()));
        assert!(actions.contains(&"exec_die".to_owned()));
    });
}

#[test]
fn logs_follow_until_the_end() {
    in_world(async |world| {
        let id = world
            .run(
                &[
                    "sh",
                    "-c",
                    "for i in 1 2 3; do echo line $i; sleep 0.1; done",
                ],
                no_network(),
            )
            .await;
        let options = LogOptions {
            stdout: true,
            follow: true,
            timestamps: true,
            ..LogOptions::default()
        };
        let output = text(world.engine.logs(&id, options).await.unwrap()).await;
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].ends_with("Z line 3"), "{output}");
    });
}

#[test]
fn limits_users_and_system_mounts_are_as_asked() {
    in_world(async |world| {
        let mut request = request(
            &[
                "sh",
                "-c",
                "id -u; id -g; hostname; ulimit -n; busybox grep -c msgqueue.*4321 /proc/self/limits; busybox grep CapEff /proc/self/status; touch /x; mount | busybox grep -c ' /run '; busybox cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
            ],
            HostConfig {
                readonly_rootfs: true,
                cap_add: Some(strings(&["NET_ADMIN"])),
                cap_drop: Some(strings(&["ALL"])),
                tmpfs: Some([("/run".to_owned(), "size=1m".to_owned())].into()),
                ..no_network()
            },
        );
        request.config.hostname = "box".to_owned();
        let resources = &mut request.host_config.as_mut().unwrap().resources;
        resources.ulimits = Some(vec![Ulimit {
            name: "nofile".to_owned(),
            hard: 77,
            soft: 77,
        }]);
        resources.pids_limit = Some(20);
        resources.memory = 64 << 20;
        let id = world.create_with(request).await;
        world.engine.start_container(&id).await.unwrap();
        world.exit_code(&id).await;
        let output = world.log_of(&id, StdStream::Stdout).await;
        let errors = world.log_of(&id, StdStream::Stderr).await;
        let lines: Vec<&str> = output.lines().collect();
        // Its own limit, and the default where it has none.
        assert_eq!(lines[..5], ["0", "0", "box", "77", "1"], "{output}");
        assert!(output.contains("CapEff:\t0000000000001000"), "{output}");
        assert_eq!(
            errors,
            "touch: /x: Read-only file system
"
        );
        assert_eq!(lines[lines.len() - 2..], ["1", "0"], "{output}");
    });
}

#[test]
fn volumes_keep_data_and_are_filled_from_the_image() {
    in_world(async |world| {
        let dir = tempfile::tempdir_in(&world.config.data_root).unwrap();
        let bind = format!("{}:/host:ro", dir.path().display());
        std::fs::write(dir.path().join("f"), "host\n").unwrap();
        let host = |binds: &[&str]| HostConfig {
            binds: Some(strings(binds)),
            ..no_network()
        };
        let first = world
            .run(
                &[
                    "sh",
                    "-c",
                    "cat /data/seed /host/f; echo new > /data/more; echo x > /host/g",
                ],
                host(&["keep:/data", &bind]),
            )
            .await;
        world.exit_code(&first).await;
        let output = world.logs(&first).await;
        assert!(output.starts_with("from the image\nhost\n"), "{output}");
        assert!(output.contains("Read-only"), "{output}");
        let second = world
            .run(&["cat", "/data/more"], host(&["keep:/data"]))
            .await;
        world.exit_code(&second).await;
        assert_eq!(world.logs(&second).await, "new\n");
        let mounts = world
            .engine
            .inspect(&second, false)
            .await
            .unwrap()
            .mounts
            .unwrap();
        assert_eq!(
            (mounts[0].name.as_str(), mounts[0].r#type.as_str()),
            ("keep", "volume")
        );
        let mut anonymous = request(&["stat", "-c", "%a", "/data"], no_network());
        anonymous.config.volumes = Some([("/data".to_owned(), Default::default())].into());
        let id = world.create_with(anonymous).await;
        world.engine.start_container(&id).await.unwrap();
        world.exit_code(&id).await;
        assert_eq!(world.logs(&id).await, "750\n");
        let volumes = || crate::world::entries(&world.config.data_root.join("volumes")).len();
        assert_eq!(volumes(), 2);
        world.engine.remove(&id, false, true).await.unwrap();
        assert_eq!(volumes(), 1);
    });
}

#[test]
fn files_are_copied_in_and_out_running_or_not() {
    in_world(async |world| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o640);
        header.set_uid(5);
        header.set_gid(6);
        tar.append_data(&mut header, "dir/file", &b"abc"[..])
            .unwrap();
        let tar = tar.into_inner().unwrap();
        let running = world.run(&["sleep", "100"], no_network()).await;
        let stopped = world.create(&["true"], no_network()).await;
        for id in [&running, &stopped] {
            world
                .engine
                .archive_put(id, "/tmp", chunks(tar.clone()))
                .await
                .unwrap();
            let (header, body) = world.engine.archive_get(id, "/tmp/dir").await.unwrap();
            assert!(!header.is_empty());
            let body = collect(body).await;
            let mut archive = tar::Archive::new(body.as_slice());
            let files: Vec<(String, u64)> = archive
                .entries()
                .unwrap()
                .map(|entry| {
                    let entry = entry.unwrap();
                    (
                        entry.path().unwrap().display().to_string(),
                        entry.header().uid().unwrap(),
                    )
                })
                .collect();
            assert_eq!(files, [("dir".to_owned(), 0), ("dir/file".to_owned(), 5)]);
            let error = world.engine.archive_get(id, "/nope").await.unwrap_err();
            assert_eq!(
                error.message,
                format!("Could not find the file /nope in container {id}")
            );
        }
        let (output, _) = world.exec(&running, &["cat", "/tmp/dir/file"]).await;
        assert_eq!(output, "abc");
    });
}

#[test]
fn an_exported_file_system_is_an_image_again() {
    in_world(async |world| {
        let command = "echo kept > /greeting; echo apart > /volume/file; exec sleep 100";
        let mut host = no_network();
        host.tmpfs = Some([("/volume".to_owned(), String::new())].into());
        let running = world.run(&["sh", "-c", command], host).await;
        let (_, code) = world
            .exec(
                &running,
                &["sh", "-c", "until test -s /volume/file; do :; done"],
            )
            .await;
        assert_eq!(code, 0);
        let while_running = collect(world.engine.export(&running).await.unwrap()).await;
        world.engine.kill(&running, "KILL").await.unwrap();
        let stopped = collect(world.engine.export(&running).await.unwrap()).await;
        for tar in [while_running, stopped] {
            let image = world.import("again", tar).await;
            let mut again = request(&["sh", "-c", "cat /greeting; ls /volume"], no_network());
            again.config.image = image;
            let id = world.create_with(again).await;
            world.engine.start_container(&id).await.unwrap();
            assert_eq!(world.exit_code(&id).await, 0);
            assert_eq!(world.logs(&id).await, "kept\n");
        }
        assert_eq!(
            world.engine.export("nope").await.err().unwrap().kind,
            ErrorKind::NotFound
        );
    });
}

#[test]
fn networks_are_connected_at_the_start_and_while_it_runs() {
    in_world(async |world| {
        let host = HostConfig {
            network_mode: "bridge".to_owned(),
            ..HostConfig::default()
        };
        let id = world.run(&["sleep", "100"], host).await;
        let settings = world
            .engine
            .inspect(&id, false)
            .await
            .unwrap()
            .network_settings
            .unwrap();
        let networks = settings.networks.unwrap();
        let bridge = &networks["bridge"];
        assert!(!bridge.ip_address.is_empty());
        assert_eq!(
            settings.default_network_settings.ip_address,
            bridge.ip_address
        );
        let (output, _) = world.exec(&id, &["ip", "addr", "show", "eth0"]).await;
        assert!(
            output.contains(&format!("inet {}/", bridge.ip_address)),
            "{output}"
        );
        let (output, _) = world.exec(&id, &["cat", "/etc/hosts"]).await;
        assert!(output.contains(&bridge.ip_address), "{output}");
        let connect = ConnectOptions {
            container: id.clone(),
            endpoint_config: None,
        };
        let error = world
            .engine
            .network_connect("bridge", connect)
            .await
            .unwrap_err();
        assert!(
            error.message.contains("already exists in network bridge"),
            "{error}"
        );
        let disconnect = DisconnectOptions {
            container: id.clone(),
            force: false,
        };
        world
            .engine
            .network_disconnect("bridge", disconnect)
            .await
            .unwrap();
        let (output, code) = world.exec(&id, &["ip", "addr", "show", "eth0"]).await;
        assert_ne!(code, 0, "{output}");
        let other = HostConfig {
            network_mode: format!("container:{id}"),
            ..HostConfig::default()
        };
        let other = world.run(&["sleep", "100"], other).await;
        let inode = async |id: &str| {
            world
                .exec(id, &["stat", "-L", "-c", "%i", "/proc/self/ns/net"])
                .await
                .0
        };
        assert_eq!(inode(&id).await, inode(&other).await);
        let host = world
            .run(
                &["sleep", "100"],
                HostConfig {
                    network_mode: "host".to_owned(),
                    ..HostConfig::default()
                },
            )
            .await;
        assert_ne!(inode(&id).await, inode(&host).await);
    });
}

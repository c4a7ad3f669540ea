//! The engine itself, and its images.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::container::run;
use common::{Differences, Shell as _, World, is_docker};

#[test]
fn the_engine_describes_itself() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    assert_eq!(
        h1.ok("curl -s --unix-socket ${DOCKER_HOST#unix://} http://docker/_ping"),
        "OK"
    );
    // 20.10 speaks at most 1.41; the CLI at most 1.50.
    let version = if is_docker() { "1.41" } else { "1.50" };
    assert_eq!(
        h1.ok(
            "docker version -f '{{.Client.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Os}}'"
        ),
        {
            let oldest = if is_docker() { "1.12" } else { "1.24" };
            format!("{version} {oldest} linux")
        }
    );
    assert_eq!(
        h1.ok("DOCKER_API_VERSION=1.30 docker version -f '{{.Client.APIVersion}}'"),
        "1.30"
    );
    run(&h1, "running", "");
    h1.ok("docker create --name created busybox true");
    let info = h1.json("docker info -f '{{json .}}'");
    let mut rows = Differences::default();
    for (field, expected) in [
        ("/Containers", "2"),
        ("/ContainersRunning", "1"),
        ("/Images", "1"),
        ("/Driver", r#""overlay2""#),
        ("/CgroupDriver", r#""cgroupfs""#),
        ("/OSType", r#""linux""#),
        ("/Architecture", r#""x86_64""#),
        ("/DefaultRuntime", r#""runc""#),
        ("/Swarm/LocalNodeState", r#""inactive""#),
        ("/Swarm/ControlAvailable", "false"),
    ] {
        let actual = info
            .pointer(field)
            .map(ToString::to_string)
            .unwrap_or_default();
        rows.compare(field, expected, &actual);
    }
    rows.assert_none();
    assert_eq!(
        info["DockerRootDir"],
        h1.dir().join("data").to_str().unwrap()
    );
    for driver in ["bridge", "host", "ipvlan", "macvlan", "null", "overlay"] {
        let drivers = info["Plugins"]["Network"].as_array().unwrap();
        assert!(
            drivers.iter().any(|d| d == driver),
            "{driver} of {drivers:?}"
        );
    }
    assert_eq!(
        h1.ok("docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}}' | sort"),
        "bridge bridge local\nhost host local\nnone null local"
    );
    world.end();
}

#[test]
fn images_are_imported_saved_loaded_tagged_and_removed() {
    let world = World::new(&[1, 1]);
    let [h1, h2] = world.hosts();
    assert_eq!(
        h1.ok("docker images --format '{{.Repository}}:{{.Tag}}'"),
        "busybox:latest"
    );
    // Changes make a configuration, as a Dockerfile's last lines do.
    h1.ok("docker run --name made busybox sh -c 'echo hello > /greeting' && docker export made | docker import \
           -c 'CMD [\"cat\", \"/greeting\"]' -c 'ENV A=b' -c 'WORKDIR /tmp' -m told - made:v1");
    assert_eq!(h1.ok("docker run --rm made:v1"), "hello");
    assert_eq!(
        h1.ok("docker run --rm made:v1 sh -c 'echo $A; pwd'"),
        "b\n/tmp"
    );
    h1.ok("docker tag made:v1 example.test/made:v2");
    let id = h1.ok("docker image inspect -f '{{.Id}}' made:v1");
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    let image = h1.json("docker image inspect -f '{{json .}}' example.test/made:v2");
    assert_eq!(image["Id"], id.as_str());
    for tag in ["made:v1", "example.test/made:v2"] {
        let tags = image["RepoTags"].as_array().unwrap();
        assert!(tags.len() == 2 && tags.contains(&tag.into()), "{tags:?}");
    }
    assert_eq!(
        image["Config"]["Cmd"],
        serde_json::json!(["cat", "/greeting"])
    );
    assert_eq!(
        (image["Architecture"].as_str(), image["Os"].as_str()),
        (Some("amd64"), Some("linux"))
    );
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    assert_eq!(image["Comment"], "told");

    // The archive of one engine is an image with the same id in another.
    h1.ok("docker save -o ../archive.tar made:v1 busybox"
        .replace("..", &h1.dir().display().to_string())
        .as_str());
    let archive = h1.dir().join("archive.tar").display().to_string();
    h2.ok("docker rmi busybox");
    let loaded = h2.ok(&format!("docker load -i {archive} | sort"));
    assert_eq!(
        loaded,
        "Loaded image: busybox:latest\nLoaded image: made:v1"
    );
    assert_eq!(h2.ok("docker image inspect -f '{{.Id}}' made:v1"), id);
    assert_eq!(h2.ok("docker run --rm made:v1"), "hello");
    assert_eq!(
        h2.ok(&format!("gzip -c {archive} | docker load -q | wc -l")),
        "2"
    );

    h1.ok("docker rm made");
    assert_eq!(h1.ok("docker rmi made:v1"), "Untagged: made:v1");
    assert!(
        h1.ok("docker rmi example.test/made:v2")
            .contains(&format!("Deleted: {id}"))
    );
    assert_eq!(h1.ok("docker images -q | wc -l"), "1");
    let short = h2.ok("docker images -q made:v1");
    run(&h2, "user", "");
    assert_eq!(h2.sh("docker rmi busybox").status, 1);
    h2.ok(&format!("docker rmi -f {short}"));
    assert_eq!(h2.ok("docker images --format '{{.Repository}}'"), "busybox");
    world.end();
}

//! Volumes with names and without, from their making to their end.

use engine_types::container::HostConfig;
use engine_types::volume::CreateRequest;
use engine_types::{ErrorKind, Filters};

use crate::world::{in_world, no_network, request, strings};

fn with(bind: &str) -> HostConfig {
    HostConfig {
        binds: Some(strings(&[bind])),
        ..no_network()
    }
}

fn filter(key: &str, value: &str) -> Filters {
    Filters([(key.to_owned(), strings(&[value]))].into())
}

#[test]
fn a_named_volume_outlives_its_containers() {
    in_world(async |world| {
        let engine = &world.engine;
        let request = CreateRequest {
            name: "data".to_owned(),
            labels: Some([("who".to_owned(), "me".to_owned())].into()),
            ..CreateRequest::default()
        };
        let made = engine.volume_create(request).await.unwrap();
        assert_eq!(
            (made.driver.as_str(), made.scope.as_str()),
            ("local", "local")
        );
        assert!(made.mountpoint.ends_with("/volumes/data/_data"));
        assert!(!made.created_at.is_zero());
        let writer = world
            .run(&["sh", "-c", "echo kept > /v/file"], with("data:/v"))
            .await;
        assert_eq!(world.exit_code(&writer).await, 0);
        let error = engine.volume_remove("data", true).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert_eq!(
            error.message,
            format!("remove data: volume is in use - [{writer}]")
        );
        engine.remove(&writer, false, true).await.unwrap();
        world.restart_daemon(async || {}).await;
        let engine = &world.engine;
        assert_eq!(engine.volume("data").unwrap(), made);
        let reader = world.run(&["cat", "/v/file"], with("data:/v:ro")).await;
        assert_eq!(world.exit_code(&reader).await, 0);
        assert_eq!(world.logs(&reader).await, "kept\n");
        let names = async |filters: &Filters| -> Vec<String> {
            let found = engine.volumes(filters).await.unwrap();
            found.into_iter().map(|volume| volume.name).collect()
        };
        assert_eq!(names(&filter("label", "who=me")).await, ["data"]);
        assert_eq!(names(&filter("name", "at")).await, ["data"]);
        assert_eq!(names(&filter("dangling", "false")).await, ["data"]);
        for (key, value) in [("dangling", "1"), ("label", "who=you"), ("driver", "nfs")] {
            assert!(names(&filter(key, value)).await.is_empty(), "{key}={value}");
        }
        engine.remove(&reader, false, true).await.unwrap();
        // Named ones are pruned only when asked for.
        let pruned = engine.volume_prune(&Filters::default()).await.unwrap();
        assert!(pruned.volumes_deleted.is_empty());
        let pruned = engine.volume_prune(&filter("all", "true")).await.unwrap();
        assert_eq!(pruned.volumes_deleted, ["data"]);
        assert_eq!(pruned.space_reclaimed, 5);
        let error = engine.volume("data").unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::NotFound, "get data: no such volume")
        );
        engine.volume_remove("data", true).await.unwrap();
        assert!(engine.volume_remove("data", false).await.is_err());
    });
}

#[test]
fn an_anonymous_volume_goes_with_the_last_container_that_has_it() {
    in_world(async |world| {
        let engine = &world.engine;
        let mut owner = request(&["true"], no_network());
        owner.config.volumes = Some([("/v".to_owned(), Default::default())].into());
        let owner = world.create_with(owner).await;
        let all = engine.volumes(&Filters::default()).await.unwrap();
        let labels = all[0].labels.clone().unwrap();
        assert_eq!(labels["com.docker.volume.anonymous"], "");
        let borrower = HostConfig {
            volumes_from: Some(vec![owner.clone()]),
            ..no_network()
        };
        let borrower = world.create(&["true"], borrower).await;
        engine.remove(&owner, false, true).await.unwrap();
        assert!(engine.volume(&all[0].name).is_ok(), "borrowed");
        engine.remove(&borrower, false, true).await.unwrap();
        let pruned = engine.volume_prune(&Filters::default()).await.unwrap();
        assert_eq!(pruned.volumes_deleted, [all[0].name.clone()]);
    });
}

#[test]
fn what_is_no_local_volume_is_refused() {
    in_world(async |world| {
        let create = async |name: &str, driver: &str, option: Option<&str>| {
            let request = CreateRequest {
                name: name.to_owned(),
                driver: driver.to_owned(),
                driver_opts: option.map(|o| [(o.to_owned(), String::new())].into()),
                ..CreateRequest::default()
            };
            let error = world.engine.volume_create(request).await.unwrap_err();
            (error.kind, error.message)
        };
        let (kind, text) = create("../x", "", None).await;
        assert_eq!(kind, ErrorKind::InvalidParameter);
        assert!(
            text.starts_with("create ../x: \"../x\" includes invalid characters"),
            "{text}"
        );
        assert_eq!(
            create("x", "", None).await.1,
            "create x: volume name is too short, names should be at least two alphanumeric characters"
        );
        assert_eq!(
            create("xx", "nope", None).await,
            (
                ErrorKind::NotFound,
                "create xx: error looking up volume plugin nope: plugin \"nope\" not found"
                    .to_owned()
            )
        );
        assert_eq!(
            create("xx", "", Some("type")).await.0,
            ErrorKind::NotImplemented
        );
        assert_eq!(
            create("xx", "local", Some("nope")).await.1,
            "create xx: invalid option: \"nope\""
        );
        assert!(world.engine.volume("..").is_err());
    });
}

//! Images: in, out, named, removed.

use engine_types::ErrorKind;

use crate::world::{busybox, chunks, collect, in_world, no_network};

#[test]
fn saved_and_loaded_it_is_the_same_image() {
    in_world(async |world| {
        let engine = &world.engine;
        let before = engine.image_inspect("busybox").await.unwrap();
        assert_eq!(before.repo_tags, Some(vec!["busybox:latest".to_owned()]));
        assert!(before.size > 100_000);
        engine.image_tag("busybox", "me/box", "v1").await.unwrap();
        let names = ["busybox".to_owned(), "me/box:v1".to_owned()];
        let archive = collect(engine.image_save(&names).await.unwrap()).await;
        engine.image_remove("me/box:v1", false, true).await.unwrap();
        let removed = engine.image_remove("busybox", false, true).await.unwrap();
        assert!(removed.iter().any(|item| item.deleted == before.id));
        assert!(crate::world::entries(&world.config.data_root.join("layers")).is_empty());
        let mut progress = engine.image_load(chunks(archive), false).await.unwrap();
        let mut lines = Vec::new();
        while let Some(line) = progress.recv().await {
            lines.push(line.unwrap()["stream"].as_str().unwrap().to_owned());
        }
        assert_eq!(
            lines,
            [
                "Loaded image: busybox:latest\n",
                "Loaded image: me/box:v1\n"
            ]
        );
        let after = engine.image_inspect(&before.id).await.unwrap();
        assert_eq!(after.root_fs, before.root_fs);
        assert_eq!(after.id, before.id);
        let id = world.run(&["cat", "/data/seed"], no_network()).await;
        world.exit_code(&id).await;
        assert_eq!(world.logs(&id).await, "from the image\n");
    });
}

#[test]
fn images_in_use_are_kept() {
    in_world(async |world| {
        let engine = &world.engine;
        let id = world.run(&["sleep", "100"], no_network()).await;
        let image = engine.image_inspect("busybox").await.unwrap().id;
        let error = engine
            .image_remove("busybox", false, true)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert_eq!(
            error.message,
            format!(
                "conflict: unable to remove repository reference \"busybox\" (must force) - container {} is using its \
                 referenced image {}",
                &id[..12],
                &image[7..19]
            )
        );
        let error = engine.image_remove(&image, true, true).await.unwrap_err();
        assert!(error.message.contains("(cannot be forced)"), "{error}");
        engine.remove(&id, true, false).await.unwrap();
        let error = engine.image_remove("nope", false, true).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::NotFound, "No such image: nope:latest")
        );
    });
}

#[test]
fn an_import_over_a_name_leaves_the_old_image_dangling() {
    in_world(async |world| {
        let engine = &world.engine;
        let mut tar = busybox();
        tar.truncate(tar.len() - 1024);
        let mut more = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        more.append_data(&mut header, "another", &b"x"[..]).unwrap();
        tar.extend(more.into_inner().unwrap());
        let old = engine.image_inspect("busybox").await.unwrap().id;
        let new = world.import("busybox:latest", tar).await;
        assert_ne!(old, new);
        let filters =
            engine_types::Filters([("dangling".to_owned(), vec!["true".to_owned()])].into());
        let dangling = engine.images(false, &filters).await.unwrap();
        assert_eq!(dangling.len(), 1);
        assert_eq!(dangling[0].id, old);
        let (pruned, freed) = engine.image_prune(&Default::default()).await.unwrap();
        assert!(pruned.iter().any(|item| item.deleted == old));
        assert!(freed > 0);
        assert_eq!(
            engine
                .images(false, &Default::default())
                .await
                .unwrap()
                .len(),
            1
        );
        assert!(engine.image_pull("alpine", "", "").await.is_err());
    });
}

//! Docker's words for what cannot be done, one row for each text that once was another.

use engine_types::container::HostConfig;
use engine_types::network::{
    ConnectOptions, DisconnectOptions, EndpointIPAMConfig, EndpointSettings,
};
use engine_types::{ErrorKind, Filters};

use crate::world::{in_world, no_network, request, strings};

fn joining(name: &str) -> HostConfig {
    HostConfig {
        network_mode: format!("container:{name}"),
        ..HostConfig::default()
    }
}

#[test]
fn objects_are_called_what_the_user_called_them() {
    in_world(async |world| {
        let engine = &world.engine;
        let id = world.run(&["sleep", "100"], no_network()).await;
        engine.rename(&id, "web").await.unwrap();
        let error = engine.remove("web", false, false).await.unwrap_err();
        assert_eq!(
            error.message,
            "cannot remove container \"web\": container is running: stop the container before removing or force remove"
        );
        for (name, signal, text) in [
            (
                "nope",
                "KILL",
                "cannot kill container: nope: No such container: nope",
            ),
            (
                "web",
                "NOPE",
                "cannot kill container: web: invalid signal: NOPE",
            ),
        ] {
            let error = engine.kill(name, signal).await.unwrap_err();
            assert_eq!(error.message, text);
        }
        let error = engine.archive_get("web", "/nope").await.unwrap_err();
        assert_eq!(
            error.message,
            "Could not find the file /nope in container web"
        );
        let filters = Filters([("status".to_owned(), strings(&["nope"]))].into());
        let error = engine.list(true, None, false, &filters).await.unwrap_err();
        assert_eq!(
            error.message,
            "invalid filter 'status=nope': invalid value for state (nope): must be one of created, running, paused, \
             restarting, removing, exited, dead"
        );
    });
}

/// The kind matters: a client that is told "not found" goes and pulls the image.
#[test]
fn a_network_namespace_that_cannot_be_joined() {
    in_world(async |world| {
        let engine = &world.engine;
        let start = async |host| {
            let id = world.create(&["true"], host).await;
            let error = engine.start_container(&id).await.unwrap_err();
            engine.remove(&id, false, false).await.unwrap();
            (error.kind, error.message)
        };
        assert_eq!(
            start(joining("nope")).await,
            (
                ErrorKind::System,
                "joining network namespace of container: No such container: nope".to_owned()
            )
        );
        engine
            .create(Some("made"), request(&["true"], no_network()))
            .await
            .unwrap();
        assert_eq!(
            start(joining("made")).await,
            (
                ErrorKind::Conflict,
                "cannot join network namespace of a non running container: container made is created".to_owned()
            )
        );
        // One that is made after the container that joins it will do.
        let late = world.create(&["true"], joining("late")).await;
        let donor = world.run(&["sleep", "100"], no_network()).await;
        engine.rename(&donor, "late").await.unwrap();
        engine.start_container(&late).await.unwrap();
    });
}

fn at(address: &str) -> EndpointSettings {
    let wanted = EndpointIPAMConfig {
        ipv4_address: address.to_owned(),
        ..EndpointIPAMConfig::default()
    };
    EndpointSettings {
        ipam_config: Some(wanted),
        ..EndpointSettings::default()
    }
}

#[test]
fn addresses_are_checked_before_anything_is_made() {
    in_world(async |world| {
        let engine = &world.engine;
        let create = async |network: &str, address: &str| {
            let mut request = request(&["true"], HostConfig::default());
            let endpoints = [(network.to_owned(), at(address))].into();
            request
                .networking_config
                .get_or_insert_default()
                .endpoints_config = Some(endpoints);
            engine.create(None, request).await.unwrap_err().message
        };
        assert_eq!(
            create("bridge", "172.17.0.9").await,
            "invalid config for network bridge: invalid endpoint settings:\nuser specified IP address is supported on \
             user defined networks only\nuser specified IP address is supported only when connecting to networks with \
             user configured subnets"
        );
        assert_eq!(
            create("later", "10.1").await,
            "invalid config for network later: invalid endpoint settings:\ninvalid IPv4 address: 10.1"
        );
        let id = world.create(&["sleep", "100"], no_network()).await;
        let connect = ConnectOptions {
            container: id.clone(),
            endpoint_config: Some(at("172.17.0.9")),
        };
        let error = engine.network_connect("bridge", connect).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidParameter);
        for the in ["the ", ""] {
            let disconnect = DisconnectOptions {
                container: id.clone(),
                force: false,
            };
            let error = engine
                .network_disconnect("bridge", disconnect)
                .await
                .unwrap_err();
            assert_eq!(
                (error.kind, error.message),
                (
                    ErrorKind::System,
                    format!("container {id} is not connected to {the}network bridge")
                )
            );
            let _ = engine.start_container(&id).await;
        }
    });
}

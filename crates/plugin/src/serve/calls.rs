//! From a method's name and a body to what is done.

use engine_types::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::leases::Leases;
use super::served::Served;
use crate::wire;
use crate::wire::ipam::{OfAddress, ReleasePool, RequestPool};
use crate::wire::network::{Capabilities, CreateEndpoint, CreateNetwork, Join, OfEndpoint};
use crate::wire::network::{GwAllocCheck, OfNetwork};

pub(super) enum Answer {
    Done(Value),
    Refused(Error),
    Unreadable(String),
    Unknown,
}

pub(super) async fn call(served: &Served, method: &str, body: &[u8]) -> Answer {
    macro_rules! with {
        ($call:expr) => {
            match read(body) {
                Ok(request) => answer($call(request).await),
                Err(why) => Answer::Unreadable(why),
            }
        };
    }
    match method {
        "Plugin.Activate" => {
            served.leases.engine_comes().await;
            Answer::Done(json!({ "Implements": ["NetworkDriver", "IpamDriver"] }))
        }
        "IpamDriver.GetCapabilities" => answer(Ok(Leases::capabilities())),
        "IpamDriver.GetDefaultAddressSpaces" => answer(Ok(Leases::spaces())),
        "IpamDriver.RequestPool" => with!(async |request: RequestPool| {
            served.leases.request_pool(&request, &cnm::routes()).await
        }),
        "IpamDriver.ReleasePool" => {
            with!(async |request: ReleasePool| served.leases.release_pool(&request.id).await)
        }
        "IpamDriver.RequestAddress" => {
            with!(async |request: OfAddress| served.leases.request_address(&request).await)
        }
        "IpamDriver.ReleaseAddress" => {
            with!(async |request: OfAddress| served.leases.release_address(&request).await)
        }
        "NetworkDriver.GetCapabilities" => answer(Ok(Capabilities {
            scope: "local".into(),
            connectivity_scope: "local".into(),
            gw_alloc_checker: true,
        })),
        "NetworkDriver.GwAllocCheck" => {
            with!(async |request: GwAllocCheck| served.checks_gateway(&request))
        }
        "NetworkDriver.CreateNetwork" => {
            with!(async |request: CreateNetwork| served.create_network(&request).await)
        }
        "NetworkDriver.DeleteNetwork" => {
            with!(async |request: OfNetwork| served.delete_network(&request.network).await)
        }
        "NetworkDriver.CreateEndpoint" => {
            with!(async |request: CreateEndpoint| served.create_endpoint(&request).await)
        }
        "NetworkDriver.DeleteEndpoint" => {
            with!(async |request: OfEndpoint| served.delete_endpoint(&request.endpoint).await)
        }
        "NetworkDriver.EndpointOperInfo" => {
            with!(async |request: OfEndpoint| served.info(&request.endpoint).await)
        }
        "NetworkDriver.Join" => with!(async |request: Join| served.join(&request).await),
        "NetworkDriver.Leave" => {
            with!(async |request: OfEndpoint| served.leave(&request.endpoint).await)
        }
        "NetworkDriver.ProgramExternalConnectivity" => {
            with!(async |request: OfEndpoint| served.program(&request).await)
        }
        "NetworkDriver.RevokeExternalConnectivity" => {
            with!(async |request: OfEndpoint| served.revoke(&request.endpoint).await)
        }
        // Of other nodes, which a network of this host alone has nothing to do with.
        "NetworkDriver.DiscoverNew" | "NetworkDriver.DiscoverDelete" => Answer::Done(json!({})),
        "NetworkDriver.AllocateNetwork" | "NetworkDriver.FreeNetwork" => Answer::Refused(
            Error::invalid("networks of this driver reach no other host: use --scope local"),
        ),
        _ => Answer::Unknown,
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> std::result::Result<T, String> {
    wire::first(body).map_err(|e| format!("request cannot be read: {e}"))
}

fn answer<T: Serialize>(done: Result<T>) -> Answer {
    match done.and_then(|answer| serde_json::to_value(answer).map_err(Error::system)) {
        Ok(Value::Null) => Answer::Done(json!({})),
        Ok(value) => Answer::Done(value),
        Err(error) => Answer::Refused(error),
    }
}

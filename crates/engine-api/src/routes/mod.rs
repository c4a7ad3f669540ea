//! The routes, a module per kind of object, and those that nothing serves yet.

mod containers;
mod exec;
mod images;
mod networks;
mod pontoon;
mod secrets;
mod services;
mod streams;
mod swarm;
mod system;
mod unserved;
mod volumes;

use axum::Router;

use crate::reply::page_not_found;
use crate::serve::Api;

/// Paths without a version: that is taken off before.
pub fn router() -> Router<Api> {
    Router::new()
        .merge(containers::routes())
        .merge(exec::routes())
        .merge(images::routes())
        .merge(networks::routes())
        .merge(pontoon::routes())
        .merge(secrets::routes())
        .merge(services::routes())
        .merge(streams::routes())
        .merge(swarm::routes())
        .merge(system::routes())
        .merge(unserved::routes())
        .merge(volumes::routes())
        .fallback(|| async { page_not_found() })
        .method_not_allowed_fallback(|| async { page_not_found() })
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_routes_collide() {
        // axum panics while a router is built when two of its paths overlap.
        drop(super::router());
    }
}

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::leases::Leases;
use crate::wire::ipam as wire;

const GRACE: Duration = Duration::from_secs(60);

fn open(data: &Path) -> Arc<Leases> {
    Arc::new(Leases::open(data, "host", GRACE).unwrap())
}

async fn pool(leases: &Leases, subnet: &str, range: &str) -> Result<String, String> {
    let request = wire::RequestPool {
        address_space: "pontoon-local".into(),
        pool: subnet.into(),
        sub_pool: range.into(),
        v6: false,
        ..wire::RequestPool::default()
    };
    let avoid = ["172.17.0.0/16".parse().unwrap()];
    let given = leases.request_pool(&request, &avoid).await;
    given.map(|pool| pool.id).map_err(|e| e.message)
}

fn of(pool: &str, address: &str) -> wire::OfAddress {
    wire::OfAddress {
        pool: pool.into(),
        address: address.into(),
        ..wire::OfAddress::default()
    }
}

async fn take(leases: &Leases, pool: &str, address: &str) -> Result<String, String> {
    let given = leases.request_address(&of(pool, address)).await;
    given.map(|a| a.address).map_err(|e| e.message)
}

#[tokio::test]
async fn pools_and_addresses_are_given_once() {
    let dir = tempfile::tempdir().unwrap();
    let leases = open(dir.path());
    assert_eq!(pool(&leases, "", "").await.unwrap(), "172.18.0.0/16");
    let (net, range) = ("10.1.0.0/16", "10.1.5.0/24");
    assert_eq!(pool(&leases, net, range).await.unwrap(), net);
    let overlap = Err("Pool overlaps with other one on this address space".to_string());
    assert_eq!(pool(&leases, "10.1.7.0/24", "").await, overlap);
    assert_eq!(take(&leases, net, "10.1.0.1").await.unwrap(), "10.1.0.1/16");
    assert_eq!(take(&leases, net, "").await.unwrap(), "10.1.5.0/16");
    let used = Err("Address already in use".to_string());
    assert_eq!(take(&leases, net, "10.1.5.0").await, used);

    // Whoever dies, it stays so.
    let leases = open(dir.path());
    assert_eq!(pool(&leases, net, "").await, overlap);
    assert_eq!(take(&leases, net, "10.1.5.0").await, used);
    assert_eq!(take(&leases, net, "").await.unwrap(), "10.1.5.1/16");
    leases.release_address(&of(net, "10.1.5.0")).await.unwrap();
    leases.release_address(&of(net, "10.1.5.0")).await.unwrap();
    assert_eq!(take(&leases, net, "").await.unwrap(), "10.1.5.0/16");

    for id in [net, net, "nonsense"] {
        leases.release_pool(id).await.unwrap();
    }
    let leases = open(dir.path());
    assert_eq!(pool(&leases, net, "").await.unwrap(), net);
    assert_eq!(take(&leases, net, "").await.unwrap(), "10.1.0.1/16");
    leases.close().await;
    assert_eq!(
        take(&leases, net, "").await.unwrap_err(),
        "the plugin is stopping"
    );
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_does_not_know_of_any_more_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let leases = open(dir.path());
    let (named, silent) = ("10.1.0.0/24", "10.2.0.0/24");
    for net in [named, silent] {
        pool(&leases, net, "").await.unwrap();
        for _ in 0..3 {
            take(&leases, net, "").await.unwrap();
        }
    }
    leases.engine_comes().await;
    // It says again what it has: a pool, its gateway and one container.
    assert_eq!(pool(&leases, named, "").await.unwrap(), named);
    assert!(pool(&leases, named, "").await.is_err(), "once");
    for address in ["10.1.0.1", "10.1.0.2"] {
        take(&leases, named, address).await.unwrap();
        assert!(take(&leases, named, address).await.is_err(), "once");
    }
    // Nothing is given twice while it may still speak.
    assert_eq!(take(&leases, named, "").await.unwrap(), "10.1.0.4/24");
    tokio::time::sleep(GRACE * 2).await;
    assert_eq!(take(&leases, named, "").await.unwrap(), "10.1.0.3/24");
    assert_eq!(take(&leases, silent, "").await.unwrap(), "10.2.0.4/24");
    let leases = open(dir.path());
    let taken: Vec<IpAddr> = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"]
        .map(|a| a.parse().unwrap())
        .to_vec();
    for address in taken {
        assert!(take(&leases, named, &address.to_string()).await.is_err());
    }
}

#[tokio::test]
async fn what_no_engine_asks_for_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let leases = open(dir.path());
    for (subnet, range, why) in [
        ("x", "", "\"x\" is not a subnet"),
        ("10.0.0.0/8", "x", "\"x\" is not a subnet"),
        ("0.0.0.0/0", "", "0.0.0.0/0 is not a subnet of hosts"),
        ("", "10.0.0.0/8", "range 10.0.0.0/8 is of no pool"),
        (
            "10.0.0.0/8",
            "11.0.0.0/16",
            "range 11.0.0.0/16 is not in pool 10.0.0.0/8",
        ),
    ] {
        assert_eq!(pool(&leases, subnet, range).await.unwrap_err(), why);
    }
    pool(&leases, "10.1.0.0/30", "").await.unwrap();
    for (pool, address, why) in [
        ("10.1.0.0/24", "", "address pool \"10.1.0.0/24\" not found"),
        ("../x", "", "address pool \"../x\" not found"),
        (
            "10.1.0.0/30",
            "10.9.0.1",
            "requested address is out of range",
        ),
        ("10.1.0.0/30", "10.1.0.3", "Address already in use"),
        ("10.1.0.0/30", "x", "\"x\" is not an address"),
    ] {
        assert_eq!(take(&leases, pool, address).await.unwrap_err(), why);
    }
    let unknown = wire::RequestPool::default();
    let refused = leases.request_pool(&unknown, &[]).await.unwrap_err();
    assert_eq!(refused.message, "address space \"\" not found");
}

//! Ways to services, by the mesh and inside a network: what a change of one costs.

use super::*;
use crate::{NameRecord, Port, ServiceBinding, Subnet, SwarmNetwork};

fn network(ingress: bool) -> SwarmNetwork {
    SwarmNetwork {
        id: "o".into(),
        name: "net-o".into(),
        driver: "overlay".into(),
        ingress,
        subnets: vec![Subnet {
            subnet: "10.0.0.0/16".parse().unwrap(),
            gateway: Some([10, 0, 0, 1].into()),
            vni: 4097,
        }],
        vxlan_port: 4789,
        ..SwarmNetwork::default()
    }
}

fn service(n: u8) -> ServiceBinding {
    ServiceBinding {
        id: format!("s{n}"),
        name: format!("web{n}"),
        virtual_ip: format!("10.0.{n}.1"),
        ingress_ports: vec![Port {
            protocol: "tcp".into(),
            target: 80,
            published: 30000 + 2 * u16::from(n),
            // Nobody else is kept from it.
            within: Some("198.51.100.0/24".parse().unwrap()),
            ..Port::default()
        }],
        ..ServiceBinding::default()
    }
}

/// Owner of what ports of one task share; it stays, with nobody to use it.
const ONE: &str = "mesh/o/any-1";

async fn set(c: &Controller, n: u8, task: u8, there: bool) {
    let record = NameRecord {
        name: format!("web{n}.{task}"),
        address: Some([10, 0, n, task].into()),
        direct: true,
        service: service(n),
        ..NameRecord::default()
    };
    let endpoint = format!("e{n}.{task}");
    c.set_record("o", &endpoint, there.then_some(record)).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Owners and rows that the kernel was told of, and what a driver was asked, since the last time.
fn cost(world: &World) -> (Vec<String>, usize) {
    let sent = std::mem::take(&mut *world.kernel.sent.lock().unwrap());
    (sent, ASKED.take())
}

#[tokio::test]
async fn a_change_costs_the_rows_of_its_service() {
    for ingress in [true, false] {
        let world = World::new().await;
        let c = &world.controller;
        if ingress {
            let own = "10.0.0.2/16".parse().unwrap();
            c.set_ingress(Some((network(true), vec![own])))
                .await
                .unwrap();
        } else {
            c.swarm_network(network(false)).await.unwrap();
        }
        // One task is here, so that changes of those elsewhere are not about it.
        let a = world.run("a", &[]).await.unwrap();
        let request = ConnectRequest {
            preallocated: true,
            service: Some(service(100)),
            ..to_at("o", "10.0.100.9")
        };
        c.connect(&a, request).await.unwrap();
        for n in 1..=50 {
            for task in [7, 8] {
                set(c, n, task, true).await;
            }
        }
        let owner = |n: u8| match ingress {
            true => format!("mesh/o/service/s{n}"),
            false => format!("service/o/10.0.{n}.1"),
        };
        cost(&world);
        set(c, 30, 9, true).await;
        let (mut sent, asked) = cost(&world);
        // What all ports of three tasks share.
        sent.retain(|owner| owner != "mesh/o/any-3");
        assert_eq!((sent, asked), (vec![owner(30)], 1), "one more");
        set(c, 30, 9, true).await;
        assert_eq!(cost(&world), (vec![], 0), "no news");
        set(c, 31, 7, false).await;
        let (mut sent, asked) = cost(&world);
        sent.retain(|owner| owner != ONE);
        assert_eq!((sent, asked), (vec![owner(31)], 1), "one less");
        set(c, 31, 8, false).await;
        let (sent, _) = cost(&world);
        assert_eq!(sent, [owner(31)], "none any more");
        assert!(world.kernel.rows(&owner(31)).is_empty());
        // A refusal is made up for with the next change, whatever that is about.
        world.kernel.fail_in.store(1, Ordering::SeqCst);
        set(c, 32, 9, true).await;
        cost(&world);
        set(c, 33, 9, true).await;
        assert_eq!(cost(&world), (vec![owner(32), owner(33)], 2));
        // Starting anew makes the same of it.
        let before = world.kernel.owners.lock().unwrap().clone();
        let state = || c.0.state();
        state().networks.get_mut("o").unwrap().stale.all = true;
        let again = state().service_changes(&["o".into()]).take_rows();
        let unused = |(owner, rows): &Owned| owner == ONE && rows.is_empty();
        assert!(again.iter().all(unused), "{again:?}");
        let world = world.restart(std::slice::from_ref(&a)).await;
        let after = world.kernel.owners.lock().unwrap().clone();
        let same = |owner: &str| !owner.contains("sandbox") && owner != ONE;
        for (owner, rows) in before.iter().filter(|(owner, _)| same(owner)) {
            assert_eq!(after.get(owner), Some(rows), "{owner}");
        }
    }
}

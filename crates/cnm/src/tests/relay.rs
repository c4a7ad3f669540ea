//! Who passes on connections to tasks that want a header is there before anything leads to it, and as long.

use std::fmt;
use std::sync::OnceLock;

use super::*;
use crate::{NameRecord, Port, Proxy, Relay, ServiceBinding, Subnet, SwarmNetwork};

/// What it was told: whether there is a sandbox, whether a port wants it, and whether the host led there by then.
#[derive(Default)]
struct Told {
    calls: Mutex<Vec<(bool, bool, bool)>>,
    kernel: OnceLock<Arc<FakeKernel>>,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.fmt(f)
    }
}

#[async_trait]
impl Relay for Told {
    async fn keep(&self, sandbox: Option<PathBuf>, wanted: bool) -> Result<()> {
        let leads = self.kernel.get().is_some_and(|k| k.has("publish"));
        let call = (sandbox.is_some(), wanted, leads);
        self.calls.lock().unwrap().push(call);
        Ok(())
    }
}

#[tokio::test]
async fn a_relay_comes_before_the_rows_and_goes_after_them() {
    let told = Arc::new(Told::default());
    let world = World::with(Config {
        relay: Some(told.clone()),
        ..Config::default()
    })
    .await;
    let _ = told.kernel.set(world.kernel.clone());
    let c = &world.controller;
    let network = SwarmNetwork {
        id: "o".into(),
        name: "ingress".into(),
        driver: "overlay".into(),
        ingress: true,
        subnets: vec![Subnet {
            subnet: "10.0.0.0/16".parse().unwrap(),
            gateway: Some([10, 0, 0, 1].into()),
            vni: 4097,
        }],
        vxlan_port: 4789,
        ..SwarmNetwork::default()
    };
    let own = "10.0.0.2/16".parse().unwrap();
    c.set_ingress(Some((network, vec![own]))).await.unwrap();
    let calls = || std::mem::take(&mut *told.calls.lock().unwrap());
    assert!(calls().iter().all(|(_, wanted, _)| !wanted));

    let record = NameRecord {
        name: "web.1".into(),
        address: Some([10, 0, 0, 7].into()),
        direct: true,
        service: ServiceBinding {
            id: "s".into(),
            name: "web".into(),
            ingress_ports: vec![Port {
                protocol: "tcp".into(),
                target: 80,
                published: 39871,
                proxy: Some(Proxy::V2),
                ..Port::default()
            }],
            ..ServiceBinding::default()
        },
        ..NameRecord::default()
    };
    let set = async |record| {
        c.set_record("o", "e", record).await;
        c.catch_up(&["o".into()]).await;
        calls()
    };
    let first = set(Some(record)).await;
    assert_eq!(first.first(), Some(&(true, true, false)));
    assert!(world.kernel.has("publish"));
    let last = set(None).await;
    assert!(!world.kernel.has("publish"));
    assert_eq!(last.last(), Some(&(true, false, false)));
    c.set_ingress(None).await.unwrap();
    assert_eq!(calls().last(), Some(&(false, false, false)));
}

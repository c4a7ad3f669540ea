//! Prints what a start costs here; it fails only when something is badly wrong.

use std::time::{Duration, Instant};

use crate::world::{in_world, no_network};

#[test]
fn a_start_takes_no_longer_than_a_few_of_the_runtimes_own() {
    in_world(async |world| {
        let mut times = Vec::new();
        for _ in 0..5 {
            let begin = Instant::now();
            let id = world.create(&["sleep", "100"], no_network()).await;
            let created = begin.elapsed();
            world.engine.start_container(&id).await.unwrap();
            times.push((begin.elapsed(), created));
            world.engine.remove(&id, true, false).await.unwrap();
        }
        times.sort();
        let (total, created) = times[2];
        eprintln!("create and start: {total:?}, of it create: {created:?}");
        assert!(total < Duration::from_secs(2), "{total:?}");
    });
}

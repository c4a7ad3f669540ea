//! A host with a hundred containers, which stay once they are there, and what networking costs among them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bridge::connects;
use crate::report::percentile;
use crate::world::World;

const CROWD: usize = 100;

/// All connect to a bridge at once; the time that each needs.
pub fn at_once(world: &World, percent: usize) -> Result<f64> {
    gather(world)?;
    world.engine(&world.h1, "network create --subnet 10.126.0.0/22 all")?;
    let took = each(CROWD, |i| world.connect(&name(i), "all"))?;
    each(8, |i| world.disconnect(&name(i), "all"))?;
    world.engine(&world.h1, "network rm all")?;
    Ok(percentile(took, percent))
}

/// One connects, on a host with a thousand endpoints: each of the crowd is on ten networks.
pub fn beside(world: &World, percent: usize) -> Result<f64> {
    gather(world)?;
    for n in 0..10 {
        let network = format!("many{n}");
        let exists = format!("network inspect {network}");
        if world.engine(&world.h1, &exists).is_ok() {
            continue;
        }
        let create = format!("network create --subnet 10.127.{n}.0/24 {network}");
        world.engine(&world.h1, &create)?;
        each(4, |i| world.connect(&name(i), &network))?;
    }
    Ok(percentile(connects(world, "crowd0", 100)?, percent))
}

fn gather(world: &World) -> Result<()> {
    match world.engine(&world.h1, "inspect crowd0") {
        Ok(_) => Ok(()),
        Err(_) => each(4, |i| world.run(&name(i), "")).map(drop),
    }
}

fn name(i: usize) -> String {
    format!("crowd{i}")
}

/// Does it for each of the crowd, so many at a time; the time of each.
fn each(at_a_time: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<Vec<Duration>> {
    let next = AtomicUsize::new(0);
    let took = Mutex::new(Ok(Vec::new()));
    let run = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= CROWD {
                return;
            }
            let began = Instant::now();
            let done = work(i).map(|()| began.elapsed());
            let mut took = took.lock().unwrap_or_else(|e| e.into_inner());
            match (&mut *took, done) {
                (Ok(list), Ok(one)) => list.push(one),
                (Ok(_), Err(error)) => *took = Err(error),
                (Err(_), _) => return,
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(run);
        }
    });
    took.into_inner().unwrap_or_else(|e| e.into_inner())
}

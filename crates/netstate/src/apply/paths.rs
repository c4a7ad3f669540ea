//! What the kernel has learned of paths: their MTUs above all.

use std::fs;
use std::io;

use rustix::io::Errno;

use crate::netlink::{Nack, Protocol, Socket};
use crate::rt::entry;

/// All that the calling thread's namespace has learned is forgotten: it is learned again.
pub fn forget_paths() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv4/route/flush", "1")?;
    // Of IPv6 that order leaves what was learned for so many minutes.
    let mut socket = Socket::open(Protocol::Route)?;
    let learned = match socket.dump(entry::dump_learned()) {
        Ok(learned) => learned,
        // There is no IPv6 here.
        Err(Nack { errno, .. }) if errno == Errno::OPNOTSUPP => return Ok(()),
        Err(error) => return Err(error.errno.into()),
    };
    let routes = learned.iter().filter_map(|(_, body)| entry::forget(body));
    for answer in socket.batch(routes.collect()) {
        match answer {
            // Its time was up meanwhile.
            Err(Nack { errno, .. }) if errno != Errno::SRCH => return Err(errno.into()),
            _ => {}
        }
    }
    Ok(())
}

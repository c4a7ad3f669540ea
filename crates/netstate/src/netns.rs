//! Network namespaces: entering them on threads of their own, and the bind mounts that name them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::netlink::wire::{self, Msg};
use crate::netlink::{Protocol, Socket};
use crate::rt::link;
use crate::{Error, Ns};

/// `stat -f` type of the kernel's namespace files.
const NSFS_MAGIC: i64 = 0x6e73_6673;

const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// Runs `f` on a short-lived thread inside the namespace. The caller's thread never changes its own.
pub fn within<T: Send>(ns: BorrowedFd<'_>, f: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_thread(|| {
        join(ns)?;
        Ok(f())
    })
}

/// The calling thread stays there.
#[expect(clippy::disallowed_methods, reason = "the crate that may")]
pub fn join(ns: BorrowedFd<'_>) -> io::Result<()> {
    let kind = Some(LinkNameSpaceType::Network);
    Ok(rustix::thread::move_into_link_name_space(ns, kind)?)
}

fn on_thread<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, f)?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread inside the namespace panicked")))
    })
}

/// Moves the calling thread into the namespace for good, and with it all threads that it will start: for a process of its own,
/// before it has any.
pub fn move_into(netns: &Path) -> Result<(), Error> {
    let failed = |e| Error::new(format!("cannot enter {}", netns.display()), e);
    let fd = open(netns).map_err(failed)?;
    join(fd.as_fd()).map_err(failed)
}

/// The calling thread's namespace.
pub fn current() -> io::Result<OwnedFd> {
    open("/proc/thread-self/ns/net".as_ref())
}

pub fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// A namespace that is in use: it, and our sockets in it.
pub struct Space {
    fd: OwnedFd,
    pub rt: Socket,
    nft: Option<Socket>,
    /// Its id as seen from the host's namespace, which is how notifications name it.
    id: Option<i32>,
}

impl Space {
    fn enter(fd: OwnedFd) -> io::Result<Self> {
        let rt = within(fd.as_fd(), || Socket::open(Protocol::Route))??;
        Ok(Space {
            fd,
            rt,
            nft: None,
            id: None,
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub fn nft(&mut self) -> io::Result<&mut Socket> {
        if self.nft.is_none() {
            let socket = within(self.fd.as_fd(), || Socket::open(Protocol::Netfilter))??;
            self.nft = Some(socket);
        }
        self.nft
            .as_mut()
            .ok_or_else(|| io::Error::other("no nftables socket"))
    }

    /// Whether notifications with this port tell of our own nftables transactions.
    pub fn is_nft_port(&self, port: u32) -> bool {
        self.nft.as_ref().is_some_and(|s| s.port() == port)
    }
}

/// The namespaces of this daemon.
pub struct Spaces {
    dir: PathBuf,
    host: Space,
    named: BTreeMap<String, Space>,
}

impl Spaces {
    /// The caller's namespace becomes the host's. Makes `dir` a mount point of its own, shared, as `ip netns` does: what
    /// is unmounted here is then unmounted in every copy of the mount table, and no copy keeps a namespace alive.
    pub fn new(dir: PathBuf) -> Result<Self, Error> {
        let host = current()
            .and_then(Space::enter)
            .map_err(|e| Error::new("cannot open a netlink socket in the daemon's namespace", e))?;
        prepare(&dir).map_err(|e| {
            Error::new(
                format!("cannot prepare {} for network namespaces", dir.display()),
                e,
            )
        })?;
        Ok(Spaces {
            dir,
            host,
            named: BTreeMap::new(),
        })
    }

    pub fn get(&mut self, ns: &Ns) -> Result<&mut Space, Error> {
        let Ns::Named(name) = ns else {
            return Ok(&mut self.host);
        };
        if !self.named.contains_key(name) {
            let path = checked(&self.dir, name)?;
            let space = open(&path)
                .and_then(Space::enter)
                .map_err(|e| Error::new(format!("cannot enter network namespace {name}"), e))?;
            self.adopt(name, space)?;
        }
        self.named
            .get_mut(name)
            .ok_or_else(|| Error::new(format!("network namespace {name}"), "is gone"))
    }

    fn adopt(&mut self, name: &str, mut space: Space) -> Result<(), Error> {
        space.id = namespace_id(&mut self.host.rt, space.fd.as_fd());
        if space.id.is_none() {
            tracing::warn!(
                netns = name,
                "no id for the namespace: foreign changes in it are only seen by the audit"
            );
        }
        self.named.insert(name.to_owned(), space);
        Ok(())
    }

    /// Which namespace a notification tells of.
    pub fn by_id(&self, id: Option<i32>) -> Option<Ns> {
        match id {
            None => Some(Ns::Host),
            // The host's own id, where something gave it one, is not among ours.
            Some(_) => self
                .named
                .iter()
                .find(|(_, space)| space.id == id)
                .map(|(name, _)| Ns::Named(name.clone())),
        }
    }

    /// Lets go of a namespace that was only looked at, so that it can end.
    pub fn close(&mut self, ns: &Ns) {
        if let Ns::Named(name) = ns {
            self.named.remove(name);
        }
    }

    pub fn opened(&self, ns: &Ns) -> Option<&Space> {
        match ns {
            Ns::Host => Some(&self.host),
            Ns::Named(name) => self.named.get(name),
        }
    }

    /// Makes the namespace unless it is there. `Ok(true)` when it was made.
    pub fn ensure(&mut self, name: &str) -> Result<bool, Error> {
        let failed =
            |e: io::Error| Error::new(format!("cannot create network namespace {name}"), e);
        let path = checked(&self.dir, name)?;
        let there = is_namespace(&path);
        if !there {
            fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(failed)?;
            let made = match self.named.get(name) {
                // Somebody took the name away; what it named is still ours and in use.
                Some(space) => bind(space.fd.as_fd(), &path),
                None => create(&path).map(|space| drop(self.adopt(name, space))),
            };
            made.inspect_err(|_| drop(fs::remove_file(&path)))
                .map_err(failed)?;
        }
        let up = link::up(link::LOOPBACK);
        self.get(&Ns::Named(name.to_owned()))?
            .rt
            .request(up)
            .map_err(|nack| failed(nack.errno.into()))?;
        Ok(!there)
    }

    /// Takes the name away; the kernel removes the namespace with its last user.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        let path = checked(&self.dir, name)?;
        self.named.remove(name);
        while is_namespace(&path) {
            rustix::mount::unmount(&path, UnmountFlags::DETACH)
                .map_err(|e| Error::new(format!("cannot unmount network namespace {name}"), e))?;
        }
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::new(
                format!("cannot remove network namespace {name}"),
                e,
            )),
            _ => Ok(()),
        }
    }

    pub fn exists(&self, name: &str) -> bool {
        checked(&self.dir, name).is_ok_and(|path| is_namespace(&path))
    }

    /// Names in our directory, of live namespaces and of files that a reboot left behind.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}

/// The file of a namespace; the name must not lead out of the directory.
pub fn checked(dir: &Path, name: &str) -> Result<PathBuf, Error> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(Error::new(
            format!("invalid network namespace name {name:?}"),
            "it must be a plain file name",
        ));
    }
    Ok(dir.join(name))
}

fn is_namespace(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|s| s.f_type == NSFS_MAGIC)
}

fn prepare(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let share = || {
        rustix::mount::mount_change(
            dir,
            MountPropagationFlags::SHARED | MountPropagationFlags::REC,
        )
    };
    match share() {
        // Not a mount point yet.
        Err(Errno::INVAL) => {
            rustix::mount::mount_bind_recursive(dir, dir)?;
            Ok(share()?)
        }
        done => Ok(done?),
    }
}

fn create(path: &Path) -> io::Result<Space> {
    on_thread(|| {
        // SAFETY: only the network namespace of this short-lived thread changes, no file descriptor table.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
        let fd = current()?;
        let rt = Socket::open(Protocol::Route)?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", path)?;
        Ok(Space {
            fd,
            rt,
            nft: None,
            id: None,
        })
    })
}

fn bind(ns: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let source = format!("/proc/thread-self/fd/{}", ns.as_raw_fd());
    Ok(rustix::mount::mount_bind(source, path)?)
}

/// The namespace's id in the socket's namespace, given to it when it has none.
fn namespace_id(socket: &mut Socket, ns: BorrowedFd<'_>) -> Option<i32> {
    use std::os::fd::AsRawFd;
    let message = |kind: u16| {
        let mut msg = Msg::new(kind, 0, &[0; 4]);
        msg.u32(NETNSA_FD, ns.as_raw_fd() as u32);
        msg
    };
    for attempt in 0..2 {
        if attempt > 0 {
            let mut new = message(RTM_NEWNSID);
            new.put(NETNSA_NSID, &(-1i32).to_ne_bytes());
            // EEXIST: somebody was quicker, the next look finds it.
            let _ = socket.request(new);
        }
        let (_, body) = socket.request(message(RTM_GETNSID)).ok()??;
        let id = wire::attr(body.get(4..)?, NETNSA_NSID)?;
        let id = i32::from_ne_bytes(id.try_into().ok()?);
        if id >= 0 {
            return Some(id);
        }
    }
    None
}

//! bpf(2): the few commands that the balancer needs (linux/bpf.h).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP: libc::c_int = 1;
const MAP_UPDATE: libc::c_int = 2;
const MAP_DELETE: libc::c_int = 3;
const MAP_NEXT_KEY: libc::c_int = 4;
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_FD_BY_ID: libc::c_int = 13;
const MAP_FD_BY_ID: libc::c_int = 14;
const INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;

const CGROUP_SOCK: u32 = 9;
const CGROUP_SOCK_ADDR: u32 = 18;
/// A socket is closed: the one hook of ours that is not about an address.
pub const RELEASE_HOOK: u32 = 34;
/// Others may have programs of their own on the group.
const ALLOW_MULTI: u32 = 2;
const REPLACE: u32 = 4;
/// Programs on one group that are looked at.
const PROGRAMS: usize = 64;
/// Maps of one program that are looked at.
const MAPS: usize = 16;

/// `union bpf_attr`, or a description of an object: fields at their places.
#[repr(C, align(8))]
struct Fields([u8; 144]);

impl Fields {
    fn new() -> Self {
        Self([0; 144])
    }
    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }
    fn fd(self, at: usize, fd: &OwnedFd) -> Self {
        self.u32(at, fd.as_raw_fd() as u32)
    }
    fn pointer<T>(mut self, at: usize, to: *const T) -> Self {
        self.0[at..at + 8].copy_from_slice(&(to as u64).to_ne_bytes());
        self
    }
    /// Up to 15 characters.
    fn name(mut self, at: usize, name: &str) -> Self {
        for (to, from) in self.0[at..at + 15].iter_mut().zip(name.bytes()) {
            *to = from;
        }
        self
    }

    fn read_u32(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[at..at + 4]);
        u32::from_ne_bytes(bytes)
    }
    fn read_name(&self, at: usize) -> String {
        let name = self.0[at..at + 16].split(|b| *b == 0).next();
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }
}

fn call(command: libc::c_int, attr: &mut Fields) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is live, zero beyond what is set, and of the length given; the pointers in it are to buffers
    // that the callers below keep alive during the call and that are as long as the kernel takes them to be.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<Fields>()) };
    match result {
        0.. => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

fn new_fd(command: libc::c_int, mut attr: Fields) -> io::Result<OwnedFd> {
    let fd = call(command, &mut attr)?;
    // SAFETY: these commands return a file descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

fn is_absent(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOENT)
}

/// What a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub kind: u32,
    pub key: u32,
    pub value: u32,
    pub entries: u32,
    pub flags: u32,
}

pub struct Map {
    pub fd: OwnedFd,
    key: usize,
    value: usize,
}

impl Map {
    pub fn create(shape: Shape, name: &str) -> io::Result<Self> {
        let attr = Fields::new()
            .u32(0, shape.kind)
            .u32(4, shape.key)
            .u32(8, shape.value)
            .u32(12, shape.entries)
            .u32(16, shape.flags)
            .name(28, name);
        Ok(Self::of(new_fd(MAP_CREATE, attr)?, shape))
    }

    fn of(fd: OwnedFd, shape: Shape) -> Self {
        Self {
            fd,
            key: shape.key as usize,
            value: shape.value as usize,
        }
    }

    /// The attribute of a command on one entry. A key or value of another length than the map's is refused before the
    /// kernel reads past it.
    fn entry(&self, key: &[u8], value: Option<&[u8]>) -> io::Result<Fields> {
        if key.len() != self.key || value.is_some_and(|v| v.len() != self.value) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let attr = Fields::new().fd(0, &self.fd).pointer(8, key.as_ptr());
        Ok(match value {
            Some(value) => attr.pointer(16, value.as_ptr()),
            None => attr,
        })
    }

    pub fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        call(MAP_UPDATE, &mut self.entry(key, Some(value))?).map(drop)
    }

    pub fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0u8; self.value];
        let mut attr = self.entry(key, None)?.pointer(16, value.as_mut_ptr());
        match call(MAP_LOOKUP, &mut attr) {
            Ok(_) => Ok(Some(value)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is not there is gone.
    pub fn remove(&self, key: &[u8]) -> io::Result<()> {
        match call(MAP_DELETE, &mut self.entry(key, None)?) {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }

    pub fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut next = vec![0u8; self.key];
            let last = keys.last().map_or(std::ptr::null(), |key| key.as_ptr());
            let attr = Fields::new().fd(0, &self.fd).pointer(8, last);
            match call(MAP_NEXT_KEY, &mut attr.pointer(16, next.as_mut_ptr())) {
                Ok(_) => keys.push(next),
                Err(error) if is_absent(&error) => return Ok(keys),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A program for one hook; the kernel checks it before it takes it.
pub fn load(instructions: &[u64], hook: u32, name: &str) -> io::Result<OwnedFd> {
    let kind = match hook {
        RELEASE_HOOK => CGROUP_SOCK,
        _ => CGROUP_SOCK_ADDR,
    };
    let attr = Fields::new()
        .u32(0, kind)
        .u32(4, instructions.len() as u32)
        .pointer(8, instructions.as_ptr())
        .pointer(16, c"GPL".as_ptr())
        .name(48, name)
        .u32(68, hook);
    new_fd(PROG_LOAD, attr)
}

/// Puts the program on the group's hook, in the place of `former` if there is one.
pub fn attach(
    group: &OwnedFd,
    program: &OwnedFd,
    hook: u32,
    former: Option<&OwnedFd>,
) -> io::Result<()> {
    let attr = Fields::new().fd(0, group).fd(4, program).u32(8, hook);
    let mut attr = match former {
        Some(former) => attr.u32(12, ALLOW_MULTI | REPLACE).fd(16, former),
        None => attr.u32(12, ALLOW_MULTI),
    };
    call(PROG_ATTACH, &mut attr).map(drop)
}

/// The programs on a group's hook.
pub fn attached(group: &OwnedFd, hook: u32) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; PROGRAMS];
    let attr = Fields::new().fd(0, group).u32(4, hook);
    let mut attr = attr.pointer(16, ids.as_mut_ptr()).u32(24, PROGRAMS as u32);
    call(PROG_QUERY, &mut attr)?;
    let count = (attr.read_u32(24) as usize).min(PROGRAMS);
    let open = |id: &u32| by_id(PROG_FD_BY_ID, *id);
    ids[..count].iter().map(open).collect()
}

fn by_id(command: libc::c_int, id: u32) -> io::Result<OwnedFd> {
    new_fd(command, Fields::new().u32(0, id))
}

fn info(of: &OwnedFd, description: &mut Fields) -> io::Result<()> {
    let attr = Fields::new()
        .fd(0, of)
        .u32(4, size_of::<Fields>() as u32)
        .pointer(8, description.0.as_mut_ptr());
    call(INFO_BY_FD, &mut { attr }).map(drop)
}

pub fn name(program: &OwnedFd) -> io::Result<String> {
    let mut found = Fields::new();
    info(program, &mut found)?;
    Ok(found.read_name(64))
}

/// A program's maps by name.
pub fn maps(program: &OwnedFd) -> io::Result<Vec<(String, (Shape, Map))>> {
    let mut ids = [0u32; MAPS];
    // `struct bpf_prog_info`
    let mut found = Fields::new()
        .u32(52, MAPS as u32)
        .pointer(56, ids.as_mut_ptr());
    info(program, &mut found)?;
    let count = (found.read_u32(52) as usize).min(MAPS);
    let maps = ids[..count].iter().map(|id| {
        let fd = by_id(MAP_FD_BY_ID, *id)?;
        // `struct bpf_map_info`
        let mut found = Fields::new();
        info(&fd, &mut found)?;
        let shape = Shape {
            kind: found.read_u32(0),
            key: found.read_u32(8),
            value: found.read_u32(12),
            entries: found.read_u32(16),
            flags: found.read_u32(20),
        };
        Ok((found.read_name(24), (shape, Map::of(fd, shape))))
    });
    maps.collect()
}

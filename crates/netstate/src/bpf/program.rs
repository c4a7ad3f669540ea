//! The balancer's programs, instruction by instruction (the kernel's documentation of the instruction set).
//!
//! ```text
//!   forward (connect, sendmsg)                          back (recvmsg, getpeername)
//!     the socket's namespace, address ─► network          socket, address ─► service address
//!     network, address ─► number of backends              the address becomes it
//!     hash of the socket, or of the namespace where the service is sticky ─► a backend
//!     socket, backend ─► service address is noted
//!     the address becomes the backend
//!
//!   release (the socket is closed)
//!     socket ─► the backend that it counts for: one connection less
//! ```
//! Where a service wants the backend with the fewest connections, the hash says where to begin to look, and the socket is
//! noted with what it counts for.
//! A look-up that finds nothing leaves everything as it is.

/// What the programs read and write, as file descriptors.
pub struct Maps {
    pub subnets: i32,
    pub services: i32,
    pub backends: i32,
    pub peers: i32,
    pub open: i32,
    pub load: i32,
}

/// How a hook sees an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Four bytes, on a socket of IPv4.
    Plain,
    /// Sixteen, on one of IPv6: `::ffff:a.b.c.d` where it speaks IPv4.
    Wide,
}

// Registers: 0 result, 1 to 5 arguments, 6 to 9 kept, 10 the stack.
const CTX: u8 = 6;
const STACK: u8 = 10;

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const SOCKET_COOKIE: i32 = 46;
const NETNS_COOKIE: i32 = 122;
/// Of an update: there must be nothing yet.
const ONLY_NEW: i32 = 1;

/// Places on the stack; each key is written whole before it is used.
mod at {
    /// That of the context, an IPv4 one mapped.
    pub const ADDRESS: i16 = -16;
    /// Prefix length, namespace (two words), address.
    pub const SUBNET: i16 = -44;
    /// Network, address, index.
    pub const SERVICE: i16 = -68;
    /// Socket (two words), address.
    pub const PEER: i16 = -92;
    /// Network, backend.
    pub const LOAD: i16 = -112;
    /// The fewest connections seen, and the index of whose they are.
    pub const FEWEST: i16 = -116;
    pub const BEST: i16 = -120;
    pub const ONE: i16 = -124;
    pub const IS_FEWEST: i16 = -128;
}

/// Bits of namespace and address in the longest-prefix key.
const FULL: i32 = 64 + 128;
/// In a service's number of backends: the namespace decides which.
pub const STICKY: u32 = 1 << 31;
/// There too: whoever has the fewest connections.
pub const FEWEST: u32 = 1 << 30;
/// So many backends are looked at for that.
const LOOKS: i32 = 16;
const IF_EQUAL: u8 = 0x15;
const IF_NOT_LESS: u8 = 0x3d;
/// Multiplies the number of a socket or a namespace: neighbours end far apart.
const SPREAD: i32 = 0x61c8_8647;

#[derive(Default)]
struct Code {
    words: Vec<u64>,
    /// Jumps to the end.
    exits: Vec<usize>,
}

impl Code {
    fn push(&mut self, op: u8, dst: u8, src: u8, off: i16, imm: i32) -> &mut Self {
        let word = u64::from(op)
            | u64::from(dst) << 8
            | u64::from(src) << 12
            | u64::from(off as u16) << 16
            | u64::from(imm as u32) << 32;
        self.words.push(word);
        self
    }
    fn copy(&mut self, dst: u8, src: u8) -> &mut Self {
        self.push(0xbf, dst, src, 0, 0)
    }
    fn number(&mut self, dst: u8, imm: i32) -> &mut Self {
        self.push(0xb7, dst, 0, 0, imm)
    }
    /// A 32-bit word.
    fn load(&mut self, dst: u8, from: u8, off: i16) -> &mut Self {
        self.push(0x61, dst, from, off, 0)
    }
    fn store(&mut self, to: u8, off: i16, src: u8) -> &mut Self {
        self.push(0x63, to, src, off, 0)
    }
    /// A 64-bit value as two words: the stack is aligned to the first only.
    fn store_wide(&mut self, off: i16, src: u8) -> &mut Self {
        self.store(STACK, off, src)
            .push(0x77, src, 0, 0, 32)
            .store(STACK, off + 4, src)
    }
    /// Sixteen bytes, through register 1.
    fn copy_address(&mut self, to: u8, at: i16, from: u8, off: i16) -> &mut Self {
        for word in [0, 4, 8, 12] {
            self.load(1, from, off + word).store(to, at + word, 1);
        }
        self
    }
    fn call(&mut self, helper: i32) -> &mut Self {
        self.push(0x85, 0, 0, 0, helper)
    }
    fn of_ctx(&mut self, helper: i32) -> &mut Self {
        self.copy(1, CTX).call(helper)
    }
    /// `register 1 = map, register 2 = the key on the stack`
    fn key(&mut self, map: i32, key: i16) -> &mut Self {
        self.push(0x18, 1, 1, 0, map)
            .push(0, 0, 0, 0, 0)
            .copy(2, STACK)
            .push(0x07, 2, 0, 0, key.into())
    }
    /// Ends when nothing is found.
    fn look_up(&mut self, map: i32, key: i16) -> &mut Self {
        self.key(map, key).call(LOOKUP).end_if(0x15, 0, 0)
    }
    /// `body` is left out when the register compares so with the number, or with register `src`.
    fn unless(&mut self, jump: u8, dst: u8, src: u8, body: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.words.len();
        self.push(jump, dst, src, 0, 0);
        body(self);
        let over = self.words.len() - at - 1;
        self.words[at] |= (over as u64 & 0xffff) << 16;
        self
    }
    /// `body` runs with the place of the value in register 0, when there is one.
    fn found(&mut self, map: i32, key: i16, body: impl FnOnce(&mut Self)) -> &mut Self {
        self.key(map, key).call(LOOKUP).unless(IF_EQUAL, 0, 0, body)
    }
    fn update(&mut self, map: i32, key: i16, value: i16, flags: i32) -> &mut Self {
        self.key(map, key)
            .copy(3, STACK)
            .push(0x07, 3, 0, 0, value.into())
            .number(4, flags)
            .call(UPDATE)
    }
    /// Adds to the 32-bit word that register 0 points to, for all CPUs at once.
    fn add_there(&mut self, number: i32) -> &mut Self {
        self.number(1, number).push(0xc3, 0, 1, 0, 0)
    }
    fn end_if(&mut self, jump: u8, register: u8, imm: i32) -> &mut Self {
        self.exits.push(self.words.len());
        self.push(jump, register, 0, 0, imm)
    }
    /// Everything is allowed.
    fn finish(mut self) -> Vec<u64> {
        let end = self.words.len();
        for exit in &self.exits {
            self.words[*exit] |= ((end - exit - 1) as u64 & 0xffff) << 16;
        }
        self.number(0, 1).push(0x95, 0, 0, 0, 0);
        self.words
    }
}

/// `struct bpf_sock_addr`
const USER_IP4: i16 = 4;
const USER_IP6: i16 = 8;

/// Begins a program: the context in its register, the address on the stack.
fn begin(form: Form) -> Code {
    let mut code = Code::default();
    code.copy(CTX, 1);
    match form {
        Form::Plain => code
            .number(1, 0)
            .store(STACK, at::ADDRESS, 1)
            .store(STACK, at::ADDRESS + 4, 1)
            .number(1, 0xffff_u32.to_be() as i32)
            .store(STACK, at::ADDRESS + 8, 1)
            .load(1, CTX, USER_IP4)
            .store(STACK, at::ADDRESS + 12, 1),
        Form::Wide => code.copy_address(STACK, at::ADDRESS, CTX, USER_IP6),
    };
    code
}

/// The address that register 9 points to becomes the socket's.
fn end(mut code: Code, form: Form) -> Vec<u64> {
    match form {
        Form::Plain => code.load(1, 9, 12).store(CTX, USER_IP4, 1),
        Form::Wide => code.copy_address(CTX, USER_IP6, 9, 0),
    };
    code.finish()
}

/// Register 8 becomes the index, among register 9 many and from register 8 on, of a backend with the fewest connections.
fn look_for_fewest(code: &mut Code, maps: &Maps) {
    code.store(STACK, at::BEST, 8)
        .number(1, -1)
        .store(STACK, at::FEWEST, 1)
        .load(1, STACK, at::SERVICE)
        .store(STACK, at::LOAD, 1);
    for i in 0..LOOKS {
        code.copy(1, 8)
            .push(0x07, 1, 0, 0, i)
            .push(0x9c, 1, 9, 0, 0)
            .store(STACK, at::SERVICE + 20, 1)
            .found(maps.backends, at::SERVICE, |code| {
                code.copy_address(STACK, at::LOAD + 4, 0, 0)
                    .key(maps.load, at::LOAD)
                    .call(LOOKUP)
                    .number(1, 0)
                    .unless(IF_EQUAL, 0, 0, |code| {
                        code.load(1, 0, 0);
                    })
                    .load(2, STACK, at::FEWEST)
                    .unless(IF_NOT_LESS, 1, 2, |code| {
                        code.store(STACK, at::FEWEST, 1)
                            .load(1, STACK, at::SERVICE + 20)
                            .store(STACK, at::BEST, 1);
                    });
            });
    }
    code.load(8, STACK, at::BEST);
}

/// The socket counts for the backend that register 9 points to, and no more for another.
fn count(code: &mut Code, maps: &Maps) {
    forget(code, maps);
    let exists = |code: &mut Code| {
        code.found(maps.load, at::LOAD, |code| {
            code.add_there(1);
        });
    };
    code.load(1, STACK, at::SERVICE)
        .store(STACK, at::LOAD, 1)
        .copy_address(STACK, at::LOAD + 4, 9, 0)
        .number(1, 1)
        .store(STACK, at::ONE, 1)
        .update(maps.load, at::LOAD, at::ONE, ONLY_NEW)
        .unless(IF_EQUAL, 0, 0, exists)
        .update(maps.open, at::PEER, at::LOAD, 0)
        .unless(IF_EQUAL, 0, 0, |code| one_less(code, maps));
}

/// The socket counts for nobody.
fn forget(code: &mut Code, maps: &Maps) {
    code.found(maps.open, at::PEER, |code| {
        code.load(1, 0, 0)
            .store(STACK, at::LOAD, 1)
            .copy_address(STACK, at::LOAD + 4, 0, 4);
        one_less(code, maps);
        code.key(maps.open, at::PEER).call(DELETE);
    });
}

fn one_less(code: &mut Code, maps: &Maps) {
    code.found(maps.load, at::LOAD, |code| {
        code.load(1, 0, 0).unless(IF_EQUAL, 1, 0, |code| {
            code.add_there(-1);
        });
    });
}

pub fn release(maps: &Maps) -> Vec<u64> {
    let mut code = Code::default();
    code.copy(CTX, 1)
        .of_ctx(SOCKET_COOKIE)
        .store_wide(at::PEER, 0);
    forget(&mut code, maps);
    code.finish()
}

/// `connects`: it is about connections, which can be counted, and not about single datagrams.
pub fn forward(maps: &Maps, form: Form, connects: bool) -> Vec<u64> {
    let mut code = begin(form);
    code.of_ctx(NETNS_COOKIE)
        .number(1, FULL)
        .store(STACK, at::SUBNET, 1)
        .store_wide(at::SUBNET + 4, 0)
        .copy_address(STACK, at::SUBNET + 12, STACK, at::ADDRESS)
        .look_up(maps.subnets, at::SUBNET)
        .load(8, 0, 0)
        .store(STACK, at::SERVICE, 8)
        .copy_address(STACK, at::SERVICE + 4, STACK, at::ADDRESS)
        .number(1, 0)
        .store(STACK, at::SERVICE + 20, 1)
        .look_up(maps.services, at::SERVICE)
        .load(9, 0, 0)
        .end_if(0x15, 9, 0)
        .of_ctx(SOCKET_COOKIE)
        .copy(8, 0)
        .store_wide(at::PEER, 0)
        // sticky: the other number, or three instructions are left out
        .copy(1, 9)
        .push(0x77, 1, 0, 0, 31)
        .push(0x15, 1, 0, 3, 0)
        .of_ctx(NETNS_COOKIE)
        .copy(8, 0)
        .copy(1, 9)
        .push(0x57, 1, 0, 0, FEWEST as i32)
        .store(STACK, at::IS_FEWEST, 1)
        .push(0x57, 9, 0, 0, !(STICKY | FEWEST) as i32)
        // 8: hash of the number modulo the number of backends
        .push(0x27, 8, 0, 0, SPREAD)
        .push(0x77, 8, 0, 0, 16)
        .push(0x9c, 8, 9, 0, 0);
    if connects {
        code.load(1, STACK, at::IS_FEWEST)
            .unless(IF_EQUAL, 1, 0, |code| look_for_fewest(code, maps));
    }
    code.store(STACK, at::SERVICE + 20, 8)
        .look_up(maps.backends, at::SERVICE)
        .copy(9, 0);
    if connects {
        code.load(1, STACK, at::IS_FEWEST)
            .unless(IF_EQUAL, 1, 0, |code| count(code, maps));
    }
    code.copy_address(STACK, at::PEER + 8, 9, 0)
        .update(maps.peers, at::PEER, at::ADDRESS, 0);
    end(code, form)
}

pub fn back(maps: &Maps, form: Form) -> Vec<u64> {
    let mut code = begin(form);
    code.of_ctx(SOCKET_COOKIE)
        .store_wide(at::PEER, 0)
        .copy_address(STACK, at::PEER + 8, STACK, at::ADDRESS)
        .look_up(maps.peers, at::PEER)
        .copy(9, 0);
    end(code, form)
}

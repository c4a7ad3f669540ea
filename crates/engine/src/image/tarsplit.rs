//! How a layer's tar can be written again, byte for byte, without keeping it twice.
//!
//! While a layer is unpacked, everything of its tar except the contents of regular files goes to a small compressed
//! file, with a mark wherever a file's content stood. Putting the contents from the unpacked tree back at the marks
//! gives the same bytes, and so the same digest.

use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::root::Root;

const RAW: u8 = 0;
const FILE: u8 = 1;

/// One write at most, so that a reader needs no large buffer.
const CHUNK: usize = 64 << 10;

pub(crate) struct Writer {
    out: zstd::Encoder<'static, std::fs::File>,
    raw: Vec<u8>,
}

impl Writer {
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            out: zstd::Encoder::new(std::fs::File::create(path)?, 3)?,
            raw: Vec::new(),
        })
    }

    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw.extend_from_slice(bytes);
        if self.raw.len() >= CHUNK {
            self.flush_raw()?;
        }
        Ok(())
    }

    /// `size` bytes of the content of `path` stood here.
    pub fn file(&mut self, path: &Path, size: u64) -> io::Result<()> {
        self.flush_raw()?;
        let path = path.as_os_str().as_bytes();
        self.out.write_all(&[FILE])?;
        self.out.write_all(&size.to_le_bytes())?;
        self.out.write_all(&length(path.len())?)?;
        self.out.write_all(path)
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.flush_raw()?;
        self.out.finish()?;
        Ok(())
    }

    fn flush_raw(&mut self) -> io::Result<()> {
        for chunk in self.raw.chunks(CHUNK) {
            self.out.write_all(&[RAW])?;
            self.out.write_all(&length(chunk.len())?)?;
            self.out.write_all(chunk)?;
        }
        self.raw.clear();
        Ok(())
    }
}

fn length(length: usize) -> io::Result<[u8; 4]> {
    Ok(u32::try_from(length)
        .map_err(io::Error::other)?
        .to_le_bytes())
}

/// Writes the tar that `split` describes to `out`, contents from `tree`.
pub(crate) fn assemble(split: &Path, tree: &Path, out: &mut impl Write) -> io::Result<()> {
    let mut split = zstd::Decoder::new(std::fs::File::open(split)?)?;
    let tree = Root::open(tree)?;
    let mut tag = [0; 1];
    while split.read(&mut tag)? == 1 {
        match tag[0] {
            RAW => {
                let length = u64::from(u32::from_le_bytes(array(&mut split)?));
                copy_exactly(&mut split, length, out)?;
            }
            FILE => {
                let size = u64::from_le_bytes(array(&mut split)?);
                let mut path = Vec::new();
                let length = u64::from(u32::from_le_bytes(array(&mut split)?));
                copy_exactly(&mut split, length, &mut path)?;
                let path = PathBuf::from(std::ffi::OsString::from_vec(path));
                copy_exactly(&mut tree.open_file(&path)?, size, out)?;
            }
            other => return Err(io::Error::other(format!("unknown mark {other}"))),
        }
    }
    Ok(())
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn copy_exactly(from: &mut impl Read, size: u64, to: &mut impl Write) -> io::Result<()> {
    if io::copy(&mut from.take(size), to)? == size {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

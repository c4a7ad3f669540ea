//! What the fuzz targets reach of this crate beyond its interface; nobody else's.

use std::io::{self, Read};
use std::path::Path;

use engine_types::{Filters, Result};

use crate::image::layers::Layers;
use crate::image::reference::Reference;
use crate::image::{ImageFile, compression, load, tarsplit, unpack};
use crate::root::Root;
use crate::streams::StdStream;
use crate::{cri, filter};

/// At most `limit` bytes of a stream that may be compressed.
pub fn plain(stream: &[u8], limit: u64) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut reader = compression::reader(stream).ok()?.take(limit);
    reader.read_to_end(&mut plain).ok()?;
    Some(plain)
}

/// Unpacks a layer's tar into the folder `tree`; returns its digest.
pub fn unpack_layer(tar: &[u8], tree: &Path, split: &Path) -> io::Result<String> {
    let options = unpack::Options {
        prefix: Path::new(""),
        whiteouts: true,
        split: Some(tarsplit::Writer::create(split)?),
    };
    unpack::unpack(tar, &Root::open(tree)?, options).map(|unpacked| unpacked.digest)
}

/// The layer's tar again.
pub fn assemble(split: &Path, tree: &Path) -> io::Result<Vec<u8>> {
    let mut tar = Vec::new();
    tarsplit::assemble(split, tree, &mut tar)?;
    Ok(tar)
}

/// `docker load` with layers under `layers`: for each image its layers, and which of them are there, and its names.
#[expect(clippy::type_complexity, reason = "one caller")]
pub fn load(
    tar: &[u8],
    layers: &Path,
    spool: &Path,
) -> Result<Vec<(Vec<(String, bool)>, Vec<String>)>> {
    let layers = Layers::open(layers.to_owned())?;
    let found = load::load(&layers, tar, spool)?;
    Ok(found
        .into_iter()
        .map(|image| {
            let file: ImageFile = serde_json::from_str(&image.file).unwrap_or_default();
            let there = |id: String| {
                let has = layers.has(&id);
                (id, has)
            };
            (
                file.rootfs.diff_ids.into_iter().map(there).collect(),
                image.names.iter().map(Reference::tagged).collect(),
            )
        })
        .collect())
}

/// Time, stream, whether the line ends, and text of a log record.
pub fn log_record(line: &[u8]) -> Option<(&str, StdStream, bool, &[u8])> {
    let line = cri::parse(line)?;
    let _ = line.timestamp();
    Some((line.time, line.stream, line.ends, line.text))
}

/// `repository:tag` and the digest of an image's name.
pub fn reference(text: &str) -> Result<(String, Option<String>)> {
    let reference = Reference::parse(text)?;
    Ok((reference.tagged(), reference.digest))
}

/// The `until` filter, in seconds since 1970.
pub fn until(filters: &Filters) -> Result<Option<i64>> {
    filter::until(filters)
}

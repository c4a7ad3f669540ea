//! Hostile and honest archives against the unpacker, and layers written again.

use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use proptest::prelude::*;

use super::layers::Layers;
use super::unpack::{Options, unpack};
use crate::root::Root;

/// One entry of a test archive.
#[derive(Clone, Debug)]
enum Entry {
    Dir(String),
    File(String, Vec<u8>),
    Symlink(String, String),
    Link(String, String),
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let (kind, path, target, data) = match entry {
            Entry::Dir(path) => (tar::EntryType::Directory, path, None, &[][..]),
            Entry::File(path, data) => (tar::EntryType::Regular, path, None, data.as_slice()),
            Entry::Symlink(path, to) => (tar::EntryType::Symlink, path, Some(to), &[][..]),
            Entry::Link(path, to) => (tar::EntryType::Link, path, Some(to), &[][..]),
        };
        let mut header = tar::Header::new_ustar();
        // By hand: the crate refuses to write what it must refuse to read.
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(target) = target {
            old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, data).unwrap();
    }
    tar.into_inner().unwrap()
}

fn file(path: &str, data: &str) -> Entry {
    Entry::File(path.to_owned(), data.as_bytes().to_vec())
}

fn link(path: &str, to: &str) -> Entry {
    Entry::Symlink(path.to_owned(), to.to_owned())
}

fn hard(path: &str, to: &str) -> Entry {
    Entry::Link(path.to_owned(), to.to_owned())
}

fn extract(tar: &[u8], into: &Path) -> std::io::Result<()> {
    let root = Root::open(into)?;
    let options = Options {
        prefix: Path::new(""),
        whiteouts: true,
        split: None,
    };
    unpack(tar, &root, options).map(drop)
}

/// Unpacks beside a file that must stay as it is; returns whether it went through.
fn attack(entries: &[Entry]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(dir.path().join("victim"), "safe").unwrap();
    let result = extract(&archive(entries), &root);
    assert_eq!(std::fs::read(dir.path().join("victim")).unwrap(), b"safe");
    let mut beside: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    beside.sort();
    assert_eq!(beside, ["root", "victim"], "something was made outside");
    // A hard link to the victim would let a later write through.
    assert_eq!(dir.path().join("victim").metadata().unwrap().nlink(), 1);
    result.is_ok()
}

#[test]
fn nothing_leads_out() {
    assert!(!attack(&[file("../victim", "evil")]));
    assert!(!attack(&[file("a/../../victim", "evil")]));
    assert!(attack(&[file("/victim", "inside")]));
    // Resolved as in a chroot: `up` points at the root itself.
    assert!(attack(&[link("up", ".."), file("up/victim", "evil")]));
    assert!(attack(&[link("up", "/"), file("up/victim", "evil")]));
    assert!(!attack(&[
        link("victim-link", "../victim"),
        file("victim-link/x", "evil")
    ]));
    assert!(attack(&[
        link("l", "../victim"),
        file("l", "replaces the link")
    ]));
    assert!(!attack(&[hard("mine", "../victim")]));
    assert!(!attack(&[link("up", ".."), hard("mine", "up/victim")]));
    assert!(!attack(&[
        link("a", "b"),
        link("b", "a"),
        file("a/x", "loop")
    ]));
    assert!(!attack(&[
        link("fd", "/proc/self/cwd"),
        file("fd/x", "evil")
    ]));
}

#[test]
fn whiteouts_become_the_kernels() {
    let dir = tempfile::tempdir().unwrap();
    let tar = archive(&[
        Entry::Dir("d".to_owned()),
        file("d/.wh..wh..opq", ""),
        file("d/.wh.gone", ""),
        file("d/kept", "x"),
        file("d/.wh.kept", ""),
        file(".wh..", ""),
    ]);
    extract(&tar, dir.path()).unwrap();
    let gone = dir.path().join("d/gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(std::fs::read(dir.path().join("d/kept")).unwrap(), b"x");
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(
        dir.path().join("d"),
        "trusted.overlay.opaque",
        &mut value[..],
    )
    .unwrap();
    assert_eq!(&value[..length], b"y");
}

#[test]
fn a_layer_is_written_again_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let layers = Layers::open(dir.path().join("layers")).unwrap();
    let big: String = "0123456789abcdef".repeat(20_000);
    let mut tar = archive(&[
        Entry::Dir("d".to_owned()),
        file("d/big", &big),
        file("empty", ""),
        hard("again", "d/big"),
        link("l", "d/big"),
        file("odd", "x"),
    ]);
    tar.extend([0; 4096]);
    let mut packed = flate2::read::GzEncoder::new(tar.as_slice(), flate2::Compression::fast());
    let mut gzip = Vec::new();
    packed.read_to_end(&mut gzip).unwrap();
    let diff_id = layers.add(gzip.as_slice(), None).unwrap();
    let mut again = Vec::new();
    layers.write_tar(&diff_id, &mut again).unwrap();
    assert!(again == tar, "the tar differs");
    assert_eq!(layers.add(tar.as_slice(), Some(&diff_id)).unwrap(), diff_id);
    let other = format!("sha256:{}", "0".repeat(64));
    let error = layers.add(tar.as_slice(), Some(&other)).unwrap_err();
    assert!(error.message.contains("invalid diffID"), "{error}");
    assert_eq!(layers.meta(&diff_id).unwrap().tar_size, tar.len() as u64);
    assert_eq!(layers.sweep(&Default::default()), [diff_id]);
    assert_eq!(
        std::fs::read_dir(dir.path().join("layers"))
            .unwrap()
            .count(),
        0
    );
}

/// Regression: the second content was written at the first one's place, and the layer had another digest when saved.
#[test]
fn a_layer_holds_no_path_twice() {
    let dir = tempfile::tempdir().unwrap();
    let layers = Layers::open(dir.path().join("layers")).unwrap();
    let add = |entries: &[Entry]| layers.add(archive(entries).as_slice(), None);
    let error = add(&[file("f", "one"), file("./f", "two")]).unwrap_err();
    assert!(
        error.message.contains("duplicates of file paths"),
        "{error}"
    );
    let dir = || Entry::Dir("d".to_owned());
    add(&[dir(), file("d/.wh.f", ""), file("d/f", "kept"), dir()]).unwrap();
}

#[test]
fn a_name_that_ends_with_a_slash_is_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    extract(&archive(&[file("d/", ""), file("d/f", "x")]), dir.path()).unwrap();
    assert_eq!(std::fs::read(dir.path().join("d/f")).unwrap(), b"x");
}

#[test]
fn endless_metadata_is_refused() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let stream = header.as_bytes().as_slice().chain(std::io::repeat(b'a'));
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let options = Options {
        prefix: Path::new(""),
        whiteouts: true,
        split: None,
    };
    let error = unpack(stream, &root, options).unwrap_err();
    assert!(error.to_string().contains("too much metadata"), "{error}");
}

fn part() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "..", ".", ".wh.a", ".wh..wh..opq", "victim"])
        .prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    (any::<bool>(), prop::collection::vec(part(), 1..4)).prop_map(|(absolute, parts)| {
        format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"))
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        path().prop_map(Entry::Dir),
        (path(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(p, d)| Entry::File(p, d)),
        (path(), path()).prop_map(|(p, t)| Entry::Symlink(p, t)),
        (path(), path()).prop_map(|(p, t)| Entry::Link(p, t)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_archive_leads_out(entries in prop::collection::vec(any_entry(), 1..12)) {
        attack(&entries);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let dir = tempfile::tempdir().unwrap();
        let _ = extract(&bytes, dir.path());
    }
}

//! What the engine's decoders are held to, whatever the bytes: no panic, bounded output, and nothing written outside of the
//! folder that was meant.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use engine::{StdStream, fuzzing};
use engine_types::Filters;
use sha2::{Digest, Sha256};

/// The most that a stream may unpack to here.
const LIMIT: u64 = 1 << 20;

/// Where archives of this suite try to write.
const OUTSIDE: &str = "/pontoon-was-here";

/// `root` in a folder with a file that must stay as it is.
struct Cage(tempfile::TempDir);

impl Cage {
    fn new() -> Self {
        let cage = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(cage.path("root")).expect("a folder");
        fs::write(cage.path("victim"), "safe").expect("a file");
        fs::set_permissions(cage.path("victim"), fs::Permissions::from_mode(0o640))
            .expect("a file");
        cage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn check(&self, ours: &[&str]) {
        let victim = self.path("victim");
        assert_eq!(fs::read(&victim).expect("the victim"), b"safe");
        let metadata = victim.metadata().expect("the victim");
        assert_eq!((metadata.nlink(), metadata.mode() & 0o7777), (1, 0o640));
        let mut beside: Vec<_> = fs::read_dir(self.0.path())
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        beside.sort();
        assert_eq!(beside, ours, "something was made outside");
        assert!(!Path::new(OUTSIDE).exists(), "something was made outside");
    }
}

/// A layer's stream, compressed or not.
pub fn layer(data: &[u8]) {
    if let Some(tar) = fuzzing::plain(data, LIMIT) {
        assert!(tar.len() as u64 <= LIMIT);
        unpack(&tar);
    }
}

/// The entries of a layer: `type ‖ mode ‖ 3 × (length ‖ …)`, which are name, link and content; and so on. Their headers are
/// made here, because no mutation gets the checksums right.
pub fn entries(mut data: &[u8]) {
    let mut tar = Vec::new();
    while let Some(([kind, mode], rest)) = data.split_first_chunk::<2>() {
        data = rest;
        let mut field = |most: usize| {
            let (length, rest) = data.split_first().unwrap_or((&0, &[]));
            let (field, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            data = rest;
            &field[..field.len().min(most)]
        };
        let (name, link, content) = (field(100), field(100), field(255));
        tar.extend_from_slice(&header(*kind, *mode, name, link, content.len()));
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend_from_slice(&[0; 1024]);
    unpack(&tar);
}

fn header(kind: u8, mode: u8, name: &[u8], link: &[u8], size: usize) -> [u8; 512] {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(u32::from(mode) << 3 | 0o4);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(size as u64);
    // By hand: the crate refuses to write what must be refused when read.
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name);
    old.linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    *header.as_bytes()
}

fn unpack(tar: &[u8]) {
    // A few bytes may claim a sparse file of exabytes, which would be written, here to the developer's disk.
    if tar.chunks(512).any(|block| block.get(156) == Some(&b'S')) {
        return;
    }
    let cage = Cage::new();
    let (root, split) = (cage.path("root"), cage.path("split"));
    let digest = fuzzing::unpack_layer(tar, &root, &split);
    cage.check(&["root", "split", "victim"]);
    if let Ok(digest) = digest {
        assert_eq!(digest, hex::encode(Sha256::digest(tar)));
        let again = fuzzing::assemble(&split, &root).expect("our own record");
        assert!(again == tar, "the layer is not written again as it came");
    }
}

/// What `docker load` reads beside layers: `[0 manifest.json | 1 index.json | 2 an image's file | 3 an OCI manifest] ‖ text`,
/// in an archive that is good otherwise.
pub fn load(data: &[u8]) {
    let Some((which, text)) = data.split_first() else {
        return;
    };
    let layer = [header(b'0', 0o64, b"f", b"", 0).as_slice(), &[0; 1024]].concat();
    let diff_id = hex::encode(Sha256::digest(&layer));
    let blob = |digit: &str| format!("blobs/sha256/{}", digit.repeat(64));
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let (c, d, e) = (digest("c"), digest("d"), digest("e"));
    let image = format!(r#"{{"os":"linux","rootfs":{{"diff_ids":["sha256:{diff_id}"]}}}}"#);
    let manifest = format!(
        r#"[{{"Config":"{}","RepoTags":["a:b"],"Layers":["{}"]}}]"#,
        blob("c"),
        blob("e")
    );
    let oci = format!(r#"{{"config":{{"digest":"{c}"}},"layers":[{{"digest":"{e}"}}]}}"#);
    let index = format!(r#"{{"manifests":[{{"digest":"{d}"}}]}}"#);
    let text_or = |at: u8, good: String| match which % 4 == at {
        true => text.to_vec(),
        false => good.into_bytes(),
    };
    let mut files = vec![
        (blob("c"), text_or(2, image)),
        (blob("d"), text_or(3, oci)),
        (blob("e"), layer),
        ("index.json".to_owned(), text_or(1, index)),
    ];
    if matches!(which % 4, 0 | 2) {
        files.push(("manifest.json".to_owned(), text_or(0, manifest)));
    }
    let mut tar = Vec::new();
    for (name, content) in files {
        tar.extend_from_slice(&header(b'0', 0o64, name.as_bytes(), b"", content.len()));
        tar.extend_from_slice(&content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend_from_slice(&[0; 1024]);

    let cage = Cage::new();
    let found = fuzzing::load(&tar, &cage.path("layers"), &cage.path("root"));
    cage.check(&["layers", "root", "victim"]);
    for (layers, names) in found.into_iter().flatten() {
        assert!(layers.iter().all(|(_, there)| *there), "a layer is missing");
        for name in names {
            assert_eq!(fuzzing::reference(&name).expect("its own name").0, name);
        }
    }
}

/// A line of a container's log.
pub fn log(data: &[u8]) {
    let Some((time, stream, ends, text)) = fuzzing::log_record(data) else {
        return;
    };
    let stream = match stream {
        StdStream::Stderr => "stderr",
        _ => "stdout",
    };
    let tag = if ends { "F" } else { "P" };
    let mut again = format!("{time} {stream} {tag}").into_bytes();
    if again.len() < data.len() {
        again.push(b' ');
        again.extend_from_slice(text);
    }
    assert_eq!(again, data);
}

/// An image's name.
pub fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok((name, digest)) = fuzzing::reference(text) else {
        return;
    };
    assert!(name.len() <= text.len() + "docker.io/:latest".len());
    assert!(digest.is_none_or(|digest| digest.len() == 71));
    assert_eq!(
        fuzzing::reference(&name).expect("its own name"),
        (name, None),
        "the name that is stored must mean the same when it is read"
    );
}

/// `filters=` of a listing.
pub fn filters(data: &[u8]) {
    let Ok(filters) = serde_json::from_slice::<Filters>(data) else {
        return;
    };
    let values = filters.0.values().flatten();
    assert!(values.map(|value| value.len() + 1).sum::<usize>() <= data.len());
    let text = serde_json::to_vec(&filters.0).expect("strings");
    assert_eq!(
        serde_json::from_slice::<Filters>(&text).expect("our own text"),
        filters
    );
    let keys: Vec<&str> = filters.0.keys().map(String::as_str).collect();
    assert!(filters.validate(&keys).is_ok());
    let _ = fuzzing::until(&filters);
}

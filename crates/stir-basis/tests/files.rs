//! The two kinds of file: their bytes, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use common::{candidates, fingerprint};
use proptest::prelude::*;
use stir_basis::{Action, BasisConfig, Entry, FileError, FileKind, Library, MinedPairs, Pair, SelectionMethod, select};
use stir_core::Delimiter;
use tempfile::tempdir;

fn small_candidates() -> MinedPairs {
    let pair =
        Pair { problem: "p".into(), m: 1, layer: 2, quality: 0.5, mu_plus: vec![1.0, 0.0], mu_minus: vec![0.0, 2.0] };
    let provenance = BTreeMap::from([("rollout".to_owned(), "{}".to_owned())]);
    MinedPairs { fingerprint: fingerprint(2), delimiter: Delimiter::default(), pairs: vec![pair], provenance }
}

fn small_library() -> Library {
    select(&small_candidates(), &BasisConfig { method: SelectionMethod::Random { seed: 7 }, ..BasisConfig::default() })
        .unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A change here means a new format version.
#[test]
fn the_bytes_are_pinned() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    small_candidates().save(&path).unwrap();
    assert_eq!(hex(&fs::read(&path).unwrap()), CANDIDATES);
    small_library().save(&path).unwrap();
    assert_eq!(hex(&fs::read(&path).unwrap()), LIBRARY);
}

const CANDIDATES: &str = "\
    5354495243414e440100000039000000000000006ea9927958960b3e00ad14d6a59ef67788fcb165cce7c7661fd82d34e954\
    b61d03746f7903022801740177020a0a0101700102000000000000e03f020000803f00000000020000000000000040010772\
    6f6c6c6f7574027b7d";
const LIBRARY: &str = "\
    535449524c494252010000006d00000000000000a6865c21fbf4a71699071afbcb05ab437a137e4b0f9afcd2d87b0b3d1210\
    0b3a03746f7903022801740177020a0a0201700102000000000000e03f02000000000000803f00020000803f000000c00170\
    0102000000000000e03f020000803f000000000101fb0001000000000000e03f2d431cebe2361a3f08000207020002000101\
    07726f6c6c6f7574027b7d";

#[test]
fn what_is_saved_is_loaded() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    let candidates = candidates(3, 20, 7);
    for method in ["dpp", "top", "random", "kmeans", "dbscan"] {
        let config = BasisConfig { budget: 11, method: method.parse().unwrap(), ..BasisConfig::default() };
        let library = select(&candidates, &config).unwrap();
        library.save(&path).unwrap();
        assert_eq!(Library::load(&path).unwrap(), library);
    }
    // Over a file that is there, and with nothing left next to it.
    candidates.save(&path).unwrap();
    assert_eq!(MinedPairs::load(&path).unwrap(), candidates);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_damage_is_an_error(at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<prop::sample::Index>()) {
        let folder = tempdir().unwrap();
        let path = folder.path().join("file");
        small_candidates().save(&path).unwrap();
        refuses_damage(&path, at, flip, cut, |path| MinedPairs::load(path).map(drop));
        small_library().save(&path).unwrap();
        refuses_damage(&path, at, flip, cut, |path| Library::load(path).map(drop));
    }
}

fn refuses_damage(
    path: &Path,
    at: prop::sample::Index,
    flip: u8,
    cut: prop::sample::Index,
    load: impl Fn(&Path) -> Result<(), FileError>,
) {
    let bytes = fs::read(path).unwrap();
    load(path).unwrap();
    let mut flipped = bytes.clone();
    flipped[at.index(bytes.len())] ^= flip;
    fs::write(path, flipped).unwrap();
    load(path).unwrap_err();
    fs::write(path, &bytes[..cut.index(bytes.len())]).unwrap();
    load(path).unwrap_err();
    fs::write(path, [&bytes[..], &[0]].concat()).unwrap();
    assert!(matches!(load(path).unwrap_err(), FileError::Length { .. }));
}

#[test]
fn every_fault_has_its_name_and_its_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("some.file");
    let load = || Library::load(&path).unwrap_err();

    assert!(matches!(load(), FileError::Io { .. }));
    fs::write(&path, "PK").unwrap();
    assert!(matches!(load(), FileError::Kind { expected: FileKind::Library, found: None, .. }));
    small_candidates().save(&path).unwrap();
    assert!(matches!(load(), FileError::Kind { found: Some(FileKind::MinedPairs), .. }));
    assert!(load().to_string().ends_with("some.file: expected a library file, found a file of mined pairs"));

    small_library().save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let load_with = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes.splice(at..at + new.len(), new.iter().copied());
        fs::write(&path, bytes).unwrap();
        load()
    };
    assert!(matches!(load_with(8, &[9]), FileError::Version { found: 9, supported: 1, .. }));
    assert!(matches!(load_with(12, &[0xff; 8]), FileError::TooLarge { bytes: u64::MAX, .. }));
    assert!(matches!(load_with(12, &[1, 0]), FileError::Length { expected: 53, .. }));
    assert!(matches!(load_with(20, &[0; 32]), FileError::Checksum { .. }));
    // A payload with a right checksum that is no library: its strings claim lengths that are not there.
    let payload = vec![0xfd; bytes.len() - 52];
    let forged = [blake3::hash(&payload).as_bytes(), &payload[..]].concat();
    assert!(matches!(load_with(20, &forged), FileError::Malformed { .. }));
    fs::write(&path, &bytes[..10]).unwrap();
    assert!(matches!(load(), FileError::Length { expected: 52, found: 10, .. }));
}

#[test]
fn content_that_breaks_a_rule_is_neither_written_nor_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    let mut bad = small_candidates();
    bad.pairs[0].mu_plus[0] = f32::NAN;
    let error = bad.save(&path).unwrap_err();
    assert!(matches!(error, FileError::Inconsistent { source, .. } if source.field == "mu_plus"), "{error}");
    assert!(!path.exists());

    // Written by someone else: the quality of the pair becomes NaN, and the checksum agrees.
    small_candidates().save(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let half = 0.5f64.to_le_bytes();
    let at = bytes.windows(8).rposition(|window| window == half).unwrap();
    bytes[at..at + 8].copy_from_slice(&f64::NAN.to_le_bytes());
    let checksum = blake3::hash(&bytes[52..]);
    bytes[20..52].copy_from_slice(checksum.as_bytes());
    fs::write(&path, bytes).unwrap();
    let error = MinedPairs::load(&path).unwrap_err();
    assert!(matches!(error, FileError::Inconsistent { source, .. } if source.field == "quality"), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_an_io_error_and_leaves_nothing() {
    let folder = tempdir().unwrap();
    let entry = Entry {
        problem: String::new(),
        m: 1,
        layer: 0,
        quality: 0.0,
        key: vec![0.0, 1.0].into(),
        action: Action::Stay,
    };
    let library = Library::from_entries(fingerprint(2), vec![entry]).unwrap();
    assert!(matches!(library.save(folder.path().join("no/library")), Err(FileError::Io { .. })));
    // A folder's name cannot be taken by a file.
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    assert!(matches!(library.save(&taken), Err(FileError::Io { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

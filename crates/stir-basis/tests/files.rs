//! The two kinds of file: their bytes, and what is refused.

use std::{collections::BTreeMap, fs, path::Path};

use crate::common::{candidates, fingerprint, mined};
use proptest::prelude::*;
use stir_basis::{
    BasisConfig, Entry, Evidence, FileError, FileKind, Library, MinedPairs, Pair, SelectionMethod, StateMean,
    ValueHead, select,
};
use tempfile::tempdir;

fn small_candidates() -> MinedPairs {
    let (problem, mu_plus, mu_minus) = ("p".into(), vec![1.0, 0.0], vec![0.0, 2.0]);
    let pair = Pair { problem, m: 1, layer: 2, quality: 0.5, mu_plus, mu_minus, ..Pair::default() };
    let provenance = BTreeMap::from([("rollout".to_owned(), "{}".to_owned())]);
    MinedPairs { pairs: vec![pair], provenance, ..mined(2) }
}

/// All that version 2 added.
fn full_candidates() -> MinedPairs {
    let mut mined = small_candidates();
    mined.pairs[0].quality_error = Some(0.25);
    mined.pairs[0].vector = Some(vec![3.0, -1.0]);
    mined.pairs.push(Pair { m: 0, quality: 0.125, ..mined.pairs[0].clone() });
    let mean = |m| StateMean { layer: 2, m, count: 300, mean: vec![0.5, 4.0] };
    mined.means = vec![mean(0), mean(1)];
    mined.heads = vec![ValueHead { layer: 1, weights: vec![1.0, -2.0], bias: 0.5, auc: Some(0.75) }];
    mined
}

fn small_library() -> Library {
    select(&small_candidates(), &BasisConfig { method: SelectionMethod::Random { seed: 7 }, ..BasisConfig::default() })
        .unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn full_library() -> Library {
    let config = BasisConfig { method: SelectionMethod::Random { seed: 7 }, ..BasisConfig::default() };
    let evidence = Evidence {
        strength: 0.5,
        trials: 16,
        with_right: 9,
        without_right: 4,
        uplift: 0.25,
        error: 0.125,
        lower: 0.0625,
    };
    let tried = |_, entry: &Entry| {
        let evidence = entry.vector().map(|_| evidence);
        Some(Entry { quality: evidence.map_or(entry.quality, |evidence| evidence.lower), evidence, ..entry.clone() })
    };
    select(&full_candidates(), &config).unwrap().filter_map(tried).unwrap()
}

/// A change here means a new format version.
#[test]
fn the_bytes_are_pinned() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    full_candidates().save(&path).unwrap();
    assert_eq!(hex(&fs::read(&path).unwrap()), CANDIDATES_V2);
    assert_eq!(MinedPairs::load(&path).unwrap(), full_candidates());
    full_library().save(&path).unwrap();
    assert_eq!(hex(&fs::read(&path).unwrap()), LIBRARY_V2);
    assert_eq!(Library::load(&path).unwrap(), full_library());
}

#[test]
fn files_of_version_1_are_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, unhex(CANDIDATES)).unwrap();
    assert_eq!(MinedPairs::load(&path).unwrap(), small_candidates());
    fs::write(&path, unhex(LIBRARY)).unwrap();
    let library = Library::load(&path).unwrap();
    assert_eq!(library, small_library());
    assert!(!library.validated());
    // A payload of one version under the number of another is refused.
    for (from, bytes) in [(1, unhex(LIBRARY)), (2, unhex(LIBRARY_V2))] {
        let mut bytes = bytes;
        assert_eq!(bytes[8], from);
        bytes[8] = 3 - from;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Library::load(&path), Err(FileError::Malformed { .. })), "{from}");
    }
}

const CANDIDATES_V2: &str = "\
    5354495243414e4402000000b2000000000000000ea7f862909b2613aa7ea2120ee9ff54d2b664433c91dc6217c2161f1f80\
    227203746f7903022801740177020a0a0201700102000000000000e03f01000000000000d03f020000803f00000000020000\
    000000000040010200004040000080bf01700002000000000000c03f01000000000000d03f020000803f0000000002000000\
    0000000040010200004040000080bf020200fb2c01020000003f000080400201fb2c01020000003f00008040010102000080\
    3f000000c00000003f01000000000000e83f0107726f6c6c6f7574027b7d";
const LIBRARY_V2: &str = "\
    535449524c494252020000002301000000000000bff4f8fd314fdcdb98ee221f6db43dc03931e3dc79b67434d710a8bc89b4\
    6b1d03746f7903022801740177020a0a0401700002000000000000b03f02425b78be425b78bf000200004040000080bf0100\
    0000000000e03f100904000000000000d03f000000000000c03f000000000000b03f01700002000000000000c03f02ec05fe\
    3dec057ebf010001700102000000000000b03f02425b78be425b78bf000200004040000080bf01000000000000e03f100904\
    000000000000d03f000000000000c03f000000000000b03f01700102000000000000e03f02ec05fe3dec057ebf0100020200\
    fb2c01020000003f000080400201fb2c01020000003f000080400101020000803f000000c00000003f01000000000000e83f\
    01fb0001000000000000e03f2d431cebe2361a3f08000207040004020300010107726f6c6c6f7574027b7d";

/// What version 1 wrote.
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
        full_library().save(&path).unwrap();
        refuses_damage(&path, at, flip, cut, |path| Library::load(path).map(drop));
        full_library().save(&path).unwrap();
        refuses_damage(&path, at, flip, cut, |path| {
            Library::from_bytes(path, &fs::read(path).unwrap()).map(|library| assert_eq!(library, full_library()))
        });
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
    assert!(matches!(load_with(8, &[9]), FileError::Version { found: 9, supported: 2, .. }));
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
    let entry = Entry { key: [0.0, 1.0].into(), ..Entry::default() };
    let library = Library::from_entries(fingerprint(2), vec![entry]).unwrap();
    assert!(matches!(library.save(folder.path().join("no/library")), Err(FileError::Io { .. })));
    // A folder's name cannot be taken by a file.
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    assert!(matches!(library.save(&taken), Err(FileError::Io { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const IDS: [&str; 3] = ["a", "ß", "c"];

fn id(record: &Value) -> String {
    record["id"].as_str().unwrap_or_default().to_owned()
}

fn record(place: usize) -> Value {
    json!({"id": IDS[place], "text": "grün 🌱"})
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("o.jsonl")
    }

    fn sidecar(&self) -> PathBuf {
        self.0.path().join("o.jsonl.settings.json")
    }

    fn open_under(&self, settings: &Value, ids: &[&str]) -> Result<RecordLog<Value, String>, FileError> {
        RecordLog::open(self.out(), &Settings::new(settings).unwrap(), ids.iter().map(|&id| id.to_owned()), id)
    }

    fn open(&self) -> Result<RecordLog<Value, String>, FileError> {
        self.open_under(&json!({"x": 0.1}), &IDS)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.out()).unwrap()
    }

    fn set(&self, bytes: &[u8]) {
        fs::write(self.out(), bytes).unwrap();
    }
}

/// Returns the bytes before and after the end of a run whose records come in the given order.
fn run(folder: &Folder, order: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let mut log = folder.open().unwrap();
    order.iter().for_each(|&place| log.push(&record(place)).unwrap());
    let before = folder.bytes();
    let found: Vec<Value> = log.finish().unwrap().map(Result::unwrap).collect();
    assert_eq!(found, [record(0), record(1), record(2)]);
    (before, folder.bytes())
}

#[test]
fn a_kill_at_any_byte_leaves_no_trace() {
    let folder = Folder::new();
    let (appended, whole) = run(&folder, &[2, 0, 1]);
    assert_ne!(appended, whole);
    for cut in 0..=appended.len() {
        folder.set(&appended[..cut]);
        let mut log = folder.open().unwrap();
        // A record that only lacks its line feed is whole.
        let whole_lines = appended[..cut].iter().filter(|&&byte| byte == b'\n').count();
        let closed = usize::from(appended.get(cut) == Some(&b'\n'));
        assert_eq!(log.len(), whole_lines + closed, "cut at {cut}");
        for place in log.missing().collect::<Vec<_>>() {
            log.push(&record(place)).unwrap();
        }
        log.finish().unwrap();
        assert_eq!(folder.bytes(), whole, "cut at {cut}");
    }
    // Killed before the settings were written.
    fs::remove_file(folder.sidecar()).unwrap();
    folder.set(b"");
    assert_eq!(run(&folder, &[0, 1, 2]).1, whole);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any number of kills, each after any byte of what is there.
    #[test]
    fn kills_in_a_row_leave_no_trace(order in Just([0, 1, 2]).prop_shuffle(), cuts in prop::collection::vec(0.0f64..=1.0, 0..6)) {
        let folder = Folder::new();
        let (mut log, mut cuts) = (folder.open().unwrap(), cuts.into_iter());
        loop {
            let missing: Vec<usize> = order.iter().copied().filter(|&place| !log.contains(place)).collect();
            missing.iter().for_each(|&place| log.push(&record(place)).unwrap());
            let Some(cut) = cuts.next() else { break };
            drop(log);
            let bytes = folder.bytes();
            folder.set(&bytes[..(bytes.len() as f64 * cut) as usize]);
            log = folder.open().unwrap();
        }
        log.finish().unwrap();
        prop_assert_eq!(folder.bytes(), run(&Folder::new(), &[0, 1, 2]).1);
    }
}

#[test]
fn a_finished_log_is_taken_up_under_its_settings_and_no_others() {
    let folder = Folder::new();
    let (_, whole) = run(&folder, &[2, 0, 1]);
    let log = folder.open().unwrap();
    assert!(log.is_complete() && log.missing().next().is_none());
    log.finish().unwrap();
    assert_eq!(folder.bytes(), whole);

    let error = folder.open_under(&json!({"x": 0.2}), &IDS).unwrap_err();
    assert!(matches!(&error, FileError::Settings { path, field, .. } if *path == folder.out() && field == "x"));
    assert!(error.to_string().ends_with("o.jsonl: x was 0.1 when the run was begun and is 0.2 now"), "{error}");
    fs::write(folder.sidecar(), "{").unwrap();
    assert!(matches!(folder.open(), Err(FileError::BrokenSettings { .. })));
    fs::remove_file(folder.sidecar()).unwrap();
    assert!(matches!(folder.open(), Err(FileError::NoSettings { records: 3, .. })));
    assert_eq!(folder.bytes(), whole);

    // Without the output there is nothing to mix.
    fs::remove_file(folder.out()).unwrap();
    fs::write(folder.sidecar(), "{").unwrap();
    let mut log = folder.open_under(&json!({"x": 0.2}), &IDS).unwrap();
    log.push(&record(1)).unwrap();
    log.finish().unwrap();
    assert_eq!(folder.open_under(&json!({"x": 0.2}), &IDS).unwrap().len(), 1);
}

#[test]
fn a_file_that_is_no_log_is_left_alone() {
    let folder = Folder::new();
    for foreign in [&b"\x89PNG"[..], b"{\"id\":\"a\"}", b"a line\n", b"two\nlines"] {
        folder.set(foreign);
        assert!(matches!(folder.open(), Err(FileError::NoSettings { .. })));
        assert_eq!(folder.bytes(), foreign);
    }
}

#[test]
fn a_line_that_no_run_wrote_is_named_and_nothing_is_deleted() {
    let folder = Folder::new();
    run(&folder, &[0, 1, 2]);
    let check = |bytes: &[u8]| {
        folder.set(bytes);
        let error = folder.open().unwrap_err();
        assert_eq!(folder.bytes(), bytes);
        error
    };
    let ok = "{\"id\":\"a\"}\n";
    let with = |rest: &[u8]| [ok.as_bytes(), rest].concat();
    assert!(matches!(check(&with(b"{\"id\"\n")), FileError::Line { line: 2, .. }));
    assert!(matches!(check(&with(b"\n\xff\n{\"id\":\"c\"}\n")), FileError::Line { line: 3, .. }));
    assert!(matches!(check(&with(b"{\"id\":\"b\"}\n{\"i")), FileError::Unasked { line: 2, key, .. } if key == "\"b\""));
    assert!(matches!(check(&with(b"[]\n")), FileError::Unasked { line: 2, .. }));
    let twice = check(&with(ok.as_bytes()));
    assert!(twice.to_string().ends_with("o.jsonl, line 2: \"a\" is there already"), "{twice}");
    // The last line of all may be broken.
    folder.set(&with(b"{\"id\""));
    assert_eq!(folder.open().unwrap().len(), 1);
    assert_eq!(folder.bytes(), ok.as_bytes());
}

#[test]
fn a_record_that_is_not_missing_is_refused() {
    let folder = Folder::new();
    let mut log = folder.open().unwrap();
    log.push(&record(1)).unwrap();
    let before = folder.bytes();
    assert!(matches!(log.push(&record(1)), Err(FileError::DuplicateRecord { line: 2, .. })));
    assert!(matches!(log.push(&json!({"id": "x"})), Err(FileError::Unasked { line: 2, .. })));
    assert_eq!(folder.bytes(), before);
    let twice = folder.open_under(&json!({}), &["a", "b", "a"]);
    assert!(matches!(twice, Err(FileError::DuplicateKey { first: 0, second: 2, .. })));
}

#[test]
fn a_second_log_is_refused() {
    let folder = Folder::new();
    let mut first = folder.open().unwrap();
    assert!(matches!(folder.open(), Err(FileError::InUse { .. })));
    first.push(&record(2)).unwrap();
    drop(first);
    assert_eq!(folder.open().unwrap().len(), 1);
}

#[test]
fn bytes_of_a_failed_write_are_cut_off() {
    let folder = Folder::new();
    let mut log = folder.open().unwrap();
    log.push(&record(2)).unwrap();
    let before = folder.bytes();
    // As a full disk leaves it: part of a record, which could not be removed at once.
    log.lock.file().write_all(b"{\"id\":\"a\",\"te").unwrap();
    log.torn = true;
    log.push(&record(0)).unwrap();
    assert_eq!(folder.bytes(), [before, json_line(&record(0)).unwrap()].concat());
    log.push(&record(1)).unwrap();
    log.lock.file().write_all(b"{\"id\":\"a\",\"te").unwrap();
    log.torn = true;
    log.finish().unwrap();
    assert_eq!(folder.bytes(), run(&Folder::new(), &[0, 1, 2]).1);
}

#[test]
fn no_records_are_an_empty_file() {
    let folder = Folder::new();
    folder.open_under(&json!({}), &[]).unwrap().finish().unwrap();
    assert_eq!(folder.bytes(), b"");
    assert_eq!(fs::read(folder.sidecar()).unwrap(), b"{}");
    let path = folder.0.path().join("none/o");
    let missing = RecordLog::open(path, &Settings::new(&1).unwrap(), [0], |record: &usize| *record).unwrap_err();
    assert!(matches!(missing, FileError::Io { action: "open", .. }));
}

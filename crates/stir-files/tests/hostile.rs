//! Keys, settings and files that nobody would give on purpose.

#![allow(clippy::unwrap_used)]

use std::fs;

use stir_files::{RecordLog, Settings, read_lines};

type Record = (String, u32);

#[test]
fn any_text_may_be_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.jsonl");
    let long = "x".repeat(1 << 20);
    let keys = ["", "\n", "a\r\nb", "\u{2028}\u{0}\u{7f}", "\"\\", "{}", "日本語 🦀", &long].map(str::to_owned);
    let open = || {
        let settings = Settings::new(&[("a", 1)]).unwrap();
        RecordLog::open(&path, &settings, keys.clone(), |record: &Record| record.0.clone())
    };
    let mut log = open().unwrap();
    for (i, key) in keys.iter().enumerate().rev().step_by(2) {
        log.push(&(key.clone(), i as u32)).unwrap();
    }
    drop(log);
    // The last record loses its end.
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let mut log = open().unwrap();
    let missing: Vec<usize> = log.missing().collect();
    assert_eq!(missing.len(), keys.len() / 2 + 1);
    for i in missing {
        log.push(&(keys[i].clone(), i as u32)).unwrap();
    }
    log.finish().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let records: Vec<Record> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records, keys.iter().cloned().zip(0..).collect::<Vec<_>>());
    assert!(read_lines::<Record>(&path).is_ok());
}

#[test]
fn what_is_not_a_log_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.jsonl");
    let open = || {
        let settings = Settings::new(&[("a", 1)]).unwrap();
        RecordLog::open(&path, &settings, ["k".to_owned(), "l".to_owned()], |record: &Record| record.0.clone())
    };
    fs::create_dir(&path).unwrap();
    assert!(open().is_err());
    fs::remove_dir(&path).unwrap();
    open().unwrap().push(&("k".to_owned(), 7)).unwrap();
    let (records, settings) = (fs::read(&path).unwrap(), Settings::path(&path));
    for content in ["", "{", "[]", "{\"a\": 2}"] {
        fs::write(&settings, content).unwrap();
        assert!(open().is_err(), "{content}");
        assert_eq!(fs::read(&path).unwrap(), records);
        assert_eq!(fs::read_to_string(&settings).unwrap(), content);
    }
    fs::remove_file(&settings).unwrap();
    fs::create_dir(&settings).unwrap();
    assert!(open().is_err());
    assert_eq!(fs::read(&path).unwrap(), records);
}

#[test]
fn half_a_character_is_read_in_files_of_others_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.jsonl");
    let open = || {
        let settings = Settings::new(&[("a", 1)]).unwrap();
        RecordLog::open(&path, &settings, ["\u{fffd}".to_owned()], |record: &Record| record.0.clone())
    };
    drop(open().unwrap());
    let line = "[\"\\ud83d\", 1]\n";
    fs::write(&path, line).unwrap();
    assert_eq!(read_lines::<Record>(&path).unwrap(), [("\u{fffd}".to_owned(), 1)]);
    // A log of ours never holds such a line, so it is not one of ours.
    assert!(open().is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), line);
}

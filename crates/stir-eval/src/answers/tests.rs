use std::fs;

use serde_json::{Value, json};

use super::*;

const IDS: [&str; 3] = ["a", "ß", "c"];

fn id(line: &Value) -> String {
    line["id"].as_str().unwrap_or_default().to_owned()
}

fn line(place: usize) -> Value {
    json!({"id": IDS[place], "text": "grün 🌱"})
}

fn begin(out: &Path, settings: Value) -> Result<Answers<Value>, AnswersError> {
    open(out, &settings, &IDS, id)
}

/// The whole file, written without an interruption, in the order `order`; returns what it was before its end.
fn written(out: &Path, order: &[usize]) -> Vec<u8> {
    let mut answers = begin(out, json!({"x": 0.1})).unwrap();
    order.iter().for_each(|&place| answers.push(&line(place)).unwrap());
    let before = fs::read(out).unwrap();
    answers.finish().unwrap();
    before
}

/// Cuts the file after any byte, as a kill would: what is whole is kept, the rest is written again, and the end is the
/// same.
#[test]
fn a_kill_at_any_byte_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    let before = written(&out, &[2, 0, 1]);
    let whole = fs::read(&out).unwrap();
    for cut in 0..=before.len() {
        fs::write(&out, &before[..cut]).unwrap();
        let mut answers = begin(&out, json!({"x": 0.1})).unwrap();
        let kept = before[..cut].iter().filter(|&&byte| byte == b'\n').count();
        // A line that only lacks its end is whole.
        let kept = kept + usize::from(before.get(cut) == Some(&b'\n'));
        assert_eq!(answers.len(), kept, "cut at {cut}");
        for place in 0..3 {
            if !answers.contains(place) {
                answers.push(&line(place)).unwrap();
            }
        }
        answers.finish().unwrap();
        assert_eq!(fs::read(&out).unwrap(), whole, "cut at {cut}");
    }
}

/// The bytes that versions before this one wrote.
#[test]
fn the_bytes_of_a_finished_run_are_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    written(&out, &[2, 0, 1]);
    let lines = IDS.map(|id| format!("{{\"id\":\"{id}\",\"text\":\"grün 🌱\"}}\n"));
    assert_eq!(fs::read_to_string(&out).unwrap(), lines.concat());
    assert_eq!(fs::read_to_string(Settings::path(&out)).unwrap(), r#"{"x":0.1}"#);
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 2);
}

#[test]
fn what_is_finished_is_taken_up_under_its_settings_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    written(&out, &[2, 0, 1]);
    let whole = fs::read(&out).unwrap();
    // Once, and again after a kill.
    for _ in 0..2 {
        assert_eq!(begin(&out, json!({"x": 0.1})).unwrap().len(), 3);
    }
    begin(&out, json!({"x": 0.1})).unwrap().finish().unwrap();
    assert_eq!(fs::read(&out).unwrap(), whole);

    let error = begin(&out, json!({"x": 0.2})).unwrap_err();
    let says = |path: &Path, field: &str| *path == out && field == "x";
    assert!(
        matches!(&error, AnswersError::File(FileError::Settings { path, field, .. }) if says(path, field)),
        "{error}"
    );
    assert_eq!(fs::read(&out).unwrap(), whole);

    // Without a line, that one is missing; a line of no problem is named.
    let lines = String::from_utf8(whole).unwrap();
    fs::write(&out, lines.split_once('\n').unwrap().1).unwrap();
    let there = begin(&out, json!({"x": 0.1})).unwrap();
    assert!(there.len() == 2 && !there.contains(0));
    drop(there);
    fs::write(&out, "{}\n").unwrap();
    let error = begin(&out, json!({"x": 0.1})).unwrap_err();
    assert!(matches!(&error, AnswersError::File(FileError::Unasked { line: 1, path, .. }) if *path == out), "{error}");

    // Without the output the run starts over, under whatever settings.
    fs::remove_file(&out).unwrap();
    let mut other = begin(&out, json!({"x": 0.2})).unwrap();
    assert!(other.is_empty());
    other.push(&line(1)).unwrap();
    other.finish().unwrap();
    assert_eq!(begin(&out, json!({"x": 0.2})).unwrap().len(), 1);
}

#[test]
fn other_settings_are_refused_by_the_field_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    let begin = |settings: Value| begin(&out, settings);
    begin(json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1})).unwrap().push(&line(0)).unwrap();
    assert_eq!(begin(json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1})).unwrap().len(), 1);
    for (settings, field) in [
        (json!({"a": {"b": 0.7, "c": [1]}, "d": 1}), "a.b"),
        (json!({"a": {"b": 0.7f32, "c": [2]}, "d": 1}), "a.c"),
        (json!({"a": {"b": 0.7f32, "c": [1]}}), "d"),
        (json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1, "e": null}), "e"),
        (json!(3), ""),
    ] {
        match begin(settings).unwrap_err() {
            AnswersError::File(FileError::Settings { field: found, .. }) => assert_eq!(found, field),
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_second_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    let begin = || begin(&out, json!({}));
    let first = begin().unwrap();
    assert!(matches!(begin(), Err(AnswersError::File(FileError::InUse { .. }))));
    drop(first);
    assert!(begin().is_ok());
}

#[test]
fn what_no_run_wrote_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    begin(&out, json!({})).unwrap();
    let begin = |content: &[u8]| {
        fs::write(&out, content).unwrap();
        begin(&out, json!({})).map(|answers| answers.len()).map_err(|error| match error {
            AnswersError::File(error) => error,
            error => panic!("{error}"),
        })
    };
    assert_eq!(begin(b"").unwrap(), 0);
    assert_eq!(begin(b"{\"id\":\"a\"}\n{\"id\"").unwrap(), 1);
    assert!(matches!(begin(b"{\"id\":\"a\"}\n{\"id\":\"a\"}\n"), Err(FileError::DuplicateRecord { line: 2, .. })));
    assert!(matches!(begin(b"{\"id\":\"b\"}\n"), Err(FileError::Unasked { line: 1, .. })));
    assert!(matches!(begin(b"[]\n"), Err(FileError::Unasked { line: 1, .. })));
    assert!(matches!(begin(b"{\"id\":\"a\"}\n\xff\n"), Err(FileError::Line { line: 2, .. })));
    let twice = open(&out, &json!({}), &["a", "b", "a"], id);
    assert!(matches!(twice, Err(AnswersError::File(FileError::DuplicateKey { first: 0, second: 2, .. }))));
}

#[test]
fn an_unfinished_run_of_an_earlier_version_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    let partial = folder.path().join("o.jsonl.partial");
    fs::write(&partial, "{\"x\":0.1}\n{\"id\":\"a\"}\n").unwrap();
    let error = begin(&out, json!({"x": 0.1})).unwrap_err();
    assert!(matches!(&error, AnswersError::Earlier { path } if *path == partial), "{error}");
    assert!(partial.exists() && !out.exists());
}

#[test]
fn nothing_to_answer_is_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    open(&out, &json!({}), &[], id).unwrap().finish().unwrap();
    assert_eq!(fs::read(&out).unwrap(), b"");
    let missing = open(&folder.path().join("none/o"), &json!({}), &[], id).unwrap_err();
    assert!(matches!(missing, AnswersError::File(FileError::Io { action: "open", .. })));
}

use serde_json::json;

use super::*;

const IDS: [&str; 3] = ["a", "ß", "c"];

fn line(place: usize) -> Value {
    json!({"id": IDS[place], "text": "grün 🌱"})
}

/// The whole file, written without an interruption, in the order `order`.
fn written(out: &Path, order: &[usize]) -> Vec<u8> {
    let mut answers = Answers::begin(out, &json!({"x": 0.1}), &IDS).unwrap();
    order.iter().for_each(|&place| answers.push(place, &line(place)).unwrap());
    let partial = fs::read(with_suffix(out, ".partial")).unwrap();
    answers.finish().unwrap();
    partial
}

/// As if killed after any byte: what is whole is kept, the rest is written again, and the end is the same.
#[test]
fn a_kill_at_any_byte_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    let partial = written(&out, &[2, 0, 1]);
    let whole = fs::read(&out).unwrap();
    for cut in 0..=partial.len() {
        fs::remove_file(&out).unwrap();
        fs::write(with_suffix(&out, ".partial"), &partial[..cut]).unwrap();
        let mut answers = Answers::begin(&out, &json!({"x": 0.1}), &IDS).unwrap();
        let kept = partial[..cut].iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1);
        assert_eq!(answers.len(), kept, "cut at {cut}");
        for place in 0..3 {
            if !answers.has(place) {
                answers.push(place, &line(place)).unwrap();
            }
        }
        answers.finish().unwrap();
        assert_eq!(fs::read(&out).unwrap(), whole, "cut at {cut}");
        assert!(!with_suffix(&out, ".partial").exists());
    }
}

#[test]
fn what_is_finished_is_taken_up_under_its_settings_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    written(&out, &[2, 0, 1]);
    let whole = fs::read(&out).unwrap();
    // Once, and again after a kill.
    for _ in 0..2 {
        assert_eq!(Answers::begin(&out, &json!({"x": 0.1}), &IDS).unwrap().len(), 3);
    }
    Answers::begin(&out, &json!({"x": 0.1}), &IDS).unwrap().finish().unwrap();
    assert_eq!(fs::read(&out).unwrap(), whole);

    let error = Answers::begin(&out, &json!({"x": 0.2}), &IDS).unwrap_err();
    let says = |path: &Path, field: &str| *path == out && field == "x";
    assert!(matches!(&error, AnswersError::Settings { path, field, .. } if says(path, field)), "{error}");
    assert_eq!(fs::read(&out).unwrap(), whole);
    assert!(!with_suffix(&out, ".partial").exists());

    // Without a line, that one is missing; what nobody asked for is named.
    let lines = String::from_utf8(whole).unwrap();
    fs::write(&out, lines.split_once('\n').unwrap().1).unwrap();
    let there = Answers::begin(&out, &json!({"x": 0.1}), &IDS).unwrap();
    assert!(there.len() == 2 && !there.has(0));
    drop(there);
    fs::write(&out, "{}\n").unwrap();
    let error = Answers::begin(&out, &json!({"x": 0.1}), &IDS).unwrap_err();
    assert!(matches!(&error, AnswersError::Unasked { line: 1, path, .. } if *path == out), "{error}");

    // Whoever removes the output starts over, under whatever settings.
    for name in [out.clone(), with_suffix(&out, ".partial")] {
        fs::remove_file(name).unwrap();
    }
    let mut other = Answers::begin(&out, &json!({"x": 0.2}), &IDS).unwrap();
    assert!(other.is_empty());
    other.push(1, &line(1)).unwrap();
    other.finish().unwrap();
    assert_eq!(Answers::begin(&out, &json!({"x": 0.2}), &IDS).unwrap().len(), 1);
}

#[test]
fn other_settings_are_refused_by_the_field_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    let begin = |settings: Value| Answers::begin(&out, &settings, &IDS);
    begin(json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1})).unwrap().push(0, &line(0)).unwrap();
    assert_eq!(begin(json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1})).unwrap().len(), 1);
    for (settings, field) in [
        (json!({"a": {"b": 0.7, "c": [1]}, "d": 1}), "a.b"),
        (json!({"a": {"b": 0.7f32, "c": [2]}, "d": 1}), "a.c"),
        (json!({"a": {"b": 0.7f32, "c": [1]}}), "d"),
        (json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1, "e": null}), "e"),
        (json!(3), ""),
    ] {
        match begin(settings).unwrap_err() {
            AnswersError::Settings { field: found, .. } => assert_eq!(found, field),
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_second_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    let begin = || Answers::begin(&out, &json!({}), &IDS);
    let first = begin().unwrap();
    assert!(matches!(begin(), Err(AnswersError::InUse { .. })));
    drop(first);
    assert!(begin().is_ok());
}

#[test]
fn what_no_run_wrote_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    let begin = |content: &[u8]| {
        fs::write(with_suffix(&out, ".partial"), content).unwrap();
        Answers::begin(&out, &json!({}), &IDS).map(|answers| answers.len())
    };
    assert_eq!(begin(b"").unwrap(), 0);
    assert_eq!(begin(b"{}\n{\"id\":\"a\"}\n{\"id\":\"a\"}\n{\"id\"").unwrap(), 1);
    assert!(matches!(begin(b"{}\n{\"id\":\"b\"}\n"), Err(AnswersError::Unasked { line: 2, .. })));
    assert!(matches!(begin(b"{}\n[]\n"), Err(AnswersError::Unasked { line: 2, .. })));
    assert!(matches!(begin(b"{}\n{\"id\":\"a\"}\n\xff\n"), Err(AnswersError::Line { line: 3, .. })));
    assert!(matches!(begin(b"\n"), Err(AnswersError::Line { line: 1, .. })));
    let twice = Answers::begin(&out, &json!({}), &["a", "b", "a"]);
    assert!(matches!(twice, Err(AnswersError::DuplicateId { first: 0, second: 2, .. })));
}

#[test]
fn nothing_to_answer_is_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    Answers::begin(&out, &json!({}), &[]).unwrap().finish().unwrap();
    assert_eq!(read_lines::<Value>(&out).unwrap(), Vec::<Value>::new());
    let missing = Answers::begin(&folder.path().join("none/o"), &json!({}), &[]).unwrap_err();
    assert!(matches!(missing, AnswersError::Io { action: "open", .. }));
}

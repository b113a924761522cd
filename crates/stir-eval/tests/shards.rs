//! Answers in parts on the toy engine: what is put together is the run in one piece, but for the seconds.

use std::{
    fs,
    ops::ControlFlow::{Break, Continue},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::common::toy;
use serde_json::Value;
use stir_core::toy::ToyEngine;
use stir_eval::{
    answers::{self, AnswersError},
    method::{AnswerRun, MethodContext, Question},
};
use stir_files::{FileError, Seal, Settings, Shard, merge_folders, merge_logs};
use stir_grade::Judge;
use stir_report::Record;
use tempfile::TempDir;

/// Nine questions, of which one leaves no room for an answer.
fn questions() -> Vec<Question> {
    let mut questions = toy::questions(9);
    questions[3].prompt = "a".repeat(96);
    questions
}

/// Answers a part, or all, by a method; kills the process after every `most` answers.
fn answer(method: &str, shard: Option<Shard>, out: &Path, most: usize) -> Vec<Record> {
    let (engine, questions) = (ToyEngine::new(1), questions());
    let library = toy::library(&engine);
    let judges = |question: &Question| -> Arc<dyn Judge> { toy::first_mark(question) };
    let config = toy::config(method);
    let context = MethodContext {
        engine: &engine,
        judges: &judges,
        library: Some(&library),
        render: &|s, u| Ok(toy::render(s, u)),
    };
    let built = config.build(context).unwrap();
    let max_batch = 1 + shard.map_or(2, Shard::index);
    let run = AnswerRun { engine: &engine, questions: &questions, request: toy::request(24, 3), max_batch };
    let (settings, id) = (run.settings(&config, Some("digest")).unwrap(), |record: &Record| record.id.clone());
    let ids: Vec<&str> = questions.iter().map(|question| question.id.as_str()).collect();
    loop {
        let mut before = None;
        let observer = |done: usize| if done - *before.get_or_insert(done) < most { Continue(()) } else { Break(()) };
        let records = match shard {
            Some(shard) => {
                let answers = answers::open_shard(out, &settings, &ids, shard, id).unwrap();
                assert!(!Seal::path(out).exists());
                run.run_shard(shard, &*built, &judges, answers, observer)
            }
            None => run.run(&*built, &judges, answers::open(out, &settings, &ids, id).unwrap(), observer),
        };
        if let Some(records) = records.unwrap() {
            return records;
        }
    }
}

/// The lines of a file without what was measured.
fn timeless(path: &Path) -> Vec<String> {
    let lines = fs::read_to_string(path).unwrap();
    let timeless = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        assert!(record.as_object_mut().unwrap().remove("seconds").is_some_and(|seconds| seconds.is_f64()));
        record.to_string()
    };
    lines.lines().map(timeless).collect()
}

#[test]
fn parts_put_together_are_the_whole_run() {
    for method in [r#"{"method": "plain"}"#, r#"{"method": "stir"}"#, r#"{"method": "self_consistency", "samples": 3}"#]
    {
        let folder = TempDir::new().unwrap();
        let whole = folder.path().join("whole.jsonl");
        let expected = answer(method, None, &whole, usize::MAX);
        for count in [1, 2, 4, 9, 11] {
            let parts: Vec<PathBuf> = (0..count).map(|part| folder.path().join(format!("{count}.{part}"))).collect();
            let mut lines = Vec::new();
            for shard in Shard::all(count) {
                let records = answer(method, Some(shard), &parts[shard.index()], 2);
                let own: Vec<&str> = shard.of(&expected).map(|record| record.id.as_str()).collect();
                assert_eq!(records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), own);
                lines.push(
                    fs::read_to_string(&parts[shard.index()]).unwrap().lines().map(String::from).collect::<Vec<_>>(),
                );
            }
            let out = folder.path().join(format!("{count}.out"));
            assert_eq!(merge_logs(&out, &parts).unwrap(), 9);
            assert_eq!(timeless(&out), timeless(&whole), "{method}, {count} parts");
            assert_eq!(fs::read(Settings::path(&out)).unwrap(), fs::read(Settings::path(&whole)).unwrap());
            // The seconds are those that each part measured: lines are copied byte for byte.
            let merged = fs::read_to_string(&out).unwrap();
            for (place, line) in merged.lines().enumerate() {
                assert_eq!(line, lines[place % count][place / count]);
            }
            // What was put together is taken up as a run in one piece, with nothing left to do.
            answer(method, None, &out, 1);
            assert_eq!(fs::read_to_string(&out).unwrap(), merged);
        }
    }
}

#[test]
fn a_comparison_is_put_together_by_its_folders() {
    let folder = TempDir::new().unwrap();
    let methods = [("plain", r#"{"method": "plain"}"#), ("stir", r#"{"method": "stir"}"#)];
    let parts: Vec<PathBuf> = (0..3).map(|part| folder.path().join(part.to_string())).collect();
    for shard in Shard::all(3) {
        fs::create_dir(&parts[shard.index()]).unwrap();
        for (name, method) in methods {
            answer(method, Some(shard), &parts[shard.index()].join(format!("answers.{name}.jsonl")), usize::MAX);
        }
    }
    let out = folder.path().join("out");
    assert_eq!(merge_folders(&out, &parts).unwrap().len(), 2);
    for (name, method) in methods {
        let whole = folder.path().join(name);
        answer(method, None, &whole, usize::MAX);
        assert_eq!(timeless(&out.join(format!("answers.{name}.jsonl"))), timeless(&whole));
    }
}

#[test]
fn another_part_does_not_go_on_with_a_file() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("o.jsonl");
    let settings = serde_json::json!({"x": 1});
    let id = |record: &Value| record["id"].as_str().unwrap_or_default().to_owned();
    let open = |index| answers::open_shard(&out, &settings, &["a", "b", "c"], Shard::new(index, 2).unwrap(), id);
    open(0).unwrap().push(&serde_json::json!({"id": "a"})).unwrap();
    assert_eq!(open(0).unwrap().len(), 1);
    let refused = |error: AnswersError| matches!(&error, AnswersError::File(FileError::Settings { field, .. }) if field == "shard");
    assert!(open(1).is_err_and(refused));
    assert!(answers::open(&out, &settings, &["a", "b", "c"], id).is_err_and(refused));
    assert!(answers::check(&out, &settings, Shard::new(1, 2).ok()).is_err_and(refused));
    assert!(answers::check(&out, &settings, Shard::new(0, 2).ok()).is_ok());
}

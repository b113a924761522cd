//! Benchmarks from a hub: the right files of the right repository, once.
#![allow(clippy::unwrap_used)]

#[path = "../../stir-hub/tests/support/mod.rs"]
mod support;

mod common;

use std::ops::ControlFlow;

use common::columns::{Column, write_parquet};
use stir_eval::{Task, TaskError, hub::HubError};
use support::{FakeHub, Fault};

const SCHEMA: &str = "message schema { optional binary question (UTF8); optional binary answer (UTF8); }";

/// A hub with the repository `repo` and no files of a model.
fn hub(repo: &str) -> FakeHub {
    let hub = FakeHub::new();
    hub.rename(repo);
    for name in ["config.json", "tokenizer.json", "pytorch_model.bin", "model.safetensors"] {
        hub.remove(name);
    }
    hub
}

fn parquet(question: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write_parquet(&path, SCHEMA, &[Column::Texts(&[question]), Column::Texts(&["1 + 1\n#### 2"])]);
    std::fs::read(path).unwrap()
}

#[test]
fn a_split_of_a_config_is_brought_once() {
    let hub = hub("openai/gsm8k");
    hub.put("main/test-00000-of-00001.parquet", &parquet("of test"), true);
    hub.put("main/train-00000-of-00001.parquet", &parquet("of train"), true);
    hub.put("socratic/test-00000-of-00001.parquet", &parquet("of another"), true);
    let load = |split| Task::from_hub("gsm8k", split, &hub.options(), |_| ControlFlow::Continue(()));
    let task = load(None).unwrap();
    assert_eq!((task.problems().len(), task.problems()[0].question.as_str()), (1, "of test"));
    let brought = hub.seen().into_iter().filter(|seen| seen.method == "GET" && seen.path.contains("parquet")).count();
    assert_eq!(load(Some("train")).unwrap().problems()[0].question, "of train");
    assert_eq!(load(None).unwrap().problems()[0].question, "of test", "with both splits in the cache");
    let again = hub.seen().into_iter().filter(|seen| seen.store && seen.method == "GET" && seen.path.contains("test"));
    assert!(brought > 0);
    assert_eq!(again.count(), 0);
    assert!(hub.cache.path().join("datasets--openai--gsm8k").is_dir());
    let offline = Task::from_hub("gsm8k", None, &hub.offline(), |_| ControlFlow::Continue(()));
    assert_eq!(offline.unwrap().problems()[0].gold, "2");
}

#[test]
fn a_shard_that_the_cache_lacks_is_named() {
    let hub = hub("openai/gsm8k");
    hub.put("main/test-00000-of-00002.parquet", &parquet("first"), true);
    hub.put("main/test-00001-of-00002.parquet", &parquet("second"), true);
    let offline = || Task::from_hub("gsm8k", None, &hub.offline(), |_| ControlFlow::Continue(()));
    Task::from_hub("gsm8k", None, &hub.options(), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(offline().unwrap().problems().len(), 2);
    // A download that was broken off.
    let snapshots = hub.cache.path().join("datasets--openai--gsm8k/snapshots");
    let snapshot = snapshots.read_dir().unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(snapshot.join("main/test-00001-of-00002.parquet")).unwrap();
    let error = offline().unwrap_err();
    assert!(format!("{error:?}").contains("test-00001-of-00002.parquet"), "{error:?}");
}

#[test]
fn files_of_json() {
    let hub = hub("ChilleD/StrategyQA");
    hub.put("test.json", br#"[{"qid": "a", "question": "q", "answer": true}]"#, false);
    hub.put("train.json", b"[]", false);
    let task = Task::from_hub("strategyqa", None, &hub.options(), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(task.problems()[0].gold, "yes");
}

#[test]
fn what_the_hub_lacks_is_told() {
    let hub = hub("openai/gsm8k");
    let load = || Task::from_hub("gsm8k", None, &hub.options(), |_| ControlFlow::Continue(()));
    assert!(matches!(load(), Err(TaskError::Hub { repo: "openai/gsm8k", source })
        if matches!(*source, HubError::NoMatch { .. })));
    hub.put("main/test-00000-of-00001.parquet", b"no parquet", false);
    assert!(matches!(load(), Err(TaskError::Json { .. })));
    hub.fault("GET", "listing", std::iter::repeat_n(Fault::Status(503, vec![]), 9));
    assert!(matches!(load(), Err(TaskError::Hub { .. })));
    let unknown = Task::from_hub("poems", None, &hub.options(), |_| ControlFlow::Continue(()));
    assert!(matches!(unknown, Err(TaskError::Unknown { .. })));
}

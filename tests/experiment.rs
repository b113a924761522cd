//! An experiment from a library: a file, the ready backend, and a folder.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;

use stir::{
    eval::experiment::{Experiment, Runner},
    experiment::LmBackend,
};

const TOML: &str = r#"
name = "small"

[[models]]
name = "reference"
source = {}

[[tasks]]
name = "stories"
mine.stories = { count = 6, half = "mine", steps = [2] }
answer.stories = { count = 4, half = "answer", steps = [2] }

[answers]
max_tokens = 40

[mining]
rollout = { samples = 6, max_tokens = 80 }
basis = { budget = 16, min_per_control_point = 2 }

[[methods]]
name = "plain"
method = "plain"

[[methods]]
name = "stir"
method = "stir"
"#;

fn model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference-run/model")
}

#[test]
fn an_experiment_runs_without_a_program() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), LmBackend::with_default_folder(model()));
    let experiment = Experiment::parse(TOML).unwrap();
    let runner = Runner::new(&experiment, &backend).unwrap();
    let outcome = runner.run(folder.path()).unwrap();
    assert_eq!(outcome.runs.iter().map(|run| run.records.len()).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(outcome.libraries.len(), 1);
    assert_eq!(runner.run(folder.path()).unwrap(), outcome);
}

#[test]
fn a_typo_in_any_model_is_found_before_one_is_loaded() {
    for (typo, word) in [("device = \"cudaa\"", "device"), ("compute = \"int8\"", "compute")] {
        let second = format!("[[models]]\nname = \"second\"\nsource = {{ {typo} }}\n\n[[tasks]]");
        let experiment = Experiment::parse(&TOML.replacen("[[tasks]]", &second, 1)).unwrap();
        // Without a folder, loading the first would fail.
        let error = Runner::new(&experiment, &LmBackend::default()).unwrap_err().to_string();
        assert!(error.contains("models \"second\" source") && error.contains(word), "{error}");
    }
}

//! The program as processes: golden outputs, the whole chain, and what bad input gets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod before_loading;
mod calibrate;
mod chat;
mod controls;
mod diagnose;
mod evaluate;
mod experiments;
mod fork;
mod inspect;
mod program;
mod refusals;
mod serve;
mod shards;
mod states;
mod steer;
mod validate;
mod vectors;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

const STAGES: [&str; 19] = [
    "rollout",
    "fork",
    "induce",
    "diagnose",
    "basis",
    "validate",
    "steer",
    "evaluate",
    "calibrate",
    "grade",
    "chat",
    "serve",
    "inspect",
    "merge",
    "export",
    "import",
    "train-tiny",
    "pipeline",
    "controls",
];

/// The settings that the reference library was selected with.
const BASIS: &str = "--budget 64 --min-per-control-point 4";

/// A stage with the flags of `args`, which white space separates; paths without white space only.
fn run(stage: &str, args: &str) -> Output {
    command(stage, args).output().unwrap()
}

fn command(stage: &str, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stir"));
    command.arg(stage).args(args.split_whitespace());
    command
}

/// A stage that is given these lines on its standard input.
fn feed(stage: &str, args: &str, input: &str) -> Output {
    let mut command = command(stage, args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses its arguments ends before it has read anything.
    if let Err(error) = child.stdin.take().unwrap().write_all(input.as_bytes()) {
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
    }
    child.wait_with_output().unwrap()
}

/// Returns the output of a stage that succeeds.
fn succeed(stage: &str, args: &str) -> String {
    let output = run(stage, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stage} {args}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that a stage refuses and says why: each of `words` is in its report.
fn refuse(stage: &str, args: &str, words: &[&str]) {
    let output = run(stage, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stage} {args}: {errors}");
    assert!(!errors.contains("panicked"), "{stage} {args}: {errors}");
    for word in words {
        assert!(errors.contains(word), "{stage} {args}: no {word:?} in {errors}");
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

fn reference(name: &str) -> String {
    fixture("reference-run").join(name).display().to_string()
}

fn records(path: impl AsRef<Path>) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A folder for a test's files; their paths come as text, to be put into a command line.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.path().join(name), content).unwrap();
        self.path(name)
    }

    /// A copy of the reference model whose files `change` gets to see; `None` leaves a file out.
    fn model(&self, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> String {
        let folder = self.0.path().join("model");
        fs::create_dir_all(&folder).unwrap();
        for file in fs::read_dir(reference("model")).unwrap() {
            let (path, name) = (file.as_ref().unwrap().path(), file.unwrap().file_name().into_string().unwrap());
            if let Some(content) = change(&name, fs::read(path).unwrap()) {
                fs::write(folder.join(name), content).unwrap();
            }
        }
        folder.display().to_string()
    }

    /// A model that can be opened and not loaded: its last weight is no number.
    fn unloadable(&self) -> String {
        self.model(|name, mut content| {
            if name == "model.safetensors" {
                let end = content.len();
                content[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            }
            Some(content)
        })
    }

    /// Candidates and a library of the reference run, and the first `n` of its problems.
    fn stages(&self, n: usize) -> (String, String, String) {
        let (candidates, library) = (self.path("c.stir"), self.path("l.stir"));
        let (model, rollouts) = (reference("model"), reference("rollouts.jsonl"));
        succeed("induce", &format!("--model {model} --rollouts {rollouts} --out {candidates}"));
        succeed("basis", &format!("--pairs {candidates} --out {library} {BASIS}"));
        let problems = records(reference("steer.default.jsonl")).into_iter().take(n);
        let problems = problems.map(|p| json!({"id": p["id"], "prompt": p["prompt"], "gold": p["gold"]}).to_string());
        let prompts = self.write("p.jsonl", problems.collect::<Vec<_>>().join("\n"));
        (candidates, library, prompts)
    }
}

#[test]
fn help_is_there() {
    for stage in STAGES {
        assert!(succeed(stage, "--help").contains("Usage"));
    }
}

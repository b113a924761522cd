//! The parts that all commands share: the model that comes with the program, messages, completions.

use std::fs;

use serde_json::Value;

use crate::{Folder, command, reference, run, succeed};

#[test]
fn the_small_model_comes_with_the_program() {
    let folder = Folder::new();
    let mut chat = command("chat", "--max-tokens 5 --message Hello");
    let output = chat.env("XDG_CACHE_HOME", folder.0.path()).current_dir(folder.0.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("5 tokens"), "{told}");
    if cfg!(all(unix, not(target_os = "macos"))) {
        let version = fs::read_dir(folder.0.path().join("stir")).unwrap().next().unwrap().unwrap().path();
        assert!(version.join("tiny/model.safetensors").exists());
    }
    // Where nothing can be written there, the temporary folder is used.
    let blocked = folder.write("blocked", "");
    let mut chat = command("chat", "--max-tokens 5 --message Hello");
    chat.env("XDG_CACHE_HOME", blocked).env("TMPDIR", folder.0.path()).current_dir(folder.0.path());
    assert!(chat.output().unwrap().status.success());
}

#[test]
fn progress_is_a_line_where_there_is_no_terminal() {
    let folder = Folder::new();
    let (_, _, prompts) = folder.stages(3);
    let flags = |out: &str| {
        let (model, out) = (reference("model"), folder.path(out));
        format!("--model {model} --task {prompts} --out {out} --samples 2 --max-tokens 20")
    };
    let told = String::from_utf8(run("rollout", &flags("text.jsonl")).stderr).unwrap();
    assert!(told.contains("rollout 0") && told.contains("rollout 6/6"), "{told}");

    let told = String::from_utf8(run("rollout", &format!("{} --log-format json", flags("json.jsonl"))).stderr).unwrap();
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut lines = lines.iter().map(|line| &line["fields"]).filter(|fields| fields["what"] == "rollout");
    let last = lines.next_back().unwrap();
    assert_eq!((&last["done"], &last["total"]), (&6.into(), &6.into()));
    assert!(last["seconds"].as_f64().unwrap() > 0.0 && last["message"].as_str().unwrap().starts_with("rollout 6/6"));
}

#[test]
fn every_line_of_the_standard_error_is_json_for_who_asks() {
    let folder = Folder::new();
    let (_, _, prompts) = folder.stages(2);
    let task = fs::read_to_string(&prompts).unwrap() + "\n{\"id\": \"empty\", \"prompt\": \"\", \"gold\": 1}";
    let task = folder.write("t.jsonl", task);
    let told = |stage: &str, flags: &str, out: &str| {
        let (model, out) = (reference("model"), folder.path(out));
        let output = run(stage, &format!("{flags} --log-format json --model {model} --out {out} --max-tokens 9"));
        let told = String::from_utf8(output.stderr).unwrap();
        let lines = told.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        lines.map(|line| (line["level"].clone(), line["fields"]["message"].to_string())).collect::<Vec<_>>()
    };
    let lines = told("evaluate", &format!("--task {prompts} --methods plain --json"), "o");
    assert!(lines.iter().any(|(level, message)| level == "INFO" && message.contains("report: ")), "{lines:?}");
    let lines = told("rollout", &format!("--task {task} --samples 1"), "r.jsonl");
    assert!(lines.iter().any(|(level, message)| level == "WARN" && message.contains("no token")), "{lines:?}");
    assert!(
        lines.last().is_some_and(|(level, message)| level == "ERROR" && message.contains("1 problems")),
        "{lines:?}"
    );
}

/// Where nobody reads, and where the disk is full.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_no_panic() {
    let folder = Folder::new();
    let (_, _, prompts) = folder.stages(1);
    let (model, out) = (reference("model"), folder.path("o.jsonl"));
    let rollout = format!("--task {prompts} --model {model} --out {out} --samples 1 --max-tokens 9");
    for (stage, flags) in [("completions", "bash"), ("rollout", &rollout)] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command(stage, flags).stdout(full).stderr(std::process::Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("cannot write to the standard output") && !told.contains("panicked"), "{told}");
    }
}

#[test]
fn every_decision_is_told_to_who_asks() {
    let folder = Folder::new();
    let (_, library, prompts) = folder.stages(1);
    let (model, out) = (reference("model"), folder.path("o.jsonl"));
    let flags = format!("--model {model} --library {library} --prompts {prompts} --out {out} --max-tokens 60");
    let told = String::from_utf8(run("steer", &format!("{flags} -vv")).stderr).unwrap();
    assert!(told.contains("DEBUG") && told.contains("stir_controller"), "{told}");
}

#[test]
fn shells_complete_the_flags() {
    assert!(succeed("completions", "bash").contains("--max-control-points"));
    assert_eq!(run("completions", "abacus").status.code(), Some(2));
}

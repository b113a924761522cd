//! Forks of rollouts, and sounder vectors from them.

use std::fs;

use serde_json::json;
use stir::{basis::MinedPairs, induction::InductionConfig, rollout::read_forks};

use crate::{Folder, reference, refuse, succeed};

#[test]
fn forks_are_drawn_mined_and_made_a_library() {
    let folder = Folder::new();
    let model = reference("model");
    // Two problems with right and wrong rollouts of four to seven segments.
    let lines = fs::read_to_string(reference("rollouts.jsonl")).unwrap();
    let lines: Vec<&str> =
        lines.lines().filter(|line| line.contains("\"p1001-3\"") || line.contains("\"p1001-4\"")).collect();
    let rollouts = folder.write("r.jsonl", lines.join("\n"));
    let task: Vec<String> = [lines[0], lines[8]]
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|r| json!({"id": r["id"], "prompt": r["prompt"], "gold": r["gold"]}).to_string())
        .to_vec();
    let task = folder.write("task.jsonl", task.join("\n"));

    let forks = folder.path("f.jsonl");
    let drawn =
        format!("--model {model} --rollouts {rollouts} --task {task} --out {forks} --max-tokens 200 --temperature 1");
    let told = succeed("fork", &format!("{drawn} --per-problem 24 --children 1"));
    assert!(told.starts_with("problems       2 ") && told.contains("failures       0"), "{told}");
    let read: Vec<_> = read_forks(&forks).unwrap().map(Result::unwrap).collect();
    assert!(read.iter().all(|group| (4..=24).contains(&group.len())));
    // The run is finished: nothing more is drawn, and other settings are refused.
    let before = fs::read(&forks).unwrap();
    succeed("fork", &format!("{drawn} --per-problem 24 --children 1 --max-batch 2"));
    assert_eq!(fs::read(&forks).unwrap(), before);
    refuse("fork", &format!("{drawn} --per-problem 24 --children 2"), &["config.children was 1", "another --out"]);

    let mined = folder.path("s.stir");
    let flags = format!("--model {model} --rollouts {rollouts} --forks {forks} --out {mined}");
    let told = succeed("induce", &format!("{flags} --preset sound --heads"));
    assert!(told.contains("of the variance of states removed") && told.contains("head         of layer 2"), "{told}");
    let mined = MinedPairs::load(&mined).unwrap();
    assert!(!mined.means.is_empty() && mined.heads.len() == 1);
    assert!(mined.pairs.iter().all(|pair| pair.vector.is_some() && pair.quality_error.is_some()));
    // Right answers of this model begin in another way than wrong ones, and that decides.
    assert!(mined.pairs.iter().any(|pair| pair.m == 0 && pair.quality > 0.3));
    let settings: InductionConfig = serde_json::from_str(&mined.provenance["induction"]).unwrap();
    assert_eq!(settings, InductionConfig::sound());
    assert!(mined.provenance.contains_key("forks"));
}

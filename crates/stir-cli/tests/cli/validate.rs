//! Validations: what is tried and kept, what is written, and what is refused before the model is read.

use std::{fs, path::Path};

use serde_json::json;
use stir::{basis::Library, validation::ValidationReport};

use crate::{Folder, records, reference, refuse, run};

/// The settings of a small validation.
const SMALL: &str = "--strengths 0.3,0.6 --samples 2 --starts-per-entry 2 --starts-per-look 1 --max-tokens 40";

/// Writes some rollouts of the reference run with their problems; returns both files.
fn rollouts(folder: &Folder, problems: usize) -> (String, String) {
    let rollouts: Vec<_> = records(reference("rollouts.jsonl")).into_iter().take(8 * problems).collect();
    let problem = |r: &serde_json::Value| json!({"id": r["id"], "prompt": r["prompt"], "gold": r["gold"]}).to_string();
    let tasks: Vec<String> = rollouts.iter().step_by(8).map(problem).collect();
    let lines: Vec<String> = rollouts.iter().map(ToString::to_string).collect();
    (folder.write("r.jsonl", lines.join("\n")), folder.write("t.jsonl", tasks.join("\n")))
}

#[test]
fn what_helps_is_written_and_the_report_says_why() {
    let folder = Folder::new();
    let (_, library, _) = folder.stages(1);
    let (rollouts, task) = rollouts(&folder, 6);
    let (model, out) = (reference("model"), folder.path("v.stir"));
    let flags = format!(
        "--model {model} --library {library} --rollouts {rollouts} --task {task} --out {out} {SMALL} --min-similarity -1"
    );
    let first = run("validate", &flags);
    let read = |name: &str| fs::read_to_string(folder.path(name)).unwrap();
    let report: ValidationReport = serde_json::from_str(&read("v.stir.validation.json")).unwrap();
    assert!(report.strengths.len() == 2 && report.entries.iter().all(|found| found.trials > 0));
    assert_eq!(records(folder.path("v.stir.trials.jsonl")).len(), report.cost.replay.continuations);
    let told = String::from_utf8(first.stdout.clone()).unwrap();
    assert!(told.starts_with(&report.to_string()), "{told}");
    // Few trials may or may not show what these vectors do; what follows from them is the same in any case.
    assert_eq!(first.status.success(), report.helping() > 0);
    assert_eq!(Path::new(&out).exists(), report.helping() > 0);
    match first.status.success() {
        true => {
            let (kept, before) = (Library::load(&out).unwrap(), Library::load(&library).unwrap());
            let steering = kept.entries().iter().filter(|entry| entry.evidence.is_some()).count();
            let stay = |library: &Library| library.entries().iter().filter(|entry| entry.vector().is_none()).count();
            assert!(kept.validated() && steering == report.helping() && stay(&kept) == stay(&before));
        }
        false => {
            let errors = String::from_utf8_lossy(&first.stderr).into_owned();
            assert!(errors.contains("no entry has a measured uplift") && errors.contains("is not written"), "{errors}");
        }
    }
    // Everything is there: the second run only reads it.
    let trials = read("v.stir.trials.jsonl");
    assert_eq!(run("validate", &flags).stdout, first.stdout);
    assert_eq!(read("v.stir.trials.jsonl"), trials);

    run("validate", &format!("{} --rollouts-per-problem 1", flags.replace("v.stir", "one.stir")));
    let one: ValidationReport = serde_json::from_str(&read("one.stir.validation.json")).unwrap();
    assert!(one.boundaries < report.boundaries && one.cost.states < report.cost.states, "{:?}", one.cost);
}

#[test]
fn validate_tells_before() {
    let folder = Folder::new();
    let (_, library, _) = folder.stages(1);
    let (rollouts, task) = rollouts(&folder, 2);
    let (model, out) = (folder.unloadable(), folder.path("v.stir"));
    let flags = format!("--model {model} --library {library} --rollouts {rollouts} --task {task} --out {out}");
    refuse("validate", &flags, &["cannot load the model", "NaN"]);
    refuse("validate", &format!("{flags} --level 1"), &["level is 1, must be >= 0.5 and < 1"]);
    refuse("validate", &format!("{flags} --strengths 0.3,0.1"), &["strengths is [0.3, 0.1], must be rising"]);
    refuse("validate", &format!("{flags} --max-tokens 0"), &["max_tokens is 0"]);
    refuse("validate", &format!("{flags} --top-p 2"), &["top_p is 2"]);
    refuse("validate", &format!("{flags} --k-scale -1"), &["k_scale is -1"]);
    refuse("validate", &flags.replace("v.stir", "l.stir"), &["would take the place"]);
    refuse("validate", &flags.replace("v.stir", "none/v.stir"), &["none/v.stir"]);
    let other = folder.write("other.jsonl", json!({"id": "x", "prompt": "1", "gold": "1"}).to_string());
    refuse("validate", &flags.replace(&task, &other), &["is not one of the task"]);
    let wrong = fs::read_to_string(&task).unwrap().replace("\"gold\":\"", "\"gold\":\"9");
    let wrong = folder.write("wrong.jsonl", wrong);
    refuse("validate", &flags.replace(&task, &wrong), &["the gold of problem", "is not that of the task"]);
}

#[test]
fn vectors_are_replayed_where_they_were_mined() {
    let folder = Folder::new();
    let (candidates, _, _) = folder.stages(1);
    let (model, rollouts) = (reference("model"), reference("rollouts.jsonl"));
    let mut seen = std::collections::HashSet::new();
    let problems = records(&rollouts).into_iter().filter(|r| seen.insert(r["id"].to_string()));
    let problems = problems.map(|r| json!({"id": r["id"], "prompt": r["prompt"], "gold": r["gold"]}).to_string());
    let task = folder.write("t.jsonl", problems.collect::<Vec<_>>().join("\n"));
    let out = folder.path("d");
    let flags = format!("--model {model} --rollouts {rollouts} --pairs {candidates} --out {out} --replay 3");
    refuse("diagnose", &flags, &["--replay needs --pairs", "--task"]);
    let told = crate::succeed("diagnose", &format!("{flags} --task {task} --replay-tokens 30 --replay-strengths 0.3"));
    assert!(told.starts_with("replay       layer 2: "), "{told}");
    let json = fs::read_to_string(folder.path("d/diagnosis.json")).unwrap();
    let diagnosis: stir::diagnosis::Diagnosis = serde_json::from_str(&json).unwrap();
    let replays = &diagnosis.layers[0].replays;
    assert_eq!(replays.len(), 2);
    for replay in replays {
        assert!(replay.intervention.ends_with(", x0.3"));
        assert!([replay.rescue, replay.harm].into_iter().flatten().all(|side| (1..=3).contains(&side.boundaries)));
    }
    assert!(!records(folder.path("d/replay-layer2.jsonl")).is_empty());
    assert_eq!(diagnosis.origin.unwrap().model, stir::model::fingerprint_of(&model).unwrap());
    assert!(fs::read_to_string(folder.path("d/diagnosis.html")).unwrap().contains("Right answers when replayed"));
}

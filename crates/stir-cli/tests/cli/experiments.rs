//! Experiments as files: what is shared, what survives a kill, and what is refused.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::json;

use crate::{Folder, command, records, reference, refuse, run, succeed};

const EXPERIMENT: &str = r#"
name = "small"
seeds = [3]
transfer = true
width = 2

[[models]]
name = "reference"
source = { folder = "MODEL" }

[[tasks]]
name = "short"
mine.stories = { count = 8, half = "mine", steps = [2] }
answer.stories = { count = 10, half = "answer", steps = [2] }

[[tasks]]
name = "file"
answer.file = "PROMPTS"

[answers]
max_tokens = 60

[mining]
rollout = { samples = 6, max_tokens = 100 }
basis = { budget = 16, min_per_control_point = 2 }
grid = { "induction.layers" = [["0.25"], ["0.75"]] }

[[methods]]
name = "plain"
method = "plain"

[[methods]]
name = "vote"
method = "self_consistency"
samples = 3

[[methods]]
name = "stir"
method = "stir"
grid = { k_scale = [0.5, 1.0] }
"#;

/// The file of a small experiment, and `--experiment` with it.
fn experiment(folder: &Folder, change: impl Fn(String) -> String) -> String {
    let problems = records(reference("steer.default.jsonl")).into_iter().take(4);
    let problems = problems.map(|p| json!({"id": p["id"], "prompt": p["prompt"], "gold": p["gold"]}).to_string());
    let prompts = folder.write("p.jsonl", problems.collect::<Vec<_>>().join("\n"));
    let text = EXPERIMENT.replace("MODEL", &reference("model")).replace("PROMPTS", &prompts);
    format!("--experiment {}", folder.write("e.toml", change(text)))
}

/// Every file of an experiment's stages by its path, without the times and without what a kill left half written.
fn outputs(out: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::from(out)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Those of the report are of the last run alone.
                if !path.ends_with("figures") {
                    folders.push(path);
                }
                continue;
            }
            let mut content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            if path.ends_with("answers.jsonl") {
                let timeless = records(&path).into_iter().map(|mut record| {
                    record.as_object_mut().unwrap().remove("seconds").unwrap();
                    format!("{record}\n")
                });
                content = timeless.collect();
            }
            let name = path.strip_prefix(out).unwrap().display().to_string();
            if name.contains('/') && !name.ends_with(".tmp") {
                found.insert(name, content);
            }
        }
    }
    found
}

/// Counts the finished answers and rollouts below a folder.
fn finished(out: &str) -> usize {
    let mut lines = 0;
    for kind in ["rollouts", "answers"] {
        for folder in fs::read_dir(Path::new(out).join(kind)).into_iter().flatten() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                if path.display().to_string().contains(".jsonl")
                    && !path.display().to_string().ends_with("settings.json")
                {
                    lines += fs::read(path).unwrap_or_default().iter().filter(|&&byte| byte == b'\n').count();
                }
            }
        }
    }
    lines
}

#[test]
fn an_experiment_that_is_killed_goes_on_and_ends_the_same() {
    let folder = Folder::new();
    let flags = experiment(&folder, |text| text);
    let (whole, killed) = (folder.path("whole"), folder.path("killed"));
    let printed = succeed("evaluate", &format!("{flags} --out {whole}"));
    for word in ["stir (k_scale 0.5, layer 1", "vote", "short, reference\n", "file, reference\n"] {
        assert!(printed.contains(word), "{word}: {printed}");
    }
    let (all, mut kills) = (finished(&whole), 0);
    for share in [0.2, 0.4, 0.55, 0.7, 0.85, 0.95] {
        let mut command = command("evaluate", &format!("{flags} --out {killed}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while finished(&killed) < (share * all as f64) as usize && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // SIGKILL: nothing of the process's own runs after it.
        child.kill().unwrap();
        kills += usize::from(child.wait().unwrap().code().is_none());
    }
    assert!(kills >= 3, "{kills}");
    let again = succeed("evaluate", &format!("{flags} --out {killed}"));
    let (found, expected) = (outputs(&killed), outputs(&whole));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, content) in &expected {
        assert_eq!(&found[name], content, "{name}");
    }
    // Once more, from what is there: the same to the letter.
    assert_eq!(succeed("evaluate", &format!("{flags} --out {killed}")), again);
}

#[test]
fn experiments_of_other_settings_do_not_meet() {
    let folder = Folder::new();
    let (out, flags) = (folder.path("out"), experiment(&folder, |text| text));
    let first = succeed("evaluate", &format!("{flags} --out {out}"));
    let before = outputs(&out);
    let changes = [("max_tokens = 60", "max_tokens = 30"), ("budget = 16", "budget = 8"), ("[0.5, 1.0]", "[0.5, 2.0]")];
    for (i, (from, to)) in changes.into_iter().enumerate() {
        let flags = experiment(&folder, |text| text.replace(from, to));
        let alone = folder.path(&format!("alone-{i}"));
        succeed("evaluate", &format!("{flags} --out {out}"));
        succeed("evaluate", &format!("{flags} --out {alone}"));
        // What is there of the others changed nothing.
        let (shared, alone) = (outputs(&out), outputs(&alone));
        assert!(alone.iter().all(|(name, content)| shared.get(name) == Some(content)), "{to}");
        assert!(alone.keys().any(|name| !before.contains_key(name)), "{to}");
    }
    let after = outputs(&out);
    assert!(before.iter().all(|(name, content)| after.get(name) == Some(content)));
    let flags = experiment(&folder, |text| text);
    assert_eq!(succeed("evaluate", &format!("{flags} --out {out}")), first);
}

#[test]
fn bad_experiments_are_named() {
    let folder = Folder::new();
    let out = folder.path("out");
    for (from, to, words) in [
        ("width = 2", "widht = 2", &["widht"][..]),
        ("folder = ", "foldr = ", &["models \"reference\" source", "foldr"]),
        ("half = \"mine\"", "half = \"third\"", &["tasks \"short\" mine", "third"]),
        ("answer.file", "answer.fil", &["tasks \"file\" answer", "fil"]),
        ("samples = 6", "seed = 6", &["mining.rollout", "seed"]),
        ("\"induction.layers\"", "\"induction.layer\"", &["mining.induction", "layer"]),
        ("[\"0.75\"]", "[\"1.75\"]", &["mining.induction", "1.75"]),
        ("k_scale = ", "kscale = ", &["methods \"stir\"", "kscale"]),
        ("steps = [2] }\nanswer", "steps = [5] }\nanswer", &["tasks \"short\" mine", "steps is 5"]),
        ("[\"0.75\"]", "[\"9\"]", &["candidates", "9"]),
        (
            "rollout = {",
            "induction = { positives = \"gold\" }\nrollout = {",
            &["mining.induction: positives", "Gold", "rollout in an experiment"],
        ),
        ("rollout = {", "induction = { k_pos = 0 }\nrollout = {", &["mining.induction", "k_pos is 0"]),
        ("folder = \"", "folder = \"/nowhere", &["models \"reference\"", "nowhere"]),
    ] {
        assert!(EXPERIMENT.contains(from), "{from}");
        let flags = experiment(&folder, |text| text.replacen(from, to, 1));
        refuse("evaluate", &format!("{flags} --out {out}"), words);
    }
    refuse("evaluate", &format!("--experiment {} --out {out}", folder.path("none.toml")), &["none.toml"]);
    assert_eq!(run("evaluate", &format!("--out {out}")).status.code(), Some(2));
}

#[test]
fn a_prompt_that_is_too_long_is_told_once_and_stops_no_experiment() {
    let folder = Folder::new();
    let long = json!({"id": "far too long", "question": "word ".repeat(600), "gold": 1});
    let flags = experiment(&folder, |text| text.replace("seeds = [3]", "seeds = [3, 4]"));
    let prompts = fs::read_to_string(folder.path("p.jsonl")).unwrap();
    folder.write("p.jsonl", format!("{prompts}\n{long}"));
    let output = run("evaluate", &format!("{flags} --out {}", folder.path("out")));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for word in ["an empty answer", "\"file\": problem \"far too long\"", "context"] {
        assert_eq!(told.matches(word).count(), 1, "{word}: {told}");
    }
}

#[test]
fn problems_that_cannot_be_sampled_are_told_and_the_others_mined() {
    let folder = Folder::new();
    let good = records(reference("steer.default.jsonl")).into_iter().take(10);
    let good = good.map(|p| json!({"id": p["id"], "prompt": p["prompt"], "gold": p["gold"]}).to_string());
    let long = json!({"id": "far too long", "question": "word ".repeat(600), "gold": 1}).to_string();
    let good: Vec<String> = good.collect();
    let mined = folder.write("m.jsonl", [&good[..5], std::slice::from_ref(&long), &good[5..]].concat().join("\n"));
    let alone = folder.write("l.jsonl", long);
    let with = |file: &str| {
        let stories = "mine.stories = { count = 8, half = \"mine\", steps = [2] }";
        experiment(&folder, |text| text.replace(stories, &format!("mine.file = \"{file}\"")))
    };
    let out = folder.path("out");
    let output = run("evaluate", &format!("{} --out {out}", with(&mined)));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for word in ["6 rollouts of problem \"far too long\" are missing", "context"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let rollouts = fs::read_dir(Path::new(&out).join("rollouts")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(records(rollouts.join("rollouts.jsonl")).len(), 10 * 6);
    let out = folder.path("nothing");
    refuse("evaluate", &format!("{} --out {out}", with(&alone)), &["rollouts of \"short\"", "far too long", "context"]);
}

//! Calibrations as files, and presets as what the other commands take.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{Folder, records, reference, refuse, run, succeed};

const CALIBRATION: &str = r#"
name = "small"
seed = 3
max_batch = 2
model = { name = "reference", source = { folder = "MODEL" } }
budget = { tokens = 60_000 }
halving = { first = 4 }

[problems]
mine.stories = { count = 8, half = "mine", steps = [2] }
development.stories = { count = 8, half = "answer", steps = [2] }
test.stories = { count = 6, half = "answer", steps = [2], skip = 8 }

[answers]
max_tokens = 60

[mining]
rollout = { samples = 6, max_tokens = 100 }
basis = { budget = 16, min_per_control_point = 2 }

[[methods]]
name = "stir"
method = "stir"
grid = { k_scale = [0.5, 1.0] }
"#;

fn calibration(folder: &Folder, change: impl Fn(String) -> String) -> String {
    folder.write("c.toml", change(CALIBRATION.replace("MODEL", &reference("model"))))
}

#[test]
fn a_calibration_ends_with_a_sentence_and_a_preset() {
    let folder = Folder::new();
    let (file, out) = (calibration(&folder, |text| text), folder.path("out"));
    let plan = succeed("calibrate", &format!("{file} --dry-run"));
    assert!(plan.contains("least budget") && !Path::new(&out).exists(), "{plan}");

    let told = succeed("calibrate", &format!("{file} --out {out}"));
    let sentence = told.lines().last().unwrap();
    let known = ["use it (", "no effect found (", "no effect found on development", "harms: do not use ("];
    assert!(known.iter().any(|words| sentence.starts_with(words)), "{told}");
    assert!(told.contains("Rung 2: the first 8 development problems") && told.contains("Looks at every set"), "{told}");
    let report = fs::read_to_string(format!("{out}/report.json")).unwrap();
    let value: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(value["sentence"], sentence);
    assert_eq!(value["test"]["problems"], 6);
    assert!(fs::read_to_string(format!("{out}/report.html")).unwrap().contains("Looks at every set"));
    // Again: everything is there.
    let again = succeed("calibrate", &format!("{file} --out {out} --json"));
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), value);
    assert_eq!(fs::read_to_string(format!("{out}/report.json")).unwrap(), report);

    let (_, _, prompts) = folder.stages(2);
    let answers = folder.path("a.jsonl");
    let model = reference("model");
    succeed("steer", &format!("--model {model} --preset {out}/preset.toml --prompts {prompts} --out {answers}"));
    assert_eq!(records(&answers).len(), 2);
}

#[test]
fn what_cannot_be_calibrated_is_told_before_a_model_is_loaded() {
    let folder = Folder::new();
    let refused = |from: &str, to: &str, words: &[&str]| {
        let file = calibration(&folder, |text| text.replace(from, to).replace(&reference("model"), "nowhere"));
        refuse("calibrate", &format!("{file} --out {}", folder.path("o")), words);
    };
    refused(", skip = 8", "", &["in common", "\"story-0\" of development is \"story-0\" of test", "as_published"]);
    refused("60_000", "6_000", &["budget.tokens is 6000"]);
    refused("k_scale =", "kscale =", &["c.toml", "kscale"]);
    refused("halving = { first = 4 }", "halving = { eta = 1 }", &["halving.eta is 1"]);
}

/// A preset says what flags would have said.
#[test]
fn presets_are_taken_in_the_place_of_flags() {
    let folder = Folder::new();
    let (_, library, prompts) = folder.stages(3);
    let preset = |method: &str| {
        let head = "calibration = \"c\"\nmodel = \"reference\"\nverdict = \"use_it\"\nsentence = \"use it\"\n";
        let text = format!("{head}library = {library:?}\n[method]\n{method}\n[answers]\nmax_tokens = 20\n");
        folder.write("preset.toml", text)
    };
    let model = reference("model");
    let file = preset("method = \"stir\"\nk_scale = 0.5");
    let common = format!("--model {model} --task {prompts} --methods plain,stir,random_vector");
    let [by_preset, by_flags] = ["p", "f"].map(|name| folder.path(name));
    succeed("evaluate", &format!("{common} --preset {file} --out {by_preset}"));
    succeed("evaluate", &format!("{common} --library {library} --k-scale 0.5 --max-tokens 20 --out {by_flags}"));
    for method in ["plain", "stir", "random_vector"] {
        let texts = |out: &str| {
            let answers = records(format!("{out}/answers.{method}.jsonl"));
            answers.iter().map(|answer| (answer["text"].clone(), answer["steps"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(texts(&by_preset), texts(&by_flags), "{method}");
    }
    let steer = format!("--model {model} --prompts {prompts} --preset {file} --out {}", folder.path("s.jsonl"));
    succeed("steer", &steer);
    assert_eq!(run("steer", &format!("{steer} --k-scale 1")).status.code(), Some(2));
    assert_eq!(
        run("evaluate", &format!("{common} --preset {file} --library {library} --out o")).status.code(),
        Some(2)
    );

    let plain = preset("method = \"plain\"");
    refuse("evaluate", &format!("{common} --preset {plain} --out {}", folder.path("n")), &["nothing to compare"]);
    refuse("evaluate", &format!("{common} --preset {library} --out {}", folder.path("n")), &["cannot be read"]);
}

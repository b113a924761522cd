//! The errors for bad input and for other settings.

use std::{fs, path::Path};

use serde_json::json;

use crate::{Folder, records, reference, refuse, run};

#[test]
fn rollouts_resume_and_what_fails_is_named() {
    let folder = Folder::new();
    let long = "word ".repeat(600);
    let task = [
        json!({"id": "good", "question": "Sam has 3 apples. Sam buys 4. How many apples now?", "gold": 7}),
        json!({"id": "long", "question": long, "gold": 1}),
        json!({"id": "empty", "prompt": "", "gold": 1}),
        json!({"id": "open", "question": "?"}),
    ];
    let task = folder.write("t.jsonl", task.map(|task| task.to_string()).join("\n\n"));
    let (model, out) = (reference("model"), folder.path("r.jsonl"));
    let flags = format!("--model {model} --task {task} --out {out} --samples 3 --max-tokens 40");
    let words = ["t.jsonl, line 3", "\"long\"", "context", "line 5", "no token", "line 7", "gold"];
    refuse("rollout", &flags, &words);
    let first = fs::read_to_string(&out).unwrap();
    assert_eq!(records(&out).iter().map(|r| r["k"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    refuse("rollout", &format!("{flags} --top-p 0.9"), &["top_p", "0.95"]);
    refuse("rollout", &format!("{flags} --compute bf16"), &["computation", "f32", "bf16"]);
    // The same weights, whose folder says that something else ends an answer.
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        fs::copy(Path::new(&model).join(file), folder.path(file)).unwrap();
    }
    folder.write("generation_config.json", r#"{"eos_token_id": [2, 5]}"#);
    refuse("rollout", &flags.replace(&model, &folder.path("")), &["end_tokens", "[2]", "[2,5]"]);
    fs::write(&out, first.lines().next().unwrap()).unwrap();
    refuse("rollout", &flags, &["3 problems or samples failed"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), first);
}

#[test]
fn bad_settings_are_named() {
    let folder = Folder::new();
    let (candidates, library, prompts) = folder.stages(1);
    let (model, out, rollouts) = (reference("model"), folder.path("o"), reference("rollouts.jsonl"));
    let steer = format!("--model {model} --library {library} --prompts {prompts} --out {out}");
    refuse("steer", &format!("{steer} --max-tokens 0"), &["max_tokens is 0"]);
    refuse("steer", &format!("{steer} --width 0"), &["max_batch is 0"]);
    refuse("steer", &format!("{steer} --candidates 0"), &["candidates is 0"]);
    refuse("steer", &format!("{steer} --top-p 0"), &["top_p is 0"]);
    refuse("steer", &format!("{steer} --min-p 2"), &["min_p is 2"]);
    refuse("steer", &format!("{steer} --repetition-penalty 0"), &["repetition_penalty is 0"]);
    refuse("steer", &format!("{steer} --stop x --stop="), &["stop string 1 is empty"]);
    refuse("rollout", &format!("--model {model} --task {prompts} --out {out} --stop="), &["stop string 0 is empty"]);
    refuse("steer", &format!("{steer} --tau inf"), &["tau_null is inf"]);
    refuse("rollout", &format!("--model {model} --task {prompts} --out {out} --max-tokens 0"), &["max_tokens is 0"]);
    refuse("basis", &format!("--candidates {candidates} --out {out} --budget 0"), &["budget is 0"]);
    let induce = format!("--model {model} --rollouts {rollouts} --out {out}");
    refuse("induce", &format!("{induce} --layers 5"), &["5"]);
    refuse("induce", &format!("{induce} --min-correct 3"), &["min_correct is 3"]);
    refuse("induce", &format!("{induce} --max-tokens 0"), &["max_tokens is 0"]);
    refuse("induce", &format!("{induce} --max-kl 0.1"), &["--max-kl", "length or thoughts"]);
    refuse("induce", &format!("{induce} --contrast length --center"), &["--center", "length or thoughts"]);
    refuse("induce", &format!("{induce} --contrast length --stable 0.5"), &["--stable", "thoughts"]);
    // Before the model is loaded, and before a method that comes first is run.
    refuse("steer", &format!("{steer} --k-scale -1"), &["k_scale is -1"]);
    let evaluate = format!("--model {model} --library {library} --task {prompts} --out {out}");
    for (flags, words) in [
        ("--methods plain,stir --tau-null nan", ["tau_null is NaN", ""]),
        ("--methods plain,deer --deer-threshold 2", ["threshold is 2", "deer"]),
        ("--methods plain,plain", ["\"plain\"", "twice"]),
    ] {
        refuse("evaluate", &format!("{evaluate} {flags}"), &words);
        assert!(fs::read_dir(&out).unwrap().next().is_none(), "{flags}");
    }
    fs::remove_dir(&out).unwrap();
    for (flags, word) in [
        ("--mined-problems 0", "mined_problems is 0"),
        ("--compared-problems 0", "compared_problems is 0"),
        ("--mined-problems 2 --layers 99", "layer 99"),
    ] {
        refuse("pipeline", &format!("--model {model} --out {} {flags}", folder.path("all")), &[word]);
        assert!(!Path::new(&folder.path("all/rollouts.jsonl")).exists(), "{flags}");
    }
    refuse("train-tiny", &format!("--out {out} --batch 0"), &["batch is 0"]);
    assert!(!Path::new(&out).exists());
    // What does not parse is a matter of usage.
    for (flag, word) in [("--layers 1.5", "1.5"), (r"--delimiter \q", r"\q"), ("--positives gold", "--gold")] {
        let output = run("induce", &format!("{induce} {flag}"));
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(word));
    }
}

#[test]
fn bad_files_are_named() {
    let folder = Folder::new();
    let (candidates, library, prompts) = folder.stages(1);
    let (model, out) = (reference("model"), folder.path("o"));
    let cut = |name: &str, whole: &str| {
        let bytes = fs::read(whole).unwrap();
        folder.write(name, &bytes[..bytes.len() - 7])
    };
    refuse("basis", &format!("--candidates {} --out {out}", folder.path("none.stir")), &["none.stir"]);
    refuse("basis", &format!("--candidates {} --out {out}", cut("cut-c.stir", &candidates)), &["cut-c.stir", "bytes"]);
    refuse("basis", &format!("--candidates {library} --out {out}"), &["l.stir"]);
    let steer =
        |library: &str, prompts: &str| format!("--model {model} --library {library} --prompts {prompts} --out {out}");
    refuse("steer", &steer(&cut("cut-l.stir", &library), &prompts), &["cut-l.stir", "bytes"]);
    refuse("steer", &steer(&library, &folder.path("none.jsonl")), &["none.jsonl"]);
    refuse("induce", &format!("--model {model} --rollouts {} --out {out}", folder.path("none")), &["none"]);
    refuse("rollout", &format!("--model {} --task {prompts} --out {out}", folder.path("no-model")), &["no-model"]);

    let good = r#"{"id": "a", "prompt": "Go", "gold": "1"}"#;
    let broken = folder.write("broken.jsonl", format!("{good}\n{{\"id\": \"b\", \"prompt\": \n"));
    refuse("rollout", &format!("--model {model} --task {broken} --out {out}"), &["broken.jsonl, line 2"]);
    refuse("steer", &steer(&library, &broken), &["broken.jsonl, line 2"]);
    refuse("induce", &format!("--model {model} --rollouts {broken} --out {out}"), &["broken.jsonl, line 1"]);
    let empty = folder.write("empty.jsonl", format!("{good}\n\n{}", json!({"id": "b", "prompt": ""})));
    refuse("steer", &steer(&library, &empty), &["empty.jsonl, line 3", "\"b\"", "no token"]);
    let long = folder.write("long.jsonl", json!({"id": "c", "question": "word ".repeat(600)}).to_string());
    refuse("steer", &steer(&library, &long), &["long.jsonl, line 1", "\"c\"", "context of 512"]);
    assert!(!Path::new(&out).exists());
}

//! Steered answers: the chain of stages that leads to them, and what they hold.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use stir::model::Checkpoint;

use crate::{BASIS, Folder, fixture, records, reference, refuse, succeed};

#[test]
fn the_chain_from_rollouts_to_answers() {
    let folder = Folder::new();
    let (candidates, library, prompts) = folder.stages(10);

    let (again, export) = (folder.path("again.stir"), folder.path("l.safetensors"));
    let printed = succeed("basis", &format!("--pairs {candidates} --out {again} --export {export} {BASIS}"));
    assert!(printed.contains("64 entries"), "{printed}");
    assert_eq!(fs::read(&library).unwrap(), fs::read(&again).unwrap());
    assert_eq!(Checkpoint::open_file(Path::new(&export)).unwrap().floats("keys").unwrap().1, [64, 128]);

    let (model, out) = (reference("model"), folder.path("o.jsonl"));
    let steer = format!("--model {model} --library {library} --prompts {prompts} --out {out} --max-tokens 200");
    succeed("steer", &steer);
    check_answers(&records(&out), &records(reference("steer.default.jsonl"))[..10]);
    assert!(Path::new(&folder.path("o.jsonl.settings.json")).exists());

    let unsteered = folder.path("unsteered.jsonl");
    succeed("steer", &format!("{} --variant no_memory", steer.replace(&out, &unsteered)));
    for (found, expected) in records(&unsteered).iter().zip(records(reference("steer.plain.jsonl"))) {
        for field in ["id", "prompt", "gold", "text", "token_ids", "tokens", "probe_tokens", "correct"] {
            assert_eq!(found[field], expected[field], "{field} of {}", expected["id"]);
        }
    }
}

/// Checks the fields of answers. What is chosen depends on the library, whose first diverse entry is a tie that
/// rounding decides; up to the first control point the golden answers were generated in the same way.
fn check_answers(found: &[Value], expected: &[Value]) {
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let with = |value: &Value, more: &[&str]| &names(value) | &more.iter().map(|&name| name.to_owned()).collect();
    let count = |value: &Value| value.as_u64().unwrap() as usize;
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(names(found), with(expected, &["finish", "forward_passes"]));
        for field in ["id", "prompt", "gold"] {
            assert_eq!(found[field], expected[field]);
        }
        let tokens = found["token_ids"].as_array().unwrap();
        assert_eq!(count(&found["tokens"]), tokens.len());
        assert!(count(&found["forward_passes"]) >= tokens.len());
        assert!(found["finish"] == "eos" || tokens.len() == 200);
        let steps = found["steps"].as_array().unwrap();
        assert_eq!(steps.iter().map(|step| count(&step["tokens"])).sum::<usize>(), tokens.len());
        let first = count(&expected["steps"][0]["tokens"]);
        assert_eq!(tokens[..first], expected["token_ids"].as_array().unwrap()[..first]);
        for (i, step) in steps.iter().enumerate() {
            assert_eq!(names(step), with(&expected["steps"][0], &["layer", "null_score", "scale", "retrieved"]));
            assert_eq!(count(&step["segment"]), i + 1);
            let (candidates, score) = (step["candidates"].as_array().unwrap(), &step["score"]);
            match candidates.iter().find(|candidate| candidate["entry"] == step["chosen"]) {
                Some(chosen) => {
                    assert_eq!(names(chosen), names(&expected["steps"][1]["candidates"][0]));
                    assert_eq!(&chosen["score"], score);
                    assert!(score.as_f64() > step["null_score"].as_f64());
                    assert!((score.as_f64().unwrap() - step["scale"].as_f64().unwrap()).abs() < 1e-6);
                }
                None => assert!(step["chosen"].is_null() && step["scale"] == 0.0 && *score == step["null_score"]),
            }
        }
    }
    assert!(found.iter().any(|answer| answer["steps"].as_array().unwrap().iter().any(|s| !s["chosen"].is_null())));
}

#[test]
fn without_gold_there_is_no_verdict_and_questions_are_templated() {
    let folder = Folder::new();
    let (_, library, _) = folder.stages(1);
    let question = "Sam has 16 apples. Sam sells 14. Sam buys 35. How many apples now?";
    let prompts = folder.write("q.jsonl", json!({"id": 7, "question": question}).to_string());
    let (model, out) = (reference("model"), folder.path("o.jsonl"));
    succeed("steer", &format!("--model {model} --library {library} --prompts {prompts} --out {out} --max-tokens 20"));
    let found = &records(&out)[0];
    assert_eq!((&found["id"], &found["tokens"], &found["finish"]), (&json!("7"), &json!(20), &json!("length")));
    assert_eq!(found["prompt"], format!("<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"));
    assert!(found.get("gold").is_none() && found.get("correct").is_none());
}

#[test]
fn stop_strings_and_ways_to_draw_reach_the_answers() {
    let folder = Folder::new();
    let (_, library, prompts) = folder.stages(4);
    let (model, out) = (reference("model"), folder.path("o.jsonl"));
    let flags = format!("--model {model} --library {library} --prompts {prompts} --out {out} --max-tokens 60");
    let run = |more: &str| {
        let _ = fs::remove_file(&out);
        succeed("steer", &format!("{flags} {more}"));
        records(&out)
    };
    let free = run("");
    let stopped = run(r"--stop 7 --stop \n\n");
    for (free, stopped) in free.iter().zip(&stopped) {
        let text = free["text"].as_str().unwrap();
        let end = text.find('7').unwrap_or(text.len()).min(text.find("\n\n").unwrap_or(text.len()));
        assert_eq!(stopped["text"], text[..end]);
        assert_eq!(stopped["finish"] == "stop", end < text.len());
    }
    assert!(stopped.iter().any(|answer| answer["finish"] == "stop"));
    // The likeliest of one is the likeliest of all; a penalty changes greedy answers too.
    let texts = |answers: &[Value]| answers.iter().map(|answer| answer["text"].clone()).collect::<Vec<_>>();
    for (flags, same) in [
        ("--temperature 2", false),
        ("--temperature 2 --top-k 1", true),
        ("--temperature 2 --min-p 1", true),
        ("--repetition-penalty 1.5", false),
    ] {
        assert_eq!(texts(&run(flags)) == texts(&free), same, "{flags}");
    }
}

#[test]
fn steer_goes_on_where_it_stopped_and_refuses_other_settings() {
    let folder = Folder::new();
    let (_, library, prompts) = folder.stages(4);
    let (model, out, whole) = (reference("model"), folder.path("o.jsonl"), folder.path("whole.jsonl"));
    let flags = format!("--model {model} --library {library} --prompts {prompts} --max-tokens 30");
    succeed("steer", &format!("{flags} --out {whole}"));

    // A folder in the way of the output.
    fs::create_dir(&out).unwrap();
    refuse("steer", &format!("{flags} --out {out}"), &["o.jsonl"]);
    fs::remove_dir(&out).unwrap();
    // As if killed while the third answer was written, when the second had come first.
    succeed("steer", &format!("{flags} --out {out}"));
    let text = fs::read_to_string(&out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let text = format!("{}\n{}\n{}", lines[1], lines[0], &lines[2][..30]);
    fs::write(&out, &text).unwrap();

    refuse("steer", &format!("{flags} --out {out} --beta 1"), &["o.jsonl", "beta was 2.0", "is 1.0 now"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), text);
    succeed("steer", &format!("{flags} --out {out}"));
    assert_eq!(fs::read_to_string(&out).unwrap(), fs::read_to_string(&whole).unwrap());
    // Finished answers are not written over.
    refuse("steer", &format!("{flags} --out {out} --beta 1"), &["o.jsonl:", "beta was 2.0", "another --out"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), fs::read_to_string(&whole).unwrap());
}

#[test]
fn another_models_library_is_refused() {
    let folder = Folder::new();
    let (_, library, prompts) = folder.stages(1);
    let (model, out) = (fixture("models/qwen2-tied").display().to_string(), folder.path("o"));
    let flags = format!("--model {model} --library {library} --prompts {prompts} --out {out}");
    refuse("steer", &flags, &["l.stir", "another model", "n_layers"]);
}

#[test]
fn pairs_are_checked_against_a_model_without_loading_it() {
    let folder = Folder::new();
    let (candidates, _, _) = folder.stages(1);
    let flags = format!("--pairs {candidates} --out {} {BASIS}", folder.path("b.stir"));
    succeed("basis", &format!("{flags} --model {}", reference("model")));
    // Its weights are others, and one of them is no number.
    refuse("basis", &format!("{flags} --model {}", folder.unloadable()), &["c.stir", "another model", "weights"]);
    refuse("basis", &format!("{flags} --model {}", folder.path("none")), &["none"]);
    refuse("basis", &format!("{flags} --export {}", folder.path("none/b.safetensors")), &["none/b.safetensors"]);
    refuse("basis", &flags.replace("b.stir", "none/b.stir"), &["none/b.stir"]);
}

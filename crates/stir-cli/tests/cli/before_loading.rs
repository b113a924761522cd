//! What is wrong with a command is told before its model is loaded, which may take minutes. The model here cannot be
//! loaded, so an error about anything else came first.

use std::fs;

use serde_json::json;

use crate::{Folder, fixture, records, reference, refuse, succeed};

#[test]
fn the_model_is_the_last_to_be_read() {
    let folder = Folder::new();
    let model = folder.unloadable();
    let golden = fixture("models/qwen2-tied/expected.safetensors").display().to_string();
    let ids = format!("--tokens-from {golden}:input_ids --out {}", folder.path("o"));
    refuse("inspect", &format!("--model {model} {ids}"), &["cannot load the model", "NaN"]);
}

#[test]
fn rollout_tells_before() {
    let folder = Folder::new();
    let (_, _, task) = folder.stages(2);
    let (model, out) = (reference("model"), folder.path("r.jsonl"));
    let flags =
        |model: &str, out: &str| format!("--model {model} --task {task} --samples 2 --max-tokens 5 --out {out}");
    succeed("rollout", &flags(&model, &out));
    let model = folder.unloadable();
    refuse("rollout", &format!("{} --seed 1", flags(&model, &out)), &["config.seed was 0", "another --out"]);
    refuse("rollout", &format!("{} --limit 1", flags(&model, &out)), &["tasks is not what it was"]);
    refuse("rollout", &format!("{} --top-p 2", flags(&model, &out)), &["top_p is 2"]);
    refuse("rollout", &flags(&model, &folder.path("none/r.jsonl")), &["none/r.jsonl", "No such file"]);
    refuse("rollout", &flags(&model, &folder.path("")), &["cannot write"]);
    refuse("rollout", &flags(&model, &out).replace("p.jsonl", "q.jsonl"), &["q.jsonl"]);
    fs::remove_file(folder.path("r.jsonl.settings.json")).unwrap();
    refuse("rollout", &flags(&model, &out), &["4 records", "is missing"]);
    // A question needs a chat template.
    let model = folder.model(|name, content| Some(content).filter(|_| name != "chat_template.jinja"));
    fs::remove_file(folder.path("model/chat_template.jinja")).unwrap();
    let task = folder.write("question.jsonl", json!({"id": 1, "question": "2 + 2?", "gold": 4}).to_string());
    refuse("rollout", &format!("--model {model} --task {task} --out {out}"), &["line 1", "chat template"]);
}

#[test]
fn fork_tells_before() {
    let folder = Folder::new();
    let (_, _, task) = folder.stages(2);
    let (sampler, rollouts, out) = (reference("model"), folder.path("r.jsonl"), folder.path("f.jsonl"));
    succeed("rollout", &format!("--model {sampler} --task {task} --samples 2 --max-tokens 5 --out {rollouts}"));
    let model = folder.unloadable();
    let flags = format!("--model {model} --task {task} --rollouts {rollouts} --out {out}");
    refuse("fork", &format!("{flags} --temperature 0"), &["temperature is 0", "alike"]);
    refuse("fork", &format!("{flags} --continuations 1"), &["continuations is 1"]);
    refuse("fork", &format!("{flags} --answers number"), &["judged by", "--answers"]);
    refuse("fork", &format!("{flags} --limit 1"), &["r.jsonl", "is not one of the task"]);
    refuse("fork", &flags.replace("f.jsonl", "none/f.jsonl"), &["none/f.jsonl"]);
    refuse("fork", &flags.replace("f.jsonl", "r.jsonl"), &["would take the place of what is read"]);
    refuse("fork", &flags, &["cannot load the model"]);
}

#[test]
fn induce_tells_before() {
    let folder = Folder::new();
    let (model, rollouts) = (folder.unloadable(), reference("rollouts.jsonl"));
    let flags = format!("--model {model} --rollouts {rollouts} --out {}", folder.path("c.stir"));
    refuse("induce", &format!("{flags} --layers 5"), &["layer 5"]);
    refuse("induce", &format!("{flags} --preset sound"), &["--forks and --contrast forked", "stir fork"]);
    refuse("induce", &format!("{flags} --forks {rollouts}"), &["--forks and --contrast forked"]);
    refuse("induce", &format!("{flags} --contrast forked --forks {rollouts}"), &["rollouts.jsonl", "line 1"]);
    refuse("induce", &flags.replace("c.stir", "none/c.stir"), &["none/c.stir"]);
    let rollouts = folder.write("r.jsonl", fs::read(&rollouts).unwrap());
    let other = json!({"model": {
        "architecture": "qwen2", "n_layers": 99, "hidden_size": 128, "vocab_size": 512, "tokenizer": "", "weights": "",
    }});
    folder.write("r.jsonl.settings.json", other.to_string());
    let flags = format!("--model {model} --rollouts {rollouts} --out {}", folder.path("c.stir"));
    refuse("induce", &flags, &["the rollouts were made for another model", "n_layers is \"99\""]);
}

#[test]
fn what_is_read_is_not_written_over() {
    let folder = Folder::new();
    let (candidates, library, _) = folder.stages(2);
    let (model, rollouts) =
        (folder.unloadable(), folder.write("r.jsonl", fs::read(reference("rollouts.jsonl")).unwrap()));
    let kept = [&rollouts, &candidates, &library].map(|path| fs::read(path).unwrap());
    let words = &["would take the place of what is read"];
    refuse("induce", &format!("--model {model} --rollouts {rollouts} --out {rollouts}"), words);
    refuse("induce", &format!("--model {model} --rollouts {rollouts} --out {model}/config.json"), words);
    refuse("basis", &format!("--pairs {candidates} --out {candidates}"), words);
    refuse("basis", &format!("--pairs {candidates} --model {model} --out {model}/config.json"), words);
    refuse("basis", &format!("--pairs {candidates} --out {library} --export {library}"), words);
    let golden = fixture("models/qwen2-tied/expected.safetensors").display().to_string();
    let ids = format!("--tokens-from {golden}:input_ids --out {model}/model.safetensors");
    refuse("inspect", &format!("--model {model} {ids}"), words);
    #[cfg(unix)]
    refuse("induce", &format!("--model {model} --rollouts {rollouts} --out /dev/zero"), &["device or a pipe"]);
    assert_eq!(kept, [&rollouts, &candidates, &library].map(|path| fs::read(path).unwrap()));
}

#[test]
fn diagnose_tells_before() {
    let folder = Folder::new();
    let (candidates, _, _) = folder.stages(1);
    let (model, rollouts) = (folder.unloadable(), reference("rollouts.jsonl"));
    let flags = format!("--model {model} --rollouts {rollouts} --out {}", folder.path("d"));
    refuse("diagnose", &format!("{flags} --layers 5"), &["layer 5"]);
    refuse("diagnose", &format!("{flags} --max-batch 0"), &["max_batch is 0"]);
    refuse("diagnose", &format!("{flags} --delimiter abc"), &["rollouts.jsonl", "\"abc\"", "--delimiter"]);
    refuse("diagnose", &flags.replace("/d", "/c.stir"), &["c.stir"]);
    refuse("diagnose", &format!("{flags} --pairs {}", folder.path("l.stir")), &["l.stir"]);
    let pairs = format!("{flags} --pairs {candidates}");
    refuse("diagnose", &format!("{pairs} --delimiter ."), &["c.stir", r"\n\n", "\".\""]);
    refuse("diagnose", &format!("{pairs} --layers 0,1"), &["c.stir has no pair of layer 0, 1", "--layers"]);
    let other = fixture("models/qwen2-tied").display().to_string();
    refuse("diagnose", &pairs.replace(&model, &other), &["c.stir", "another model", "n_layers"]);

    let wrong: Vec<_> = records(&rollouts).into_iter().filter(|rollout| rollout["correct"] == false).collect();
    let lines: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    let wrong_only = folder.write("wrong.jsonl", lines.join("\n"));
    let words = ["problems in", "wrong.jsonl has right and wrong rollouts", "draw more samples"];
    refuse("diagnose", &flags.replace(&rollouts, &wrong_only), &words);
    let copied = folder.write("r.jsonl", fs::read(&rollouts).unwrap());
    let other = json!({"model": {
        "architecture": "qwen2", "n_layers": 99, "hidden_size": 128, "vocab_size": 512, "tokenizer": "", "weights": "",
    }});
    folder.write("r.jsonl.settings.json", other.to_string());
    let words = ["the rollouts were made for another model", "n_layers is \"99\""];
    refuse("diagnose", &flags.replace(&rollouts, &copied), &words);
    refuse("diagnose", &flags, &["cannot load the model"]);
}

#[test]
fn steer_evaluate_and_pipeline_tell_before() {
    let folder = Folder::new();
    let (_, library, prompts) = folder.stages(2);
    let (out, dir) = (folder.path("o.jsonl"), folder.path("e"));
    let steer = format!("--library {library} --prompts {prompts} --max-tokens 5");
    let evaluate = format!("--library {library} --task {prompts} --max-tokens 5 --methods plain,stir");
    succeed("steer", &format!("--model {} {steer} --out {out}", reference("model")));
    succeed("evaluate", &format!("--model {} {evaluate} --out {dir}", reference("model")));
    let model = folder.unloadable();
    let (steer, evaluate) = (format!("--model {model} {steer}"), format!("--model {model} {evaluate}"));
    for (flags, words) in [
        ("--top-p 2", ["top_p is 2", ""]),
        ("--stop=", ["stop string 0 is empty", ""]),
        ("--width 0", ["max_batch is 0", ""]),
        ("--k-scale -1", ["k_scale is -1", ""]),
        ("--beta 1", ["beta was 2.0", "another --out"]),
        ("--seed 1", ["seed was 0", "another --out"]),
    ] {
        refuse("steer", &format!("{steer} --out {out} {flags}"), &words);
        refuse("evaluate", &format!("{evaluate} --out {dir} {flags}"), &words);
    }
    refuse("steer", &format!("{steer} --out {}", folder.path("none/o.jsonl")), &["none/o.jsonl"]);
    let broken = folder.write("broken.jsonl", "{");
    let bare = folder.write("bare.jsonl", json!({"id": 7, "prompt": "?"}).to_string());
    for (file, bad, word) in [(&library, &broken, "broken.jsonl"), (&prompts, &broken, "broken.jsonl, line 1")] {
        refuse("steer", &format!("{} --out {out}", steer.replace(file, bad)), &[word]);
        refuse("evaluate", &format!("{} --out {dir}", evaluate.replace(file, bad)), &[word]);
    }
    refuse("evaluate", &format!("{} --out {dir}", evaluate.replace(&prompts, &bare)), &["\"7\"", "gold"]);
    for (flags, word) in [
        ("--top-p 2", "top_p is 2"),
        ("--budget 0", "budget is 0"),
        ("--samples 0", "samples is 0"),
        ("--layers 99", "layer 99"),
    ] {
        refuse("pipeline", &format!("--model {model} --out {} {flags}", folder.path("all")), &[word]);
    }
    // A folder of other settings is left as it is.
    let made = folder.path("pipeline");
    let few = format!("--mined-problems 8 --compared-problems 2 --methods plain --out {made}");
    succeed("pipeline", &few);
    let library = || fs::read(format!("{made}/library.stir")).unwrap();
    let (before, words) = (library(), ["budget was 64", "is 32 now", "another --out"]);
    refuse("pipeline", &format!("{few} --budget 32"), &words);
    assert!(library() == before);
    // A library of a model of other sizes.
    let other = fixture("models/qwen2-tied").display().to_string();
    let words = ["l.stir", "another model", "n_layers"];
    refuse("steer", &format!("{} --out {out}", steer.replace(&model, &other)), &words);
    refuse("evaluate", &format!("{} --out {dir}", evaluate.replace(&model, &other)), &words);
}

#[test]
fn chat_and_inspect_tell_before() {
    let folder = Folder::new();
    let (_, library, _) = folder.stages(1);
    let model = folder.unloadable();
    for (flags, word) in [
        ("--max-tokens 0".to_owned(), "max_tokens is 0"),
        ("--temperature -1".to_owned(), "temperature is -1"),
        ("--stop=".to_owned(), "stop string 0 is empty"),
        (format!("--library {library} --candidates 0"), "candidates is 0"),
        ("--candidates 0".to_owned(), "candidates is 0"),
        (format!("--library {}", folder.path("none.stir")), "none.stir"),
    ] {
        refuse("chat", &format!("--model {model} --message Hello {flags}"), &[word]);
    }
    let other = fixture("models/qwen2-tied").display().to_string();
    refuse("chat", &format!("--model {other} --message Hello --library {library}"), &["another model", "n_layers"]);

    let golden = fixture("models/qwen2-tied/expected.safetensors").display().to_string();
    let inspect = |more: &str| format!("--model {model} --tokens-from {golden}:input_ids {more}");
    let out = folder.path("o");
    let edit = format!("--out {out} --edit {golden}:vec --edit-layer");
    refuse("inspect", &inspect(&format!("--out {}", folder.path("none/o"))), &["none/o"]);
    refuse("inspect", &inspect(&format!("--out {out} --greedy 600")), &["context of 512"]);
    refuse("inspect", &inspect(&format!("{edit} 99 --edit-position 0")), &["blocks.99.hook_resid_post"]);
    refuse("inspect", &inspect(&format!("{edit} 0 --edit-position 0")), &["vector has"]);
}

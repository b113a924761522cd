//! The stage binaries as processes: golden outputs, the whole chain, and what bad input gets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use stir::model::Checkpoint;
use tempfile::TempDir;

const STAGES: [&str; 8] = ["inspect", "rollout", "induce", "basis", "steer", "chat", "evaluate", "grade"];

/// A stage with the flags of `args`, which white space separates; paths without white space only.
fn run(stage: &str, args: &str) -> Output {
    command(stage, args).output().unwrap()
}

fn command(stage: &str, args: &str) -> Command {
    let exe = std::env::current_exe().unwrap();
    // target/PROFILE/deps/cli-HASH
    let exe = exe.parent().unwrap().parent().unwrap().join("examples").join(stage);
    assert!(exe.exists(), "{} is missing: build it with `cargo build --examples`", exe.display());
    let mut command = Command::new(exe);
    command.args(args.split_whitespace());
    command
}

/// A conversation with `chat`: what it prints for these lines of input.
fn chat(args: &str, input: &str) -> Output {
    let mut command = command("chat", args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What a stage that ends well prints.
fn succeed(stage: &str, args: &str) -> String {
    let output = run(stage, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stage} {args}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that a stage refuses and says why: each of `words` stands in its report.
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

    /// Candidates and a library of the reference run, and the first `n` of its problems.
    fn stages(&self, n: usize) -> (String, String, String) {
        let (candidates, library) = (self.path("c.stir"), self.path("l.stir"));
        let (model, rollouts) = (reference("model"), reference("rollouts.jsonl"));
        succeed("induce", &format!("--model {model} --rollouts {rollouts} --out {candidates}"));
        succeed("basis", &format!("--candidates {candidates} --out {library}"));
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

fn assert_close(what: &str, expected: &Checkpoint, found: &Checkpoint) {
    let ((expected, shape), (found, found_shape)) = (expected.floats(what).unwrap(), found.floats(what).unwrap());
    assert_eq!(shape, found_shape, "{what}");
    let largest = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let gap = expected.iter().zip(&found).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(gap <= 2e-4 * largest, "{what}: off by {} of the largest magnitude", gap / largest);
}

#[test]
fn inspect_finds_what_transformers_does() {
    for name in ["qwen2-tied", "qwen2-untied-bf16-sharded", "llama-3.1-rope", "qwen3-qknorm", "mistral-window"] {
        let (dir, folder) = (fixture("models").join(name), Folder::new());
        let golden_path = dir.join("expected.safetensors").display().to_string();
        let golden = Checkpoint::open_file(Path::new(&golden_path)).unwrap();
        let common = format!("--model {} --tokens-from {golden_path}:input_ids --greedy 32", dir.display());

        let plain = folder.path("plain.safetensors");
        succeed("inspect", &format!("{common} --out {plain}"));
        let plain = Checkpoint::open_file(Path::new(&plain)).unwrap();
        assert_eq!(plain.integers("greedy_ids").unwrap(), golden.integers("greedy_ids").unwrap(), "{name}");
        // The sharded model's file was made with rotary frequencies rounded to bf16, which moves its states.
        if name != "qwen2-untied-bf16-sharded" {
            assert_close("logits", &golden, &plain);
            let layers = (0..).map(|layer| format!("resid_post.{layer}"));
            layers.take_while(|what| golden.floats(what).is_ok()).for_each(|what| assert_close(&what, &golden, &plain));
        }

        let steer: Value = serde_json::from_slice(&fs::read(dir.join("expected.json")).unwrap()).unwrap();
        let (layer, position, scale) = (&steer["steer_layer"], &steer["steer_position"], &steer["steer_scale"]);
        let edited = folder.path("edited.safetensors");
        let edit =
            format!("--edit {golden_path}:vec --edit-layer {layer} --edit-position {position} --edit-scale {scale}");
        succeed("inspect", &format!("{common} {edit} --out {edited}"));
        let edited = Checkpoint::open_file(Path::new(&edited)).unwrap();
        assert_eq!(edited.integers("greedy_ids").unwrap(), golden.integers("steered_ids").unwrap(), "{name}");
        // The edit shows in the layer it was made in, at its position and not before.
        let name = format!("resid_post.{layer}");
        let ((before, shape), (after, _)) = (plain.floats(&name).unwrap(), edited.floats(&name).unwrap());
        let from = position.as_u64().unwrap() as usize * shape[2];
        assert_eq!(before[..from], after[..from]);
        let vector = golden.floats("vec").unwrap().0;
        let scale = scale.as_f64().unwrap() as f32;
        for (i, x) in vector.iter().enumerate() {
            assert!((before[from + i] + scale * x - after[from + i]).abs() < 1e-4);
        }
    }
}

#[test]
fn the_chain_from_rollouts_to_answers() {
    let folder = Folder::new();
    let (candidates, library, prompts) = folder.stages(10);

    let (again, export) = (folder.path("again.stir"), folder.path("l.safetensors"));
    let printed = succeed("basis", &format!("--candidates {candidates} --out {again} --export {export}"));
    assert!(printed.contains("64 entries"), "{printed}");
    assert_eq!(fs::read(&library).unwrap(), fs::read(&again).unwrap());
    assert_eq!(Checkpoint::open_file(Path::new(&export)).unwrap().floats("keys").unwrap().1, [64, 128]);

    let (model, out) = (reference("model"), folder.path("o.jsonl"));
    let steer = format!("--model {model} --library {library} --prompts {prompts} --out {out}");
    succeed("steer", &steer);
    check_answers(&records(&out), &records(reference("steer.default.jsonl"))[..10]);
    assert!(!Path::new(&folder.path("o.jsonl.partial")).exists());

    succeed("steer", &format!("{steer} --variant no_memory"));
    for (found, expected) in records(&out).iter().zip(records(reference("steer.plain.jsonl"))) {
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
fn chat_shows_what_steer_generates_and_where_it_steers() {
    let folder = Folder::new();
    let (_, library, _) = folder.stages(1);
    let question = "Sam has 16 apples. Sam sells 14. Sam buys 35. How many apples now?";
    let prompts = folder.write("q.jsonl", json!({"id": "q", "question": question}).to_string());
    let (model, out) = (reference("model"), folder.path("o.jsonl"));
    succeed("steer", &format!("--model {model} --library {library} --prompts {prompts} --out {out}"));
    let steered = &records(&out)[0];
    let marks = steered["steps"].as_array().unwrap().iter().filter(|step| step["scale"] != 0.0).count();
    assert!(marks > 0);

    let said = chat(&format!("--model {model} --library {library} --max-tokens 200"), question);
    let text = String::from_utf8(said.stdout).unwrap();
    let mut parts = text.split("[entry ");
    let mut without = parts.next().unwrap().to_owned();
    parts.clone().for_each(|part| without += part.split_once(']').unwrap().1);
    assert_eq!(without.trim_end(), steered["text"].as_str().unwrap().trim_end());
    assert_eq!(parts.count(), marks);
    assert!(String::from_utf8_lossy(&said.stderr).contains(&format!("{marks} segments steered")));

    let colored = chat(&format!("--model {model} --library {library} --color always"), question).stdout;
    assert!(String::from_utf8(colored).unwrap().contains("\x1b[36m"));
}

#[test]
fn chat_remembers_until_it_is_told_to_forget() {
    let model = reference("model");
    let question = "Tom has 9 pens. Tom buys 8. How many pens now?";
    let lines = |input: &str, more: &str| {
        let output = chat(&format!("--model {model} --max-tokens 30 {more}"), input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (once, told) = lines(question, "");
    assert!(told.contains("30 tokens") && told.contains("cut off at its length"));
    assert_eq!(lines(&format!("{question}\n/reset\n\n{question}\n/quit\n{question}"), "").0, once.repeat(2));
    // The second answer continues a conversation, from another prompt.
    assert_ne!(lines(&format!("{question}\n{question}"), "").0, once.repeat(2));
    let (stopped, told) = lines(question, "--stop 7 --stop 9");
    assert!(once.starts_with(stopped.trim_end()) && !stopped.contains(['7', '9']) && told.contains("stop string"));

    let long = question.repeat(100);
    let refused = chat(&format!("--model {model}"), &long);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no room for an answer"));
}

#[cfg(target_os = "linux")]
#[test]
fn chat_says_when_nobody_can_read_it() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = command("chat", &format!("--model {} --message Hello --message Again", reference("model")));
    let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("No space left") && !told.contains("panicked"), "{told}");
}

#[cfg(unix)]
#[test]
fn control_c_ends_an_answer_and_keeps_what_is_there() {
    let model = reference("model");
    // Drawn from a flat distribution, an answer goes on until the context is full.
    let mut command = command("chat", &format!("--model {model} --temperature 1000 --message Hello --message Again"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    // The first answer was cancelled, the second was not.
    assert!(output.status.success() && told.matches("cancelled").count() == 1, "{told}");
    assert_eq!(told.lines().filter(|line| line.contains("tokens,")).count(), 2, "{told}");
}

#[test]
fn steer_goes_on_where_it_stopped_and_refuses_other_settings() {
    let folder = Folder::new();
    let (_, library, prompts) = folder.stages(4);
    let (model, out, whole) = (reference("model"), folder.path("o.jsonl"), folder.path("whole.jsonl"));
    let flags = format!("--model {model} --library {library} --prompts {prompts} --max-tokens 30");
    succeed("steer", &format!("{flags} --out {whole}"));

    // A folder in the way of the output: every answer is finished and the last step fails.
    fs::create_dir(&out).unwrap();
    refuse("steer", &format!("{flags} --out {out}"), &["o.jsonl"]);
    fs::remove_dir(&out).unwrap();
    // As if killed while the third answer was written.
    let partial = folder.path("o.jsonl.partial");
    let mut text = fs::read_to_string(&partial).unwrap();
    text.truncate(text.match_indices('\n').nth(2).unwrap().0 + 30);
    fs::write(&partial, &text).unwrap();

    refuse("steer", &format!("{flags} --out {out} --beta 1"), &["o.jsonl.partial", "beta was 2.0", "is 1.0 now"]);
    assert!(fs::read_to_string(&partial).unwrap().lines().count() >= 3);
    succeed("steer", &format!("{flags} --out {out}"));
    assert_eq!(fs::read_to_string(&out).unwrap(), fs::read_to_string(&whole).unwrap());
    assert!(!Path::new(&partial).exists());
}

#[test]
fn methods_answer_the_same_problems_and_count_what_they_spend() {
    let folder = Folder::new();
    let (_, library, prompts) = folder.stages(6);
    let (model, out) = (reference("model"), folder.path("e"));
    let flags = format!("--model {model} --library {library} --task {prompts} --out {out}");
    let methods = "plain,sampling,self_consistency,self_discover,deer,static_boundary,static_token,stir,random_choice";
    let evaluate = format!("{flags} --max-tokens 60 --methods {methods}");
    let printed = succeed("evaluate", &evaluate);
    let read = |name: &str| records(folder.0.path().join("e").join(format!("answers.{name}.jsonl")));
    let count = |value: &Value| value.as_u64().unwrap();
    for name in methods.split(',') {
        assert!(printed.contains(name), "{printed}");
        let found = read(name);
        assert_eq!(found.len(), 6);
        for (answer, plain) in found.iter().zip(read("plain")) {
            assert_eq!(answer["id"], plain["id"]);
            assert!(count(&answer["tokens"]) <= 60 && answer["seconds"].as_f64().unwrap() > 0.0);
            let (probes, others) = (count(&answer["probe_tokens"]), count(&answer["other_tokens"]));
            assert!(probes == 0 || ["stir", "random_choice"].contains(&name), "{name}");
            match name {
                "self_consistency" => assert!(others >= 7),
                // The model's context holds no list of ways to think.
                "self_discover" => assert_eq!((&answer["text"], &answer["finish"]), (&json!(""), &json!("length"))),
                "deer" => {}
                _ => assert_eq!(others, 0, "{name}"),
            }
        }
    }
    assert!(read("stir").iter().any(|answer| count(&answer["probe_tokens"]) > 0));
    assert_ne!(read("static_token"), read("static_boundary"));
    let results = fs::read_to_string(folder.0.path().join("e/results.json")).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    assert_eq!((&results["problems"], results["methods"].as_object().unwrap().len()), (&json!(6), 9));

    let unknown = run("evaluate", &format!("{flags} --methods plain,guess"));
    assert!(unknown.status.code() == Some(2) && String::from_utf8_lossy(&unknown.stderr).contains("guess"));
    let bare = folder.write("bare.jsonl", json!({"id": 7, "question": "?"}).to_string());
    refuse("evaluate", &format!("--model {model} --library {library} --task {bare} --out {out}"), &["\"7\"", "gold"]);
}

#[test]
fn tasks_are_judged_by_what_their_answers_are() {
    let folder = Folder::new();
    let problem = |id: usize, gold: &str| json!({"id": id, "question": "Sam has 3 apples.", "gold": gold}).to_string();
    folder.write("t.jsonl", [problem(1, "3"), problem(2, "4")].join("\n"));
    let described = folder.write("t.toml", "data = 't.jsonl'\nanswer = 'math'\nuser = '{question} How many?'");
    let (_, library, _) = folder.stages(6);
    let (model, out) = (reference("model"), folder.path("e"));
    let flags = format!("--model {model} --library {library} --task {described} --out {out} --max-tokens 40");
    succeed("evaluate", &format!("{flags} --methods plain,self_consistency --votes 3"));
    for answer in records(folder.0.path().join("e/answers.plain.jsonl")) {
        assert!(answer["prompt"].as_str().unwrap().contains("apples. How many?"), "{answer}");
        // The model ends with a line of ####, which judges of formulas take as well.
        let judged = &answer["judged"];
        assert!(judged["answer"].is_null() || judged["grade"]["rule"].is_string(), "{judged}");
    }
    let page = fs::read_to_string(folder.0.path().join("e/report.html")).unwrap();
    assert!(page.contains("self_consistency") && page.contains("</html>"));
    let refused = run("evaluate", &format!("{flags} --answers sums"));
    assert!(refused.status.code() == Some(2) && String::from_utf8_lossy(&refused.stderr).contains("sums"));
    let unknown = format!("--model {model} --library {library} --task sudoku --out {out}");
    refuse("evaluate", &unknown, &["sudoku"]);
    refuse("evaluate", &unknown.replace("sudoku", "gsm8k"), &["gsm8k"]);
    refuse("evaluate", &unknown.replace("sudoku", "gsm8k --data nowhere"), &["nowhere"]);
}

#[test]
fn grade_keeps_lines_and_names_bad_ones() {
    let folder = Folder::new();
    let grade = |flags: &str, input: &str| {
        let mut child = command("grade", flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let pairs = [
        json!({"gold": "\\frac{1}{2}", "pred": "0.5", "id": 7}),
        json!({"gold": "5", "pred": "9^{9^{9^9}}"}),
        json!({"gold": "x", "pred": "y"}),
    ];
    let output = grade("--task math500", &pairs.each_ref().map(Value::to_string).join("\n"));
    let verdicts = folder.write("v.jsonl", String::from_utf8(output.stdout).unwrap());
    let verdicts = records(verdicts);
    assert_eq!(verdicts.len(), 3);
    assert_eq!((&verdicts[0]["equal"], &verdicts[0]["id"]), (&json!(true), &json!(7)));
    assert_eq!((&verdicts[1]["equal"], &verdicts[2]["equal"]), (&json!(null), &json!(false)));
    assert!(verdicts.iter().all(|verdict| verdict["rule"].is_string()) && verdicts[1]["why"].is_string());
    let text = json!({"gold": "4", "pred": "So it is \\boxed{4}."}).to_string();
    let output = grade("--task gsm8k --text", &text);
    assert!(String::from_utf8(output.stdout).unwrap().contains("\"equal\":true"));
    let output = grade("--task math", &format!("{text}\n{{\"gold\": 1"));
    assert!(output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("line 2"));
    assert_eq!(grade("--task math", "").status.code(), Some(0));
}

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

/// How many finished answers and rollouts lie below a folder.
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
        ("folder = \"", "folder = \"/nowhere", &["models \"reference\"", "nowhere"]),
    ] {
        assert!(EXPERIMENT.contains(from), "{from}");
        let flags = experiment(&folder, |text| text.replacen(from, to, 1));
        refuse("evaluate", &format!("{flags} --out {out}"), words);
    }
    refuse("evaluate", &format!("--experiment {} --out {out}", folder.path("none.toml")), &["none.toml"]);
    let both = run("evaluate", &format!("--experiment x --library y --task z --out {out}"));
    assert_eq!(both.status.code(), Some(2));
    assert_eq!(run("evaluate", &format!("--out {out}")).status.code(), Some(2));
}

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
    refuse("steer", &format!("{steer} --width 0"), &["width is 0"]);
    refuse("steer", &format!("{steer} --probe 0"), &["candidates is 0"]);
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
    refuse("steer", &steer(&library, &long), &["long.jsonl, line 1", "\"c\"", "context 512"]);
    assert!(!Path::new(&out).exists());
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
fn inspect_refuses_what_does_not_fit() {
    let folder = Folder::new();
    let (dir, out) = (fixture("models/qwen2-tied"), folder.path("o.safetensors"));
    let golden = dir.join("expected.safetensors").display().to_string();
    let common = format!("--model {} --out {out}", dir.display());
    let ids = format!("{common} --tokens-from {golden}:input_ids");
    refuse("inspect", &format!("{common} --tokens-from {golden}:logits"), &["expected.safetensors", "logits", "I64"]);
    refuse("inspect", &format!("{common} --tokens-from {golden}:none"), &["none"]);
    refuse("inspect", &format!("{common} --tokens-from {}:a", folder.path("no-file")), &["no-file"]);
    let whole = fs::read(&golden).unwrap();
    let cut = folder.write("cut.safetensors", &whole[..whole.len() / 2]);
    refuse("inspect", &format!("{common} --tokens-from {cut}:input_ids"), &["cut.safetensors", "not a whole"]);
    refuse("inspect", &format!("{ids} --greedy 300"), &["context of 256"]);
    let edit = |vector, layer, position, scale| {
        format!("{ids} --edit {golden}:{vector} --edit-layer {layer} --edit-position {position} --edit-scale {scale}")
    };
    refuse("inspect", &edit("vec", 2, 48, "1"), &["position 48"]);
    refuse("inspect", &edit("vec", 4, 0, "1"), &["blocks.4.hook_resid_post"]);
    refuse("inspect", &edit("vec", 0, 0, "NaN"), &["vec", "NaN"]);
    refuse("inspect", &edit("logits", 0, 0, "-1"), &["logits", "[H]"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let (folder, dir) = (Folder::new(), fixture("models/qwen2-tied"));
    for name in ["config.json", "generation_config.json"] {
        fs::copy(dir.join(name), folder.0.path().join(name)).unwrap();
    }
    let mut weights = fs::read(dir.join("model.safetensors")).unwrap();
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    folder.write("model.safetensors", weights);
    let golden = dir.join("expected.safetensors").display().to_string();
    let flags = format!("--model {} --tokens-from {golden}:input_ids --out {}", folder.path(""), folder.path("o"));
    refuse("inspect", &flags, &["model.safetensors", "tensor", "NaN"]);
}

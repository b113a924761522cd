//! Methods side by side, and answers that are graded.

use std::{fs, path::Path, process::Stdio};

use serde_json::{Value, json};
use stir::basis::{Entry, Evidence, Library};

use crate::{Folder, command, feed, records, reference, refuse, run, succeed};

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
fn what_makes_a_comparison_misleading_is_warned_of() {
    let folder = Folder::new();
    let (_, path, prompts) = folder.stages(2);
    let (library, others) = (Library::load(&path).unwrap(), records(&prompts));
    let warned = |library: &str, prompts: &str, flags: &str| {
        let out = folder.path(&format!("e{}", fs::read_dir(&folder.0).unwrap().count()));
        let flags = format!("--library {library} --task {prompts} --out {out} --max-tokens 2 --methods stir {flags}");
        let output = run("evaluate", &format!("--model {} {flags}", reference("model")));
        assert!(output.status.success(), "{flags}");
        String::from_utf8(output.stderr).unwrap()
    };
    let (of_mined, of_strength) = ("was mined from", "validated at another strength");
    let told = warned(&path, &prompts, "");
    assert!(!told.contains(of_mined) && !told.contains(of_strength), "{told}");
    let mined = json!({"id": library.entries()[0].problem, "prompt": others[0]["prompt"], "gold": others[0]["gold"]});
    let told = warned(&path, &folder.write("mined.jsonl", mined.to_string()), "");
    assert!(told.contains(of_mined) && told.contains("problems=1"), "{told}");

    let (trials, with_right, without_right, uplift, error, lower) = (10, 6, 5, 0.1, 0.05, 0.01);
    let evidence = Evidence { strength: 0.5, trials, with_right, without_right, uplift, error, lower };
    let entries = library
        .entries()
        .iter()
        .map(|entry| Entry { evidence: entry.vector().map(|_| evidence), ..entry.clone() })
        .collect();
    let validated = folder.path("v.stir");
    Library::from_entries(library.fingerprint().clone(), entries).unwrap().save(&validated).unwrap();
    assert!(warned(&validated, &prompts, "").contains(of_strength));
    assert!(!warned(&validated, &prompts, "--strength relative:0.5").contains(of_strength));
}

#[test]
fn what_is_finished_is_not_answered_again() {
    let folder = Folder::new();
    let (_, _, prompts) = folder.stages(6);
    let (model, out) = (reference("model"), folder.path("e"));
    let flags = format!("--model {model} --task {prompts} --out {out} --max-tokens 60");
    let file = |method: &str| Path::new(&out).join(format!("answers.{method}.jsonl"));
    let evaluate = format!("{flags} --methods plain,sampling,self_consistency");
    // As soon as the second method is begun, so that the first is finished.
    let mut child = command("evaluate", &evaluate).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !file("sampling").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Times among them, which no second run would have again.
    let plain = fs::read(file("plain")).unwrap();
    succeed("evaluate", &evaluate);
    let first = ["plain", "sampling", "self_consistency"].map(|method| fs::read(file(method)).unwrap());
    assert_eq!(first[0], plain);
    succeed("evaluate", &format!("{evaluate},self_discover"));
    assert_eq!(["plain", "sampling", "self_consistency"].map(|method| fs::read(file(method)).unwrap()), first);
    assert_eq!(records(file("self_discover")).len(), 6);
    // Other settings are other answers, and do not take the place of what is there.
    let other = format!("{flags} --methods plain --stop 7");
    refuse("evaluate", &other, &["answers.plain.jsonl", "stop was []", "another --out"]);
    assert_eq!(fs::read(file("plain")).unwrap(), plain);
    assert!(!Path::new(&out).join("answers.plain.jsonl.partial").exists());
    fs::remove_file(file("plain")).unwrap();
    succeed("evaluate", &other);
    assert!(records(file("plain")).iter().all(|answer| !answer["text"].as_str().unwrap().contains('7')));
}

#[test]
fn a_prompt_that_is_too_long_is_told_once_and_answered_by_nothing() {
    let folder = Folder::new();
    let (_, library, good) = folder.stages(2);
    let long = json!({"id": "far too long", "question": "word ".repeat(600), "gold": 1}).to_string();
    let task = folder.write("t.jsonl", format!("{long}\n{}", fs::read_to_string(good).unwrap()));
    let (model, out) = (reference("model"), folder.path("e"));
    let flags = format!("--model {model} --library {library} --task {task} --out {out} --max-tokens 20");
    let output = run("evaluate", &format!("{flags} --methods plain,stir,self_consistency"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("t.jsonl, line 1") && told.contains("context of 512"), "{told}");
    assert_eq!(told.matches("an empty answer").count(), 1, "{told}");
    for method in ["plain", "stir", "self_consistency"] {
        let found = records(Path::new(&out).join(format!("answers.{method}.jsonl")));
        assert_eq!(found.len(), 3);
        for answer in found {
            assert_eq!(answer["tokens"] == 0, answer["id"] == "far too long", "{method}: {answer}");
            assert!(answer["tokens"] != 0 || answer["judged"]["answer"].is_null());
        }
    }
    assert!(fs::read_to_string(folder.0.path().join("e/report.html")).unwrap().contains("no room in the model"));
}

#[test]
fn flags_that_would_do_nothing_are_refused() {
    let folder = Folder::new();
    let (_, _, prompts) = folder.stages(1);
    let flags = format!("--model {} --out {} --methods plain", reference("model"), folder.path("e"));
    for (task, words) in [
        ("gsm8k --answers math", ["--answers is for a file", "gsm8k"]),
        ("MATH-500 --data nowhere --answers number", ["--answers is for a file", "MATH-500"]),
        (&format!("{prompts} --data nowhere"), ["--data is for a built-in task", "p.jsonl"]),
        (&format!("{prompts} --limit 0"), ["--limit is 0", "at least 1"]),
    ] {
        refuse("evaluate", &format!("{flags} --task {task}"), &words);
    }
}

#[test]
fn a_library_is_asked_for_where_a_method_steers() {
    let folder = Folder::new();
    let (_, _, prompts) = folder.stages(2);
    let flags = format!("--model {} --task {prompts} --out {} --max-tokens 20", reference("model"), folder.path("e"));
    let printed = succeed("evaluate", &format!("{flags} --methods plain,self_consistency"));
    assert!(printed.contains("plain") && printed.contains("self_consistency"), "{printed}");
    assert!(Path::new(&folder.path("e/report.html")).exists());
    for method in ["stir", "static_boundary", "no_probing"] {
        refuse("evaluate", &format!("{flags} --methods plain,{method}"), &[method, "--library"]);
    }
}

#[test]
fn an_experiment_takes_no_other_flags() {
    let (folder, help) = (Folder::new(), succeed("evaluate", "--help"));
    let out = folder.path("out");
    let flags = help.lines().filter_map(|line| line.trim_start().trim_start_matches("-h, ").strip_prefix("--"));
    let flags: Vec<&str> = flags.map(|flag| flag.split(' ').next().unwrap()).collect();
    assert!(flags.len() > 30, "{flags:?}");
    for flag in flags {
        let value = match flag {
            "help" | "experiment" | "out" | "json" | "log-format" | "shard" => continue,
            "device" => "flex",
            "compute" => "f32",
            "activations" => "int8",
            "allow-requantised" | "at-prompt" => "",
            "strength" => "score",
            "probe" => "value",
            "placement" => "boundary",
            "answers" => "math",
            "methods" => "plain",
            "scope" => "segment",
            "constant-vector-at" => "token",
            "deer-keep-transition" => "true",
            _ => "1",
        };
        let both = run("evaluate", &format!("--experiment none.toml --out {out} --{flag} {value}"));
        let told = String::from_utf8_lossy(&both.stderr);
        assert!(both.status.code() == Some(2) && told.contains("cannot be used with"), "{flag}: {told}");
    }
    assert!(!Path::new(&out).exists());
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
    let grade = |flags: &str, input: &str| feed("grade", flags, input);
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
    let unknown = grade("--task foo", "");
    let told = String::from_utf8_lossy(&unknown.stderr);
    assert!(unknown.status.code() == Some(2) && told.contains("math500"), "{told}");
    assert!(told.contains("math, number, choice, yes_no"), "{told}");
    // How strictly formulas are compared is a choice.
    for (flags, pred, equal) in [
        ("", "90^\\circ", "true"),
        ("--complete", "90^\\circ", "null"),
        ("", "5, 90", "true"),
        ("--ordered-lists", "5, 90", "false"),
    ] {
        let gold = if pred.contains(',') { "90, 5" } else { "90" };
        let output = grade(&format!("--task math {flags}"), &json!({"gold": gold, "pred": pred}).to_string());
        let verdict = String::from_utf8(output.stdout).unwrap();
        assert!(verdict.contains(&format!("\"equal\":{equal}")), "{flags} {verdict}");
    }
    assert_eq!(grade("--task gsm8k --complete", &text).status.code(), Some(1));
    // Half a character costs no line.
    let cut = r#"{"gold": "4", "pred": "\\boxed{4} \ud83d"}"#;
    let output = grade("--task math --text", &format!("{cut}\n{text}"));
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches("\"equal\":true").count(), 2);
}

#[test]
fn a_task_is_asked_without_a_system_turn_where_the_template_refuses_one() {
    let folder = Folder::new();
    let model = folder.0.path().join("model");
    fs::create_dir(&model).unwrap();
    for file in
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    {
        fs::copy(Path::new(&reference("model")).join(file), model.join(file)).unwrap();
    }
    let template = fs::read_to_string(Path::new(&reference("model")).join("chat_template.jinja")).unwrap();
    let refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}";
    fs::write(model.join("chat_template.jinja"), format!("{refusal}{template}")).unwrap();
    let data = folder.write("test.jsonl", json!({"question": "2 + 2?", "answer": "#### 4"}).to_string());
    let (model, out) = (model.display(), folder.path("e"));
    let task = format!("--task gsm8k --data {data}");
    succeed("evaluate", &format!("--model {model} {task} --methods plain --max-tokens 9 --out {out}"));
    let answers = Path::new(&out).join("answers.plain.jsonl");
    let prompt = records(&answers)[0]["prompt"].as_str().unwrap().to_owned();
    assert!(
        prompt.starts_with("<|im_start|>user\nYou solve word problems.") && prompt.contains("\n\n2 + 2?<|im_end|>")
    );
    let settings = fs::read_to_string(folder.path("e/answers.plain.jsonl.settings.json")).unwrap();
    let settings: Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(settings["system_in_user"], json!(true));
}

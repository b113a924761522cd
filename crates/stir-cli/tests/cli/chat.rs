//! Conversations.

use std::{
    fs,
    io::Read,
    process::{Command, Output, Stdio},
};

use serde_json::json;

use crate::{Folder, command, feed, records, reference, succeed};

/// Returns what `chat` prints for these lines of input.
fn chat(args: &str, input: &str) -> Output {
    feed("chat", args, input)
}

#[test]
fn chat_shows_what_steer_generates_and_where_it_steers() {
    let folder = Folder::new();
    let (_, library, _) = folder.stages(1);
    let question = "Sam has 16 apples. Sam sells 14. Sam buys 35. How many apples now?";
    let prompts = folder.write("q.jsonl", json!({"id": "q", "question": question}).to_string());
    let (model, out) = (reference("model"), folder.path("o.jsonl"));
    succeed("steer", &format!("--model {model} --library {library} --prompts {prompts} --out {out} --max-tokens 200"));
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

#[test]
fn a_system_message_goes_to_the_user_where_the_template_has_no_turn_for_it() {
    let folder = Folder::new();
    let refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}";
    let model = folder.model(|name, content| {
        let before = if name == "chat_template.jinja" { refusing } else { "" };
        Some([before.as_bytes(), &content].concat())
    });
    let said = |flags: &[&str], input: &str| {
        let mut args = vec!["chat", "--model", &model, "--max-tokens", "20"];
        args.extend(flags);
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_stir"));
        let child = child.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let question = "Tom has 9 pens. Tom buys 8. How many pens now?";
    let both = said(&["--message", &format!("Be brief.\n\n{question}")], "");
    assert_eq!(said(&["--system", "Be brief.", "--message", question], ""), both);
    assert_ne!(said(&["--message", question], ""), both);
    // It is said once, and again after what was said is forgotten.
    assert_eq!(said(&["--system", "Be brief."], &format!("{question}\n/reset\n{question}\n")), both.repeat(2));
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
    // Drawn from a flat distribution, an answer continues until the context is full.
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

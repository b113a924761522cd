//! Expressions of templates against what Jinja2 makes of them.

use std::fs;

use serde_json::Value;
use stir_model::{ChatOptions, ChatTemplate};

#[test]
fn expressions_give_what_jinja2_gives() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/templates.jsonl");
    let text = fs::read_to_string(golden).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let messages = lines.next().unwrap()["messages"].as_array().unwrap().clone();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer_config.json"), r#"{"bos_token": "<b>", "eos_token": "<e>"}"#).unwrap();
    let render = |template: &str| {
        fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
        let chat = ChatTemplate::from_dir(dir.path()).map(Option::unwrap);
        chat.and_then(|chat| chat.render_with(&messages, &ChatOptions::default()))
    };
    // What Jinja2 refuses may be rendered here; the other way round it may not.
    let cases: Vec<(String, String)> =
        lines.filter_map(|line| Some((line[0].as_str().unwrap().to_owned(), line[1].as_str()?.to_owned()))).collect();
    assert!(cases.len() > 4000);
    let mut failed = Vec::new();
    // Several at once are faster; one alone tells what is wrong.
    for cases in cases.chunks(40) {
        let joined = |part: fn(&(String, String)) -> &str| cases.iter().map(part).collect::<Vec<_>>().join("\u{1e}");
        let (all, expected) = (joined(|case| &case.0), joined(|case| &case.1));
        if render(&all).is_ok_and(|found| found == expected) {
            continue;
        }
        for (template, expected) in cases {
            match render(template) {
                Ok(found) if found == *expected => {}
                other => failed.push(format!("{template:?}\n    {expected:?}\n    {other:?}")),
            }
        }
    }
    assert!(failed.is_empty(), "{} differ:\n{}", failed.len(), failed.join("\n"));
}

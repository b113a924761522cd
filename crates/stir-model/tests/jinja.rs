//! Expressions of templates against what Jinja2 makes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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
    let (mut compared, mut failed) = (0, Vec::new());
    for line in lines {
        let template = line[0].as_str().unwrap();
        fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
        let chat = ChatTemplate::from_dir(dir.path()).map(Option::unwrap);
        let rendered = chat.and_then(|chat| chat.render_with(&messages, &ChatOptions::default()));
        let found = rendered.as_ref().ok().map(String::as_str);
        compared += 1;
        // What Jinja2 refuses may be rendered here; the other way round it may not.
        if line[1].as_str().is_some() && found != line[1].as_str() {
            let why = rendered.as_ref().err().and_then(std::error::Error::source).map(ToString::to_string);
            failed.push(format!("{template:?}\n    {:?}\n    {}", line[1], why.unwrap_or(format!("{found:?}"))));
        }
    }
    assert!(failed.is_empty(), "{} of {compared} differ:\n{}", failed.len(), failed.join("\n"));
    assert!(compared > 4000);
}

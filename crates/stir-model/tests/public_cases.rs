//! Cases that users of other programs reported, in the shared data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;

use common::shared;
use serde_json::Value;
use stir_model::{ChatOptions, ChatTemplate};

fn cases(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(shared(&format!("public_cases/{name}"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn templates_render_as_in_transformers() {
    let mut failed = Vec::new();
    for case in cases("templates.jsonl") {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("chat_template.jinja"), case["template"].as_str().unwrap()).unwrap();
        let chat = ChatTemplate::from_dir(dir.path()).unwrap().unwrap();
        let mut variables = case["kwargs"].as_object().unwrap().clone();
        let add_generation_prompt = variables.remove("add_generation_prompt").unwrap() == true;
        let options = ChatOptions { add_generation_prompt, variables, now: None };
        let rendered = chat.render_with(case["messages"].as_array().unwrap(), &options);
        if rendered.as_ref().ok().map(String::as_str) != case["expected"].as_str() {
            failed.push(format!("{}: {rendered:?}", case["id"]));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

//! Helpers that the tests share.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;

use serde_json::Value;

/// Returns the path of `name` in the folder of shared data: files of other projects that may not be part of this one.
/// Tests that call this are ignored unless they are asked for, and then fail without the data.
pub(crate) fn shared(name: &str) -> PathBuf {
    let folder = std::env::var_os("STIR_SHARED_DATA").expect("STIR_SHARED_DATA names the folder of shared data");
    let path = PathBuf::from(folder).join(name);
    assert!(path.exists(), "{} does not exist", path.display());
    path
}

/// Returns the rows of the JSONL file `name` of the [`shared`] data.
pub(crate) fn shared_rows(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(shared(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The contents of every `\boxed{..}` of a text, with where the box starts and ends.
pub(crate) fn boxes(text: &str) -> Vec<(usize, usize, &str)> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("\\boxed") {
        let start = at + found;
        at = start + "\\boxed".len();
        let rest = text[at..].trim_start();
        let open = text.len() - rest.len();
        if !rest.starts_with('{') {
            continue;
        }
        let mut depth = 0;
        for (i, byte) in rest.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                out.push((start, open + i + 1, &rest[1..i]));
                at = open + i + 1;
                break;
            }
        }
    }
    out
}

/// The answer of a suite's text: what it boxes last, together with boxes close before that; else its last formula;
/// else, in a sentence, its last number; else the text itself.
pub(crate) fn answer(text: &str) -> String {
    let stated = text.rfind("final answer is").map(|at| &text[at + "final answer is".len()..]);
    let boxes = boxes(text);
    let boxed_last = boxes.last().is_some_and(|last| stated.is_none_or(|stated| last.1 > text.len() - stated.len()));
    if let (true, Some(&last)) = (boxed_last || (stated.is_none() && !boxes.is_empty()), boxes.last()) {
        let mut cluster = vec![last];
        for &box_ in boxes.iter().rev().skip(1) {
            if cluster[0].0 - box_.1 >= 40 {
                break;
            }
            cluster.insert(0, box_);
        }
        return cluster.iter().map(|(_, _, content)| *content).collect::<Vec<_>>().join(", ");
    }
    if text.len() <= 60 && text.starts_with('$') {
        return text.to_owned();
    }
    let sentence = stated.unwrap_or(text);
    let sentence = sentence.split(" I hope it is correct").next().unwrap_or(sentence);
    let formula = last_formula(sentence).filter(|_| stated.is_some() || sentence.len() < 120);
    if let Some(formula) = formula {
        return formula.to_owned();
    }
    if text.contains(' ') && text.chars().filter(|c| c.is_alphabetic()).count() > 3 {
        let is_number = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
        let mut parts = sentence.split(|c| !is_number(c)).map(|part| part.trim_matches(['.', ',']));
        if let Some(number) = parts.rfind(|part| !part.is_empty()) {
            return number.to_owned();
        }
    }
    text.to_owned()
}

fn last_formula(text: &str) -> Option<&str> {
    let delimiters = [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")];
    delimiters.iter().find_map(|(open, close)| {
        let end = text.rfind(close)?;
        let start = text[..end].rfind(open)? + open.len();
        Some(text[start..end].trim()).filter(|formula| !formula.is_empty())
    })
}

//! Texts as models write them, with whether they are right: how answers are found and compared as a whole.
#![allow(clippy::unwrap_used)]

mod common;

use common::shared_rows;
use stir_grade::{
    AnswerForm, Judge, MathJudge,
    equality::Options,
    extract::Fallback,
    pairs::{Counts, Pairs},
};

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn answers_are_found_and_compared_as_the_cases_say() {
    let (rows, judge) = (shared_rows("public_cases/extraction.jsonl"), MathJudge::default());
    let text = |row: &serde_json::Value, field: &str| row[field].as_str().unwrap().to_owned();
    let differing: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let judged = judge.judge(&text(row, "gold"), &text(row, "response"));
            (judged.correct() != row["expect"].as_bool().unwrap()).then(|| format!("{}: {judged:?}", text(row, "id")))
        })
        .collect();
    assert!(!rows.is_empty() && differing.is_empty(), "{} of {}: {differing:#?}", differing.len(), rows.len());
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn the_case_of_half_a_character() {
    let rows = shared_rows("public_cases/other.jsonl");
    let case = rows.iter().find(|row| row["id"] == "O8").unwrap();
    let lines: Vec<&str> =
        case["input"]["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let (form, fallback, options) = (AnswerForm::Math, Fallback::None, Options::default());
    let pairs = Pairs { form, is_text: true, fallback, options };
    let mut output = Vec::new();
    let counts = pairs.grade(lines.join("\n").as_bytes(), &mut output).unwrap();
    assert_eq!(counts, Counts { equal: lines.len(), different: 0, unclear: 0 });
    assert_eq!(String::from_utf8(output).unwrap().lines().count(), lines.len());
}

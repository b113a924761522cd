//! Texts as models write them, with whether they are right: how answers are found and compared as a whole.
#![allow(clippy::unwrap_used)]

mod common;

use common::shared_rows;
use stir_grade::{Judge, MathJudge};

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

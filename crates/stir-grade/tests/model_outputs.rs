//! Texts of real models that others have judged: how often this crate's judges agree with them.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use common::shared_rows;
use serde_json::Value;
use stir_grade::{ChoiceJudge, Judge, MathJudge, NumberJudge};

/// Returns the share of the verdicts that agree with the labels; every other one is reported.
fn agreement(what: &str, cases: impl IntoIterator<Item = (String, bool, bool, String)>) -> f64 {
    let (mut same, mut total) = (0, 0);
    for (place, label, verdict, story) in cases {
        total += 1;
        if label == verdict {
            same += 1;
        } else {
            eprintln!("{place}: labelled {label}, judged {verdict}: {story}");
        }
    }
    eprintln!("{what}: {same} of {total} as labelled");
    f64::from(same) / f64::from(total)
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn gsm8k_texts_with_answer_lines() {
    let rows = shared_rows("model_outputs/gsm8k_example_model_solutions_300.jsonl");
    let judge = &NumberJudge::default();
    let cases = rows.iter().enumerate().flat_map(|(row, fields)| {
        let gold = judge.extract(fields["ground_truth"].as_str().unwrap()).unwrap();
        let texts = fields.as_object().unwrap().iter().filter(|(_, field)| field.is_object());
        texts.map(move |(model, field)| {
            let text = field["solution"].as_str().unwrap();
            let judged = judge.judge(&gold, text);
            let story = format!("gold {gold:?}, answer {:?}", judged.answer);
            (format!("row {row}, {model}"), field["is_correct"].as_bool().unwrap(), judged.correct(), story)
        })
    });
    assert!(agreement("GSM8K", cases) >= 0.99);
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn math_texts_with_boxes() {
    let rows = shared_rows("model_outputs/math_cot_50.jsonl");
    let judge = &MathJudge::default();
    let cases = rows.iter().enumerate().flat_map(|(row, fields)| {
        let gold = fields["gt"].as_str().unwrap();
        let texts = fields["code"].as_array().unwrap().iter().zip(fields["score"].as_array().unwrap());
        texts.enumerate().map(move |(sample, (text, label))| {
            let judged = judge.judge(gold, text.as_str().unwrap());
            let story = format!("gold {gold:?}, {judged:?}");
            (format!("row {row}, sample {sample}"), label.as_bool().unwrap(), judged.correct(), story)
        })
    });
    assert!(agreement("MATH", cases) >= 0.98);
}

/// The same texts with the gold answers of the solutions, which the file's own are spelled after. All that changes is
/// row 3, where the file cuts `4:30\text{ p.m.}` to `4:30p..` and labels the right answer wrong.
#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn math_texts_with_gold_from_solutions() {
    let rows = shared_rows("model_outputs/math_cot_50.jsonl");
    let judge = &MathJudge::default();
    let cases = rows.iter().enumerate().flat_map(|(row, fields)| {
        let gold = judge.extract(fields["solution"].as_str().unwrap()).unwrap();
        let texts = fields["code"].as_array().unwrap().iter().zip(fields["score"].as_array().unwrap());
        texts.enumerate().map(move |(sample, (text, label))| {
            let judged = judge.judge(&gold, text.as_str().unwrap());
            let story = format!("gold {gold:?}, {judged:?}");
            (format!("row {row}, sample {sample}"), label.as_bool().unwrap(), judged.correct(), story)
        })
    });
    assert!(agreement("MATH, gold from solutions", cases) >= 0.98);
}

/// Cases of other extractors' tests. Those that want what is no answer here, the last formula of a text or its last
/// number, are listed; where the file says that nothing but a fallback matches, nothing is found.
#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn cases_of_other_extractors() {
    let rows = shared_rows("grader_cases/extraction_cases.jsonl");
    let judge = MathJudge::default();
    let spelling = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let differs = |(row, case): (usize, Value)| {
        let text = case["text"].as_str().unwrap();
        let found = judge.extract(text);
        let expected = case["expected"].as_str().filter(|_| case["matched"] != Value::Bool(false));
        (found.as_deref().map(spelling) != expected.map(spelling)).then(|| {
            eprintln!("row {row}: {text:?}: expected {expected:?}, found {found:?}");
            row
        })
    };
    let differing: Vec<usize> = rows.into_iter().enumerate().filter_map(differs).collect();
    assert_eq!(differing, [3, 4, 28]);
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn letters_of_another_extractor() {
    let rows = shared_rows("grader_cases/math_verify_letter_extraction.jsonl");
    let judge = ChoiceJudge::letters(4);
    for case in rows {
        let found = judge.extract(case["text"].as_str().unwrap());
        assert_eq!(found.as_deref(), case["expected"].as_str(), "{}", case["text"]);
    }
}

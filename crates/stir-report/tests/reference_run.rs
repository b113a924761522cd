//! The judge and the comparison on the reference run: 60 problems, 8 sampled answers each.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed check is a panic

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use stir_core::Finish;
use stir_grade::{FinalNumber, Grade, Judged, Verdict, final_number::final_answer};
use stir_report::{Comparison, Record, Run, Settings};

/// The fields read of a line; the rest of it belongs to other crates.
#[derive(Deserialize)]
struct Line {
    id: String,
    k: usize,
    gold: String,
    text: String,
    token_ids: Vec<u32>,
    correct: bool,
}

fn lines() -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference-run/rollouts.jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn record(line: &Line) -> Record {
    let verdict = if FinalNumber.correct(&line.gold, &line.text) { Verdict::Equal } else { Verdict::Different };
    Record {
        id: line.id.clone(),
        prompt: String::new(),
        gold: line.gold.clone(),
        text: line.text.clone(),
        token_ids: line.token_ids.clone(),
        judged: Judged {
            answer: final_answer(&line.text).map(str::to_owned),
            grade: Some(Grade { verdict, rule: "final number".into(), why: None }),
        },
        tokens: line.token_ids.len(),
        probe_tokens: 0,
        other_tokens: 0,
        forward_passes: line.token_ids.len(),
        finish: Finish::Eos,
        steps: vec![],
        segment_ends: vec![],
        seconds: None,
    }
}

#[test]
fn judge_agrees_on_every_line() {
    let lines = lines();
    assert_eq!(lines.len(), 480);
    for Line { id, k, gold, text, correct, .. } in &lines {
        assert_eq!(FinalNumber.correct(gold, text), *correct, "{id} sample {k}");
        // Without its marker line the same text says the same number in words, and answers nothing.
        let (unfinished, _) = text.split_once("####").unwrap();
        assert!(!FinalNumber.correct(gold, unfinished), "{id} sample {k}");
    }
    assert_eq!(lines.iter().filter(|line| line.correct).count(), 280);
}

/// The first sample of every problem as the baseline, the second as a method. Constants:
/// `statsmodels.stats.contingency_tables.mcnemar([[0, 13], [5, 0]], exact=True).pvalue`,
/// `statsmodels.stats.proportion.proportion_confint(40, 60, 0.05, "wilson")`, and `sum(len(token_ids)) / 60`.
#[test]
fn two_samples_compare_as_two_methods() {
    let lines = lines();
    let run = |sample: usize| Run {
        settings: Settings {
            model: "reference".into(),
            task: "stories".into(),
            method: format!("sample {sample}"),
            mined_from: None,
            seed: 0,
            params: BTreeMap::new(),
        },
        records: lines.iter().filter(|line| line.k == sample).map(record).collect(),
        seconds: 1.0,
    };
    let comparison = Comparison::new(&run(0), &[run(1)]).unwrap();
    assert_eq!(comparison.problems, 60);

    let [baseline, method] = &comparison.methods[..] else { panic!("two methods") };
    let close = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
    assert!(close(baseline.accuracy, 32.0 / 60.0) && close(baseline.tokens, 5470.0 / 60.0));
    assert!(close(method.accuracy, 40.0 / 60.0) && close(method.tokens, 5080.0 / 60.0));
    assert!(close(method.ci95.low, 0.5405686645211968) && close(method.ci95.high, 0.7727073847647731));

    let paired = method.paired.unwrap();
    assert_eq!((paired.wins, paired.losses), (13, 5));
    assert!(close(paired.mcnemar_p, 0.09625244140625));
    // See `stats::problems_needed` for how: 130.07 of them.
    assert_eq!(paired.problems_needed, Some(131));
    assert!(close(paired.tokens_difference.mean, -390.0 / 60.0));
}

//! Answers that are broken at random: each line is refused, or the report can be made of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{collections::BTreeMap, time::Instant};

use stir_core::{
    SampleRng,
    toy::{break_json, fuzz_runs},
};
use stir_files::mend_surrogates;
use stir_report::{Record, Report, ReportConfig, Run, Settings};

const ANSWERS: [&str; 2] = [
    r#"{"id":"a","prompt":"p","gold":"4","text":"caf\u00e9\n\n#### 4","token_ids":[1,2,3],"judged":{"answer":"4","grade":
        {"verdict":"equal","rule":"number","why":null}},"tokens":3,"probe_tokens":5,"other_tokens":0,"forward_passes":4,
        "finish":"eos","steps":[{"segment":1,"chosen":null,"layer":null,"score":0.5,"null_score":0,"scale":0,"tokens":2,
        "retrieved":[{"entry":3,"similarity":0.5}],"candidates":[]},{"segment":2,"chosen":3,"layer":1,"score":1e-3,
        "null_score":0,"scale":0.25,"tokens":1,"retrieved":[],"candidates":[]}],"segment_ends":[4,12],"seconds":0.125}"#,
    r#"{"id":"a","prompt":"","gold":"x","text":"","token_ids":[],"judged":{"answer":null,"grade":null},"tokens":0,
        "probe_tokens":0,"other_tokens":7,"forward_passes":0,"finish":"length","steps":[],"segment_ends":[]}"#,
];

fn run(method: &str, record: Record) -> Run {
    let (model, task, method, mined_from, params) = ("m".into(), "t".into(), method.into(), None, BTreeMap::new());
    let other = Record { id: "b".into(), ..serde_json::from_str(ANSWERS[1]).unwrap() };
    let settings = Settings { model, task, method, mined_from, seed: 0, params };
    Run { settings, records: vec![record, other], seconds: 1.0 }
}

/// Makes the report of a broken answer and a whole one.
fn report(record: Record) -> bool {
    let plain = Record { id: record.id.clone(), ..serde_json::from_str(ANSWERS[0]).unwrap() };
    let runs = [run("plain", plain), run("stir", record)];
    let made = Report::new("Broken", &runs, ReportConfig::default()).map(|report| report.html().unwrap());
    made.is_ok_and(|page| !page.is_empty())
}

/// Reads `count` lines; of every `each` that are answers, one report is made. Returns the numbers of both.
fn answers(count: usize, seed: u64, each: usize) -> (usize, usize) {
    let (mut rng, mut line, mut read, mut reports) = (SampleRng::new(seed, 0), Vec::new(), 0, 0);
    for i in 0..count {
        line.clear();
        line.extend(ANSWERS[i % 2].as_bytes());
        break_json(&mut line, &mut rng);
        let Ok(record) = serde_json::from_slice::<Record>(&mend_surrogates(&line)) else { continue };
        read += 1;
        if read % each == 0 {
            reports += usize::from(report(record));
        }
    }
    (read, reports)
}

#[test]
fn broken_answers_are_refused_or_reported() {
    let (read, reports) = answers(4000, 1, 4);
    assert!(read > 200 && reports > 40, "{read} {reports}");
}

/// Found by the test above: counts of tokens were added up as if a file could not say anything.
#[test]
fn counts_that_no_sum_holds_are_reported() {
    let mut record: Record = serde_json::from_str(ANSWERS[0]).unwrap();
    (record.tokens, record.probe_tokens, record.other_tokens) = (usize::MAX, usize::MAX, 1);
    record.segment_ends = vec![usize::MAX, 4, 0, 5];
    assert_eq!(record.spent(), usize::MAX);
    assert!(report(record));
}

#[test]
#[ignore = "takes minutes: STIR_FUZZ lines, and a report of one answer in a thousand"]
fn many_broken_answers_are_refused_or_reported() {
    let ((count, seed), begun) = (fuzz_runs(1_000_000), Instant::now());
    let (read, reports) = answers(count, seed, 1000);
    println!("{count} lines, {read} of them answers, {reports} reports, in {:?}", begun.elapsed());
    assert!(read > count / 40 && reports > 0, "{read} {reports}");
}

//! Runs for the unit tests.

use std::collections::BTreeMap;

use stir_core::Finish;
use stir_grade::{Grade, Judged, Verdict};

use crate::record::{Record, Run, Settings};

/// Returns a run of `method` that solved some problems and not others.
pub(crate) fn run(method: &str, solved: &[(&str, bool)]) -> Run {
    let settings = Settings {
        model: "tiny".into(),
        task: "sums".into(),
        method: method.into(),
        mined_from: None,
        seed: 0,
        params: BTreeMap::new(),
    };
    Run { settings, records: solved.iter().map(|&(id, solved)| record(id, solved)).collect(), seconds: 1.0 }
}

/// Returns an answer of 10 tokens, with 3 probe tokens.
pub(crate) fn record(id: &str, solved: bool) -> Record {
    let verdict = if solved { Verdict::Equal } else { Verdict::Different };
    Record {
        id: id.into(),
        prompt: "2 + 2?".into(),
        gold: "4".into(),
        text: "#### 4".into(),
        token_ids: vec![1; 10],
        judged: Judged { answer: Some("4".into()), grade: Some(Grade { verdict, rule: "number".into(), why: None }) },
        tokens: 10,
        probe_tokens: 3,
        other_tokens: 0,
        forward_passes: 10,
        finish: Finish::Eos,
        steps: vec![],
        segment_ends: vec![],
        seconds: None,
    }
}

/// Returns the run under other settings.
pub(crate) fn with(mut run: Run, change: impl FnOnce(&mut Settings)) -> Run {
    change(&mut run.settings);
    run
}

//! Answer equality, from outside.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod collections;
#[path = "../common/mod.rs"]
mod common;
mod golds;
mod hostile;
mod numbers;
mod properties;
mod quantities;
mod suites;
mod words;

use stir_grade::{
    Verdict::{self, Unclear},
    equality::equal,
};

/// Checks rows of gold answer, prediction, verdict and rule.
fn check(rows: &[(&str, &str, Verdict, &str)]) {
    for &(gold, pred, verdict, rule) in rows {
        let grade = equal(gold, pred);
        assert_eq!((grade.verdict, grade.rule.as_str()), (verdict, rule), "{gold:?} and {pred:?}: {grade:?}");
        assert_eq!(grade.why.is_some(), verdict == Unclear, "{gold:?} and {pred:?}: {grade:?}");
    }
}

//! Judges of the four kinds of answer: formulas, numbers, options, yes or no.
//!
//! Each finds the answer in a text and compares it with the gold one; both halves can be used alone. `grade` reads both
//! sides as it reads answers out of texts, so that `grade("B", "(B) the moon")` is equal.

mod choice;
mod math;
mod number;
mod yes_no;

pub use choice::ChoiceJudge;
pub use choice::letter;
pub use math::MathJudge;
pub use number::NumberJudge;
pub use yes_no::YesNoJudge;

use crate::{Grade, Verdict};

/// The grade by `rule` of two answers that are the same or not.
fn graded(rule: &str, is_equal: bool) -> Grade {
    let verdict = if is_equal { Verdict::Equal } else { Verdict::Different };
    Grade { verdict, rule: rule.to_owned(), why: None }
}

//! Judges of the four answer forms: formulas, numbers, options, yes or no.
//!
//! Each finds the answer in a text and compares it with the gold answer; the two halves can be used separately. `grade`
//! reads both sides as it reads answers out of texts, so that `grade("B", "(B) the moon")` is equal.

mod choice;
mod math;
mod number;
mod yes_no;

pub use choice::ChoiceJudge;
pub use math::MathJudge;
pub use number::NumberJudge;
pub use yes_no::YesNoJudge;

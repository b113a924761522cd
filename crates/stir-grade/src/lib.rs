//! Grades free-text answers: finds what a text answers, and says whether that equals the right answer.
//!
//! - [`extract`]: what a text answers; [`MathJudge`], [`NumberJudge`], [`ChoiceJudge`] and [`YesNoJudge`] say whether
//!   that is right, [`pairs`] does so for files.
//! - [`answer`]: the convention of `####` and no other, for models that were trained on it ([`FinalNumber`]).
//! - [`equality`]: whether two short answers to a mathematical problem say the same, exactly where possible.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod answer;
pub mod equality;
pub mod extract;
mod form;
mod judge;
mod judges;
pub mod pairs;

pub use answer::FinalNumber;
pub use extract::Extractor;
pub use form::AnswerForm;
pub use judge::{GRADING, Grade, Judge, Judged, Verdict};
pub use judges::{ChoiceJudge, MathJudge, NumberJudge, YesNoJudge, letter};

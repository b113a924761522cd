#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod equality;
pub mod extract;
pub mod final_number;
mod form;
mod grade;
mod judges;
pub mod pairs;

pub use equality::equal;
pub use extract::Extractor;
pub use final_number::FinalNumber;
pub use form::AnswerForm;
pub use grade::{GRADING, Grade, Judge, Judged, Verdict};
pub use judges::{ChoiceJudge, MathJudge, NumberJudge, YesNoJudge};

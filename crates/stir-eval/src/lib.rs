//! Scores the answers of reasoning models, and says how sure one can be that one method beats another.
//!
//! Nothing here knows a model: texts go in, numbers come out, so answers from any source can be scored.
//!
//! - [`task`]: benchmarks with their problems, prompts and judges, built in and of one's own.
//! - [`extract`]: what a text answers; [`MathJudge`], [`NumberJudge`], [`ChoiceJudge`] and [`YesNoJudge`] say whether
//!   that is right, [`pairs`] does so for files.
//! - [`answer`]: the convention of `####` and no other, for models that were trained on it ([`FinalNumber`]).
//! - [`equality`]: whether two short answers to a mathematical problem say the same, exactly where possible.
//! - [`stats`]: intervals and paired tests for a few hundred yes-or-no outcomes.
//! - [`MethodRun`] and [`Comparison`]: methods that answered the same problems, side by side against a baseline.
//!
//! ```
//! use stir_eval::{Answer, Comparison, FinalNumber, MethodRun};
//!
//! let gold = [("a", "4"), ("b", "1,200")];
//! let run = |name: &str, texts: [&str; 2]| MethodRun {
//!     name: name.into(),
//!     answers: gold
//!         .iter()
//!         .zip(texts)
//!         .map(|((id, gold), text)| Answer {
//!             id: (*id).into(),
//!             correct: FinalNumber.correct(gold, text),
//!             tokens: text.len(),
//!             probe_tokens: 0,
//!         })
//!         .collect(),
//!     seconds: 0.5,
//! };
//! let plain = run("plain", ["2 + 2 = 4\n#### 4", "About a thousand."]);
//! let stir = run("stir", ["#### 4.0", "#### $1200"]);
//! let comparison = Comparison::new(&plain, &[stir])?;
//! assert_eq!(comparison.get("plain").map(|m| m.accuracy), Some(0.5));
//! assert_eq!(comparison.get("stir").map(|m| m.accuracy), Some(1.0));
//! println!("{comparison}");
//! # Ok::<(), stir_eval::EvalError>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod answer;
mod compare;
pub mod equality;
mod error;
pub mod extract;
mod judge;
mod judges;
mod outcome;
pub mod pairs;
mod record;
pub mod stats;
mod table;
pub mod task;

pub use answer::FinalNumber;
pub use compare::{Comparison, MethodSummary, Paired};
pub use error::EvalError;
pub use extract::Extractor;
pub use judge::{Grade, Judge, Judged, Verdict};
pub use judges::{ChoiceJudge, MathJudge, NumberJudge, YesNoJudge};
pub use outcome::{Answer, MethodRun};
pub use record::{Record, Run, Settings};
#[cfg(feature = "hub")]
pub use stir_hub as hub;
pub use task::{AnswerForm, Problem, Prompt, Task, TaskError};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/tasks.md")]
struct TasksPage;

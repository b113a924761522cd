//! Scores the answers of reasoning models, and says how sure one can be that one method beats another.
//!
//! Scoring knows no model: texts go in, numbers come out, so answers from any source can be scored. Who has an
//! [`Engine`](stir_core::Engine) finds here the ways of answering that are compared, too.
//!
//! - [`task`]: benchmarks with their problems, prompts and judges, built in and of one's own.
//! - [`extract`]: what a text answers; [`MathJudge`], [`NumberJudge`], [`ChoiceJudge`] and [`YesNoJudge`] say whether
//!   that is right, [`pairs`] does so for files.
//! - [`answer`]: the convention of `####` and no other, for models that were trained on it ([`FinalNumber`]).
//! - [`equality`]: whether two short answers to a mathematical problem say the same, exactly where possible.
//! - [`method`]: plain decoding, the usual baselines and STIR on one engine.
//! - [`answers`]: files of answers that survive being killed.
//! - [`experiment`]: models, tasks, methods, grids and seeds as a file, and what runs it.
//! - [`stats`]: intervals and paired tests for a few hundred yes-or-no outcomes.
//! - [`Run`] and [`Comparison`]: methods that answered the same problems, side by side against a baseline.
//! - [`report`]: all runs of an experiment as a page to read, with figures and tables.
//!
//! ```
//! use stir_eval::{FinalNumber, stats::{mcnemar, wilson}};
//!
//! let gold = ["4", "1,200", "7"];
//! let solved = |texts: [&str; 3]| gold.iter().zip(texts).map(|(gold, text)| FinalNumber.correct(gold, text)).collect();
//! let plain: Vec<bool> = solved(["2 + 2 = 4\n#### 4", "About a thousand.", "#### 6"]);
//! let steered: Vec<bool> = solved(["#### 4.0", "#### $1200", "#### 7"]);
//! assert_eq!((plain, steered), (vec![true, false, false], vec![true; 3]));
//! // Two problems won and none lost, out of three: a long way from evidence.
//! assert_eq!(mcnemar(2, 0).exact, 0.5);
//! assert!(wilson(1, 3, 0.95)?.high > 0.79);
//! # Ok::<(), stir_eval::EvalError>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod answer;
pub mod answers;
mod compare;
pub mod equality;
mod error;
pub mod experiment;
pub mod extract;
mod judge;
mod judges;
pub mod method;
pub mod pairs;
mod pool;
mod record;
pub mod report;
pub mod stats;
mod table;
pub mod task;
#[cfg(test)]
mod testing;

pub use answer::FinalNumber;
pub use compare::{Comparison, MethodSummary, Paired};
pub use error::EvalError;
pub use extract::Extractor;
pub use judge::{GRADING, Grade, Judge, Judged, Verdict};
pub use judges::{ChoiceJudge, MathJudge, NumberJudge, YesNoJudge};
pub use record::{Record, Run, Settings};
#[cfg(feature = "hub")]
pub use stir_hub as hub;
pub use task::{AnswerForm, Problem, Prompt, Task, TaskError};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/tasks.md")]
struct TasksPage;

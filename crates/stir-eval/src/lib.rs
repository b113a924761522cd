//! Tasks, ways of answering and experiments: STIR, its ablations and the usual baselines on one engine.
//!
//! - [`task`]: benchmarks with their problems, prompts and judges, built in and of one's own.
//! - [`method`]: plain decoding, the usual baselines and STIR on one engine.
//! - [`questions`]: problems with their prompts for one model, their right answers and judges.
//! - [`answers`]: files of answers that survive being killed.
//! - [`experiment`]: models, tasks, methods, grids and seeds as a file, and what runs it.
//!
//! Answers are graded by [`stir_grade`] and compared by [`stir_report`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod answers;
pub mod experiment;
mod format_error;
pub mod method;
pub mod questions;
pub mod task;
pub mod word_problems;

pub use format_error::FormatError;

#[cfg(feature = "hub")]
pub use stir_hub as hub;
pub use task::{AnswerForm, Problem, PromptMessages, Task, TaskError};

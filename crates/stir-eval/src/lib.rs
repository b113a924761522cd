//! Tasks, ways of answering and experiments: STIR, its ablations and the usual baselines on one engine.
//!
//! - [`task`]: benchmarks with their problems, prompts and judges, built in and of one's own.
//! - [`method`]: plain decoding, the usual baselines and STIR on one engine.
//! - [`answers`]: files of answers that survive being killed.
//! - [`experiment`]: models, tasks, methods, grids and seeds as a file, and what runs it.
//!
//! Answers are graded by [`stir_grade`] and compared by [`stir_report`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod answers;
pub mod experiment;
pub mod method;
pub mod task;

#[cfg(feature = "hub")]
pub use stir_hub as hub;
pub use task::{AnswerForm, Problem, Prompt, Task, TaskError};

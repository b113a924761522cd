#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, unreachable_pub)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod answers;
pub mod calibrate;
pub mod control_problems;
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

//! Judged and rewarded samples of a model: the first stage of STIR, useful alone for best-of-n.
//!
//! A [`Task`] is a prompt with a known answer; [`Rollouts`] draws K samples of each, lets a [`Judge`] say which are
//! right, and appends one [`Rollout`] per sample to a JSONL file. A run that was stopped, even by `kill -9`, goes on
//! where it stopped and ends in the very file that an undisturbed run writes. Nothing here reads a hidden state.
//!
//! ```
//! use std::ops::ControlFlow;
//! use stir_core::toy::ToyEngine;
//! use stir_rollout::{RolloutConfig, Rollouts, Task, read_rollouts};
//!
//! let engine = ToyEngine::new(1);
//! let tasks = [Task { id: "p1".into(), prompt: "abc".into(), gold: Some("7".into()) }];
//! let judge = |gold: &str, text: &str| text.contains(gold);
//! let folder = tempfile::tempdir()?;
//! let out = folder.path().join("rollouts.jsonl");
//!
//! let config = RolloutConfig { samples: 4, max_tokens: 16, ..RolloutConfig::default() };
//! let summary = Rollouts::new(&engine, config)?.run(&tasks, &judge, &out, |_| ControlFlow::Continue(()))?;
//! assert!(summary.complete && summary.failures.is_empty());
//! assert_eq!(read_rollouts(&out)?.count(), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod error;
mod jsonl;
mod output;
mod problem;
mod record;
mod run;
mod settings;
mod summary;

pub use config::{RolloutConfig, reward};
pub use error::{RolloutError, RunError};
pub use problem::{Problem, Task, read_problems};
pub use record::{ReadGroups, ReadRollouts, Rollout, group_rollouts, read_groups, read_rollouts};
pub use run::{Judge, Progress, Rollouts, sample_stream};
pub use summary::{Failure, FailureReason, Summary};

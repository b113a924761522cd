//! Judged and rewarded samples of a model: the first stage of STIR, also useful by itself for best-of-n.
//!
//! A [`Prompt`] has a known answer. [`Rollouts`] draws K samples of each prompt, asks a function which of them are right,
//! and appends one [`Rollout`] per sample to a JSONL file. A run that was interrupted, even by `kill -9`, resumes where
//! it stopped and ends in the very file that an undisturbed run writes. No hidden state is read here.
//!
//! ```
//! use stir_core::toy::ToyEngine;
//! use stir_rollout::{Prompt, RolloutConfig, Rollouts, read_rollouts};
//!
//! let engine = ToyEngine::new(1);
//! let prompts = [Prompt { id: "p1".into(), prompt: "abc".into(), gold: Some("7".into()) }];
//! let folder = tempfile::tempdir()?;
//! let out = folder.path().join("rollouts.jsonl");
//!
//! let config = RolloutConfig { samples: 4, max_tokens: 16, ..RolloutConfig::default() };
//! let summary = Rollouts::new(&engine, config)?
//!     .run(&prompts, &|prompt, text| prompt.gold.as_ref().is_some_and(|gold| text.contains(gold)), &out)?;
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
mod prompt;
mod record;
mod run;
mod settings;
mod summary;

pub use config::{RolloutConfig, reward};
pub use error::{RolloutError, RunError};
pub use prompt::{Prompt, PromptRecord, read_prompts};
pub use record::{ReadGroups, ReadRollouts, Rollout, group_rollouts, read_groups, read_rollouts};
pub use run::{Progress, Rollouts, sample_stream};
pub use summary::{Failure, FailureReason, Summary};

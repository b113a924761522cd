#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod boundary;
mod config;
mod error;
mod forks;
mod jsonl;
mod output;
mod prompt;
mod record;
#[cfg(feature = "remote")]
pub mod remote;
mod run;
mod settings;
mod summary;
mod tokens;

pub use boundary::{Boundary, Replayed};
pub use config::{RolloutConfig, reward};
pub use error::{RolloutError, RunError};
pub use forks::{
    Continuation, Fork, ForkConfig, ForkNode, ForkProgress, ForkSummary, Forks, ReadForks, check_fork_output,
    fork_stream, fork_tree, read_forks,
};
pub use prompt::{Prompt, PromptRecord, read_prompts};
pub use record::{ReadGroups, ReadRollouts, Rollout, group_rollouts, read_groups, read_rollouts};
pub use run::{Progress, Rollouts, sample_stream};
pub use settings::{check_output, sampled_by};
pub use summary::{Failure, FailureReason, Summary};
pub use tokens::Tokens;

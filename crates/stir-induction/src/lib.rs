//! Mining steering vectors from a model's own successes and failures: the second stage of STIR (differential
//! intrinsic action induction).
//!
//! If some rollouts of a problem are right and others wrong, the hidden states that the best and the worst of them reach
//! at a segment boundary are averaged and contrasted. The rollouts may come from anywhere: this crate never samples, it
//! reads text or token ids and runs them through the model once.
//!
//! ```
//! use stir_core::toy::ToyEngine;
//! use stir_induction::{InductionConfig, induce};
//! use stir_rollout::{Rollout, group_rollouts};
//!
//! let engine = ToyEngine::new(1);
//! let rollout = |k, text: &str, correct, reward| Rollout {
//!     id: "p1".into(), k, prompt: "abc".into(), gold: None, text: text.into(), token_ids: vec![], correct, reward,
//! };
//! let rollouts = [rollout(0, "so\n\n7", true, 0.99), rollout(1, "hm.\n\n8", false, -0.01)];
//!
//! let groups = group_rollouts(rollouts).into_iter().map(Ok);
//! let (candidates, report) = induce(&engine, groups, InductionConfig::default())?;
//! assert_eq!((candidates.pairs[0].m, candidates.pairs[0].layer), (1, 1));
//! assert!((candidates.pairs[0].quality - 1.0).abs() < 1e-12);
//! assert_eq!(report.kept, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod contrast;
mod error;
mod mine;
mod pool;
mod report;
mod walk;

pub use config::{Contrast, InductionConfig, PositiveSource};
pub use error::{InductionError, JsonError};
pub use mine::{Induction, induce};
pub use report::{InductionReport, Progress, Skipped};

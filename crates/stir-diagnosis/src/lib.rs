#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod auc;
mod config;
mod diagnosis;
mod error;
mod estimate;
mod file;
mod folds;
mod head;
mod layer;
mod order;
mod pairs;
mod quantiles;
mod reliability;
mod replay;
mod retrieval;
mod rollouts;
mod section;
mod sharing;
mod solve;
mod states;
mod verdict;

pub use config::DiagnosisConfig;
pub use diagnosis::{Diagnosis, Origin};
pub use error::{DiagnosisError, FileFault, FormatError, SolverError};
pub use estimate::Estimate;
pub use head::{value_head, value_heads};
pub use layer::{LayerMeasures, Ordering, PointMeasures, Retrieval};
pub use pairs::PairMeasures;
pub use quantiles::Quantiles;
pub use reliability::{RELIABILITY_POINTS, RELIABLE, Reliability};
pub use replay::{Replay, ReplaySide};
pub use rollouts::{RolloutMeasures, RolloutTally};
pub use states::States;
pub use stir_rollout::{Boundary, Replayed};
pub use verdict::{Outlook, Reason, Topic, Verdict, Weight};

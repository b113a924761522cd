#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod arm;
mod board;
mod config;
mod cost;
mod error;
mod estimate;
mod library;
mod pairs;
mod plan;
mod replay;
mod report;
mod settings;
mod start;
mod states;
mod validate;

pub use arm::{Arm, Impulse, Job, Outcome};
pub use config::{ReplayConfig, ValidationConfig};
pub use cost::Cost;
pub use error::ValidationError;
pub use estimate::{Measured, Pooled, Trials, Uplift, design_effect};
pub use pairs::{Intervention, PairReplay, PairReplayConfig};
pub use replay::{Judge, Observer, Phase, Progress, Replays};
pub use report::{EntryReport, Finding, StrengthReport, ValidationCost, ValidationReport};
pub use start::{Start, Starts};
pub use states::read_states;
pub use stir_rollout::Replayed;
pub use validate::{Conclusion, Validation};

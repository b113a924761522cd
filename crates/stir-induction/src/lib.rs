#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answers;
mod capture;
mod config;
mod contrast;
mod divergence;
mod error;
mod forked;
mod mine;
mod miner;
mod pool;
mod pooled;
mod preset;
mod problem;
mod read;
mod report;
mod ridge;
mod shard;
mod shrink;
#[cfg(feature = "states")]
mod states;
mod statistics;
mod walk;

pub use capture::{Captured, capture};
pub use config::{Contrast, InductionConfig, PositiveSource};
pub use error::{InductionError, JsonError};
pub use mine::{Induction, induce};
pub use preset::Preset;
pub use report::{InductionReport, LayerEstimate, Progress, Skipped};
pub use ridge::RidgeError;
pub use shard::merge_pairs;
#[cfg(feature = "states")]
pub use states::{StatesError, StoredSession, StoredStates};
pub use statistics::CorrectionError;

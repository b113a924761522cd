#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod capture;
mod config;
mod contrast;
mod error;
mod mine;
mod pool;
mod read;
mod report;
mod walk;

pub use capture::{Captured, capture};
pub use config::{Contrast, InductionConfig, PositiveSource};
pub use error::{InductionError, JsonError};
pub use mine::{Induction, induce};
pub use report::{InductionReport, Progress, Skipped};

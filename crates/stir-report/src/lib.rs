//! Methods that answered the same problems, side by side: paired statistics, tables, figures and an HTML report.
//!
//! - [`stats`]: intervals and paired tests for a few hundred yes-or-no outcomes.
//! - [`Run`] and [`Comparison`]: methods that answered the same problems, side by side against a baseline.
//! - [`report`]: all runs of an experiment as a page to read, with figures and tables.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod compare;
mod error;
mod pool;
mod record;
pub mod report;
pub mod stats;
mod table;
#[cfg(test)]
mod testing;

pub use compare::{Comparison, MethodSummary, Paired};
pub use error::EvalError;
pub use record::{Record, Run, Settings};
pub(crate) use stir_grade::{Judged, Verdict};

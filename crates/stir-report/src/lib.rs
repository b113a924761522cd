#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod appendix;
mod comparison;
mod config;
mod error;
mod export;
mod figures;
mod grouped;
mod library;
mod page;
mod record;
mod report;
mod seeds;
pub mod stats;
mod svg;
mod table;
#[cfg(test)]
mod testing;

pub use appendix::{Appendix, AppendixTable, Dot, DotChart};
pub use comparison::{Comparison, MethodSummary, Paired};
pub use config::ReportConfig;
pub use error::{ComparisonError, RenderError, ReportError};
pub use library::{EntryDescription, LibraryDescription};
pub use record::{Record, Run, Settings};
pub use report::Report;
pub use stats::StatsError;

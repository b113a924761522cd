//! A compact and diverse library of steering vectors.
//!
//! [`Candidates`] are contrasts mined from a model's successes and failures. [`select`] chooses from them a
//! [`Library`] of entries: a key, which says where in the residual stream, and an [`Action`], which says what to do
//! there. [`Library::retrieve`] finds the entries nearest to a state. Files are checked end to end, and refused for
//! another model.
//!
//! Nothing here needs an engine. Who has own vectors can build a [`Library::from_entries`], or use [`greedy_dpp`]
//! alone.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cluster;
mod codec;
mod config;
mod dpp;
mod entry;
mod error;
mod export;
mod library;
mod pair;
mod select;
mod vector;

pub use cluster::ClusterError;
pub use codec::{FileKind, PayloadError};
pub use config::{BasisConfig, Method};
pub use dpp::greedy_dpp;
pub use entry::{Action, Entry, Key};
pub use error::{BasisError, ContentError};
pub use library::{Hit, Library, Selection};
pub use pair::{Candidates, Pair};
pub use select::select;
pub use vector::normalize;

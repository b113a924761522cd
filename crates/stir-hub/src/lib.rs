#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cache;
mod checksum;
mod client;
mod download;
mod error;
mod names;
mod options;
mod snapshot;
mod url;

pub use error::{ConnectionError, HubError, JsonError, Origin};
pub use options::{Files, Options, RepoKind, Token};
pub use snapshot::{Progress, snapshot};

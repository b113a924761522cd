#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod background;
mod cache;
mod checksum;
mod client;
mod content;
mod download;
mod error;
mod gguf;
mod model;
mod names;
mod options;
mod retry;
mod snapshot;

pub use error::{ConnectionError, HubError, JsonError, Origin};
pub use model::model;
pub use options::{Files, Options, RepoKind, Token};
pub use snapshot::{Progress, snapshot};

//! Brings a repository of the Hugging Face hub to a local folder.
//!
//! [`snapshot`] downloads what a decoder needs (or what [`Files`] says) at one commit and returns the folder. Files
//! live in the cache of Python's `huggingface_hub`, in its layout, so that what either has brought the other finds.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use stir_hub::{Options, Progress, snapshot};
//!
//! let options = Options::from_env()?; // HF_HOME, HF_TOKEN, HF_HUB_OFFLINE, ...
//! let dir = snapshot("Qwen/Qwen2.5-1.5B-Instruct", &options, |progress| {
//!     if let Progress::File { name, done, total: Some(total) } = progress {
//!         println!("{name}: {done} of {total} bytes");
//!     }
//!     ControlFlow::Continue(())
//! })?;
//! assert!(dir.join("config.json").is_file());
//! # Ok::<(), stir_hub::HubError>(())
//! ```
//!
//! What a caller may rely on:
//!
//! - A file appears in the folder only when its bytes have the size and the checksum that the hub states for it.
//! - A broken, cancelled or killed download goes on where it stopped, in this process or a later one.
//! - Several processes and threads may ask for the same repository at once; each file is downloaded by one of them.
//! - The token goes to the endpoint and to no other host, and is in no error and no `Debug` output.
//! - A name that would leave the folder is refused before anything of it is written.
//! - With [`Options::offline`] no connection is made.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod cache;
mod checksum;
mod client;
mod download;
mod error;
mod names;
mod options;
mod snapshot;
mod url;

pub use error::{HubError, Origin};
pub use options::{Files, Options, RepoKind, Token};
pub use snapshot::{Progress, snapshot};

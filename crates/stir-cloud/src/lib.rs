#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod board;
mod claim;
mod command;
mod error;
mod inputs;
mod place;
mod results;

use std::{future::Future, io};

pub use board::{Board, RunSpec};
pub use claim::{Claim, Finished};
pub use command::{OUT, SHARD, Work};
pub use error::{CloudError, StoreError};
pub use place::{Place, copy};

/// Runs a future to its end on a runtime of its own, for programs that have none.
///
/// # Errors
/// When the operating system has no room for a runtime.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    // A runtime takes some handles for itself, and where there are none tokio panics.
    (0..4).map(|_| io::pipe()).collect::<io::Result<Vec<_>>>()?;
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

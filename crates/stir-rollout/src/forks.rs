//! Continuations from segment boundaries: what a boundary is worth, and which continuations of it are good.

mod config;
mod grower;
mod output;
mod planner;
mod record;
mod run;
mod tree;

pub use config::ForkConfig;
pub use output::check_fork_output;
pub use record::{Fork, ReadForks, read_forks};
pub use run::{ForkProgress, ForkSummary, Forks, fork_stream};
pub use tree::{Continuation, ForkNode, fork_tree};

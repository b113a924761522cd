use std::path::PathBuf;

use stir_core::{DriveError, EmptyStop, SamplingError};
use stir_files::FileError;

/// The fault of a file, a setting or a list of tasks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// A setting is outside its bound.
    #[error("{field} is {value}, must be {bound}")]
    Config {
        /// The name of the field of [`RolloutConfig`](crate::RolloutConfig).
        field: &'static str,
        /// The value.
        value: f64,
        /// The bound, as in `finite and >= 0`.
        bound: &'static str,
    },
    /// A sampling setting is outside its bound.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A stop string is empty.
    #[error(transparent)]
    Stop(#[from] EmptyStop),
    /// A file cannot be read or written, or the output is not one of this run.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file holds no record.
    #[error("{} holds no record", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A problem asks nothing.
    #[error("{}, line {line}: problem {id:?} has neither question nor prompt", .path.display())]
    NothingAsked {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The id of the problem.
        id: String,
    },
    /// Two problems of a file have one id.
    #[error("{}, line {line}: problem {id:?} is on line {first} already", .path.display())]
    DuplicateProblem {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The id.
        id: String,
        /// The line that it is on first.
        first: usize,
    },
    /// Two tasks have one id, so their samples could not be told apart.
    #[error("tasks {first} and {second} share the id {id:?}")]
    DuplicateTask {
        /// The id.
        id: String,
        /// The place of the first, from 0.
        first: usize,
        /// The place of the second.
        second: usize,
    },
    /// A file holds two rollouts of one problem and number.
    #[error("{}, line {line}: sample {k} of {id:?} is there already", .path.display())]
    DuplicateRollout {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The id of the problem.
        id: String,
        /// The number of the sample.
        k: usize,
    },
}

/// The reason why a run stopped: its own [`RolloutError`] or one of an engine with the error type `E`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError<E: std::error::Error + 'static> {
    /// A file, a setting or the list of tasks is at fault.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The engine failed. Every sample that was finished is in the output.
    #[error(transparent)]
    Drive(#[from] DriveError<E>),
}

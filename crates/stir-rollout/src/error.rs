use std::path::PathBuf;

use stir_core::{EmptyStop, SamplingError, SettingError};
use stir_files::FileError;

/// The fault of a file, a setting or a list of prompts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// A field of [`RolloutConfig`](crate::RolloutConfig) is out of bounds.
    #[error(transparent)]
    Setting(#[from] SettingError),
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
    /// A record has neither a question nor a prompt.
    #[error("{}, line {line}: record {id:?} has neither question nor prompt", .path.display())]
    NothingAsked {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The record's id.
        id: String,
    },
    /// Two records of one file have the same id.
    #[error("{}, line {line}: the id {id:?} is on line {first} already", .path.display())]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The id.
        id: String,
        /// The line that it is on first.
        first: usize,
    },
    /// Two prompts of one id were given; their samples could not be distinguished.
    #[error("prompts {first} and {second} share the id {id:?}")]
    DuplicatePrompt {
        /// The id.
        id: String,
        /// The place of the first, from 0.
        first: usize,
        /// The place of the second.
        second: usize,
    },
    /// A file holds two rollouts of one problem and number.
    #[error("{}, line {line}: sample {k} of {id:?} occurs twice", .path.display())]
    DuplicateRollout {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The record's id.
        id: String,
        /// The number of the sample.
        k: usize,
    },
    /// A file holds two continuations of one boundary and number.
    #[error("{}, line {line}: continuation {k} of boundary {node} of {id:?} occurs twice", .path.display())]
    DuplicateFork {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The problem's id.
        id: String,
        /// The number of the boundary.
        node: usize,
        /// The number of the continuation.
        k: usize,
    },
    /// A continuation does not fit the others of its problem, or the rollouts.
    #[error("continuation {k} of boundary {node} of {id:?} does not fit the rollouts and the other continuations")]
    NotOfTree {
        /// The problem's id.
        id: String,
        /// The number of the boundary.
        node: usize,
        /// The number of the continuation.
        k: usize,
    },
}

/// The reason why a run stopped: its own [`RolloutError`] or that of an engine `E`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError<E> {
    /// A file, a setting or the prompts are at fault.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The engine failed. Every sample that was finished is in the output.
    #[error("the engine failed while rollouts were being sampled")]
    Engine(#[source] E),
}

use std::{io, path::PathBuf};

use stir_core::{EmptyStop, SamplingError, SettingError};

/// What is wrong with a file, a setting or a list of prompts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// A field of [`RolloutConfig`](crate::RolloutConfig) is out of bounds.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A sampling setting outside its bound.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// An empty stop string.
    #[error(transparent)]
    Stop(#[from] EmptyStop),
    /// The file system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A line that is not the JSON it should be.
    #[error("{}, line {line}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with the line.
        source: serde_json::Error,
    },
    /// A settings file that is not JSON.
    #[error("{} is not JSON", .path.display())]
    BrokenSettings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A value that cannot be written as JSON.
    #[error("cannot be written as JSON")]
    Unwritable(#[from] serde_json::Error),
    /// A file that holds no record.
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
        /// From 1.
        line: usize,
        /// The record's id.
        id: String,
    },
    /// Two records of one file have the same id.
    #[error("{}, line {line}: the id {id:?} is on line {first} already", .path.display())]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The id.
        id: String,
        /// Where it stood first.
        first: usize,
    },
    /// Two prompts of one id were given; their samples could not be told apart.
    #[error("prompts {first} and {second} share the id {id:?}")]
    DuplicatePrompt {
        /// The id.
        id: String,
        /// Place of the first, from 0.
        first: usize,
        /// Place of the second.
        second: usize,
    },
    /// Two rollouts of one problem and number.
    #[error("{}, line {line}: sample {k} of {id:?} occurs twice", .path.display())]
    DuplicateRollout {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The record's id.
        id: String,
        /// The sample.
        k: usize,
    },
    /// The output holds a record that this run would not make.
    #[error("{}, line {line}: sample {k} of {id:?} is not part of this run", .path.display())]
    Unasked {
        /// The output.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The record's id.
        id: String,
        /// The sample.
        k: usize,
    },
    /// The output was made under other settings; both would be mixed.
    #[error("{}: {field} was {expected} when the output was begun and is {found} now", .path.display())]
    Settings {
        /// The settings file beside the output.
        path: PathBuf,
        /// What differs, as a path into the JSON: `config.sampling.top_p`.
        field: String,
        /// JSON text of its value in the file; `absent` when it has none.
        expected: String,
        /// JSON text of its value now; `absent` when it has none.
        found: String,
    },
    /// The output holds records and nothing says under which settings they were made.
    #[error("the output holds {records} records but {} is missing", .path.display())]
    NoSettings {
        /// The settings file that should be there.
        path: PathBuf,
        /// Records in the output.
        records: usize,
    },
    /// Another run writes to the output.
    #[error("{} is being written by another run", .path.display())]
    InUse {
        /// The output.
        path: PathBuf,
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

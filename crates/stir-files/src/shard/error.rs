use std::path::PathBuf;

use super::Shard;
use crate::FileError;

/// The reason why there is no such part of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// A text is not of the form `I/N`.
    #[error("{text:?} is no shard: it must be I/N, part I (from 0) of N, such as 0/8")]
    Form {
        /// The text.
        text: String,
    },
    /// A run of no parts.
    #[error("the number of shards is 0, must be >= 1")]
    NoShards,
    /// A part that the run does not have.
    #[error("there is no shard {index} of {count}: shards are counted from 0, so it must be < {count}")]
    Index {
        /// The number of the part.
        index: usize,
        /// The number of parts.
        count: usize,
    },
    /// No scheduler says which part this process has.
    #[error("no scheduler says which shard this is: SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX are not set")]
    NoScheduler,
    /// A scheduler says only half of it.
    #[error("{is} is set, but not {missing}, which says how many shards there are")]
    Unset {
        /// The variable that is set.
        is: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
    /// A variable of the environment is not what it should be.
    #[error("the environment variable {name} is {value:?}, must be {bound}")]
    Variable {
        /// The name.
        name: &'static str,
        /// The value.
        value: String,
        /// What it must be.
        bound: &'static str,
    },
}

/// The reason why parts of a run cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// No part was given.
    #[error("there are no shards to merge")]
    Nothing,
    /// A file is no part of a run.
    #[error("{} is no shard: it was made by a run without --shard, or by another program", .path.display())]
    NotAShard {
        /// The file.
        path: PathBuf,
    },
    /// A part did not come to its end.
    #[error("{} is not finished: run its shard again, which adds what is missing", .path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// A file is not as long as it was when its part came to its end.
    #[error("{} has {found} bytes, but had {sealed} when its shard was finished", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The number of bytes now.
        found: u64,
        /// The number of bytes then.
        sealed: u64,
    },
    /// Two parts are of runs that were divided differently.
    #[error("{} is shard {shard}, {} is shard {other_shard}: they are not of one run", .path.display(), .other.display())]
    Division {
        /// The first file.
        other: PathBuf,
        /// Its part.
        other_shard: Shard,
        /// The second file.
        path: PathBuf,
        /// Its part.
        shard: Shard,
    },
    /// One part is there twice.
    #[error("{} and {} are both shard {shard}", .first.display(), .second.display())]
    Twice {
        /// The part.
        shard: Shard,
        /// The first file.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
    /// Parts are missing.
    #[error("{} of {count} shards are missing, the first is {}", .missing.len(), .missing.first().copied().unwrap_or(0))]
    Gap {
        /// The number of parts of the run.
        count: usize,
        /// The numbers of those that are missing.
        missing: Vec<usize>,
    },
    /// Two parts were made under different settings.
    #[error("{field} is {value} in {}, but {other_value} in {}", .path.display(), .other.display())]
    Settings {
        /// The path of the first field that differs.
        field: String,
        /// The first file.
        other: PathBuf,
        /// The JSON text of its value.
        other_value: String,
        /// The second file.
        path: PathBuf,
        /// The JSON text of its value.
        value: String,
    },
    /// A part has another number of problems than its share of the whole.
    #[error("{} has {found} problems, but shard {shard} of {total} problems has {}", .path.display(), .shard.len_of(*.total))]
    Share {
        /// The file.
        path: PathBuf,
        /// The part.
        shard: Shard,
        /// The number of its problems.
        found: usize,
        /// The number of problems of the whole run.
        total: usize,
    },
    /// Two parts have a problem in common.
    #[error("problem {id:?} is in {} and in {}", .first.display(), .second.display())]
    Overlap {
        /// The problem's id.
        id: String,
        /// The first file.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
    /// A record is not of the problem whose turn it is.
    #[error("{}, record {record}: problem {id:?} is not one of the shard, or not in its place", .path.display())]
    Stray {
        /// The file.
        path: PathBuf,
        /// The number of the record, from 1.
        record: usize,
        /// The problem's id.
        id: String,
    },
}

use std::{io, path::PathBuf, process::ExitStatus};

use stir_files::{FileError, Shard, ShardError};

/// The reason why a shared run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// A text is no address of a store: `s3://BUCKET/PATH`, `gs://BUCKET/PATH`, `az://CONTAINER/PATH` or `file:///PATH`.
    #[error(
        "{url:?} is no address of an object store, must be s3://, gs://, az:// or file:/// with a path and without ? and #"
    )]
    Url {
        /// The text.
        url: String,
        /// The reason, if there is more to say.
        source: Option<StoreError>,
    },
    /// A copy does not go into a store or out of one.
    #[error("one of {from:?} and {to:?} must be an address of a store, and the other a file")]
    Copy {
        /// What is to be copied.
        from: String,
        /// Where it is to go.
        to: String,
    },
    /// The store refused an operation, or could not be reached.
    #[error("cannot {action} {path}")]
    Store {
        /// The operation, as a verb.
        action: &'static str,
        /// The object.
        path: String,
        /// The refusal.
        source: StoreError,
    },
    /// A file of this machine cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no such part of the run.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The lease is not one that can be kept.
    #[error("the lease is {milliseconds} ms, must be >= {at_least} ms")]
    Lease {
        /// The lease.
        milliseconds: u64,
        /// The bound.
        at_least: u64,
    },
    /// The store holds another run at this address.
    #[error("{path} holds a run of other settings: {field} is {there} there and {here} here")]
    Differs {
        /// The address.
        path: String,
        /// The setting that differs.
        field: String,
        /// The JSON text of its value there.
        there: String,
        /// The JSON text of its value here.
        here: String,
    },
    /// Another worker has taken the shard over: this one did not renew its claim for as long as the lease.
    #[error("another worker has taken over shard {shard}")]
    Lost {
        /// The shard.
        shard: Shard,
    },
    /// An object is not what the workers of a run write there, or not one that they can read.
    #[error("{path} is not what it should be: {what}")]
    Foreign {
        /// The object.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The command of a worker does not say where something goes.
    #[error(
        "the command has no {missing}: it needs {{out}}, the folder of its output, and {{shard}} where there are several shards"
    )]
    Placeholder {
        /// The text that is missing.
        missing: &'static str,
    },
    /// The command of a worker cannot be started.
    #[error("cannot start {}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// The command of a worker wrote nothing.
    #[error("the command wrote no file to its folder {{out}} for shard {shard}")]
    Nothing {
        /// The shard.
        shard: Shard,
    },
    /// The command of a worker failed. Its claim ends with the lease; another worker may try.
    #[error("the command failed for shard {shard}: {status}")]
    Command {
        /// The shard.
        shard: Shard,
        /// The way it ended.
        status: ExitStatus,
    },
}

/// The refusal of an object store.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StoreError(pub(crate) object_store::Error);

impl CloudError {
    pub(crate) fn store(
        action: &'static str,
        path: &object_store::path::Path,
    ) -> impl FnOnce(object_store::Error) -> Self {
        let path = path.to_string();
        move |source| Self::Store { action, path, source: StoreError(source) }
    }
}

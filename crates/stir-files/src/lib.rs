#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod atomic;
mod error;
mod lines;
mod lock;
mod log;
mod settings;
mod shard;
mod surrogates;

pub use atomic::{check_writable, place_atomically, unused_name, with_suffix, write_atomically, write_atomically_with};
pub use error::{FileError, JsonError};
pub use lines::{LineSpan, Lines, json_line, read_lines};
pub use lock::FileLock;
pub use log::{RecordLog, Records};
pub use settings::Settings;
pub use shard::{
    MergeError, Part, SHARDS_VARIABLE, Seal, Shard, ShardError, Share, assemble, merge_folders, merge_logs,
};
pub use surrogates::mend_surrogates;

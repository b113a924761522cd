use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Shard;
use crate::{FileError, error::JsonError, with_suffix, write_atomically};

/// What a part of a run was asked: the problems that are its own, and how many the whole run has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The part.
    pub shard: Shard,
    /// The number of problems of the whole run.
    pub total: usize,
    /// The ids of the part's own problems, in order.
    pub problems: Vec<String>,
}

impl Share {
    /// Returns the share of `shard` in a run whose problems have these ids.
    pub fn new<S: Into<String>>(shard: Shard, ids: impl IntoIterator<Item = S>) -> Self {
        let (mut total, mut problems) = (0, Vec::new());
        for id in ids {
            if shard.contains(total) {
                problems.push(id.into());
            }
            total += 1;
        }
        Self { shard, total, problems }
    }
}

/// The mark of a part of a run that came to its end: a file next to its records.
///
/// A log cannot tell by itself whether it is finished, as a run leaves out samples that could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// What was asked.
    pub share: Share,
    /// The number of bytes of the records.
    pub bytes: u64,
}

impl Seal {
    pub(crate) const SUFFIX: &str = ".shard.json";

    /// Returns the path of the seal of the records in `out`: its name with `.shard.json` at the end.
    pub fn path(out: impl AsRef<Path>) -> PathBuf {
        with_suffix(out, Self::SUFFIX)
    }

    /// Reads the seal of the records in `out`; `None` if there is none, as with records that are not finished.
    ///
    /// # Errors
    /// [`FileError::Io`], and [`FileError::BrokenSettings`] for a file that is no seal.
    pub fn read(out: impl AsRef<Path>) -> Result<Option<Self>, FileError> {
        let path = Self::path(out);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(FileError::io("read", &path))?,
        };
        let broken = |source| FileError::BrokenSettings { path, source: JsonError(source) };
        serde_json::from_slice(&text).map(Some).map_err(broken)
    }

    pub(crate) fn write(&self, out: &Path) -> Result<(), FileError> {
        let path = Self::path(out);
        let text = serde_json::to_vec(self).map_err(FileError::unwritable)?;
        write_atomically(&path, text).map_err(FileError::io("write", &path))
    }

    pub(crate) fn remove(out: &Path) -> Result<(), FileError> {
        let path = Self::path(out);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(FileError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}

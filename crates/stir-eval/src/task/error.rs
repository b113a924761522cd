use std::{io, path::PathBuf};

use crate::FormatError;

/// A task or its problems cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The name is not in the catalogue.
    #[error("there is no task {name:?}; there are {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// A task of the catalogue has no problems here.
    #[error("the problems of {name:?} have to come from a file or folder, or, with the feature hub, from {repo}")]
    NoData {
        /// The task.
        name: String,
        /// The repository of the hub that has them.
        repo: &'static str,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A line, or an array in a file, is not JSON.
    #[error("{}, line {line} is not JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1; the first one of the file for an array.
        line: usize,
        /// The reason.
        source: FormatError,
    },
    /// A file begins like parquet but cannot be read as such.
    #[error("cannot read {} as parquet", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: FormatError,
    },
    /// A file is not the description of a task.
    #[error("cannot read {} as the description of a task", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: FormatError,
    },
    /// A row is not an object with fields.
    #[error("{place} is no object")]
    NotAnObject {
        /// The row.
        place: Place,
    },
    /// A row lacks a field that every problem has.
    #[error("{place} has no {field}: none of {}", names.join(", "))]
    NoField {
        /// The row.
        place: Place,
        /// The part of a problem that is missing.
        field: &'static str,
        /// The names that the field may have.
        names: &'static [&'static str],
    },
    /// A field has a value that cannot be used.
    #[error("{place}: {field} is {value}, must be {expected}")]
    Field {
        /// The row.
        place: Place,
        /// The field.
        field: String,
        /// Its value as JSON; long values are shortened.
        value: String,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// Two problems share an id.
    #[error("{place} repeats the id {id:?} of row {first}")]
    DuplicateId {
        /// The row of the second.
        place: Place,
        /// The id.
        id: String,
        /// The row of the first, counted as in `place`.
        first: usize,
    },
    /// The files have no problem.
    #[error("{} has no problems", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// A folder has no file of the split.
    #[error("{} has no file of the split {split:?} (parquet, jsonl or json)", folder.display())]
    NoSplit {
        /// The folder.
        folder: PathBuf,
        /// The split.
        split: String,
    },
    /// A folder has several sets of files of the split.
    #[error("{} has several files of the split {split:?}, name one: {}", folder.display(), list(files))]
    Ambiguous {
        /// The folder.
        folder: PathBuf,
        /// The split.
        split: String,
        /// The first file of each set.
        files: Vec<PathBuf>,
    },
    /// A split lacks some of its shards, as their names tell.
    #[error("{} has only a part of the split {split:?}, missing: {}", folder.display(), list(files))]
    MissingShards {
        /// The folder.
        folder: PathBuf,
        /// The split.
        split: String,
        /// The first files that are missing.
        files: Vec<PathBuf>,
    },
    /// A template has an unknown placeholder or lacks the question.
    #[error("the template {template:?} must have {{question}}, may have {{choices}}, and no other placeholder")]
    Template {
        /// The template.
        template: String,
    },
    /// A file is neither a description nor problems.
    #[error("{} is no task: it ends neither in .toml nor in .jsonl, .json or .parquet", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The hub did not provide the problems.
    #[cfg(feature = "hub")]
    #[error("cannot fetch {repo} from the hub")]
    Hub {
        /// The repository.
        repo: &'static str,
        /// The reason.
        source: Box<stir_hub::HubError>,
    },
}

impl TaskError {
    pub(super) fn io(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The place of a problem in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line of a JSONL file, the row of any other; from 1.
    pub row: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, row {}", self.path.display(), self.row)
    }
}

use std::{io, path::PathBuf};

use parquet::errors::ParquetError;

/// Why a task or its problems cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A name that is not in the catalogue.
    #[error("there is no task {name:?}; there are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A task of the catalogue without its problems.
    #[error("the problems of {name:?} have to come from a file or folder, or, with the feature hub, from {repo}")]
    NoData {
        /// The task.
        name: String,
        /// Where the hub has them.
        repo: &'static str,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line (or an array in a file) that is no JSON.
    #[error("{}, line {line}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1; the first one of the file for an array.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file that begins like parquet and is none.
    #[error("cannot read {} as parquet", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParquetError,
    },
    /// A description of a task that is none.
    #[error("cannot read {} as the description of a task", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// A row that is not an object with fields.
    #[error("{place} is no object")]
    NotAnObject {
        /// Where.
        place: Place,
    },
    /// A row without a field that every problem has.
    #[error("{place} has no {field}: none of {}", names.join(", "))]
    NoField {
        /// Where.
        place: Place,
        /// What is missing.
        field: &'static str,
        /// The names it may have.
        names: &'static [&'static str],
    },
    /// A field with a value that cannot be used.
    #[error("{place}: {field} is {value}, must be {expected}")]
    Field {
        /// Where.
        place: Place,
        /// The field.
        field: String,
        /// Its value as JSON, long ones shortened.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Two problems of one name.
    #[error("{place} repeats the id {id:?} of row {first}")]
    DuplicateId {
        /// Where the second one is.
        place: Place,
        /// The name.
        id: String,
        /// The row of the first one, counted as in `place`.
        first: usize,
    },
    /// Files without a problem.
    #[error("{} has no problems", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// A folder without the file that is looked for.
    #[error("{} has no file of the split {split:?} (parquet, jsonl or json)", folder.display())]
    NoSplit {
        /// The folder.
        folder: PathBuf,
        /// The split.
        split: String,
    },
    /// A folder with several sets of files for one split.
    #[error("{} has several files of the split {split:?}, name one: {}", folder.display(), list(files))]
    Ambiguous {
        /// The folder.
        folder: PathBuf,
        /// The split.
        split: String,
        /// The first file of each set.
        files: Vec<PathBuf>,
    },
    /// A template whose placeholder is not known, or that lacks the question.
    #[error("the template {template:?} must have {{question}}, may have {{choices}}, and no other placeholder")]
    Template {
        /// The template.
        template: String,
    },
    /// A file that is neither a description nor problems.
    #[error("{} is no task: it ends neither in .toml nor in .jsonl, .json or .parquet", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The hub did not bring the problems.
    #[cfg(feature = "hub")]
    #[error("the hub did not bring {repo}")]
    Hub {
        /// The repository.
        repo: &'static str,
        /// Why.
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

/// Where a problem stands.
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

use std::{
    io,
    path::{Path, PathBuf},
};

/// The reason why a file could not be read, written or resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file system refused an operation.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The operation, as a verb: `open`, `lock`, `read`, `write`, `create` or `remove`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A line is not the JSON that it should be. Nothing has been changed in the file.
    #[error("{}, line {line} is not a valid record", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The fault.
        source: JsonError,
    },
    /// A settings file is not JSON.
    #[error("{} does not hold settings as JSON", .path.display())]
    BrokenSettings {
        /// The settings file.
        path: PathBuf,
        /// The fault.
        source: JsonError,
    },
    /// A value cannot be written as JSON.
    #[error("a value cannot be written as JSON")]
    Unwritable(#[source] JsonError),
    /// Two records of a run have the same key, so they could not be distinguished.
    #[error("records {first} and {second} of the run share the key {key}")]
    DuplicateKey {
        /// The `Debug` text of the key.
        key: String,
        /// The place of the first, from 0.
        first: usize,
        /// The place of the second.
        second: usize,
    },
    /// The log holds a record that is not one of the run's. Nothing has been changed in the file.
    #[error("{}, line {line}: {key} is not part of this run", .path.display())]
    Unasked {
        /// The log.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The `Debug` text of the record's key.
        key: String,
    },
    /// The log holds a record twice. Nothing has been changed in the file.
    #[error("{}, line {line}: {key} is there already", .path.display())]
    DuplicateRecord {
        /// The log.
        path: PathBuf,
        /// The number of the second line, from 1.
        line: usize,
        /// The `Debug` text of the record's key.
        key: String,
    },
    /// The file was begun under other settings; going on would mix the two.
    #[error("{}: {}", .path.display(), changed(.field, .then, .now))]
    Settings {
        /// The file that was begun.
        path: PathBuf,
        /// The path of the first field that differs, such as `sampling.top_p`; empty when the settings are no object.
        field: String,
        /// The JSON text of the field's earlier value; `absent` when it had none.
        then: String,
        /// The JSON text of the field's value now; `absent` when it has none.
        now: String,
    },
    /// The log is not empty and nothing tells under which settings it was begun.
    #[error(
        "{} holds {records} records but {} is missing: restore it, or move the records away to start over",
        .path.display(),
        .settings.display()
    )]
    NoSettings {
        /// The log.
        path: PathBuf,
        /// The settings file that should be next to it.
        settings: PathBuf,
        /// The number of whole lines in the log.
        records: usize,
    },
    /// Another process holds the lock.
    #[error("{} is in use by another run", .path.display())]
    InUse {
        /// The locked file.
        path: PathBuf,
    },
}

impl FileError {
    pub(crate) fn io<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> Self + 'p {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn unwritable(source: serde_json::Error) -> Self {
        Self::Unwritable(JsonError(source))
    }
}

/// Says that a field has changed; digests, which tell a reader nothing, are left out.
fn changed(field: &str, then: &str, now: &str) -> String {
    let field = if field.is_empty() { "the settings" } else { field };
    let digest = |value: &str| value.len() > 32 && value.trim_matches('"').bytes().all(|byte| byte.is_ascii_hexdigit());
    if digest(then) && digest(now) {
        return format!("{field} is not what it was when the run was begun");
    }
    format!("{field} was {then} when the run was begun and is {now} now")
}

/// A fault in JSON text, or a value that JSON cannot hold.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(pub(crate) serde_json::Error);

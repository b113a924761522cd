//! Files of answers that survive being killed: a [`RecordLog`] with one record for every problem, by its id.
//!
//! Answers are appended to `OUT` as they come, and `OUT.settings.json` holds the settings of the run; when all are
//! there, [`finish`](RecordLog::finish) puts them in the order of the problems. A run that was stopped at any point, or
//! has finished, resumes under the same settings and ends in the same file. Other settings are refused, and so is a
//! second process.
//!
//! ```
//! use serde_json::{Value, json};
//! use stir_eval::answers::{Answers, open};
//!
//! let folder = tempfile::tempdir()?;
//! let out = folder.path().join("answers.jsonl");
//! let id = |answer: &Value| answer["id"].as_str().unwrap_or_default().to_owned();
//! let begin = || open(&out, &json!({"k_scale": 0.75}), &["a", "b"], id);
//!
//! let mut answers: Answers<Value> = begin()?;
//! answers.push(&json!({"id": "b", "text": "two"}))?;
//! drop(answers); // killed
//!
//! let mut answers = begin()?;
//! assert!(answers.contains(1) && !answers.contains(0));
//! answers.push(&json!({"id": "a", "text": "one"}))?;
//! answers.finish()?;
//! assert!(std::fs::read_to_string(&out)?.starts_with(r#"{"id":"a""#));
//! assert!(begin()?.is_complete());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use stir_files::{FileError, RecordLog, Settings, Shard, Share, with_suffix};
use stir_report::Record;

/// A file of answers in progress; its keys are the ids of problems.
pub type Answers<R = Record> = RecordLog<R, String>;

/// The reason why a file of answers cannot be begun or resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswersError {
    /// The file cannot be read or written, or is not one of this run.
    #[error(transparent)]
    File(#[from] FileError),
    /// An earlier version left an unfinished run, which this one cannot read.
    #[error(
        "{} holds the unfinished run of an earlier version: finish it with that version, or remove the file to start over",
        .path.display()
    )]
    Earlier {
        /// The file of that version.
        path: PathBuf,
    },
}

/// Checks, before the model is loaded, that a run, or one part of it, can begin `out` or resume it, as far as the `known`
/// settings tell ([`Settings::check_output`]).
///
/// # Errors
/// [`AnswersError`] with what is in the way.
pub fn check(out: &Path, known: &impl Serialize, shard: Option<Shard>) -> Result<(), AnswersError> {
    refuse_earlier(out)?;
    Ok(Settings::new(known)?.of_shard(shard).check_output(out)?)
}

/// Begins `out`, or resumes an earlier run of the same `settings`, finished or not. `ids` are those of the problems, in
/// order; `id` returns the one of an answer.
///
/// # Errors
/// [`AnswersError::File`] with the errors of [`RecordLog::open`], and [`AnswersError::Earlier`].
pub fn open<R: Serialize + DeserializeOwned>(
    out: &Path,
    settings: &impl Serialize,
    ids: &[&str],
    id: fn(&R) -> String,
) -> Result<Answers<R>, AnswersError> {
    refuse_earlier(out)?;
    Ok(RecordLog::open(out, &Settings::new(settings)?, ids.iter().map(|&id| id.to_owned()), id)?)
}

/// Works like [`open`] for the answers of one part of a run, which are those to the problems in its places ([`Shard::of`]).
/// `settings` and `ids` are those of the whole run. [`merge_logs`](stir_files::merge_logs) puts the files of all parts
/// together.
///
/// ```
/// use serde_json::{Value, json};
/// use stir_eval::answers::{Answers, open_shard};
/// use stir_files::{Shard, merge_logs};
///
/// let folder = tempfile::tempdir()?;
/// let id = |answer: &Value| answer["id"].as_str().unwrap_or_default().to_owned();
/// let (ids, mut parts) = (["a", "b", "c"], Vec::new());
/// for shard in Shard::all(2) {
///     let out = folder.path().join(format!("{}.jsonl", shard.index()));
///     let mut answers: Answers<Value> = open_shard(&out, &json!({"k_scale": 0.75}), &ids, shard, id)?;
///     for id in shard.of(ids) {
///         answers.push(&json!({"id": id}))?;
///     }
///     answers.finish()?;
///     parts.push(out);
/// }
/// let out = folder.path().join("answers.jsonl");
/// assert_eq!(merge_logs(&out, &parts)?, 3);
/// assert_eq!(std::fs::read_to_string(&out)?, "{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"c\"}\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Fails like [`open`].
pub fn open_shard<R: Serialize + DeserializeOwned>(
    out: &Path,
    settings: &impl Serialize,
    ids: &[&str],
    shard: Shard,
    id: fn(&R) -> String,
) -> Result<Answers<R>, AnswersError> {
    refuse_earlier(out)?;
    let share = Share::new(shard, ids.iter().copied());
    let settings = Settings::new(settings)?.of_shard(Some(shard));
    Ok(RecordLog::open(out, &settings, ids.iter().map(|&id| id.to_owned()), id)?.sealed(share)?)
}

/// Refuses what an earlier version left: lines went there, under their settings, until a run had finished.
fn refuse_earlier(out: &Path) -> Result<(), AnswersError> {
    let path = with_suffix(out, ".partial");
    if path.exists() { Err(AnswersError::Earlier { path }) } else { Ok(()) }
}

//! Files of answers that survive being killed.
//!
//! Lines go to `OUT.partial` as they come, after one that tells the settings of the run, and in the end, in order, to
//! `OUT`, with the settings in `OUT.settings.json`. A run that is stopped at any point, or was finished, and is started
//! again with the same settings, goes on with what is missing and ends in the same file. Where there is a run of other
//! settings, under way or finished, they are refused, and so is a second process.
//!
//! ```
//! use serde_json::json;
//! use stir_eval::answers::Answers;
//!
//! let folder = tempfile::tempdir()?;
//! let out = folder.path().join("answers.jsonl");
//! let settings = json!({"k_scale": 0.75});
//!
//! let mut answers = Answers::begin(&out, &settings, &["a", "b"])?;
//! answers.push(1, &json!({"id": "b", "text": "two"}))?;
//! drop(answers); // killed
//!
//! let mut answers = Answers::begin(&out, &settings, &["a", "b"])?;
//! assert!(answers.has(1) && !answers.has(0));
//! answers.push(0, &json!({"id": "a", "text": "one"}))?;
//! answers.finish()?;
//! assert!(std::fs::read_to_string(&out)?.starts_with(r#"{"id":"a""#));
//! assert_eq!(Answers::begin(&out, &settings, &["a", "b"])?.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What is wrong with a file of answers.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
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
    /// A line that is not what it should be.
    #[error("{}, line {line}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with the line.
        source: serde_json::Error,
    },
    /// A line for no problem of the run.
    #[error("{}, line {line}: there is no problem {id:?} in this run", .path.display())]
    Unasked {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the line calls its problem; empty where it names none.
        id: String,
    },
    /// Two problems of one id: their answers could not be told apart.
    #[error("problems {first} and {second} share the id {id:?}")]
    DuplicateId {
        /// The id.
        id: String,
        /// Place of the first, from 0.
        first: usize,
        /// Place of the second.
        second: usize,
    },
    /// A value that cannot be written as JSON.
    #[error("cannot be written as JSON")]
    Unwritable(#[from] serde_json::Error),
    /// The file was made under other settings; both would be mixed, or the earlier answers lost.
    #[error("{}: {field} was {then} when the run was begun and is {now} now", .path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What differs, as a path into the JSON: `sampling.top_p`.
        field: String,
        /// JSON text of its value in the file; `absent` when it has none.
        then: String,
        /// JSON text of its value now; `absent` when it has none.
        now: String,
    },
    /// Another process writes to the file.
    #[error("{} is being written by another run", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// What the name of the settings ends in, after that of the output.
const SETTINGS: &str = ".settings.json";

/// A JSONL file whose lines come in any order and end up sorted; see the [module](self).
#[derive(Debug)]
pub struct Answers {
    out: PathBuf,
    partial: PathBuf,
    file: File,
    /// JSON text.
    settings: String,
    /// By place in the output.
    lines: BTreeMap<usize, String>,
}

impl Answers {
    /// Begins `out`, or takes up what is there of an earlier run of the same `settings`, finished or not. `ids` are the
    /// lines that there will be, in order, by their field `id`.
    ///
    /// # Errors
    /// [`AnswersError::InUse`], [`AnswersError::Settings`] for what was begun or finished under other settings,
    /// [`AnswersError::Line`] and [`AnswersError::Unasked`] for a line that was not written by such a run,
    /// [`AnswersError::DuplicateId`], and [`AnswersError::Io`].
    pub fn begin(out: &Path, settings: &Value, ids: &[&str]) -> Result<Self, AnswersError> {
        let places = places(ids)?;
        let partial = with_suffix(out, ".partial");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&partial);
        let file = file.map_err(refused("open", &partial))?;
        lock(&file, &partial)?;
        // Bytes: whoever died while it wrote may have left half a character.
        let bytes = fs::read(&partial).map_err(refused("read", &partial))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(refused("write", &partial))?;
        let mut this =
            Self { out: out.to_owned(), partial, file, settings: settings.to_string(), lines: BTreeMap::new() };
        let finished = this.finished(settings, &places);
        if finished.is_err() && whole == 0 {
            // Opened for its lock only. That it goes again is for tidiness.
            let _ = fs::remove_file(&this.partial);
        }
        this.lines = finished?;
        match bytes[..whole].iter().position(|&byte| byte == b'\n') {
            None => this.append(&settings.to_string())?,
            Some(first) => {
                let then = serde_json::from_slice(&bytes[..first]).map_err(damaged(&this.partial, 1))?;
                same_settings(&this.partial, &then, settings)?;
                this.lines.append(&mut lines(&this.partial, 2, &bytes[first + 1..whole], &places)?);
            }
        }
        Ok(this)
    }

    /// The lines of a run that was finished, of the same settings or none.
    fn finished(
        &self,
        settings: &Value,
        places: &HashMap<&str, usize>,
    ) -> Result<BTreeMap<usize, String>, AnswersError> {
        let beside = with_suffix(&self.out, SETTINGS);
        let Some(then) = read_if_there(&beside)? else { return Ok(BTreeMap::new()) };
        let Some(bytes) = read_if_there(&self.out)? else { return Ok(BTreeMap::new()) };
        let then = serde_json::from_slice(&then).map_err(damaged(&beside, 1))?;
        same_settings(&self.out, &then, settings)?;
        lines(&self.out, 1, &bytes, places)
    }

    /// Whether line `place` is there.
    pub fn has(&self, place: usize) -> bool {
        self.lines.contains_key(&place)
    }

    /// The lines that are there, in order.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.values().map(String::as_str)
    }

    /// How many lines are there.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether no line is there.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Keeps line `place`. Once this returns, only the machine itself can lose it.
    ///
    /// # Errors
    /// [`AnswersError::Unwritable`] and [`AnswersError::Io`].
    pub fn push(&mut self, place: usize, line: &impl Serialize) -> Result<(), AnswersError> {
        let line = serde_json::to_string(line)?;
        self.append(&line)?;
        self.lines.insert(place, line);
        Ok(())
    }

    /// Writes the output, and the settings beside it; returns its lines.
    ///
    /// # Errors
    /// [`AnswersError::Io`]; what was kept stays where it is.
    pub fn finish(self) -> Result<Vec<String>, AnswersError> {
        let lines: Vec<String> = self.lines.into_values().collect();
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let beside = with_suffix(&self.out, SETTINGS);
        // At no time do settings stand beside the answers of others; until all is there, so is the partial file.
        remove_if_there(&beside)?;
        write_atomically(&self.out, text.as_bytes())?;
        write_atomically(&beside, self.settings.as_bytes())?;
        remove_if_there(&self.partial)?;
        Ok(lines)
    }

    fn append(&mut self, line: &str) -> Result<(), AnswersError> {
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(refused("write", &self.partial))
    }
}

/// The lines of a JSONL file, each as a `T`.
///
/// # Errors
/// [`AnswersError::Io`], and [`AnswersError::Line`] for the first line that is not a `T`.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, AnswersError> {
    let text = fs::read(path).map_err(refused("read", path))?;
    let lines = text.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.map(|(number, line)| serde_json::from_slice(line).map_err(damaged(path, number + 1))).collect()
}

/// Writes a file in one step: whoever reads sees all of it or what was there before.
///
/// # Errors
/// [`AnswersError::Io`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), AnswersError> {
    let temporary = with_suffix(path, &format!(".{}.tmp", std::process::id()));
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The failure to write is what matters; a left-over is not.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(refused("write", path))
}

/// Takes the lock of an open file, for as long as it is open. Where there are no locks (some network file systems) that
/// is no reason not to work.
pub(crate) fn lock(file: &File, path: &Path) -> Result<(), AnswersError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(AnswersError::InUse { path: path.to_owned() }),
        _ => Ok(()),
    }
}

/// Whether what a file was begun under is what is asked for now.
pub(crate) fn same_settings(path: &Path, then: &Value, now: &Value) -> Result<(), AnswersError> {
    // Compared as text that was read back, so that numbers are what a reader of the file would see.
    let now: Value = serde_json::from_str(&now.to_string())?;
    match difference(Some(then), Some(&now), String::new()) {
        None => Ok(()),
        Some((field, then, now)) => Err(AnswersError::Settings { path: path.to_owned(), field, then, now }),
    }
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, AnswersError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(refused("read", path)),
    }
}

fn remove_if_there(path: &Path) -> Result<(), AnswersError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(refused("remove", path)),
    }
}

/// Answers by place: the lines `bytes`, each ended by a line feed, of the file at `path`, from its line `first` on.
fn lines(
    path: &Path,
    first: usize,
    bytes: &[u8],
    places: &HashMap<&str, usize>,
) -> Result<BTreeMap<usize, String>, AnswersError> {
    let mut found = BTreeMap::new();
    for (line, bytes) in (first..).zip(bytes.split_inclusive(|&byte| byte == b'\n')) {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let value: Value = serde_json::from_slice(bytes).map_err(damaged(path, line))?;
        let id = value["id"].as_str().unwrap_or_default();
        let unasked = || AnswersError::Unasked { path: path.to_owned(), line, id: id.to_owned() };
        let place = *places.get(id).ok_or_else(unasked)?;
        // What parses as JSON is text.
        found.insert(place, String::from_utf8_lossy(bytes).into_owned());
    }
    Ok(found)
}

pub(crate) fn refused<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> AnswersError + 'p {
    move |source| AnswersError::Io { action, path: path.to_owned(), source }
}

fn damaged<'p>(path: &'p Path, line: usize) -> impl FnOnce(serde_json::Error) -> AnswersError + 'p {
    move |source| AnswersError::Line { path: path.to_owned(), line, source }
}

fn places<'i>(ids: &[&'i str]) -> Result<HashMap<&'i str, usize>, AnswersError> {
    let mut places = HashMap::new();
    for (second, &id) in ids.iter().enumerate() {
        if let Some(first) = places.insert(id, second) {
            return Err(AnswersError::DuplicateId { id: id.to_owned(), first, second });
        }
    }
    Ok(places)
}

/// The first place, in order of name, at which two JSON values differ.
fn difference(then: Option<&Value>, now: Option<&Value>, at: String) -> Option<(String, String, String)> {
    if let (Some(Value::Object(then)), Some(Value::Object(now))) = (then, now) {
        let join = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
        let keys: std::collections::BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        return keys.into_iter().find_map(|key| difference(then.get(key), now.get(key), join(key)));
    }
    let show = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
    (then != now).then(|| (at, show(then), show(now)))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

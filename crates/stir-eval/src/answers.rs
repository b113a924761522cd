//! Files of answers that survive being killed.
//!
//! Lines go to `OUT.partial` as they come, after one that tells the settings of the run, and in the end, in order, to
//! `OUT`. A run that is stopped at any point, and started again with the same settings, goes on with what is missing and
//! ends in the same file. Other settings are refused, and so is a second process.
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
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
    /// The file was begun under other settings; both would be mixed.
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

/// A JSONL file whose lines come in any order and end up sorted; see the [module](self).
#[derive(Debug)]
pub struct Answers {
    out: PathBuf,
    partial: PathBuf,
    file: File,
    /// By place in the output.
    lines: BTreeMap<usize, String>,
}

impl Answers {
    /// Begins `out`, or takes up what is left of an earlier run of the same `settings`. `ids` are the lines that there
    /// will be, in order, by their field `id`.
    ///
    /// # Errors
    /// [`AnswersError::InUse`], [`AnswersError::Settings`] for what was begun under other settings,
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
        let mut this = Self { out: out.to_owned(), partial, file, lines: BTreeMap::new() };
        match whole {
            0 => this.append(&settings.to_string())?,
            _ => this.resume(settings, &bytes[..whole], &places)?,
        }
        Ok(this)
    }

    fn resume(&mut self, settings: &Value, bytes: &[u8], places: &HashMap<&str, usize>) -> Result<(), AnswersError> {
        let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|&byte| byte == b'\n');
        for (number, bytes) in lines.enumerate() {
            let (path, line) = (&self.partial, number + 1);
            let value: Value = serde_json::from_slice(bytes).map_err(damaged(path, line))?;
            if number == 0 {
                same_settings(path, &value, settings)?;
                continue;
            }
            let id = value["id"].as_str().unwrap_or_default();
            let unasked = || AnswersError::Unasked { path: path.clone(), line, id: id.to_owned() };
            let place = *places.get(id).ok_or_else(unasked)?;
            // What parses as JSON is text.
            self.lines.insert(place, String::from_utf8_lossy(bytes).into_owned());
        }
        Ok(())
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

    /// Writes the output; returns its lines.
    ///
    /// # Errors
    /// [`AnswersError::Io`]; what was kept stays where it is.
    pub fn finish(self) -> Result<Vec<String>, AnswersError> {
        let lines: Vec<String> = self.lines.into_values().collect();
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        write_atomically(&self.out, text.as_bytes())?;
        fs::remove_file(&self.partial).map_err(refused("remove", &self.partial))?;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const IDS: [&str; 3] = ["a", "ß", "c"];

    fn line(place: usize) -> Value {
        json!({"id": IDS[place], "text": "grün 🌱"})
    }

    /// The whole file, written without an interruption, in the order `order`.
    fn written(out: &Path, order: &[usize]) -> Vec<u8> {
        let mut answers = Answers::begin(out, &json!({"x": 0.1}), &IDS).unwrap();
        order.iter().for_each(|&place| answers.push(place, &line(place)).unwrap());
        let partial = fs::read(with_suffix(out, ".partial")).unwrap();
        answers.finish().unwrap();
        partial
    }

    /// As if killed after any byte: what is whole is kept, the rest is written again, and the end is the same.
    #[test]
    fn a_kill_at_any_byte_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("o.jsonl");
        let partial = written(&out, &[2, 0, 1]);
        let whole = fs::read(&out).unwrap();
        for cut in 0..=partial.len() {
            fs::remove_file(&out).unwrap();
            fs::write(with_suffix(&out, ".partial"), &partial[..cut]).unwrap();
            let mut answers = Answers::begin(&out, &json!({"x": 0.1}), &IDS).unwrap();
            let kept = partial[..cut].iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1);
            assert_eq!(answers.len(), kept, "cut at {cut}");
            for place in 0..3 {
                if !answers.has(place) {
                    answers.push(place, &line(place)).unwrap();
                }
            }
            answers.finish().unwrap();
            assert_eq!(fs::read(&out).unwrap(), whole, "cut at {cut}");
            assert!(!with_suffix(&out, ".partial").exists());
        }
    }

    #[test]
    fn other_settings_are_refused_by_the_field_that_differs() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("o.jsonl");
        let begin = |settings: Value| Answers::begin(&out, &settings, &IDS);
        begin(json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1})).unwrap().push(0, &line(0)).unwrap();
        assert_eq!(begin(json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1})).unwrap().len(), 1);
        for (settings, field) in [
            (json!({"a": {"b": 0.7, "c": [1]}, "d": 1}), "a.b"),
            (json!({"a": {"b": 0.7f32, "c": [2]}, "d": 1}), "a.c"),
            (json!({"a": {"b": 0.7f32, "c": [1]}}), "d"),
            (json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1, "e": null}), "e"),
            (json!(3), ""),
        ] {
            match begin(settings).unwrap_err() {
                AnswersError::Settings { field: found, .. } => assert_eq!(found, field),
                error => panic!("{error}"),
            }
        }
    }

    #[test]
    fn a_second_writer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("o.jsonl");
        let begin = || Answers::begin(&out, &json!({}), &IDS);
        let first = begin().unwrap();
        assert!(matches!(begin(), Err(AnswersError::InUse { .. })));
        drop(first);
        assert!(begin().is_ok());
    }

    #[test]
    fn what_no_run_wrote_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("o.jsonl");
        let begin = |content: &[u8]| {
            fs::write(with_suffix(&out, ".partial"), content).unwrap();
            Answers::begin(&out, &json!({}), &IDS).map(|answers| answers.len())
        };
        assert_eq!(begin(b"").unwrap(), 0);
        assert_eq!(begin(b"{}\n{\"id\":\"a\"}\n{\"id\":\"a\"}\n{\"id\"").unwrap(), 1);
        assert!(matches!(begin(b"{}\n{\"id\":\"b\"}\n"), Err(AnswersError::Unasked { line: 2, .. })));
        assert!(matches!(begin(b"{}\n[]\n"), Err(AnswersError::Unasked { line: 2, .. })));
        assert!(matches!(begin(b"{}\n{\"id\":\"a\"}\n\xff\n"), Err(AnswersError::Line { line: 3, .. })));
        assert!(matches!(begin(b"\n"), Err(AnswersError::Line { line: 1, .. })));
        let twice = Answers::begin(&out, &json!({}), &["a", "b", "a"]);
        assert!(matches!(twice, Err(AnswersError::DuplicateId { first: 0, second: 2, .. })));
    }

    #[test]
    fn nothing_to_answer_is_an_empty_file() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("o.jsonl");
        Answers::begin(&out, &json!({}), &[]).unwrap().finish().unwrap();
        assert_eq!(read_lines::<Value>(&out).unwrap(), Vec::<Value>::new());
        let missing = Answers::begin(&folder.path().join("none/o"), &json!({}), &[]).unwrap_err();
        assert!(matches!(missing, AnswersError::Io { action: "open", .. }));
    }
}

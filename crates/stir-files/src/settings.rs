use std::{
    collections::BTreeSet,
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

use crate::{FileError, FileLock, Lines, Shard, check_writable, error::JsonError, with_suffix, write_atomically};

/// The field that says which part of a run the records are.
const SHARD: &str = "shard";

/// The settings of a run, as JSON: everything that its records depend on. They are kept next to the records and keep
/// the records of two runs apart.
///
/// ```
/// use stir_files::{FileError, Settings};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("settings.json");
/// let settings = Settings::new(&[("top_p", 0.9)])?;
/// assert!(!settings.are_in(&path)?);
/// settings.write(&path)?;
/// assert!(settings.are_in(&path)?);
/// assert!(matches!(Settings::new(&[("top_p", 1.0)])?.are_in(&path), Err(FileError::Settings { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Read back from text, so that numbers are what a reader of the file sees.
    value: Value,
    indented: bool,
}

impl Settings {
    /// Takes settings of any type; in their file they are one line.
    ///
    /// # Errors
    /// [`FileError::Unwritable`] when JSON cannot hold them.
    pub fn new(settings: &impl Serialize) -> Result<Self, FileError> {
        let text = serde_json::to_string(settings).map_err(FileError::unwritable)?;
        let value = serde_json::from_str(&text).map_err(FileError::unwritable)?;
        Ok(Self { value, indented: false })
    }

    /// Puts every field on its own line in their file.
    pub fn indented(self) -> Self {
        Self { indented: true, ..self }
    }

    /// Leaves out a field that may change between two parts of a run, given by its names from the outside in.
    pub fn without(mut self, field: &[&str]) -> Self {
        if let Some((last, outer)) = field.split_last() {
            let inner = outer.iter().try_fold(&mut self.value, |value, name| value.get_mut(name));
            if let Some(object) = inner.and_then(Value::as_object_mut) {
                object.remove(*last);
            }
        }
        self
    }

    /// Says that the records are those of one part of the run, if they are. The settings of the whole run are these without
    /// the field `shard`; settings that are no object stay as they are.
    pub fn of_shard(mut self, shard: Option<Shard>) -> Self {
        if let (Some(shard), Some(fields)) = (shard, self.value.as_object_mut()) {
            fields.insert(SHARD.to_owned(), shard.to_string().into());
        }
        self
    }

    /// Reads the settings of the records in `out`, and which part of a run they are: the settings are those of the whole
    /// run. `None` if there are none, or they are of no part.
    ///
    /// # Errors
    /// [`FileError::BrokenSettings`] and [`FileError::Io`].
    pub(crate) fn read_shard(out: &Path) -> Result<Option<(Self, Shard)>, FileError> {
        let Some((mut value, indented)) = read(&Self::path(out))? else { return Ok(None) };
        // The field is the last, so the order of the others stays.
        let shard = value.as_object_mut().and_then(|fields| fields.remove(SHARD));
        let shard = shard.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok());
        Ok(shard.map(|shard| (Self { value, indented }, shard)))
    }

    /// Returns the first field that differs, by its path, with its JSON text here and in `other`.
    pub fn difference(&self, other: &Self) -> Option<(String, String, String)> {
        difference(Some(&self.value), Some(&other.value), String::new())
    }

    /// Returns the path of the settings of the records in `out`: its name with `.settings.json` at the end.
    pub fn path(out: impl AsRef<Path>) -> PathBuf {
        with_suffix(out, ".settings.json")
    }

    /// Returns whether `path` holds these settings; `false` when there is no such file.
    ///
    /// # Errors
    /// [`FileError::Settings`] when it holds others, [`FileError::BrokenSettings`] and [`FileError::Io`].
    pub fn are_in(&self, path: impl AsRef<Path>) -> Result<bool, FileError> {
        self.are_those_of(path.as_ref(), path.as_ref())
    }

    /// Checks, before the work begins, that a [`RecordLog`](crate::RecordLog) can be opened at `out`: that the file can
    /// be written, that no other run has it and, if it holds records, that they were begun under these settings. Some may
    /// not be known yet: fields that only the file has are not compared.
    ///
    /// ```
    /// use stir_files::{FileError, RecordLog, Settings};
    /// let folder = tempfile::tempdir()?;
    /// let out = folder.path().join("answers.jsonl");
    /// let all = Settings::new(&serde_json::json!({"seed": 1, "model": "tiny"}))?;
    /// RecordLog::open(&out, &all, [7], |record: &u8| *record)?.push(&7)?;
    ///
    /// let known = |seed: u8| Settings::new(&serde_json::json!({ "seed": seed }));
    /// assert!(known(1)?.check_output(&out).is_ok());
    /// assert!(matches!(known(2)?.check_output(&out), Err(FileError::Settings { .. })));
    /// assert!(matches!(known(1)?.check_output(folder.path().join("none/x")), Err(FileError::Io { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FileError::Io`], [`FileError::InUse`], [`FileError::Settings`], [`FileError::BrokenSettings`] and
    /// [`FileError::NoSettings`].
    pub fn check_output(&self, out: impl AsRef<Path>) -> Result<(), FileError> {
        let (out, path) = (out.as_ref(), Self::path(&out));
        check_writable(out)?;
        if !out.exists() {
            return Ok(());
        }
        drop(FileLock::acquire(out)?);
        let (mut lines, mut records) = (Lines::open(out)?, 0);
        while lines.advance()?.is_some() {
            records += usize::from(lines.bytes().ends_with(b"\n"));
        }
        // A run begins anew where there is no record.
        if records == 0 {
            return Ok(());
        }
        let Some((mut then, _)) = read(&path)? else {
            return Err(FileError::NoSettings { path: out.to_owned(), settings: path, records });
        };
        if let (Some(then), Some(now)) = (then.as_object_mut(), self.value.as_object()) {
            then.retain(|field, _| now.contains_key(field));
        }
        self.compare(&then, out)
    }

    /// Compares with the settings in `path`; an error names `out`, the file that was begun under them.
    pub(crate) fn are_those_of(&self, out: &Path, path: &Path) -> Result<bool, FileError> {
        read(path)?.map_or(Ok(false), |(then, _)| self.compare(&then, out).map(|()| true))
    }

    fn compare(&self, then: &Value, out: &Path) -> Result<(), FileError> {
        match difference(Some(then), Some(&self.value), String::new()) {
            None => Ok(()),
            Some((field, then, now)) => Err(FileError::Settings { path: out.to_owned(), field, then, now }),
        }
    }

    /// Writes the settings to `path` in one step.
    ///
    /// # Errors
    /// [`FileError::Io`] when the file system refuses.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        write_atomically(path, self.to_string()).map_err(FileError::io("write", path))
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.indented { write!(f, "{:#}", self.value) } else { write!(f, "{}", self.value) }
    }
}

/// Reads the settings in `path`, if there is such a file, and whether every field is on its own line.
fn read(path: &Path) -> Result<Option<(Value, bool)>, FileError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(FileError::io("read", path))?,
    };
    let broken = |source| FileError::BrokenSettings { path: path.to_owned(), source: JsonError(source) };
    let value = serde_json::from_slice(&text).map_err(broken)?;
    Ok(Some((value, text.contains(&b'\n'))))
}

/// Returns the first place, in order of name, at which two JSON values differ, and both values there.
fn difference(then: Option<&Value>, now: Option<&Value>, at: String) -> Option<(String, String, String)> {
    if let (Some(Value::Object(then)), Some(Value::Object(now))) = (then, now) {
        let join = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
        let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        return keys.into_iter().find_map(|key| difference(then.get(key), now.get(key), join(key)));
    }
    let show = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
    (then != now).then(|| (at, show(then), show(now)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let begun = json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1});
        for (now, field, values) in [
            (json!({"a": {"b": 0.7, "c": [1]}, "d": 1}), "a.b", ("0.699999988079071", "0.7")),
            (json!({"a": {"b": 0.7f32, "c": [2]}, "d": 1}), "a.c", ("[1]", "[2]")),
            (json!({"a": {"b": 0.7f32, "c": [1]}}), "d", ("1", "absent")),
            (json!({"a": {"b": 0.7f32, "c": [1]}, "d": 1, "e": null}), "e", ("absent", "null")),
        ] {
            let found = difference(Some(&begun), Some(&now), String::new()).unwrap();
            assert_eq!((found.0.as_str(), (found.1.as_str(), found.2.as_str())), (field, values));
        }
        let settings = |value: Value| Settings::new(&value).unwrap();
        let error = FileError::Settings { path: "o".into(), field: String::new(), then: "1".into(), now: "2".into() };
        assert_eq!(error.to_string(), "o: the settings was 1 when the run was begun and is 2 now");
        let [then, now] = ["a", "b"].map(|digit| format!("\"{}\"", digit.repeat(64)));
        let error = FileError::Settings { path: "o".into(), field: "tasks".into(), then, now };
        assert_eq!(error.to_string(), "o: tasks is not what it was when the run was begun");
        assert_eq!(settings(begun.clone()).without(&["a", "b"]), settings(json!({"a": {"c": [1]}, "d": 1})));
        assert_eq!(settings(begun.clone()).without(&["x", "b"]), settings(begun));
    }

    #[test]
    fn texts_are_those_of_serde_json() {
        let value = json!({"x": [0.1, 1e300, 7], "y": {"z": "\n"}, "e": {}});
        let settings = Settings::new(&value).unwrap();
        assert_eq!(settings.to_string(), value.to_string());
        assert_eq!(settings.indented().to_string(), serde_json::to_string_pretty(&value).unwrap());
    }
}

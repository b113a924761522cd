//! The folders that hold the outputs of stages.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use stir_files::{FileError, FileLock, Settings, write_atomically};

/// Returns the digest of settings: BLAKE3 of their JSON text with the fields of every object in order of name,
/// hexadecimal.
///
/// ```
/// use serde_json::json;
/// use stir_eval::experiment::digest;
/// assert_eq!(digest(&json!({"a": 1, "b": 2})), digest(&json!({"b": 2, "a": 1})));
/// assert_ne!(digest(&json!({"a": 1.0})), digest(&json!({"a": 1})));
/// ```
pub fn digest(settings: &Value) -> String {
    let mut text = String::new();
    canonical(settings, &mut text);
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// Writes a value in a way that does not depend on the order of a JSON object's map, which is up to other crates.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            text.push('{');
            for name in names {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(&fields[name.as_str()], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

/// The folder of an experiment's outputs, held by one process.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    _lock: FileLock,
}

/// The folder of a stage's output.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    /// `KIND/DIGEST`.
    pub(crate) name: String,
}

impl Store {
    /// Takes the folder; makes it where there is none.
    pub(crate) fn open(root: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(root).map_err(refused("create", root))?;
        Ok(Self { root: root.to_owned(), _lock: FileLock::acquire(root.join("lock"))? })
    }

    /// Returns the folder of the stage `kind` under `settings`, which are in it as `settings.json`.
    pub(crate) fn place(&self, kind: &str, settings: &Value) -> Result<Place, FileError> {
        // Half of the digest names a folder; the settings in it tell whether it is the right one.
        let name = format!("{kind}/{}", &digest(settings)[..32]);
        let dir = self.root.join(&name);
        fs::create_dir_all(&dir).map_err(refused("create", &dir))?;
        let (path, settings) = (dir.join("settings.json"), Settings::new(settings)?.indented());
        if !settings.are_in(&path)? {
            settings.write(&path)?;
        }
        Ok(Place { dir, name })
    }

    /// Returns the path of a file of the experiment itself.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file of the experiment itself.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        write(&self.root.join(name), bytes)
    }
}

impl Place {
    /// Returns whether the stage came to its end here.
    pub(crate) fn is_done(&self) -> bool {
        self.dir.join("done").exists()
    }

    /// Says that it did.
    pub(crate) fn done(&self) -> Result<(), FileError> {
        write(&self.dir.join("done"), b"")
    }

    /// Returns the digest of a file's content.
    pub(crate) fn content(&self, file: &str) -> Result<String, FileError> {
        let path = self.dir.join(file);
        let mut hasher = blake3::Hasher::new();
        let read = File::open(&path).and_then(|file| hasher.update_reader(file).map(|_| ()));
        read.map_err(refused("read", &path))?;
        Ok(hasher.finalize().to_hex().to_string())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_atomically(path, bytes).map_err(refused("write", path))
}

pub(crate) fn refused<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> FileError + 'p {
    move |source| FileError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The digests name folders that people keep: a change must show.
    #[test]
    fn the_digest_is_pinned() {
        let mut text = String::new();
        canonical(&json!({"b": [1, 0.5, "x\"y"], "a": {"d": null, "c": true}}), &mut text);
        assert_eq!(text, r#"{"a":{"c":true,"d":null,},"b":[1,0.5,"x\"y",],}"#);
    }

    #[test]
    fn a_folder_is_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(FileError::InUse { .. })));
        let place = store.place("stage", &json!({"x": 1})).unwrap();
        assert!(!place.is_done());
        place.done().unwrap();
        assert!(store.place("stage", &json!({"x": 1})).unwrap().is_done());
        assert!(!store.place("stage", &json!({"x": 2})).unwrap().is_done());
        // Somebody else's settings under this name.
        fs::write(place.dir.join("settings.json"), r#"{"x": 3}"#).unwrap();
        assert!(matches!(store.place("stage", &json!({"x": 1})), Err(FileError::Settings { .. })));
    }
}

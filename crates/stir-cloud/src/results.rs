//! The files of shards that are done.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use stir_files::{FileError, Shard};

use crate::{Board, CloudError, board::done_path};

/// The object that says that a shard is done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) shard: Shard,
    pub(crate) attempt: String,
    pub(crate) worker: String,
    pub(crate) files: Vec<Uploaded>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Uploaded {
    /// The path from the folder of the shard, with `/`.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) blake3: String,
}

/// Returns the path of a file in the store.
pub(crate) fn path(shard: Shard, attempt: &str, name: &str) -> String {
    format!("results/{}/{attempt}/{name}", shard.index())
}

/// Returns the files below a folder, in order of name.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut entries: Vec<PathBuf> =
        entries.map_err(|source| FileError::Io { action: "read", path: folder.to_owned(), source })?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            found.extend(files(&entry)?);
        } else {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Returns the name of a file in a folder.
pub(crate) fn name(folder: &Path, file: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = file.strip_prefix(folder).ok()?.iter().map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}

/// Returns whether a name leads to a file below a folder, and not out of it.
pub(crate) fn is_below(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('\\')
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

impl Board {
    /// Downloads the files of all shards that are done: those of shard `I` into `folder/I`, which is returned for each. Every
    /// file is checked against the digest that was made of it on the worker's machine.
    ///
    /// # Errors
    /// [`CloudError::Foreign`] for objects that no worker wrote, or a file that is not the one that was uploaded;
    /// [`CloudError::File`] and [`CloudError::Store`].
    pub async fn fetch(&self, folder: &Path) -> Result<Vec<(Shard, PathBuf)>, CloudError> {
        let mut fetched = Vec::new();
        for shard in self.done().await? {
            let object = done_path(shard);
            let foreign = |what| CloudError::Foreign { path: self.place.key(&object).to_string(), what };
            let (text, _) = self.place.read(&object).await?.ok_or_else(|| foreign("it is gone"))?;
            let done: Done = serde_json::from_slice(&text).map_err(|_| foreign("it does not list files"))?;
            if done.shard != shard || !is_below(&done.attempt) {
                return Err(foreign("it is of another shard"));
            }
            let out = folder.join(shard.index().to_string());
            for Uploaded { name, bytes, blake3 } in &done.files {
                if !is_below(name) {
                    return Err(foreign("a file has no plain name"));
                }
                let object = path(shard, &done.attempt, name);
                self.place.download(&object, &out.join(name), Some((*bytes, blake3))).await?;
            }
            fetched.push((shard, out));
        }
        Ok(fetched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "/etc/passwd", "../x", "a/../../x", "a\\..\\x", "./x"] {
            assert!(!is_below(name), "{name}");
        }
        assert!(is_below("rollouts.jsonl") && is_below("answers/12/answers.jsonl"));
    }
}

//! The folders of the parts of an experiment, put together.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use stir_files::{FileError, MergeError, Part, Settings, assemble, place_atomically};

use super::{
    index::{INDEX, Index},
    store::{Store, refused},
};

/// The stages whose folders say by a file whether they are finished; the index says it of answers.
const STAGES: [&str; 6] = ["rollouts", "forks", "heads", "candidates", "libraries", "validated"];
/// The file that says it.
const DONE: &str = "done";

/// Puts the folders of all parts of an experiment ([`Runner::shard`](super::Runner::shard)) together in the folder `out`,
/// which then holds what the experiment in one piece would have left there: the same files with the same bytes, but for
/// the seconds of answers, which each part measured. A [`Runner`](super::Runner) on it finds everything made.
///
/// A stage that two parts made (tasks of other names on the same problems) is taken from the first.
///
/// # Errors
/// [`MergeError`] for folders that do not make up one experiment, or are not finished.
pub fn merge(out: &Path, shards: &[impl AsRef<Path>]) -> Result<(), MergeError> {
    let read = |folder: &Path| {
        let (content, share) = Index::read(folder)?;
        Ok(Part { path: folder.to_owned(), share, content })
    };
    let parts = shards.iter().map(|folder| read(folder.as_ref())).collect::<Result<Vec<_>, MergeError>>()?;
    let parts = assemble(parts)?;
    let Some((first, others)) = parts.split_first() else { return Err(MergeError::Nothing) };
    let settings = Settings::new(&first.content.experiment)?;
    for Part { path, content, .. } in others {
        if let Some((field, other_value, value)) = settings.difference(&Settings::new(&content.experiment)?) {
            let (other, path) = (first.path.clone(), path.clone());
            return Err(MergeError::Settings { field, other, other_value, path, value });
        }
    }
    let store = Store::open(out)?;
    let experiment = first.content.experiment.clone();
    let (mut runs, mut answered) = (Vec::new(), HashSet::new());
    for Part { path, content, .. } in parts {
        let part = Store::open(&path)?;
        for kind in STAGES {
            for folder in finished(&part.path(kind))? {
                copy(&folder, &store.path(kind))?;
            }
        }
        for folder in content.answers() {
            if answered.insert(folder.to_owned()) {
                copy(&part.path(folder), &store.path("answers"))?;
            }
        }
        runs.extend(content.runs);
    }
    runs.sort_by_key(|(cell, _)| *cell);
    let text = Index { experiment, share: None, runs }.text();
    // It was read as JSON, so it can be written as JSON.
    let text = text.map_err(|_| MergeError::NotAShard { path: out.join(INDEX) })?;
    Ok(store.write(INDEX, text.as_bytes())?)
}

/// Returns the folders in `kind` that are finished, if there are any, in order of name.
fn finished(kind: &Path) -> Result<Vec<PathBuf>, FileError> {
    if !kind.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(kind).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut folders: Vec<PathBuf> = entries.map_err(refused("read", kind))?;
    folders.retain(|folder| folder.join(DONE).exists());
    folders.sort();
    Ok(folders)
}

/// Copies the files of a folder into one of the same name in `kind`, unless they are there: the mark of its end comes last.
fn copy(folder: &Path, kind: &Path) -> Result<(), FileError> {
    let out = kind.join(folder.file_name().unwrap_or_default());
    if out.join(DONE).exists() {
        return Ok(());
    }
    fs::create_dir_all(&out).map_err(refused("create", &out))?;
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut files: Vec<PathBuf> = entries.map_err(refused("read", folder))?;
    files.retain(|file| file.is_file());
    files.sort_by_key(|file| file.ends_with(DONE));
    for file in files {
        let to = out.join(file.file_name().unwrap_or_default());
        let copied = place_atomically(&to, |name| fs::copy(&file, name).map(drop));
        copied.map_err(refused("write", &to))?;
    }
    Ok(())
}

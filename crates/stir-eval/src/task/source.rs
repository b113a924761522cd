//! The files of a folder that hold a split.

use std::path::{Path, PathBuf};

use super::{
    TaskError,
    shards::{self, set},
};

/// Kinds of files that hold problems.
const EXTENSIONS: [&str; 3] = ["parquet", "jsonl", "json"];
/// Names of one split.
const SYNONYMS: [&[&str]; 1] = [&["validation", "dev", "valid", "val"]];
/// The number of folders deep that a data set may lie.
const DEEPEST: usize = 4;

/// Returns the files to read, in order: the path itself if it is one, else the shards of `split` in that folder, from
/// the subfolder `config` where there is one. The only file of a folder is taken whatever its name.
pub(super) fn files(source: &Path, config: &str, split: &str) -> Result<Vec<PathBuf>, TaskError> {
    if !source.metadata().map_err(TaskError::io(source))?.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut all = Vec::new();
    collect(source, DEEPEST, &mut all)?;
    all.sort();
    let in_config = |file: &&PathBuf| file.strip_prefix(source).is_ok_and(|file| file.starts_with(config));
    let chosen: Vec<PathBuf> = match all.iter().filter(in_config).cloned().collect::<Vec<_>>() {
        files if !config.is_empty() && !files.is_empty() => files,
        _ => all,
    };
    let matching = |fits: fn(&Path, &str) -> bool| -> Vec<PathBuf> {
        let names = SYNONYMS.iter().find(|names| names.contains(&split)).copied().unwrap_or_default();
        let is_of = |file: &&PathBuf| fits(file, split) || names.iter().any(|name| fits(file, name));
        chosen.iter().filter(is_of).cloned().collect()
    };
    let named = matching(is_named);
    let of_split = if named.is_empty() { matching(is_of_split) } else { named };
    let files = match (of_split.as_slice(), chosen.as_slice()) {
        ([], [only]) => vec![only.clone()],
        ([], _) => {
            return Err(TaskError::NoSplit { folder: source.to_owned(), split: split.to_owned() });
        }
        _ => of_split,
    };
    let mut sets: Vec<&PathBuf> = Vec::new();
    for file in &files {
        if !sets.iter().any(|first| set(first) == set(file)) {
            sets.push(file);
        }
    }
    if sets.len() > 1 {
        let files = sets.into_iter().cloned().collect();
        return Err(TaskError::Ambiguous { folder: source.to_owned(), split: split.to_owned(), files });
    }
    match shards::missing(&files) {
        missing if missing.is_empty() => Ok(files),
        files => Err(TaskError::MissingShards { folder: source.to_owned(), split: split.to_owned(), files }),
    }
}

/// Collects all files that may hold problems, names with a leading dot left out.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), TaskError> {
    for entry in folder.read_dir().map_err(TaskError::io(folder))? {
        let path = entry.map_err(TaskError::io(folder))?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        // Follows links: the hub's cache is made of them.
        let Ok(kind) = path.metadata() else { continue };
        if is_hidden {
            continue;
        }
        if kind.is_dir() && depth > 0 {
            collect(&path, depth - 1, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known)) {
            files.push(path);
        }
    }
    Ok(())
}

/// Returns whether a file is `test.jsonl` or `test-00000-of-00002.parquet`.
fn is_named(file: &Path, split: &str) -> bool {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    stem.strip_prefix(split).is_some_and(|rest| rest.is_empty() || rest.starts_with("-0"))
}

/// Returns whether a file has the split in its name (`gsm8k_test.jsonl`) or is in a folder of that name.
fn is_of_split(file: &Path, split: &str) -> bool {
    let is = |name: &str| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == split);
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let folder = file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy()).unwrap_or_default();
    is(&stem) || folder == split
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn found(names: &[&str], config: &str, split: &str) -> Result<Vec<String>, TaskError> {
        let folder = tree(names);
        let relative = |file: PathBuf| file.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        Ok(files(folder.path(), config, split)?.into_iter().map(relative).collect())
    }

    #[test]
    fn layouts_of_the_hub_and_of_plain_folders() {
        let hub = [
            "main/test-00000-of-00002.parquet",
            "main/test-00001-of-00002.parquet",
            "main/train-0.parquet",
            "socratic/test-00000-of-00001.parquet",
            "README.md",
            ".git/test.jsonl",
        ];
        assert_eq!(found(&hub, "main", "test").unwrap(), &hub[..2]);
        assert_eq!(found(&["test.jsonl", "train.jsonl"], "main", "test").unwrap(), ["test.jsonl"]);
        assert_eq!(found(&["data/test-00000-of-00001-ab12.parquet"], "", "test").unwrap().len(), 1);
        assert_eq!(found(&["a/anything.json"], "", "test").unwrap(), ["a/anything.json"]);
        assert_eq!(found(&["test/0000.parquet", "train/0000.parquet"], "", "test").unwrap(), ["test/0000.parquet"]);
        let several = ["test.jsonl", "test_complete.jsonl", "foundry_test.jsonl", "dev.jsonl", "train.jsonl"];
        assert_eq!(found(&several, "", "test").unwrap(), ["test.jsonl"]);
        assert_eq!(found(&several, "", "validation").unwrap(), ["dev.jsonl"]);
        assert_eq!(found(&["openbook_test.jsonl", "contest.jsonl"], "", "test").unwrap(), ["openbook_test.jsonl"]);
    }

    #[test]
    fn what_cannot_be_decided_is_told() {
        let two = found(&["test.jsonl", "test.parquet"], "", "test").unwrap_err();
        assert!(matches!(&two, TaskError::Ambiguous { files, .. } if files.len() == 2), "{two}");
        assert!(matches!(found(&["a.jsonl", "b.jsonl"], "", "test"), Err(TaskError::NoSplit { .. })));
        let missing = |names: &[&str]| found(names, "", "test").unwrap_err().to_string();
        assert!(missing(&["main/test-00000-of-00002.parquet"]).contains("main/test-00001-of-00002.parquet"));
        let both = missing(&["test-00002-of-00003.jsonl"]);
        assert!(both.contains("test-00000-of-00003.jsonl") && both.contains("test-00001-of-00003.jsonl"), "{both}");
        assert!(matches!(found(&[], "", "test"), Err(TaskError::NoSplit { .. })));
        assert!(matches!(files(Path::new("/no/such/folder"), "", "test"), Err(TaskError::Io { .. })));
    }
}

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    marker::PhantomData,
    path::{Path, PathBuf},
    vec,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use stir_core::TokenId;
use stir_files::{LineSpan, Lines};

use crate::{RolloutError, jsonl};

/// A judged sample of a problem: one line of the JSONL that stages exchange. Other tools may write such files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The id of the problem.
    #[serde(deserialize_with = "jsonl::text")]
    pub id: String,
    /// The number of the sample among those of the problem, from 0.
    pub k: usize,
    /// The whole prompt, chat template and all.
    pub prompt: String,
    /// The right answer.
    #[serde(default, deserialize_with = "jsonl::optional_text", skip_serializing_if = "Option::is_none")]
    pub gold: Option<String>,
    /// The generated text.
    pub text: String,
    /// The tokens of the text, with the one that ended the sequence. Empty when the file does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_ids: Vec<TokenId>,
    /// True if the judge found the answer right.
    pub correct: bool,
    /// The reward, as [`reward`](crate::reward) computes it.
    pub reward: f64,
}

/// Reads the rollouts of a JSONL file one by one, as they are asked for.
///
/// # Errors
/// [`RolloutError::File`] when the file cannot be opened; an item is an error, which names file and line, when its line
/// is not a rollout.
pub fn read_rollouts(path: impl AsRef<Path>) -> Result<ReadRollouts, RolloutError> {
    Ok(ReadRollouts(Lines::open(path.as_ref())?))
}

/// The iterator of [`read_rollouts`].
#[derive(Debug)]
pub struct ReadRollouts(Lines);

impl Iterator for ReadRollouts {
    type Item = Result<Rollout, RolloutError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.0.advance().and_then(|span| span.map(|_| self.0.parse()).transpose());
        read.map_err(RolloutError::from).transpose()
    }
}

/// Reads the rollouts of a JSONL file problem by problem: problems in order of first appearance, each with its rollouts
/// by rising `k`, wherever they are in the file.
///
/// The file is checked once to the end and then read one problem at a time, so that a large file need not fit into
/// memory.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("rollouts.jsonl");
/// let line = |id, k| format!(r#"{{"id":"{id}","k":{k},"prompt":"q","text":"a","correct":true,"reward":1}}"#);
/// std::fs::write(&path, [line("b", 1), line("a", 0), line("b", 0)].join("\n"))?;
/// let groups: Vec<_> = stir_rollout::read_groups(&path)?.collect::<Result<_, _>>()?;
/// let names: Vec<Vec<_>> = groups.iter().map(|g| g.iter().map(|r| (r.id.as_str(), r.k)).collect()).collect();
/// assert_eq!(names, [vec![("b", 0), ("b", 1)], vec![("a", 0)]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`RolloutError::File`] for the first line that is not a rollout, [`RolloutError::DuplicateRollout`] for the first that
/// repeats one.
pub fn read_groups(path: impl AsRef<Path>) -> Result<ReadGroups, RolloutError> {
    let twice = |path, line, id, k| RolloutError::DuplicateRollout { path, line, id, k };
    Ok(ReadGroups(Groups::read(path.as_ref(), |rollout: &Rollout| (rollout.id.clone(), rollout.k), twice)?))
}

/// The iterator of [`read_groups`].
#[derive(Debug)]
pub struct ReadGroups(Groups<Rollout>);

impl Iterator for ReadGroups {
    type Item = Result<Vec<Rollout>, RolloutError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// The records of a file by problem, of which only the places are in memory.
#[derive(Debug)]
pub(crate) struct Groups<R> {
    lines: Lines,
    groups: vec::IntoIter<Vec<LineSpan>>,
    record: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Groups<R> {
    /// Checks the file to its end. `key` returns the problem of a record and its place in it, `twice` the error for a
    /// record that repeats one.
    pub(crate) fn read<K: Copy + Eq + Hash + Ord>(
        path: &Path,
        key: impl Fn(&R) -> (String, K),
        twice: impl Fn(PathBuf, usize, String, K) -> RolloutError,
    ) -> Result<Self, RolloutError> {
        let mut lines = Lines::open(path)?;
        let mut groups: Vec<Vec<(K, LineSpan)>> = Vec::new();
        let (mut by_id, mut seen) = (HashMap::new(), HashSet::new());
        while let Some(span) = lines.advance()? {
            let (id, k) = key(&lines.parse()?);
            let group = *by_id.entry(id.clone()).or_insert(groups.len());
            if !seen.insert((group, k)) {
                return Err(twice(lines.path().to_owned(), span.line, id, k));
            }
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push((k, span));
        }
        let ordered = groups.into_iter().map(|mut group| {
            group.sort_by_key(|(k, _)| *k);
            group.into_iter().map(|(_, span)| span).collect()
        });
        Ok(Self { lines, groups: ordered.collect::<Vec<_>>().into_iter(), record: PhantomData })
    }

    pub(crate) fn next(&mut self) -> Option<Result<Vec<R>, RolloutError>> {
        let group = self.groups.next()?;
        let mut read = |span| {
            self.lines.go_to(span)?;
            self.lines.advance()?;
            Ok(self.lines.parse()?)
        };
        Some(group.into_iter().map(&mut read).collect())
    }

    pub(crate) fn size_hint(&self) -> (usize, Option<usize>) {
        self.groups.size_hint()
    }
}

/// Groups rollouts in memory as [`read_groups`] groups those of a file.
pub fn group_rollouts(rollouts: impl IntoIterator<Item = Rollout>) -> Vec<Vec<Rollout>> {
    let mut by_id = HashMap::new();
    let mut groups: Vec<Vec<Rollout>> = Vec::new();
    for rollout in rollouts {
        let group = *by_id.entry(rollout.id.clone()).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(rollout);
    }
    groups.iter_mut().for_each(|group| group.sort_by_key(|r| r.k));
    groups
}

#[cfg(test)]
mod tests {
    use stir_files::FileError;

    use super::*;

    #[test]
    fn half_a_character_costs_no_rollout() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let line = |k| format!(r#"{{"id":"a","k":{k},"prompt":"q","text":"cut \ud83d","correct":true,"reward":1}}"#);
        std::fs::write(&path, [line(1), line(0)].join("\n")).unwrap();
        assert!(read_rollouts(&path).unwrap().all(|rollout| rollout.unwrap().text == "cut \u{fffd}"));
        let groups = read_groups(&path).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(groups[0].len(), 2);
    }

    #[test]
    fn records_round_trip_and_strangers_are_refused() {
        let text =
            r#"{"id":"a","k":1,"prompt":"p","gold":"g","text":"t\n","token_ids":[1,2],"correct":true,"reward":0.5}"#;
        let rollout: Rollout = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&rollout).unwrap(), text);
        let bare = r#"{"id":3,"k":1,"prompt":"p","text":"t","correct":true,"reward":0.5}"#;
        assert_eq!(serde_json::from_str::<Rollout>(bare).unwrap().id, "3");
        assert!(serde_json::from_str::<Rollout>(&bare.replace("\"k\"", "\"tokens\":1,\"k\"")).is_err());
    }

    #[test]
    fn errors_name_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let line = r#"{"id":"a","k":0,"prompt":"q","text":"a","correct":true,"reward":1}"#;
        std::fs::write(&path, format!("{line}\n\n{line}\nx\n")).unwrap();
        let read: Vec<_> = read_rollouts(&path).unwrap().collect();
        assert!(read[0].is_ok() && read[1].is_ok());
        assert!(matches!(read[2], Err(RolloutError::File(FileError::Line { line: 4, .. }))));
        assert!(matches!(read_groups(&path), Err(RolloutError::DuplicateRollout { line: 3, k: 0, .. })));
    }

    #[test]
    fn grouping_in_memory_equals_grouping_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let line = |i: usize| {
            format!(r#"{{"id":{},"k":{},"prompt":"é","text":"a","correct":true,"reward":1}}"#, i * 7 % 5, 20 - i)
        };
        std::fs::write(&path, (0..20).map(line).collect::<Vec<_>>().join("\n\n")).unwrap();
        let read: Vec<_> = read_groups(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, group_rollouts(read_rollouts(&path).unwrap().map(Result::unwrap)));
        assert_eq!(read.len(), 5);
        assert_eq!(read[1][0].id, "2");
    }
}

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    vec,
};

use serde::{Deserialize, Serialize};
use stir_core::TokenId;

use crate::{
    RolloutError,
    jsonl::{self, Lines, Place},
};

/// One judged sample of a problem: one line of the JSONL that stages exchange. Other tools may write such files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The problem.
    #[serde(deserialize_with = "jsonl::text")]
    pub id: String,
    /// Which of the problem's samples, from 0.
    pub k: usize,
    /// The whole prompt, chat template and all.
    pub prompt: String,
    /// The right answer.
    #[serde(default, deserialize_with = "jsonl::optional_text", skip_serializing_if = "Option::is_none")]
    pub gold: Option<String>,
    /// What was generated.
    pub text: String,
    /// The tokens of it, with the one that ended the sequence. Empty when whoever made the file did not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_ids: Vec<TokenId>,
    /// Whether the judge found the answer right.
    pub correct: bool,
    /// See [`reward`](crate::reward).
    pub reward: f64,
}

/// The rollouts of a JSONL file, read as they are asked for.
///
/// # Errors
/// When the file cannot be opened; each item is an error when its line is not a rollout, naming file and line.
pub fn read_rollouts(path: impl AsRef<Path>) -> Result<ReadRollouts, RolloutError> {
    Ok(ReadRollouts(Lines::open(path.as_ref())?))
}

/// The iterator of [`read_rollouts`].
#[derive(Debug)]
pub struct ReadRollouts(Lines);

impl Iterator for ReadRollouts {
    type Item = Result<Rollout, RolloutError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.advance().and_then(|place| place.map(|_| self.0.parse()).transpose()).transpose()
    }
}

/// The rollouts of a JSONL file problem by problem: problems in order of first appearance, each with its rollouts by
/// rising `k`, wherever they stand in the file.
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
/// The first line that is not a rollout or repeats one.
pub fn read_groups(path: impl AsRef<Path>) -> Result<ReadGroups, RolloutError> {
    let mut lines = Lines::open(path.as_ref())?;
    let mut groups: Vec<Vec<(usize, Place)>> = Vec::new();
    let (mut by_id, mut seen) = (HashMap::new(), HashSet::new());
    while let Some(place) = lines.advance()? {
        let Rollout { id, k, .. } = lines.parse()?;
        let group = *by_id.entry(id.clone()).or_insert(groups.len());
        if !seen.insert((group, k)) {
            return Err(RolloutError::DuplicateRollout { path: lines.path().to_owned(), line: place.line, id, k });
        }
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push((k, place));
    }
    groups.iter_mut().for_each(|group| group.sort_by_key(|(k, _)| *k));
    Ok(ReadGroups { lines, groups: groups.into_iter() })
}

/// The iterator of [`read_groups`].
#[derive(Debug)]
pub struct ReadGroups {
    lines: Lines,
    groups: vec::IntoIter<Vec<(usize, Place)>>,
}

impl ReadGroups {
    fn read(&mut self, group: Vec<(usize, Place)>) -> Result<Vec<Rollout>, RolloutError> {
        let mut read = |place| {
            self.lines.go_to(place)?;
            self.lines.advance()?;
            self.lines.parse()
        };
        group.into_iter().map(|(_, place)| read(place)).collect()
    }
}

impl Iterator for ReadGroups {
    type Item = Result<Vec<Rollout>, RolloutError>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.groups.next()?;
        Some(self.read(group))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.groups.size_hint()
    }
}

/// As [`read_groups`], for rollouts in memory.
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
    use super::*;

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
        assert!(matches!(read[2], Err(RolloutError::Line { line: 4, .. })));
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

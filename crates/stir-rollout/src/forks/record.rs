use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};
use stir_core::TokenId;

use crate::{RolloutError, jsonl, record::Groups};

/// A judged continuation of a segment boundary: one line of the JSONL that [`Forks`](crate::Forks) writes.
///
/// Boundaries form a tree. Its root, number 0, is the end of the prompt, and the continuations of the root are the
/// rollouts of the problem, which are in their own file. Every other boundary ends the first segment of a continuation
/// of its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The id of the problem.
    #[serde(deserialize_with = "jsonl::text")]
    pub id: String,
    /// The number of the boundary in the tree of the problem, from 1.
    pub node: usize,
    /// The number of the sample among those of the boundary, from 0.
    pub k: usize,
    /// The number of the boundary before this one; 0 for the end of the prompt.
    pub parent: usize,
    /// The number of the continuation of `parent` that reached this boundary.
    pub via: usize,
    /// The control point, from 1: the first of those that the boundary's token completes.
    pub m: usize,
    /// The tokens of the answer up to the boundary, with the token that completes it.
    pub prefix: Vec<TokenId>,
    /// The tokens that were generated after the boundary, with the one that ended the sequence.
    pub token_ids: Vec<TokenId>,
    /// The text of the tokens that were generated.
    pub text: String,
    /// True if the judge found the whole answer right.
    pub correct: bool,
}

/// The key of a record.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) node: usize,
    pub(crate) k: usize,
}

impl Key {
    pub(crate) fn of(fork: &Fork) -> Self {
        Self { id: fork.id.clone(), node: fork.node, k: fork.k }
    }
}

/// Errors name records by this.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "continuation {} of boundary {} of {:?}", self.k, self.node, self.id)
    }
}

/// Reads the continuations of a JSONL file problem by problem, as [`read_groups`](crate::read_groups) reads rollouts:
/// problems in order of first appearance, each with its continuations by rising boundary and sample.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("forks.jsonl");
/// let line = |id, k| {
///     format!(
///         r#"{{"id":"{id}","node":1,"k":{k},"parent":0,"via":2,"m":1,"prefix":[5],"token_ids":[6],"text":"a","correct":true}}"#
///     )
/// };
/// std::fs::write(&path, [line("b", 1), line("a", 0), line("b", 0)].join("\n"))?;
/// let groups: Vec<_> = stir_rollout::read_forks(&path)?.collect::<Result<_, _>>()?;
/// let names: Vec<Vec<_>> = groups.iter().map(|g| g.iter().map(|f| (f.id.as_str(), f.k)).collect()).collect();
/// assert_eq!(names, [vec![("b", 0), ("b", 1)], vec![("a", 0)]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`RolloutError::File`] for the first line that is no continuation, [`RolloutError::DuplicateFork`] for the first that
/// repeats one.
pub fn read_forks(path: impl AsRef<Path>) -> Result<ReadForks, RolloutError> {
    let key = |fork: &Fork| (fork.id.clone(), (fork.node, fork.k));
    let twice = |path, line, id, (node, k)| RolloutError::DuplicateFork { path, line, id, node, k };
    Ok(ReadForks(Groups::read(path.as_ref(), key, twice)?))
}

/// The iterator of [`read_forks`].
#[derive(Debug)]
pub struct ReadForks(Groups<Fork>);

impl Iterator for ReadForks {
    type Item = Result<Vec<Fork>, RolloutError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

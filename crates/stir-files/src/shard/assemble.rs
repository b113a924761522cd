use std::{collections::HashMap, path::PathBuf};

use super::{MergeError, Share};

/// A part of a run, with what it made.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// The file.
    pub path: PathBuf,
    /// What the part was asked.
    pub share: Share,
    /// What it made.
    pub content: T,
}

/// Checks that parts make up one whole run, each once, with no problem in two of them; returns them in order.
///
/// # Errors
/// [`MergeError`] with what is missing, there twice or unlike.
pub fn assemble<T>(parts: impl IntoIterator<Item = Part<T>>) -> Result<Vec<Part<T>>, MergeError> {
    let mut parts: Vec<Part<T>> = parts.into_iter().collect();
    parts.sort_by_key(|part| part.share.shard.index());
    let Some(Part { path: first, share: Share { shard: one, total, .. }, .. }) = parts.first() else {
        return Err(MergeError::Nothing);
    };
    let (count, mut owners) = (one.count(), HashMap::new());
    for Part { path, share, .. } in &parts {
        let shard = share.shard;
        if shard.count() != count {
            let (other, other_shard) = (first.clone(), *one);
            return Err(MergeError::Division { other, other_shard, path: path.clone(), shard });
        }
        if share.total != *total || share.problems.len() != shard.len_of(*total) {
            return Err(MergeError::Share { path: path.clone(), shard, found: share.problems.len(), total: *total });
        }
    }
    for pair in parts.windows(2) {
        if let [first, second] = pair
            && first.share.shard == second.share.shard
        {
            let (first, shard) = (first.path.clone(), first.share.shard);
            return Err(MergeError::Twice { shard, first, second: second.path.clone() });
        }
    }
    if parts.len() < count {
        let there: Vec<usize> = parts.iter().map(|part| part.share.shard.index()).collect();
        let missing = (0..count).filter(|index| there.binary_search(index).is_err()).collect();
        return Err(MergeError::Gap { count, missing });
    }
    for Part { path, share, .. } in &parts {
        for id in &share.problems {
            if let Some(first) = owners.insert(id.as_str(), path) {
                let (first, second) = (first.clone(), path.clone());
                return Err(MergeError::Overlap { id: id.clone(), first, second });
            }
        }
    }
    Ok(parts)
}

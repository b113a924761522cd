//! Mining in parts.

use std::{collections::HashMap, path::PathBuf};

use serde_json::{Value, json};
use stir_basis::{MinedPairs, Pair};
use stir_files::{MergeError, Part, Settings, Share, assemble};

use crate::{Contrast, InductionConfig, InductionError, error::JsonError};

/// The name under which the pairs of a part say which it is: the JSON of its [`Share`], or null if it did not come to its
/// end.
pub(crate) const PROVENANCE: &str = "shard";

/// Returns the first setting that needs the states of all problems.
pub(crate) fn undivided(config: &InductionConfig) -> Option<&'static str> {
    let contrast = match config.contrast {
        Contrast::Length { .. } => Some("the contrast length"),
        Contrast::Thoughts { .. } => Some("the contrast thoughts"),
        _ => None,
    };
    let corrections = [("center", config.center), ("deconfound", config.deconfound), ("shrink", config.shrink)];
    contrast.or(corrections.into_iter().find_map(|(setting, is_set)| is_set.then_some(setting)))
}

/// Returns what the pairs of a part say about it.
pub(crate) fn describe<E>(share: Share, complete: bool) -> Result<String, InductionError<E>> {
    let share = complete.then_some(share);
    serde_json::to_string(&share).map_err(|error| InductionError::Unwritable(JsonError(error)))
}

/// Puts the pairs of all parts of a mining run ([`Induction::shard`](crate::Induction::shard)), each with the path of its
/// file, together: the result is that of the run in one piece. The order of the parts does not matter.
///
/// A part keeps as many pairs as the whole run, so the best of all parts are the best of the run.
///
/// # Errors
/// [`MergeError`] for pairs that are of no part, or of parts that do not make up one run, did not come to their end, or were
/// mined under different settings, on different models or from different rollouts.
pub fn merge_pairs(parts: impl IntoIterator<Item = (PathBuf, MinedPairs)>) -> Result<MinedPairs, MergeError> {
    let parts = assemble(parts.into_iter().map(part).collect::<Result<Vec<_>, _>>()?)?;
    let Some((first, others)) = parts.split_first() else { return Err(MergeError::Nothing) };
    let made = settings(&first.content)?;
    for Part { path, content, .. } in others {
        if let Some((field, other_value, value)) = made.difference(&settings(content)?) {
            let (other, path) = (first.path.clone(), path.clone());
            return Err(MergeError::Settings { field, other, other_value, path, value });
        }
    }
    let config = first.content.provenance.get("induction").and_then(|json| serde_json::from_str(json).ok());
    let Some(InductionConfig { keep, .. }) = config else {
        return Err(MergeError::NotAShard { path: first.path.clone() });
    };
    let mut merged = MinedPairs { pairs: Vec::new(), ..first.content.clone() };
    // Pairs by the place of their problem in the whole run; those of one problem are in order.
    let mut pairs: Vec<(usize, Pair)> = Vec::new();
    for Part { path, share: Share { shard, problems, .. }, content } in parts {
        let places: HashMap<&str, usize> = problems.iter().map(String::as_str).zip(0..).collect();
        for (record, pair) in (1..).zip(content.pairs) {
            match places.get(pair.problem.as_str()) {
                Some(place) => pairs.push((shard.index() + place * shard.count(), pair)),
                None => return Err(MergeError::Stray { path, record, id: pair.problem }),
            }
        }
    }
    pairs.sort_by(|(place, pair), (other_place, other)| {
        other.quality.total_cmp(&pair.quality).then_with(|| place.cmp(other_place))
    });
    pairs.truncate(keep);
    merged.pairs = pairs.into_iter().map(|(_, pair)| pair).collect();
    Ok(merged)
}

/// Takes what the pairs say about their part out of them.
fn part((path, mut content): (PathBuf, MinedPairs)) -> Result<Part<MinedPairs>, MergeError> {
    let share = content.provenance.remove(PROVENANCE).and_then(|json| serde_json::from_str(&json).ok());
    // No part has what all problems are needed for.
    let Some(share) = share.filter(|_| content.means.is_empty() && content.heads.is_empty()) else {
        return Err(MergeError::NotAShard { path });
    };
    match share {
        Some(share) => Ok(Part { path, share, content }),
        None => Err(MergeError::Unfinished { path }),
    }
}

/// Returns everything that the pairs of all parts have in common.
fn settings(pairs: &MinedPairs) -> Result<Settings, MergeError> {
    let MinedPairs { fingerprint, delimiter, provenance, .. } = pairs;
    let stage = |(stage, json): (&String, &String)| {
        let settings: Value = serde_json::from_str(json).unwrap_or_else(|_| json.as_str().into());
        (stage.clone(), settings)
    };
    let stages: serde_json::Map<String, Value> = provenance.iter().map(stage).collect();
    Ok(Settings::new(&json!({ "model": fingerprint, "delimiter": delimiter, "settings": stages }))?)
}

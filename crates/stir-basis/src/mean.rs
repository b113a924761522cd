use serde::{Deserialize, Serialize};

use crate::content::{ContentError, Rules};

/// The mean residual stream at one control point after one layer, over all rollouts that reach it.
///
/// States share a large mean, so the cosine of two of them says little. Subtracted from both sides before a cosine, as
/// [`select`](crate::select) and [`Library::retrieve`](crate::Library::retrieve) do where means are known, it leaves
/// what tells states apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateMean {
    /// The decoder layer whose output (`resid_post`) was averaged, 0-based.
    pub layer: usize,
    /// The control point; 0 is the end of the prompt.
    pub m: usize,
    /// The number of states in the mean; >= 1.
    pub count: u64,
    /// The mean, `[hidden_size]`.
    pub mean: Vec<f32>,
}

/// Checks means by themselves, and that they cover every place that is used: means for some and not for others would
/// mix two measures of similarity.
pub(crate) fn check(
    means: &[StateMean],
    n_layers: usize,
    width: usize,
    used: impl Iterator<Item = (&'static str, usize, usize)>,
) -> Result<(), ContentError> {
    for (index, StateMean { layer, m, count, mean }) in means.iter().enumerate() {
        let rules = Rules { item: "mean", index };
        rules.layer(*layer, n_layers)?;
        rules.ensure(!has(&means[..index], *layer, *m), "layer and m", "those of no other mean")?;
        rules.ensure(*count >= 1, "count", ">= 1")?;
        rules.width("mean", mean, width)?;
        rules.finite("mean", mean)?;
    }
    for (index, (item, layer, m)) in used.enumerate() {
        let covered = means.is_empty() || has(means, layer, m);
        Rules { item, index }.ensure(covered, "layer and m", "those of a mean, where there are means")?;
    }
    Ok(())
}

fn has(means: &[StateMean], layer: usize, m: usize) -> bool {
    find(means, layer, m).is_some()
}

/// Returns the mean of a place.
pub(crate) fn find(means: &[StateMean], layer: usize, m: usize) -> Option<&[f32]> {
    means.iter().find(|mean| (mean.layer, mean.m) == (layer, m)).map(|mean| &mean.mean[..])
}

/// Returns `state - mean`, both `[hidden_size]`.
pub(crate) fn centred(state: &[f32], mean: &[f32]) -> Vec<f32> {
    state.iter().zip(mean).map(|(x, mean)| x - mean).collect()
}

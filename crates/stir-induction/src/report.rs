use serde::{Deserialize, Serialize};

/// The counts of a mining run. None depends on time and, except for `encoded_*`, [`Skipped::outranked`] and
/// [`Skipped::non_finite_pairs`], none depends on the size of the batch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InductionReport {
    /// The number of problems read.
    pub problems: usize,
    /// The number of rollouts read.
    pub rollouts: usize,
    /// The number of problems with at least one contrast.
    pub with_contrast: usize,
    /// The number of contrasts found at each control point, from `m = 1`. Each makes one pair per layer.
    pub found: Vec<usize>,
    /// The number of contrasts found at the end of the prompt, control point 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub found_at_prompt: usize,
    /// The number of pairs kept.
    pub kept: usize,
    /// The number of rollouts and gold solutions run through the model.
    pub encoded_rollouts: usize,
    /// The number of tokens run through the model, including prompts.
    pub encoded_tokens: usize,
    /// What the corrections of vectors found out, layer by layer; empty without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub estimates: Vec<LayerEstimate>,
    /// The counts of what was skipped, by reason.
    pub skipped: Skipped,
    /// True if all problems were read; `false` if the observer stopped the run.
    pub complete: bool,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What the states of one layer have in common. Variances are sums over dimensions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerEstimate {
    /// The layer.
    pub layer: usize,
    /// The number of states at boundaries.
    pub states: u64,
    /// The share of the variance of states that length, position and control point explain; `None` unless it was taken
    /// out.
    pub removed: Option<f64>,
    /// The mean variance of a kept vector's noise; `None` unless vectors were shrunken.
    pub noise: Option<f64>,
    /// The variance of the true vectors about the means that they were shrunken toward.
    pub signal: Option<f64>,
    /// The share of the variance of vectors that is signal, `signal / (signal + noise)`.
    pub reliability: Option<f64>,
}

/// The counts of what was skipped. Everything is counted once, for the first reason that holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// The number of problems whose prompt the tokenizer refuses.
    pub unencodable_prompts: usize,
    /// The number of rollouts whose prompt is not that of their problem's first rollout.
    pub other_prompts: usize,
    /// The number of rollouts whose reward is NaN or infinite.
    pub non_finite_rewards: usize,
    /// The number of rollouts and solutions without token ids whose text the tokenizer refuses.
    pub unencodable_texts: usize,
    /// The number of rollouts with a token id that the model does not have.
    pub outside_vocabulary: usize,
    /// The number of rollouts and solutions that do not fit into the model's context together with their prompt.
    pub too_long: usize,
    /// The number of control points that some rollouts reach, but too few right or too few wrong ones.
    pub too_few: usize,
    /// The number of control points where the successes are rewarded no better than the failures.
    pub no_gain: usize,
    /// The number of boundaries with right and wrong continuations, none of one side going on to a boundary that was
    /// sampled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unvalued: usize,
    /// The number of boundaries from which segments of another kind than the one that followed are as likely.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unstable: usize,
    /// The number of contrasts that were not encoded because the pool was full of better pairs.
    pub outranked: usize,
    /// The number of pairs with a hidden state that is NaN or infinite.
    pub non_finite_pairs: usize,
    /// The number of rollouts with such a state, where whole rollouts are read: for pooled contrasts and
    /// [`capture`](crate::capture).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub non_finite_rollouts: usize,
}

/// The progress of a mining run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The number of problems begun.
    pub problems: usize,
    /// The number of problems there are, if the source of the rollouts knows.
    pub total: Option<usize>,
    /// The number of pairs held at present.
    pub pairs: usize,
    /// The number of tokens run through the model.
    pub tokens: usize,
}

use serde::{Deserialize, Serialize};

/// What a mining run saw. No entry depends on time; but for `encoded_*`, [`Skipped::outranked`] and
/// [`Skipped::non_finite_pairs`], none depends on the width of the batch either.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InductionReport {
    /// Problems seen.
    pub problems: usize,
    /// Rollouts seen.
    pub rollouts: usize,
    /// Problems with at least one contrast.
    pub with_contrast: usize,
    /// Contrasts found, by control point: the first entry is `m = 1`. Each makes one pair per layer.
    pub found: Vec<usize>,
    /// Pairs kept.
    pub kept: usize,
    /// Rollouts and gold solutions run through the model.
    pub encoded_rollouts: usize,
    /// Tokens run through the model, prompts among them.
    pub encoded_tokens: usize,
    /// What was passed over, and why.
    pub skipped: Skipped,
    /// Whether all problems were seen; `false` when the observer stopped the run.
    pub complete: bool,
}

/// What was passed over. Everything is counted once, for the first reason that holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// Problems whose prompt the tokenizer refuses.
    pub unencodable_prompts: usize,
    /// Rollouts whose prompt is not that of their problem's first rollout.
    pub other_prompts: usize,
    /// Rollouts whose reward is NaN or infinite.
    pub non_finite_rewards: usize,
    /// Rollouts and solutions without token ids whose text the tokenizer refuses.
    pub unencodable_texts: usize,
    /// Rollouts with a token id that the model does not have.
    pub outside_vocabulary: usize,
    /// Rollouts and solutions that do not fit into the model's context with their prompt.
    pub too_long: usize,
    /// Control points that some rollout reaches, but too few right or too few wrong ones.
    pub too_few: usize,
    /// Control points where the successes are rewarded no better than the failures.
    pub no_gain: usize,
    /// Contrasts not encoded, as better pairs than theirs filled the pool already.
    pub outranked: usize,
    /// Pairs with a hidden state that is NaN or infinite.
    pub non_finite_pairs: usize,
}

/// How far a mining run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Problems taken up.
    pub problems: usize,
    /// Problems there are, where the source of the rollouts knows.
    pub total: Option<usize>,
    /// Pairs held at present.
    pub pairs: usize,
    /// Tokens run through the model.
    pub tokens: usize,
}

use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, LayerSpec, SettingError};

use crate::preset::Table;

/// The settings of mining: what is contrasted with what. The defaults are the published ones.
///
/// ```
/// use stir_induction::{Contrast, InductionConfig};
/// assert!(InductionConfig::default().validate().is_ok());
/// let error = InductionConfig { min_correct: 3, ..InductionConfig::default() }.validate().unwrap_err();
/// assert_eq!(error.to_string(), "min_correct is 3, must be >= 1 and <= k_pos");
/// let json = r#"{"layers": ["0.6", "-1"], "contrast": {"random_split": {"seed": 7}}}"#;
/// let config: InductionConfig = serde_json::from_str(json)?;
/// assert_eq!(config.contrast, Contrast::RandomSplit { seed: 7 });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Table")]
pub struct InductionConfig {
    /// The layers whose output is contrasted; two that name the same layer count once.
    pub layers: Vec<LayerSpec>,
    /// The number of control points per problem (M).
    pub max_control_points: usize,
    /// The largest number of successes per contrast (K_pos); the best are taken.
    pub k_pos: usize,
    /// The largest number of failures per contrast (K_neg); the worst are taken.
    pub k_neg: usize,
    /// The number of successes that a control point needs.
    pub min_correct: usize,
    /// The number of failures that a control point needs.
    pub min_incorrect: usize,
    /// The number of pairs kept of the whole run (C).
    pub keep: usize,
    /// The text that ends a segment.
    pub delimiter: Delimiter,
    /// The source of successes.
    pub positives: PositiveSource,
    /// The way in which the rollouts of a problem are divided.
    pub contrast: Contrast,
    /// The `eta` of the rollouts, by which a gold solution is rewarded.
    pub eta: f64,
    /// The `max_tokens` of the rollouts (T_max), by which a gold solution is rewarded.
    pub max_tokens: usize,
    /// The largest number of rollouts in a forward pass. The result does not depend on it, except for the rounding of
    /// batched arithmetic.
    #[serde(alias = "width")]
    pub max_batch: usize,
    /// True to keep the mean state of every layer and control point with the pairs: retrieval then compares states by
    /// what tells them apart. This and the two that follow are of contrasts of single problems: [`Contrast::Length`] and
    /// [`Contrast::Thoughts`], whose one vector is a mean over all problems, are made without them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub center: bool,
    /// True to take out of the vectors what the length of answers, the position and the control point explain, by ridge
    /// regression on all states of problems with right and wrong rollouts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deconfound: bool,
    /// True to draw vectors toward the mean of those of similar states, by the share of them that is noise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shrink: bool,
    /// True to accept rollouts of another quantisation or number type of the model.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_requantised: bool,
}

/// The source of a contrast's successes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PositiveSource {
    /// The model's own right rollouts.
    Rollout,
    /// The data set's solution alone.
    Gold,
    /// The model's own right rollouts; the data set's solution for a problem that has none.
    RolloutOrGold,
}

/// The way in which the rollouts of a problem are divided into two sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Contrast {
    /// The best right ones against the worst wrong ones.
    Reward,
    /// Ablation: a problem's rollouts are shuffled once; at each control point the first half of those that reach it
    /// (rounded down) gives the successes and the rest the failures, whatever the judge said. A negative quality
    /// counts as 0 and is kept.
    RandomSplit {
        /// The seed of the shuffles.
        seed: u64,
    },
    /// What right and wrong continuations of the same boundary do in their next segment, from
    /// [`Forks`](stir_rollout::Forks). The vector is the mean state at the end of that segment over the right ones that
    /// reach it minus that over the wrong ones, to be added at the boundary; `m` is 0 for the end of the prompt. The
    /// quality is the difference of the mean values of the boundaries that they reach, where those were sampled, with its
    /// standard error. `k_pos` and `k_neg` do not count.
    Forked,
    /// Baseline: one vector for each layer, from the longer half of the right answers to the shorter half, whatever their
    /// reward. The halves of a problem are contrasted at each control point that both reach, and the contrasts averaged.
    /// The verbose-to-concise vector of ASC (Azizi et al. 2025, "Activation steering for chain-of-thought compression"),
    /// from the model's own answers instead of those of a larger model.
    Length {
        /// Scales the vector so that it moves the distribution of the next token, where a segment begins, by no more than
        /// this many nats on average (ASC derives a bound, here the divergence is measured), and is not longer than the
        /// stream. `None` leaves it as long as it is.
        #[serde(default)]
        max_kl: Option<f64>,
    },
    /// Baseline: one vector for each layer, from segments that check what was done or turn to another way to segments
    /// that carry the solution on, told by their words; a segment's state is that at the token before it. The vector of
    /// SEAL (Chen et al. 2025, "SEAL: Steerable reasoning calibration of large language models for free").
    Thoughts {
        /// As for [`Length`](Self::Length).
        #[serde(default)]
        max_kl: Option<f64>,
        /// Keeps only boundaries that reproduce: of ten segments drawn anew from the boundary at temperature 0.7 and
        /// top-p 0.95, at least this share must be of the kind of the one that followed it. The stability filter of
        /// Zhuang et al. 2026, "Reliable control-point selection for steering reasoning in large language models".
        /// `None` keeps all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stable: Option<f64>,
    },
}

impl Contrast {
    /// Returns whether it is pooled over all problems: one vector for each layer.
    pub(crate) fn is_pooled(self) -> bool {
        matches!(self, Self::Length { .. } | Self::Thoughts { .. })
    }

    /// Returns whether mining asks the model for more than states: for logits, to bound a vector or to draw segments
    /// anew. [`StoredStates`](crate::StoredStates) has none.
    pub fn needs_logits(self) -> bool {
        matches!(
            self,
            Self::Length { max_kl: Some(_) }
                | Self::Thoughts { max_kl: Some(_), .. }
                | Self::Thoughts { stable: Some(_), .. }
        )
    }
}

impl Default for InductionConfig {
    fn default() -> Self {
        Self {
            layers: vec![LayerSpec::Depth(0.6)],
            max_control_points: 8,
            k_pos: 2,
            k_neg: 3,
            min_correct: 1,
            min_incorrect: 1,
            keep: 128,
            delimiter: Delimiter::default(),
            positives: PositiveSource::Rollout,
            contrast: Contrast::Reward,
            eta: 0.01,
            max_tokens: 2048,
            max_batch: 32,
            center: false,
            deconfound: false,
            shrink: false,
            allow_requantised: false,
        }
    }
}

/// What is counted for every control point takes memory whether or not there is such a point.
const MOST_CONTROL_POINTS: usize = 1 << 16;

impl InductionConfig {
    /// Checks every field but whether the layers exist, which only a model can tell.
    ///
    /// # Errors
    /// [`SettingError`] for the first field out of bounds.
    pub fn validate(&self) -> Result<(), SettingError> {
        let check = SettingError::check;
        check(!self.layers.is_empty(), "layers", 0, "at least one layer")?;
        for (setting, value) in [
            ("max_control_points", self.max_control_points),
            ("k_pos", self.k_pos),
            ("k_neg", self.k_neg),
            ("keep", self.keep),
            ("max_tokens", self.max_tokens),
            ("max_batch", self.max_batch),
        ] {
            SettingError::positive(setting, value)?;
        }
        let points = self.max_control_points;
        check(points <= MOST_CONTROL_POINTS, "max_control_points", points, "<= 65536")?;
        let (right, wrong) = (self.min_correct, self.min_incorrect);
        check((1..=self.k_pos).contains(&right), "min_correct", right, ">= 1 and <= k_pos")?;
        check((1..=self.k_neg).contains(&wrong), "min_incorrect", wrong, ">= 1 and <= k_neg")?;
        let gold_only = self.positives == PositiveSource::Gold;
        check(!gold_only || right == 1, "min_correct", right, "1 where a gold solution is the only success")?;
        if self.contrast != Contrast::Reward && self.positives != PositiveSource::Rollout {
            let bound = "rollout unless contrast is reward";
            return Err(SettingError::new("positives", format!("{:?}", self.positives), bound));
        }
        if let Contrast::Length { max_kl: Some(max_kl) } | Contrast::Thoughts { max_kl: Some(max_kl), .. } =
            self.contrast
        {
            SettingError::check(max_kl.is_finite() && max_kl > 0.0, "max_kl", max_kl, "finite and > 0")?;
        }
        if let Contrast::Thoughts { stable: Some(stable), .. } = self.contrast {
            SettingError::check((0.0..=1.0).contains(&stable), "stable", stable, "in [0, 1]")?;
        }
        SettingError::not_negative("eta", self.eta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_named() {
        let default = InductionConfig::default;
        let random = Contrast::RandomSplit { seed: 0 };
        let thoughts = |max_kl, stable| Contrast::Thoughts { max_kl, stable };
        for (config, field) in [
            (InductionConfig { layers: vec![], ..default() }, "layers"),
            (InductionConfig { max_control_points: 0, ..default() }, "max_control_points"),
            (InductionConfig { max_control_points: usize::MAX, ..default() }, "max_control_points"),
            (InductionConfig { k_pos: 0, ..default() }, "k_pos"),
            (InductionConfig { k_neg: 0, ..default() }, "k_neg"),
            (InductionConfig { keep: 0, ..default() }, "keep"),
            (InductionConfig { max_tokens: 0, ..default() }, "max_tokens"),
            (InductionConfig { max_batch: 0, ..default() }, "max_batch"),
            (InductionConfig { min_correct: 0, ..default() }, "min_correct"),
            (InductionConfig { min_incorrect: 4, ..default() }, "min_incorrect"),
            (InductionConfig { min_correct: 2, positives: PositiveSource::Gold, ..default() }, "min_correct"),
            (InductionConfig { contrast: random, positives: PositiveSource::Gold, ..default() }, "positives"),
            (InductionConfig { contrast: Contrast::Length { max_kl: Some(0.0) }, ..default() }, "max_kl"),
            (InductionConfig { contrast: thoughts(Some(f64::NAN), None), ..default() }, "max_kl"),
            (InductionConfig { contrast: thoughts(None, Some(1.1)), ..default() }, "stable"),
            (InductionConfig { eta: f64::INFINITY, ..default() }, "eta"),
        ] {
            assert_eq!(config.validate().unwrap_err().setting, field);
        }
    }

    #[test]
    fn json_round_trips_and_unknown_fields_are_refused() {
        let config = InductionConfig {
            contrast: Contrast::RandomSplit { seed: 3 },
            positives: PositiveSource::RolloutOrGold,
            ..InductionConfig::default()
        };
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<InductionConfig>(&json).unwrap(), config);
        assert!(serde_json::from_str::<InductionConfig>(r#"{"kpos": 2}"#).is_err());
        assert!(serde_json::from_str::<InductionConfig>(r#"{"delimiter": ""}"#).is_err());
    }
}

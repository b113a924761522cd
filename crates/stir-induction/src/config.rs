use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, LayerSpec};

use crate::ConfigError;

/// What is contrasted with what; the defaults are the published ones.
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
#[serde(default, deny_unknown_fields)]
pub struct InductionConfig {
    /// Layers whose output is contrasted; two that name the same layer count once.
    pub layers: Vec<LayerSpec>,
    /// Control points per problem (M).
    pub max_control_points: usize,
    /// Successes per contrast at most: the best (K_pos).
    pub k_pos: usize,
    /// Failures per contrast at most: the worst (K_neg).
    pub k_neg: usize,
    /// Successes that a control point needs.
    pub min_correct: usize,
    /// Failures that a control point needs.
    pub min_incorrect: usize,
    /// Pairs kept of the whole run (C).
    pub keep: usize,
    /// The text that ends a segment.
    pub delimiter: Delimiter,
    /// Where successes come from.
    pub positives: PositiveSource,
    /// How the rollouts of a problem are divided.
    pub contrast: Contrast,
    /// As in the rollouts; rewards a gold solution.
    pub eta: f64,
    /// As in the rollouts (T_max); rewards a gold solution.
    pub max_tokens: usize,
    /// Rollouts encoded side by side. The result does not depend on it, but for the rounding of batched arithmetic.
    pub width: usize,
}

/// Where the successes of a contrast come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositiveSource {
    /// The model's own right rollouts.
    Rollout,
    /// The data set's solution alone.
    Gold,
    /// The model's own right rollouts; the data set's solution for a problem that has none.
    RolloutOrGold,
}

/// How the rollouts of a problem are divided into two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Contrast {
    /// The best right ones against the worst wrong ones.
    Reward,
    /// Ablation: a problem's rollouts are shuffled once; at each control point the first half of those that reach it
    /// (rounded down) gives the successes and the rest the failures, whatever the judge said. A negative quality
    /// counts as 0 and is kept.
    RandomSplit {
        /// Seed of the shuffles.
        seed: u64,
    },
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
            width: 32,
        }
    }
}

impl InductionConfig {
    /// Checks every field but whether the layers exist, which only a model can tell.
    ///
    /// # Errors
    /// [`ConfigError`] with the first field out of bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let count = |field, value: usize, holds: bool, bound| {
            if holds { Ok(()) } else { Err(ConfigError { field, value: value.to_string(), bound }) }
        };
        count("layers", self.layers.len(), !self.layers.is_empty(), "at least one layer")?;
        for (field, value) in [
            ("max_control_points", self.max_control_points),
            ("k_pos", self.k_pos),
            ("k_neg", self.k_neg),
            ("keep", self.keep),
            ("max_tokens", self.max_tokens),
            ("width", self.width),
        ] {
            count(field, value, value > 0, ">= 1")?;
        }
        let (right, wrong) = (self.min_correct, self.min_incorrect);
        count("min_correct", right, (1..=self.k_pos).contains(&right), ">= 1 and <= k_pos")?;
        count("min_incorrect", wrong, (1..=self.k_neg).contains(&wrong), ">= 1 and <= k_neg")?;
        let gold_only = self.positives == PositiveSource::Gold;
        count("min_correct", right, !gold_only || right == 1, "1 where a gold solution is the only success")?;
        if self.contrast != Contrast::Reward && self.positives != PositiveSource::Rollout {
            let bound = "rollout where contrast is random_split";
            return Err(ConfigError { field: "positives", value: format!("{:?}", self.positives), bound });
        }
        if !(self.eta.is_finite() && self.eta >= 0.0) {
            return Err(ConfigError { field: "eta", value: self.eta.to_string(), bound: "finite and >= 0" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_named() {
        let default = InductionConfig::default;
        let random = Contrast::RandomSplit { seed: 0 };
        for (config, field) in [
            (InductionConfig { layers: vec![], ..default() }, "layers"),
            (InductionConfig { max_control_points: 0, ..default() }, "max_control_points"),
            (InductionConfig { k_pos: 0, ..default() }, "k_pos"),
            (InductionConfig { k_neg: 0, ..default() }, "k_neg"),
            (InductionConfig { keep: 0, ..default() }, "keep"),
            (InductionConfig { max_tokens: 0, ..default() }, "max_tokens"),
            (InductionConfig { width: 0, ..default() }, "width"),
            (InductionConfig { min_correct: 0, ..default() }, "min_correct"),
            (InductionConfig { min_incorrect: 4, ..default() }, "min_incorrect"),
            (InductionConfig { min_correct: 2, positives: PositiveSource::Gold, ..default() }, "min_correct"),
            (InductionConfig { contrast: random, positives: PositiveSource::Gold, ..default() }, "positives"),
            (InductionConfig { eta: f64::INFINITY, ..default() }, "eta"),
        ] {
            assert_eq!(config.validate().unwrap_err().field, field);
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

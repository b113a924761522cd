use serde::{Deserialize, Serialize};
use stir_core::{Sampling, StopMatcher};

use crate::RolloutError;

/// What a run of rollouts draws and how it rewards; the defaults are the published ones.
///
/// ```
/// use stir_rollout::RolloutConfig;
/// assert!(RolloutConfig::default().validate().is_ok());
/// let error = RolloutConfig { eta: -1.0, ..RolloutConfig::default() }.validate().unwrap_err();
/// assert_eq!(error.to_string(), "eta is -1, must be finite and >= 0");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// Samples per problem (K).
    pub samples: usize,
    /// New tokens per sample at most (T_max), the end token among them.
    pub max_tokens: usize,
    /// What a sample of `max_tokens` tokens loses of its reward.
    pub eta: f64,
    /// How a token is drawn.
    pub sampling: Sampling,
    /// A sample ends with the token that completes one of these, and its text before it. They are no part of the
    /// published settings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Source of all randomness; see [`sample_stream`](crate::sample_stream).
    pub seed: u64,
    /// Sequences decoded side by side. What is drawn does not depend on it (but for the rounding of batched
    /// arithmetic), so a stopped run may go on with another.
    pub width: usize,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        let (sampling, stop) = (Sampling::default(), Vec::new());
        Self { samples: 8, max_tokens: 2048, eta: 0.01, sampling, stop, seed: 0, width: 32 }
    }
}

impl RolloutConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`RolloutError::Config`], [`RolloutError::Stop`] or [`RolloutError::Sampling`] with the first field out of
    /// bounds.
    pub fn validate(&self) -> Result<(), RolloutError> {
        for (field, value) in [("samples", self.samples), ("max_tokens", self.max_tokens), ("width", self.width)] {
            if value == 0 {
                return Err(RolloutError::Config { field, value: 0.0, bound: ">= 1" });
            }
        }
        if !(self.eta.is_finite() && self.eta >= 0.0) {
            return Err(RolloutError::Config { field: "eta", value: self.eta, bound: "finite and >= 0" });
        }
        StopMatcher::new(&self.stop)?;
        Ok(self.sampling.validate()?)
    }
}

/// `1[correct] - eta * n_tokens / max_tokens` (stage 1). `n_tokens` counts the token that ended the sequence.
///
/// ```
/// assert_eq!(stir_rollout::reward(true, 100, 0.01, 200), 0.995);
/// ```
pub fn reward(correct: bool, n_tokens: usize, eta: f64, max_tokens: usize) -> f64 {
    f64::from(u8::from(correct)) - eta * n_tokens as f64 / max_tokens as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_named() {
        let default = RolloutConfig::default;
        for (config, field) in [
            (RolloutConfig { samples: 0, ..default() }, "samples"),
            (RolloutConfig { max_tokens: 0, ..default() }, "max_tokens"),
            (RolloutConfig { width: 0, ..default() }, "width"),
            (RolloutConfig { eta: f64::NAN, ..default() }, "eta"),
            (RolloutConfig { sampling: Sampling { top_p: 2.0, ..Sampling::GREEDY }, ..default() }, "top_p"),
            (RolloutConfig { stop: vec!["a".into(), String::new()], ..default() }, "stop string 1"),
        ] {
            assert!(config.validate().unwrap_err().to_string().contains(field));
        }
    }

    #[test]
    fn unknown_fields_are_refused_and_missing_ones_default() {
        let config: RolloutConfig = serde_json::from_str(r#"{"samples": 2}"#).unwrap();
        assert_eq!(config, RolloutConfig { samples: 2, ..RolloutConfig::default() });
        assert!(serde_json::from_str::<RolloutConfig>(r#"{"sample": 2}"#).is_err());
    }
}

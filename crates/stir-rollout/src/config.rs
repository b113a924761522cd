use serde::{Deserialize, Serialize};
use stir_core::{Sampling, SettingError, StopMatcher};

use crate::RolloutError;

/// The settings of a run of rollouts; the defaults are the published ones.
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
    /// The number of samples per prompt (K).
    pub samples: usize,
    /// The largest number of new tokens per sample (T_max), including the end token.
    pub max_tokens: usize,
    /// The reward that a sample of `max_tokens` tokens loses (eta).
    pub eta: f64,
    /// The settings by which a token is drawn.
    pub sampling: Sampling,
    /// The stop strings: a sample ends with the token that completes one of them, and its text ends before it. The
    /// published settings have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// The seed of all random numbers; see [`sample_stream`](crate::sample_stream).
    pub seed: u64,
    /// The largest number of sequences in a forward pass. Samples do not depend on it (except for the rounding of
    /// batched arithmetic), so an interrupted run may resume with another.
    #[serde(alias = "width")]
    pub max_batch: usize,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        let (sampling, stop) = (Sampling::default(), Vec::new());
        Self { samples: 8, max_tokens: 2048, eta: 0.01, sampling, stop, seed: 0, max_batch: 32 }
    }
}

impl RolloutConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`RolloutError::Setting`], [`RolloutError::Stop`] or [`RolloutError::Sampling`] with the first field out of
    /// bounds.
    pub fn validate(&self) -> Result<(), RolloutError> {
        for (setting, value) in
            [("samples", self.samples), ("max_tokens", self.max_tokens), ("max_batch", self.max_batch)]
        {
            SettingError::positive(setting, value)?;
        }
        SettingError::not_negative("eta", self.eta)?;
        StopMatcher::new(&self.stop)?;
        Ok(self.sampling.validate()?)
    }
}

/// Returns the reward of a sample, `1[correct] - eta * n_tokens / max_tokens` (stage 1). `n_tokens` includes the token
/// that ended the sequence.
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
            (RolloutConfig { max_batch: 0, ..default() }, "max_batch"),
            (RolloutConfig { eta: f64::NAN, ..default() }, "eta"),
            (RolloutConfig { sampling: Sampling { top_p: 2.0, ..Sampling::GREEDY }, ..default() }, "top_p"),
            (RolloutConfig { stop: vec!["a".into(), String::new()], ..default() }, "stop string 1"),
        ] {
            assert!(config.validate().unwrap_err().to_string().contains(field));
        }
    }

    #[test]
    fn the_batch_size_has_a_former_name() {
        let config: RolloutConfig = serde_json::from_str(r#"{"width": 2}"#).unwrap();
        assert_eq!(config.max_batch, 2);
    }

    #[test]
    fn unknown_fields_are_refused_and_missing_ones_default() {
        let config: RolloutConfig = serde_json::from_str(r#"{"samples": 2}"#).unwrap();
        assert_eq!(config, RolloutConfig { samples: 2, ..RolloutConfig::default() });
        assert!(serde_json::from_str::<RolloutConfig>(r#"{"sample": 2}"#).is_err());
    }
}

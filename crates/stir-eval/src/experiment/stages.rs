//! Typed settings of the stages before selection.

use serde::{Deserialize, Serialize};
use stir_core::{Sampling, SettingError};
use stir_induction::{Contrast, InductionConfig, PositiveSource};
use stir_rollout::{RolloutConfig, RolloutError};

/// The settings of stage 1. The seed is that of the experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutSettings {
    /// The number of samples per problem (K).
    pub samples: usize,
    /// The number of new tokens per sample at most (T_max), the end token among them.
    pub max_tokens: usize,
    /// The part of its reward that a sample of `max_tokens` tokens loses.
    pub eta: f64,
    /// The way tokens are drawn.
    pub sampling: Sampling,
    /// A sample ends with the token that completes one of these texts.
    pub stop: Vec<String>,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        let RolloutConfig { samples, max_tokens, eta, sampling, stop, .. } = RolloutConfig::default();
        Self { samples, max_tokens, eta, sampling, stop }
    }
}

impl RolloutSettings {
    /// Returns the configuration of the run of one seed.
    pub fn config(&self, seed: u64) -> RolloutConfig {
        let Self { samples, max_tokens, eta, sampling, ref stop } = *self;
        RolloutConfig { samples, max_tokens, eta, sampling, stop: stop.clone(), seed, ..RolloutConfig::default() }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// Fails like [`RolloutConfig::validate`].
    pub fn validate(&self) -> Result<(), RolloutError> {
        self.config(0).validate()
    }
}

/// Checks every setting of stage 2, as far as it can be done without a model.
pub(super) fn check_induction(config: &InductionConfig) -> Result<(), SettingError> {
    config.validate()?;
    if config.positives != PositiveSource::Rollout {
        let bound = "rollout in an experiment, as the problems of tasks come without solutions";
        return Err(SettingError::new("positives", format!("{:?}", config.positives), bound));
    }
    let bound = "reward or random_split in an experiment, which draws no forks";
    SettingError::check(config.contrast != Contrast::Forked, "contrast", "forked", bound)
}

//! Typed settings of the stages before selection.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use stir_controller::ControllerConfig;
use stir_core::{Delimiter, Sampling, SettingError};
use stir_induction::{InductionConfig, PositiveSource};
use stir_rollout::{ForkConfig, RolloutConfig, RolloutError};
use stir_validation::{ReplayConfig, ValidationConfig, ValidationError};

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

/// The settings of forks, which the contrast `forked` is made of. How an answer is sampled follows from the rollouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForkSettings {
    /// The number of continuations of a boundary.
    pub continuations: usize,
    /// The number of right and of wrong continuations of a boundary whose next boundaries are sampled.
    pub children: usize,
    /// The last control point whose boundaries are sampled.
    pub max_control_points: usize,
    /// The number of continuations of a problem at most.
    pub per_problem: usize,
}

impl Default for ForkSettings {
    fn default() -> Self {
        let ForkConfig { continuations, children, max_control_points, per_problem, .. } = ForkConfig::default();
        Self { continuations, children, max_control_points, per_problem }
    }
}

impl ForkSettings {
    /// Returns the configuration of the run of one seed.
    pub fn config(&self, rollout: &RolloutSettings, delimiter: &Delimiter, seed: u64) -> ForkConfig {
        let Self { continuations, children, max_control_points, per_problem } = *self;
        let RolloutSettings { max_tokens, sampling, ref stop, .. } = *rollout;
        ForkConfig {
            continuations,
            children,
            max_control_points,
            per_problem,
            delimiter: delimiter.clone(),
            max_tokens,
            sampling,
            stop: stop.clone(),
            seed,
            ..ForkConfig::default()
        }
    }
}

/// The settings of the validation of entries. How an answer is sampled follows from the rollouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationSettings {
    /// The number of samples of a problem whose boundaries entries are tried at.
    pub rollouts: usize,
    /// The lengths of the impulse to try, as shares of the length of the stream.
    pub strengths: Vec<f64>,
    /// The most boundaries at which an entry is tried.
    pub starts_per_entry: usize,
    /// The number of continuations of a boundary, with the impulse and without.
    pub samples: usize,
    /// The number of boundaries of an entry between two looks at the results.
    pub starts_per_look: usize,
    /// The probability with which the lower bound of an uplift lies below the truth.
    pub level: f64,
    /// The controller that says where an entry would be probed, and how an impulse is added but for its length.
    pub controller: ControllerConfig,
}

impl Default for ValidationSettings {
    fn default() -> Self {
        let ValidationConfig { strengths, starts_per_entry, samples, starts_per_look, level, .. } =
            ValidationConfig::default();
        let controller = ControllerConfig::default();
        Self { rollouts: 2, strengths, starts_per_entry, samples, starts_per_look, level, controller }
    }
}

impl ValidationSettings {
    /// Returns the configuration of the run of one seed.
    pub fn config(&self, rollout: &RolloutSettings, seed: u64) -> ValidationConfig {
        let Self { ref strengths, starts_per_entry, samples, starts_per_look, level, .. } = *self;
        let RolloutSettings { max_tokens, sampling, ref stop, .. } = *rollout;
        let replay = ReplayConfig { max_tokens, sampling, stop: stop.clone(), seed, ..ReplayConfig::default() };
        ValidationConfig { strengths: strengths.clone(), starts_per_entry, samples, starts_per_look, level, replay }
    }

    /// Checks every setting but those of how an answer is sampled.
    ///
    /// # Errors
    /// [`SettingError`] with the first setting out of bounds.
    pub fn validate(&self) -> Result<(), SettingError> {
        SettingError::positive("rollouts", self.rollouts)?;
        self.controller.validate()?;
        match self.config(&RolloutSettings::default(), 0).validate::<Infallible>() {
            Err(ValidationError::Setting(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Checks every setting of stage 2, as far as it can be done without a model.
pub(super) fn check_induction(config: &InductionConfig) -> Result<(), SettingError> {
    config.validate()?;
    if config.positives != PositiveSource::Rollout {
        let bound = "rollout in an experiment, as the problems of tasks come without solutions";
        return Err(SettingError::new("positives", format!("{:?}", config.positives), bound));
    }
    Ok(())
}

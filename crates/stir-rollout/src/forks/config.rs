use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, Sampling, SettingError, StopMatcher};

use crate::RolloutError;

/// The settings of continuations from segment boundaries.
///
/// ```
/// use stir_core::Sampling;
/// use stir_rollout::ForkConfig;
/// assert!(ForkConfig::default().validate().is_ok());
/// let error = ForkConfig { sampling: Sampling::GREEDY, ..ForkConfig::default() }.validate().unwrap_err();
/// assert_eq!(error.to_string(), "temperature is 0, must be > 0: greedy continuations are all alike");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForkConfig {
    /// The number of continuations of a boundary (R). The second half of them is drawn only where the first half holds
    /// right and wrong ones.
    pub continuations: usize,
    /// The largest number of right continuations of a boundary, and of wrong ones, whose next boundaries are sampled.
    pub children: usize,
    /// The last control point whose boundaries are sampled.
    pub max_control_points: usize,
    /// The largest number of continuations of a problem.
    pub per_problem: usize,
    /// The text that ends a segment.
    pub delimiter: Delimiter,
    /// The largest number of tokens of an answer (T_max): what led to the boundary counts.
    pub max_tokens: usize,
    /// The settings by which a token is drawn; the temperature is not 0.
    pub sampling: Sampling,
    /// The stop strings. One that begins before a boundary is not seen in what follows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// The seed of all random numbers; see [`fork_stream`](crate::fork_stream).
    pub seed: u64,
    /// The largest number of sequences in a forward pass. Continuations do not depend on it (except for the rounding of
    /// batched arithmetic), so an interrupted run may resume with another.
    pub max_batch: usize,
}

impl Default for ForkConfig {
    fn default() -> Self {
        Self {
            continuations: 8,
            children: 2,
            max_control_points: 4,
            per_problem: 64,
            delimiter: Delimiter::default(),
            max_tokens: 2048,
            sampling: Sampling::default(),
            stop: Vec::new(),
            seed: 0,
            max_batch: 32,
        }
    }
}

/// The records that there may be are counted before the first is drawn.
const MOST_PER_PROBLEM: usize = 1 << 16;

impl ForkConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`RolloutError::Setting`], [`RolloutError::Stop`] or [`RolloutError::Sampling`] with the first field out of
    /// bounds.
    pub fn validate(&self) -> Result<(), RolloutError> {
        for (setting, value) in [
            ("children", self.children),
            ("max_control_points", self.max_control_points),
            ("max_tokens", self.max_tokens),
            ("max_batch", self.max_batch),
        ] {
            SettingError::positive(setting, value)?;
        }
        let (all, most) = (self.continuations, self.per_problem);
        SettingError::check(most <= MOST_PER_PROBLEM, "per_problem", most, "<= 65536")?;
        SettingError::check((2..=most).contains(&all), "continuations", all, ">= 2 and <= per_problem")?;
        StopMatcher::new(&self.stop)?;
        self.sampling.validate()?;
        let temperature = self.sampling.temperature;
        let bound = "> 0: greedy continuations are all alike";
        Ok(SettingError::check(temperature > 0.0, "temperature", temperature, bound)?)
    }

    /// Returns the number of continuations that a boundary gets first.
    pub(crate) fn first_half(&self) -> usize {
        self.continuations.div_ceil(2)
    }

    /// Returns the largest number of boundaries of a problem.
    pub(crate) fn most_nodes(&self) -> usize {
        self.per_problem / self.first_half()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_named() {
        let default = ForkConfig::default;
        for (config, field) in [
            (ForkConfig { continuations: 1, ..default() }, "continuations"),
            (ForkConfig { continuations: 65, ..default() }, "continuations"),
            (ForkConfig { per_problem: 1 << 17, ..default() }, "per_problem"),
            (ForkConfig { children: 0, ..default() }, "children"),
            (ForkConfig { max_control_points: 0, ..default() }, "max_control_points"),
            (ForkConfig { max_tokens: 0, ..default() }, "max_tokens"),
            (ForkConfig { max_batch: 0, ..default() }, "max_batch"),
            (ForkConfig { sampling: Sampling::GREEDY, ..default() }, "temperature"),
            (ForkConfig { sampling: Sampling { top_p: 2.0, ..Sampling::default() }, ..default() }, "top_p"),
            (ForkConfig { stop: vec![String::new()], ..default() }, "stop string 0"),
        ] {
            assert!(config.validate().unwrap_err().to_string().contains(field), "{field}");
        }
    }
}

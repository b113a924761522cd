use serde::{Deserialize, Serialize};
use stir_controller::{ControllerConfig, Placement, Scope, Variant};
use stir_core::{Delimiter, Sampling, SettingError, StopMatcher};

use crate::ValidationError;

/// The settings of continuations from boundaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// The largest number of new tokens of a continuation, with the one that ends it.
    pub max_tokens: usize,
    /// The settings by which a token is drawn.
    pub sampling: Sampling,
    /// The stop strings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The text that ends a segment.
    pub delimiter: Delimiter,
    /// The life of an impulse.
    pub scope: Scope,
    /// The tokens that bear an impulse.
    #[serde(skip_serializing_if = "is_boundary")]
    pub placement: Placement,
    /// The largest number of continuations in a forward pass. Results do not depend on it, but for rounding.
    pub max_batch: usize,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            max_tokens: 512,
            sampling: Sampling::default(),
            stop: Vec::new(),
            seed: 0,
            delimiter: Delimiter::default(),
            scope: Scope::Segment,
            placement: Placement::Boundary,
            max_batch: 32,
        }
    }
}

impl ReplayConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ValidationError`] with the first setting out of bounds.
    pub fn validate<E>(&self) -> Result<(), ValidationError<E>> {
        SettingError::positive("max_tokens", self.max_tokens)?;
        SettingError::positive("max_batch", self.max_batch)?;
        StopMatcher::new(&self.stop)?;
        Ok(self.sampling.validate()?)
    }

    /// Returns the settings of a controller that adds nothing by itself, so that the first impulse is all there is.
    pub(crate) fn controller(&self) -> ControllerConfig {
        let Self { scope, placement, .. } = *self;
        ControllerConfig { variant: Variant::NoMemory, scope, placement, ..ControllerConfig::default() }
    }
}

fn is_boundary(placement: &Placement) -> bool {
    *placement == Placement::Boundary
}

/// The settings of a validation.
///
/// ```
/// use stir_validation::ValidationConfig;
/// assert!(ValidationConfig::default().validate::<()>().is_ok());
/// let error = ValidationConfig { level: 1.0, ..ValidationConfig::default() }.validate::<()>().unwrap_err();
/// assert_eq!(error.to_string(), "level is 1, must be >= 0.5 and < 1");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationConfig {
    /// The lengths of the impulse to try, as shares of the length of the stream where it is added.
    pub strengths: Vec<f64>,
    /// The most starts at which an entry is tried.
    pub starts_per_entry: usize,
    /// The number of continuations of a start, with the impulse and without.
    pub samples: usize,
    /// The number of starts of an entry between two looks at the results.
    pub starts_per_look: usize,
    /// The probability with which the lower bound of an uplift lies below the truth.
    pub level: f64,
    /// How an answer is continued.
    pub replay: ReplayConfig,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self {
            strengths: vec![0.15, 0.3, 0.6],
            starts_per_entry: 12,
            samples: 4,
            starts_per_look: 2,
            level: 0.9,
            replay: ReplayConfig::default(),
        }
    }
}

impl ValidationConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ValidationError`] with the first setting out of bounds.
    pub fn validate<E>(&self) -> Result<(), ValidationError<E>> {
        SettingError::positive("the number of strengths", self.strengths.len())?;
        self.strengths.iter().try_for_each(|&strength| SettingError::above_zero("strengths", strength))?;
        let rising = self.strengths.is_sorted_by(|a, b| a < b);
        SettingError::check(rising, "strengths", format!("{:?}", self.strengths), "rising")?;
        SettingError::positive("starts_per_entry", self.starts_per_entry)?;
        SettingError::positive("samples", self.samples)?;
        SettingError::positive("starts_per_look", self.starts_per_look)?;
        SettingError::check((0.5..1.0).contains(&self.level), "level", self.level, ">= 0.5 and < 1")?;
        self.replay.validate()
    }
}

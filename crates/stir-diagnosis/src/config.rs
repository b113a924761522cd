use serde::{Deserialize, Serialize};
use stir_core::SettingError;

/// The settings of a diagnosis. Everything else is fixed, so that the numbers of two models can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiagnosisConfig {
    /// How often the samples of each problem and control point are split in halves. With 64 the choice of splits moves the
    /// mean by less than a thousandth where there are a hundred contrasts.
    pub splits: usize,
    /// The seed of the splits.
    pub seed: u64,
}

impl Default for DiagnosisConfig {
    fn default() -> Self {
        Self { splits: 64, seed: 0 }
    }
}

impl DiagnosisConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`SettingError`] for the first field out of bounds.
    pub fn validate(&self) -> Result<(), SettingError> {
        SettingError::check((1..=1_000_000).contains(&self.splits), "splits", self.splits, ">= 1 and <= 1000000")
    }
}

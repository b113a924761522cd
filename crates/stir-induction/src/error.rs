use stir_core::{DriveError, LayerSpecError};
use stir_rollout::RolloutError;

/// A setting of [`InductionConfig`](crate::InductionConfig) outside its bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, must be {bound}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// What is allowed.
    pub bound: &'static str,
}

/// Why mining with an engine of error `E` failed.
#[derive(Debug, thiserror::Error)]
pub enum InductionError<E: std::error::Error + 'static> {
    /// A setting outside its bound.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A layer that the model does not have.
    #[error(transparent)]
    Layer(#[from] LayerSpecError),
    /// The rollouts could not be read.
    #[error(transparent)]
    Rollouts(#[from] RolloutError),
    /// The engine failed.
    #[error(transparent)]
    Drive(#[from] DriveError<E>),
    /// The settings cannot be written as JSON.
    #[error("the settings cannot be written as JSON")]
    Unwritable(#[from] serde_json::Error),
}

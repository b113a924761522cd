use stir_core::{FingerprintMismatch, GenerateError, LayerSpecError, SettingError};
use stir_rollout::RolloutError;

use crate::CorrectionError;

/// The reason why mining with an engine of error `E` failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InductionError<E> {
    /// A field of [`InductionConfig`](crate::InductionConfig) is out of bounds.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The model does not have a layer.
    #[error(transparent)]
    Layer(#[from] LayerSpecError),
    /// The rollouts were sampled by another model, whose tokens mean nothing to this one.
    #[error("the rollouts were {0}")]
    Fingerprint(FingerprintMismatch),
    /// The rollouts were sampled by another quantisation of the model.
    #[error("the rollouts were {0}; if it is the same model otherwise, the setting allow_requantised accepts them")]
    Requantised(FingerprintMismatch),
    /// The rollouts could not be read.
    #[error(transparent)]
    Rollouts(#[from] RolloutError),
    /// The contrast needs forks, and none were given.
    #[error("contrast is forked, which needs the forks of the rollouts")]
    NoForks,
    /// The next forks are not those of a problem among the rollouts that follow.
    #[error(
        "the forks of problem {id:?} are not in the order of the rollouts, or not of them; a finished run of forks puts its \
         file in order"
    )]
    UnmatchedForks {
        /// The id of the problem.
        id: String,
    },
    /// A setting needs the states of all problems, and a part of the run sees only its own.
    #[error("{setting} needs the states of all problems: mine without shards, or without {setting}")]
    Undivided {
        /// The setting.
        setting: &'static str,
    },
    /// The vectors could not be corrected.
    #[error(transparent)]
    Correction(#[from] CorrectionError),
    /// The engine failed.
    #[error("the engine failed while rollouts were being encoded")]
    Engine(#[source] E),
    /// Segments could not be drawn anew.
    #[error("cannot draw segments anew from the boundaries of rollouts")]
    Resampling(#[source] GenerateError<E>),
    /// The settings cannot be written as JSON.
    #[error("the settings cannot be written as JSON")]
    Unwritable(#[source] JsonError),
}

/// The fault of a value that cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(pub(crate) serde_json::Error);

use stir_basis::BasisError;
use stir_controller::ControllerError;
use stir_core::{EmptyStop, RequestError, SamplingError, SettingError};
use stir_files::FileError;
use stir_rollout::RolloutError;

/// The reason why a validation stopped: a setting, a file, or the engine `E`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidationError<E> {
    /// A setting is out of bounds.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A sampling setting is outside its bound.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A stop string is empty.
    #[error(transparent)]
    Stop(#[from] EmptyStop),
    /// The settings of the controller do not fit the library, or the library not the model.
    #[error("the library cannot steer this model")]
    Controller(#[from] ControllerError),
    /// The validated library cannot be made.
    #[error("the validated library is not consistent")]
    Library(#[from] BasisError),
    /// The rollouts cannot be read.
    #[error("the rollouts cannot be read")]
    Rollouts(#[from] RolloutError),
    /// The records cannot be read or written, or are those of another run.
    #[error(transparent)]
    File(#[from] FileError),
    /// A continuation cannot be started.
    #[error("{start} cannot be continued")]
    Request {
        /// The start.
        start: String,
        /// The fault.
        source: RequestError,
    },
    /// No rollout has a boundary to continue from.
    #[error("no rollout has a segment that ends and goes on, of a problem with a gold answer")]
    NoStarts,
    /// The vector of an impulse has another width than the model, or is not finite.
    #[error("the vector of {arm} has {found} numbers, must have {expected}, all finite")]
    Vector {
        /// The name of the arm.
        arm: String,
        /// The width of the vector.
        found: usize,
        /// The width of the model.
        expected: usize,
    },
    /// The layer of an impulse is not one of the model.
    #[error("layer {layer} of {arm} is not below {n_layers}")]
    Layer {
        /// The name of the arm.
        arm: String,
        /// The layer.
        layer: usize,
        /// The number of layers of the model.
        n_layers: usize,
    },
    /// A job names a start, an arm or a sample that there is not, or comes that was not announced.
    #[error("{0} is not among the continuations of this run")]
    Unplanned(String),
    /// The observer ended the run. What is finished is in the records.
    #[error("stopped; the continuations that are finished are kept")]
    Stopped,
    /// The engine failed. Every continuation that was finished is in the records.
    #[error("the engine failed while answers were being continued")]
    Engine(#[source] E),
}

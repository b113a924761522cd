use stir_basis::BasisError;
use stir_core::SettingError;

/// A fault of settings, of a library, or of what a controller was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControllerError {
    /// A setting is out of bounds.
    #[error("a setting of the controller is out of bounds")]
    Setting(#[from] SettingError),
    /// The library was made for another model.
    #[error("the library does not fit the model")]
    Library(#[source] BasisError),
    /// The library has not a single vector, and the variant needs one.
    #[error("the library holds no vector to add")]
    NoVector,
    /// The library has no read-out of success, and the probe needs one.
    #[error("the library has no value head, and probe = \"value\" needs one")]
    NoHead,
    /// Probe scores do not belong to the plan.
    #[error("there are {found} probe scores for {expected} candidates")]
    ProbeCount {
        /// The number of candidates of the plan.
        expected: usize,
        /// The number of scores given.
        found: usize,
    },
    /// A steering was given something else than it wants next.
    #[error("the steering was given {given} where it wants {wanted}")]
    OutOfTurn {
        /// The name of what it was given.
        given: &'static str,
        /// The name of what [`Steering::next`](crate::Steering::next) asks for.
        wanted: &'static str,
    },
}

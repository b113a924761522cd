use stir_basis::BasisError;

/// What the controller refuses.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A setting out of bounds.
    #[error("controller setting {field} is {value}, must be {bound}")]
    Config {
        /// The field of [`ControllerConfig`](crate::ControllerConfig).
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        bound: &'static str,
    },
    /// A library that was made for another model.
    #[error("the library does not fit the model")]
    Library(#[source] BasisError),
    /// A library without a single vector, where the variant needs one.
    #[error("the library holds no vector to add")]
    NoVector,
    /// Probe scores that do not belong to the plan.
    #[error("there are {found} probe scores for {expected} candidates")]
    ProbeCount {
        /// The number of candidates of the plan.
        expected: usize,
        /// The number of scores given.
        found: usize,
    },
    /// What a steering was given is not what it wants next.
    #[error("the steering was given {given} where it wants {wanted}")]
    OutOfTurn {
        /// What it was given.
        given: &'static str,
        /// What [`Steering::next`](crate::Steering::next) asks for.
        wanted: &'static str,
    },
}

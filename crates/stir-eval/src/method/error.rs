use stir_controller::ControllerError;
use stir_core::{EmptyDelimiter, RequestError, SamplingError};
use stir_files::FileError;

/// What is wrong with the settings of a method.
#[derive(Debug, thiserror::Error)]
pub enum MethodError {
    /// A setting out of bounds.
    #[error("{method} setting {field} is {value}, must be {bound}")]
    Setting {
        /// The method.
        method: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        bound: &'static str,
    },
    /// A way of drawing tokens that is out of bounds.
    #[error("{method}")]
    Sampling {
        /// The method.
        method: &'static str,
        /// The field.
        #[source]
        source: SamplingError,
    },
    /// A text to look for that is empty.
    #[error("{method} setting {field}")]
    Delimiter {
        /// The method.
        method: &'static str,
        /// The field.
        field: &'static str,
        /// Why it cannot be looked for.
        #[source]
        source: EmptyDelimiter,
    },
    /// A setting or a library that the controller refuses.
    #[error("{method}")]
    Controller {
        /// The method.
        method: &'static str,
        /// What it refuses.
        #[source]
        source: ControllerError,
    },
    /// A method that steers, and nothing to steer with.
    #[error("{method} needs a library")]
    NoLibrary {
        /// The method.
        method: &'static str,
    },
    /// A vector that is too long to be added.
    #[error("{method}: at layer {layer} the vector times {scale} is not finite")]
    NotFinite {
        /// The method.
        method: &'static str,
        /// The layer.
        layer: usize,
        /// The scale.
        scale: f64,
    },
}

/// Why a lane has no answer; `X` is the engine's error.
#[derive(Debug, thiserror::Error)]
pub enum LaneError<X> {
    /// A prompt that cannot be continued.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A prompt that cannot be rendered or encoded.
    #[error("a prompt cannot be made")]
    Prompt(#[source] X),
}

/// Why questions were not answered; `X` is the engine's error.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError<X: std::error::Error + 'static> {
    /// The engine failed.
    #[error("the engine failed")]
    Engine(#[source] X),
    /// A setting that no question could be answered under.
    #[error(transparent)]
    Settings(RequestError),
    /// A question that cannot be asked.
    #[error("problem {id:?}")]
    Request {
        /// The question.
        id: String,
        /// What is wrong.
        #[source]
        source: RequestError,
    },
    /// A prompt that cannot be rendered or encoded.
    #[error("problem {id:?}: a prompt cannot be made")]
    Prompt {
        /// The question.
        id: String,
        /// Why not.
        #[source]
        source: X,
    },
    /// A model that computed logits that describe no distribution.
    #[error("problem {id:?}")]
    Sampling {
        /// The question.
        id: String,
        /// What was wrong with the row.
        #[source]
        source: SamplingError,
    },
}

/// Why a run ended before its end; `X` is the engine's error.
#[derive(Debug, thiserror::Error)]
pub enum RunError<X: std::error::Error + 'static> {
    /// A question or the engine.
    #[error(transparent)]
    Answer(#[from] AnswerError<X>),
    /// The file of answers.
    #[error(transparent)]
    Answers(#[from] FileError),
}

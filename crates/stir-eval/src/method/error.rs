use stir_controller::ControllerError;
use stir_core::{EmptyDelimiter, RequestError, SamplingError, SettingError};
use stir_files::FileError;

/// Something is wrong with the settings of a method.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// A setting is out of bounds.
    #[error("{method} setting {setting}")]
    Setting {
        /// The method.
        method: &'static str,
        /// The setting, its value and its bound.
        setting: SettingError,
    },
    /// The way of drawing tokens is out of bounds.
    #[error("the sampling of {method} cannot be used")]
    Sampling {
        /// The method.
        method: &'static str,
        /// The field.
        source: SamplingError,
    },
    /// A text to look for is empty.
    #[error("{method} setting {field} cannot be used")]
    Delimiter {
        /// The method.
        method: &'static str,
        /// The field.
        field: &'static str,
        /// The reason.
        source: EmptyDelimiter,
    },
    /// The controller refuses a setting or the library.
    #[error("{method} cannot be used")]
    Controller {
        /// The method.
        method: &'static str,
        /// The reason.
        source: ControllerError,
    },
    /// A method steers, and there is no library.
    #[error("{method} needs a library")]
    NoLibrary {
        /// The method.
        method: &'static str,
    },
    /// A vector is too long to be added.
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

/// A lane has no answer; `X` is the engine's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError<X> {
    /// A prompt cannot be continued.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A prompt cannot be rendered or encoded.
    #[error("a prompt cannot be made")]
    Prompt(#[source] X),
}

/// Questions cannot be answered; `X` is the engine's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError<X: std::error::Error + 'static> {
    /// The engine failed.
    #[error("the engine failed")]
    Engine(#[source] X),
    /// A setting under which no question can be answered.
    #[error(transparent)]
    Settings(RequestError),
    /// A question cannot be asked.
    #[error("problem {id:?} cannot be asked")]
    Request {
        /// The question.
        id: String,
        /// The reason.
        source: RequestError,
    },
    /// A prompt cannot be rendered or encoded.
    #[error("a prompt of problem {id:?} cannot be made")]
    Prompt {
        /// The question.
        id: String,
        /// The error of the engine.
        source: X,
    },
    /// The model broke down: its logits describe no distribution.
    #[error("the next token of problem {id:?} cannot be drawn")]
    Sampling {
        /// The question.
        id: String,
        /// The reason.
        source: SamplingError,
    },
    /// The file of answers cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

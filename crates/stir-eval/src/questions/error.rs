use std::path::PathBuf;

use stir_rollout::RolloutError;

use crate::task::TaskError;

/// The reason why problems cannot be asked; `X` is the error of the chat template.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError<X> {
    /// The source is described by settings that do not go together.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The task cannot be loaded.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The file of problems cannot be read.
    #[error(transparent)]
    File(RolloutError),
    /// A prompt cannot be rendered.
    #[error("cannot make the prompt of {place}")]
    Prompt {
        /// The problem, with its file and line where it has them.
        place: String,
        /// The error of the chat template.
        source: X,
    },
    /// A problem has no right answer.
    #[error("{}: problem {id:?} has no gold", path.display())]
    NoGold {
        /// The file or the task.
        path: PathBuf,
        /// The problem.
        id: String,
    },
    /// The settings of the hub cannot be read.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] stir_hub::HubError),
}

/// A setting of a source of problems that cannot be followed. The text begins with the name of the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {reason}")]
pub struct SourceError {
    /// The name of the setting.
    pub setting: &'static str,
    /// The reason, as the rest of a sentence.
    pub reason: String,
}

impl SourceError {
    pub(super) fn check(holds: bool, setting: &'static str, reason: impl FnOnce() -> String) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { setting, reason: reason() }) }
    }
}

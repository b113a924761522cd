use std::path::PathBuf;

use stir_basis::BasisError;
use stir_core::{EmptyStop, SamplingError, SettingError};
use stir_diagnosis::DiagnosisError;
use stir_files::FileError;
use stir_induction::InductionError;
use stir_rollout::{Failure, RolloutError, RunError};
use stir_validation::ValidationError;

use crate::{
    FormatError,
    answers::AnswersError,
    method::{AnswerError, MethodError},
    questions::SourceError,
};

/// Something is wrong with an experiment: with its text, or with what it asks of its models.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The text is not TOML, or has the wrong fields. The message has the line.
    #[error(transparent)]
    Toml(FormatError),
    /// Settings do not have the form that they should have.
    #[error("{at}{}{field} cannot be read", if field.is_empty() { "" } else { ": " })]
    Settings {
        /// The place in the file.
        at: String,
        /// The field that is to blame, as a path; empty where it is not known.
        field: String,
        /// The reason.
        source: FormatError,
    },
    /// A number is not finite.
    #[error("{at}: {field} is not finite")]
    NotFinite {
        /// The place in the file.
        at: String,
        /// The field.
        field: String,
    },
    /// A list is empty, or a number is 0.
    #[error("{field} is empty or 0, must be at least 1")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// A name occurs twice.
    #[error("{field}: {name:?} occurs twice")]
    Twice {
        /// The list.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// A task is neither answered nor mined for others.
    #[error("tasks {name:?} has no `answer`, so nothing would be run on it (transfer is off)")]
    IdleTask {
        /// The task.
        name: String,
    },
    /// Entries are to be validated, and a task that is mined does not say on what.
    #[error("mining.validation needs problems, but tasks {name:?} has no `validate`")]
    NothingToValidateOn {
        /// The task.
        name: String,
    },
    /// A method asks read-outs of success, and libraries are mined without.
    #[error("methods {method:?} has probe = \"value\", which needs mining.heads = true")]
    NoValueHead {
        /// The method.
        method: String,
    },
    /// Methods steer, and no task is mined.
    #[error("a method needs a library, but no task says what to mine")]
    NothingMined,
    /// A method needs a library, and the task has none.
    #[error("methods {method:?} needs a library to answer {task:?}, which has no `mine` (transfer is off)")]
    NoLibrary {
        /// The method.
        method: String,
        /// The task.
        task: String,
    },
    /// A field of a grid has no values, the same value twice, or no place.
    #[error("{at}: grid of {field:?} {what}")]
    Grid {
        /// The place in the file.
        at: String,
        /// The field.
        field: String,
        /// The reason, as the rest of a sentence.
        what: &'static str,
    },
    /// The way of drawing tokens is out of bounds.
    #[error("{field} cannot be used")]
    Sampling {
        /// The place in the file.
        field: &'static str,
        /// The setting that is out of bounds.
        source: SamplingError,
    },
    /// A stop string would end every text at once.
    #[error("{field} cannot be used")]
    Stop {
        /// The place in the file.
        field: &'static str,
        /// The stop string.
        source: EmptyStop,
    },
    /// The source of the problems of a task cannot be used.
    #[error("{at} cannot be used")]
    Source {
        /// The place in the file.
        at: String,
        /// The setting and the reason.
        source: SourceError,
    },
    /// A setting of stage 1 is out of bounds.
    #[error("{at} cannot be used")]
    Rollout {
        /// The place in the file.
        at: &'static str,
        /// The setting that is out of bounds.
        source: RolloutError,
    },
    /// A setting of stage 2 or 3 is out of bounds.
    #[error("{at}: {} cannot be used", source.setting)]
    Setting {
        /// The place in the file.
        at: &'static str,
        /// The setting that is out of bounds.
        source: SettingError,
    },
    /// A setting of a method is out of bounds, or a method does not go with the model or the library.
    #[error("{at} cannot be used")]
    Method {
        /// The place in the file, or the cell.
        at: String,
        /// The reason.
        source: MethodError,
    },
}

/// An experiment stopped before its end; `B` is the backend's error and `X` the engine's. Everything that was finished
/// is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError<B: std::error::Error + 'static, X: std::error::Error + 'static> {
    /// Something is wrong with the experiment.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// The backend cannot load a model or ask its problems.
    #[error("{at} cannot be loaded")]
    Backend {
        /// The place in the experiment.
        at: String,
        /// The error of the backend.
        source: B,
    },
    /// Rollouts cannot be drawn.
    #[error("cannot draw the {at}")]
    Rollouts {
        /// The stage.
        at: String,
        /// The reason.
        source: RunError<X>,
    },
    /// No problem could be sampled.
    #[error("cannot draw the {at}: every problem failed")]
    Unsampled {
        /// The stage.
        at: String,
        /// The first problem that failed.
        source: Failure<X>,
    },
    /// Nothing can be mined.
    #[error("cannot mine the {at}")]
    Candidates {
        /// The stage.
        at: String,
        /// The reason.
        source: InductionError<X>,
    },
    /// Read-outs of success cannot be fitted.
    #[error("cannot fit read-outs for the {at}")]
    Heads {
        /// The stage.
        at: String,
        /// The reason.
        source: DiagnosisError,
    },
    /// Entries cannot be validated.
    #[error("cannot make the {at}")]
    Validation {
        /// The stage.
        at: String,
        /// The reason.
        source: ValidationError<X>,
    },
    /// No entry was seen to help when it was validated.
    #[error("no entry of the {at} has a measured uplift: {} says what was measured", report.display())]
    NoUplift {
        /// The stage.
        at: String,
        /// The report of the validation.
        report: PathBuf,
    },
    /// A library or the pairs that it is selected from cannot be made, written or read.
    #[error("cannot make the {at}")]
    Library {
        /// The stage.
        at: String,
        /// The reason.
        source: BasisError,
    },
    /// Questions cannot be answered.
    #[error("cannot run the cell {at}")]
    Answers {
        /// The cell.
        at: String,
        /// The reason.
        source: AnswerError<X>,
    },
    /// A file cannot be read or written, or belongs to another run.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of answers cannot be begun or resumed.
    #[error(transparent)]
    AnswersFile(#[from] AnswersError),
    /// Settings cannot be written as JSON.
    #[error("cannot write settings as JSON")]
    Unwritable(#[source] FormatError),
}

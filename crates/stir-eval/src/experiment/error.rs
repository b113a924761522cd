use stir_basis::BasisError;
use stir_core::{EmptyStop, SamplingError};
use stir_files::FileError;

use crate::{
    answers::AnswersError,
    method::{MethodError, RunError},
};

/// What is wrong with an experiment: as it is written, or when it meets its models.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// No TOML, or not of this shape. The message has the line.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// Settings that are not those of what they are for.
    #[error("{at}: {field}")]
    Settings {
        /// Where in the file.
        at: String,
        /// The field that is to blame, as a path; empty where it is one that is missing.
        field: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A number that is not finite.
    #[error("{at}: {field} is not finite")]
    NotFinite {
        /// Where in the file.
        at: String,
        /// The field.
        field: String,
    },
    /// A list that must not be empty, or a number that must not be 0.
    #[error("{field} is empty or 0, must be at least 1")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// A name that occurs twice.
    #[error("{field}: {name:?} is there twice")]
    Twice {
        /// The list.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// A task that nothing is done with.
    #[error("tasks {name:?} has nothing to answer; where transfer is off that is of no use")]
    IdleTask {
        /// The task.
        name: String,
    },
    /// Methods that steer, and no task to mine.
    #[error("a method needs a library, but no task says what to mine")]
    NothingMined,
    /// A method that needs a library, for a task without one.
    #[error("methods {method:?} needs a library to answer {task:?}, which says nothing to mine; transfer is off")]
    NoLibrary {
        /// The method.
        method: String,
        /// The task.
        task: String,
    },
    /// A field of a grid that does not vary, or varies nothing.
    #[error("{at}: grid of {field:?} {what}")]
    Grid {
        /// Where in the file.
        at: String,
        /// The field.
        field: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A way of drawing tokens that is out of bounds.
    #[error("{field}")]
    Sampling {
        /// Where in the file.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: SamplingError,
    },
    /// A stop string that would end every text at once.
    #[error("{field}")]
    Stop {
        /// Where in the file.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: EmptyStop,
    },
    /// A setting of a method out of bounds, or a method that does not go with the model or the library.
    #[error("{at}")]
    Method {
        /// Where in the file, or the cell.
        at: String,
        /// What is wrong.
        #[source]
        source: MethodError,
    },
    /// A setting of selection out of bounds, or a library that cannot be made.
    #[error("{at}")]
    Basis {
        /// Where in the file, or what was to be made.
        at: String,
        /// What is wrong.
        #[source]
        source: BasisError,
    },
}

/// Why an experiment stopped; `L` is the lab's error and `X` the engine's. What was finished stays.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError<L: std::error::Error + 'static, X: std::error::Error + 'static> {
    /// What the experiment says, or what comes of it.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// The lab: a model, problems, rollouts or candidates.
    #[error("{at}")]
    Lab {
        /// What was to be made.
        at: String,
        /// Why it was not.
        #[source]
        source: L,
    },
    /// Answers.
    #[error("{at}")]
    Run {
        /// The cell.
        at: String,
        /// Why they are not there.
        #[source]
        source: RunError<X>,
    },
    /// A file cannot be read or written, or belongs to another run.
    #[error(transparent)]
    Files(#[from] FileError),
    /// A file of answers cannot be begun or resumed.
    #[error(transparent)]
    Answers(#[from] AnswersError),
    /// Settings that cannot be written as JSON.
    #[error("settings cannot be written as JSON")]
    Unwritable(#[from] serde_json::Error),
}

use std::{io, path::PathBuf};

use crate::stats::StatsError;

/// An error that keeps runs from being compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ComparisonError {
    /// There are no runs.
    #[error("there are no runs")]
    NoRuns,
    /// The baseline has no answers, so there is nothing to compare with.
    #[error("method {method:?} has no answers")]
    NoAnswers {
        /// The name of the method.
        method: String,
    },
    /// The baseline did not answer a task, so nothing can be compared on it.
    #[error("there is no run of the baseline {baseline:?} with model {model:?} on task {task:?}")]
    NoBaseline {
        /// The name of the baseline.
        baseline: String,
        /// The model.
        model: String,
        /// The task.
        task: String,
    },
    /// A run of a method has another model or task than the run of the baseline.
    #[error("method {method:?} was run with {field} {found:?}, the baseline with {expected:?}")]
    SettingsDiffer {
        /// The name of the method.
        method: String,
        /// The setting that differs: `model` or `task`.
        field: &'static str,
        /// Its value in the run of the baseline.
        expected: String,
        /// Its value in the run of the method.
        found: String,
    },
    /// Two runs have the same settings and seed, or two methods the same name.
    #[error("two methods are named {method:?}, or one was run twice with the same settings and seed")]
    DuplicateMethod {
        /// The name.
        method: String,
    },
    /// A method has two answers to one problem.
    #[error("method {method:?} answers problem {id:?} twice")]
    DuplicateId {
        /// The name of the method.
        method: String,
        /// The id of the problem.
        id: String,
    },
    /// A method lacks an answer to a problem that the baseline answers.
    #[error("method {method:?} does not answer problem {id:?}, which the baseline answers")]
    MissingId {
        /// The name of the method.
        method: String,
        /// The id of the problem.
        id: String,
    },
    /// A method answers a problem that the baseline does not answer.
    #[error("method {method:?} answers problem {id:?}, which the baseline does not answer")]
    UnknownId {
        /// The name of the method.
        method: String,
        /// The id of the problem.
        id: String,
    },
    /// A wall time is negative or not finite.
    #[error("method {method:?} took {value} seconds, which is not a finite time of at least 0")]
    Seconds {
        /// The name of the method.
        method: String,
        /// The time, in seconds.
        value: f64,
    },
    /// A statistic cannot be computed.
    #[error("cannot compute the statistics of a comparison")]
    Stats(#[from] StatsError),
}

/// An error while making or writing a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The runs cannot be compared.
    #[error("cannot compare the runs of the report")]
    Comparison(#[from] ComparisonError),
    /// A file or folder cannot be written.
    #[error("cannot write {} of the report", path.display())]
    Write {
        /// The path of the file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The page cannot be rendered.
    #[error("cannot render the page of the report")]
    Page(#[source] RenderError),
    /// The table cannot be rendered as JSON.
    #[error("cannot render the table of the report as JSON")]
    Table(#[source] RenderError),
}

/// An error of the template engine or of the JSON writer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RenderError(Renderer);

#[derive(Debug, thiserror::Error)]
enum Renderer {
    #[error(transparent)]
    Template(minijinja::Error),
    #[error(transparent)]
    Json(serde_json::Error),
}

impl RenderError {
    pub(crate) fn template(source: minijinja::Error) -> Self {
        Self(Renderer::Template(source))
    }

    pub(crate) fn json(source: serde_json::Error) -> Self {
        Self(Renderer::Json(source))
    }
}

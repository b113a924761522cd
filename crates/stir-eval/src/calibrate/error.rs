use std::convert::Infallible;

use stir_core::SettingError;
use stir_files::FileError;
use stir_report::{ComparisonError, ReportError, StatsError};

use super::{sets::Overlap, spec::Set};
use crate::{
    FormatError,
    experiment::{ExperimentError, RunnerError},
    questions::QuestionError,
};

/// Something is wrong with a calibration: with its text, its problems or its budget.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The text is not TOML, or has the wrong fields. The message has the line.
    #[error(transparent)]
    Toml(FormatError),
    /// A part that calibrations share with experiments.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// A setting is out of bounds.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A method does not steer, so there is nothing to calibrate.
    #[error("methods {method:?} does not steer, so there is nothing to calibrate")]
    NoLibrary {
        /// The method.
        method: String,
    },
    /// The problems of a set cannot be read.
    #[error("problems.{} cannot be read", set.name())]
    Problems {
        /// The set.
        set: Set,
        /// The reason.
        source: QuestionError<Infallible>,
    },
    /// Sets have problems in common.
    #[error("{overlap}; as_published = true goes on with it and says so in every table")]
    Overlap {
        /// The problems.
        overlap: Overlap,
    },
    /// The budget does not reach for the first rung and the test.
    #[error(
        "budget.tokens is {tokens}, must be at least {needed}: mining, the first rung and the test may take as many"
    )]
    Budget {
        /// The budget.
        tokens: usize,
        /// The number of tokens that the first rung and the test may take.
        needed: usize,
    },
    /// A preset or a report cannot be written as text, or read.
    #[error("{what} cannot be read or written")]
    Format {
        /// The file.
        what: String,
        /// The reason.
        source: FormatError,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A statistic cannot be computed.
    #[error("cannot compute the statistics of the test")]
    Stats(#[from] StatsError),
    /// The answers of the test do not pair.
    #[error("cannot compare the answers of the test")]
    Comparison(#[from] ComparisonError),
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// A calibration stopped before its end; `B` is the backend's error and `X` the engine's. Everything that was finished is
/// kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError<B: std::error::Error + 'static, X: std::error::Error + 'static> {
    /// Something is wrong with the calibration.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// A stage failed.
    #[error(transparent)]
    Runner(#[from] RunnerError<B, X>),
}

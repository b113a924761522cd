use std::{io, path::PathBuf};

use stir_core::SettingError;

/// The reason why states cannot be used, or a diagnosis cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiagnosisError {
    /// A setting is outside its bound.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A value of a row is outside its bound.
    #[error("row {row}: {field} is {value}, must be {bound}")]
    Row {
        /// The row, from 0.
        row: usize,
        /// The field, or the place in it.
        field: &'static str,
        /// The value, as text.
        value: String,
        /// The values that are allowed.
        bound: String,
    },
    /// A list or a width has another size than it must have.
    #[error("the size of {field} is {found}, must be {bound}")]
    Size {
        /// What has the size.
        field: &'static str,
        /// The size.
        found: usize,
        /// The sizes that are allowed.
        bound: String,
    },
    /// A file of states cannot be read or written.
    #[error("cannot use {} as a file of states", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The fault.
        source: FileFault,
    },
    /// A linear model could not be fitted.
    #[error("cannot fit the {model} of the states")]
    Solver {
        /// The model: `logistic regression` or `ridge regression`.
        model: &'static str,
        /// The fault.
        source: SolverError,
    },
    /// A page of the diagnosis cannot be rendered.
    #[error("cannot render the diagnosis")]
    Page(#[from] stir_report::ReportError),
}

/// What is wrong with a file of states.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// The file system refused.
    #[error(transparent)]
    Io(io::Error),
    /// What is there is a folder, a pipe or a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// The file is not safetensors.
    #[error(transparent)]
    Format(FormatError),
    /// A tensor is missing, or is not what it must be.
    #[error("tensor {name} is {found}, must be {expected}")]
    Tensor {
        /// The name of the tensor.
        name: String,
        /// What it is, with type and shape.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// The content breaks a rule of [`States`](crate::States).
    #[error(transparent)]
    Content(Box<DiagnosisError>),
}

/// The fault of a file that is not safetensors.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FormatError(pub(crate) safetensors::SafeTensorError);

/// The fault of a solver.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SolverError(pub(crate) Solver);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Solver {
    #[error(transparent)]
    Logistic(#[from] linfa_logistic::error::Error),
    #[error(transparent)]
    Linear(#[from] linfa_linear::LinearError<f64>),
    #[error("the solution is not finite")]
    NotFinite,
}

use std::{io, path::PathBuf};

use crate::EvalError;

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The runs cannot be compared.
    #[error("the runs cannot be compared")]
    Eval(#[from] EvalError),
    /// A file or folder that cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The page cannot be made.
    #[error("the page cannot be made")]
    Page(#[from] minijinja::Error),
    /// The table cannot be made into JSON.
    #[error("the table cannot be made into JSON")]
    Json(#[from] serde_json::Error),
}

//! Files as commands read and write them.

use std::path::Path;

use miette::{IntoDiagnostic, Result, WrapErr};
use serde::de::DeserializeOwned;

/// Reads the lines of a JSONL file; blank ones are skipped.
pub(crate) fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    stir::files::read_lines(path).into_diagnostic()
}

/// Puts `bytes` where `path` says in one step: a reader sees all of them or what was there before.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    stir::files::write_atomically(path, bytes)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot write {}", path.display()))
}

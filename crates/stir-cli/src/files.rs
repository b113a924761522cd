//! Files as commands read and write them.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Report, Result, WrapErr, ensure, miette};
use serde::{Deserialize, de::DeserializeOwned};
use stir::{
    files::{FileError, Settings},
    rollout::RolloutConfig,
};

/// Reads the lines of a JSONL file; blank ones are skipped.
pub(crate) fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    stir::files::read_lines(path).into_diagnostic()
}

/// Reads the settings under which a file of rollouts was made; `None` if they are not next to it.
pub(crate) fn rollout_settings(rollouts: &Path) -> Result<Option<String>> {
    let path = Settings::path(rollouts);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        settings => settings.map(Some).into_diagnostic().wrap_err_with(|| path.display().to_string()),
    }
}

/// Returns the settings that rollouts were sampled with; `settings` (JSON text) are those next to them. `None` where they do
/// not tell, as those of other programs.
pub(crate) fn sampled_with(settings: &str) -> Option<RolloutConfig> {
    #[derive(Deserialize)]
    struct Run {
        config: RolloutConfig,
    }
    serde_json::from_str(settings).ok().map(|Run { config }| config)
}

/// Puts `bytes` where `path` says in one step: a reader sees all of them or what was there before.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    stir::files::write_atomically(path, bytes)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot write {}", path.display()))
}

/// Checks that a file can be written to `path`, before the work begins whose result it is.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    stir::files::check_writable(path).into_diagnostic()
}

/// Works like [`check_writable`], and checks that what is written takes the place of none of the files that are read; of a
/// folder that is read, those in it count.
pub(crate) fn check_output(path: &Path, inputs: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<()> {
    let there = path.canonicalize().ok();
    let same = |input: &Path| {
        let is_there = |input: PathBuf| {
            there.as_ref().is_some_and(|there| input == *there || there.parent() == Some(&*input) && input.is_dir())
        };
        input == path || input.canonicalize().is_ok_and(is_there)
    };
    for input in inputs {
        ensure!(!same(input.as_ref()), "{} would take the place of what is read from it", path.display());
    }
    check_writable(path)
}

/// Returns the error of an output that cannot be begun or resumed, with advice where it was begun with other settings.
pub(crate) fn begun(error: FileError) -> Report {
    match error {
        FileError::Settings { .. } => {
            miette!(
                help = "give another --out, remove that file to start over, or resume with the earlier settings",
                "{error}"
            )
        }
        error => Report::from_err(error),
    }
}

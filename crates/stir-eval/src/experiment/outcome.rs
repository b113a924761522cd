use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;
use stir_report::Run;

/// The results of an experiment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// The runs of all cells, in order: models, seeds, tasks, methods, libraries.
    pub runs: Vec<Run>,
    /// The libraries that the runs used, in the order of first use.
    pub libraries: Vec<LibraryFiles>,
}

/// The files of a library that an experiment made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LibraryFiles {
    /// The name of the model.
    pub model: String,
    /// The name of the task that was mined.
    pub mined_from: String,
    /// The seed of the rollouts.
    pub seed: u64,
    /// The settings that the experiment names, as in the runs that used the library.
    pub params: BTreeMap<String, Value>,
    /// The file of the library.
    pub library: PathBuf,
    /// The file of the pairs that it was selected from.
    pub candidates: PathBuf,
}

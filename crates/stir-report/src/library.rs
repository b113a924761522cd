use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stir_basis::Library;

/// A description of the library that some runs used, without its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryDescription {
    /// The name of the model of these runs.
    pub model: String,
    /// The task that the library was mined from, as in the settings of the runs. A run that names none uses the library
    /// of its own task.
    pub mined_from: String,
    /// The settings of these runs that determine the library.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// The entries in the order of the library.
    pub entries: Vec<EntryDescription>,
}

/// A description of an entry of a library, without its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryDescription {
    /// The id of the problem that the entry was mined from.
    pub problem: String,
    /// The control point, counted from 1; 0 is the end of the prompt.
    pub m: usize,
    /// The decoder layer, counted from 0.
    pub layer: usize,
    /// The difference in mean reward between its successes and its failures.
    pub quality: f64,
    /// True if the entry has a vector to add, false if it says to leave the model alone.
    pub steers: bool,
}

impl LibraryDescription {
    /// Describes `library`, which runs of `model` used with `mined_from` in their settings.
    pub fn new(model: &str, mined_from: &str, library: &Library) -> Self {
        let entry = |entry: &stir_basis::Entry| EntryDescription {
            problem: entry.problem.clone(),
            m: entry.m,
            layer: entry.layer,
            quality: entry.quality,
            steers: entry.vector().is_some(),
        };
        Self {
            model: model.to_owned(),
            mined_from: mined_from.to_owned(),
            params: BTreeMap::new(),
            entries: library.entries().iter().map(entry).collect(),
        }
    }
}

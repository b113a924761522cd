use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The settings of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportConfig {
    /// The name of the method that the others are compared with.
    pub baseline: String,
    /// The settings of the runs that represent their methods in the main table, for settings of which several values were
    /// tried. A run that lacks a setting matches it. The first run that matches is used.
    pub main: BTreeMap<String, Value>,
    /// The date to print. The clock is never read, so that equal runs give equal reports.
    pub date: Option<String>,
    /// The largest number of problems per task in the case viewer; problems on which methods differ come first.
    pub cases_per_task: usize,
    /// The largest number of bytes of an answer, and of a prompt, in the case viewer.
    pub case_bytes: usize,
    /// The largest number of pairs on a map of states. The time to draw a map grows with its square.
    pub map_pairs: usize,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self {
            baseline: "plain".into(),
            main: BTreeMap::new(),
            date: None,
            cases_per_task: 40,
            case_bytes: 16_384,
            map_pairs: 300,
        }
    }
}

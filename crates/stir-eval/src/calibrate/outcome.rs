use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stir_report::Run;

use super::{
    budget::{Cost, Limit},
    search::Rung,
    sets::Overlap,
    spec::{Budget, Set},
    verdict::{PValues, TestResult, Verdict},
};

/// The result of a calibration. As JSON it has no times: a calibration that was killed and resumed gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CalibrationOutcome {
    /// The name of the calibration.
    pub name: String,
    /// The name of the model.
    pub model: String,
    /// The seed of everything.
    pub seed: u64,
    /// What is to be known of the problems, where sets have some in common.
    pub label: Option<String>,
    /// What the test says.
    pub verdict: Verdict,
    /// The same in words.
    pub sentence: String,
    /// The settings that were to be tried.
    pub settings: Vec<TriedSetting>,
    /// The rungs of the search.
    pub rungs: Vec<Rung>,
    /// The limit that ended the search before its last rung.
    pub stopped: Option<Limit>,
    /// The test; `None` if the budget ended before anything could be tested.
    pub test: Option<TestResult>,
    /// How often the problems of every set were looked at.
    pub looks: Vec<Look>,
    /// What it was allowed to cost.
    pub budget: Budget,
    /// What it cost.
    pub spent: Spending,
    /// The runs of the test: plain decoding, and the setting that was tested.
    #[serde(skip)]
    pub runs: Vec<Run>,
}

/// A setting of a calibration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriedSetting {
    /// The method's name and the values of this setting, in words.
    pub name: String,
    /// The values of this setting in the grids, by field.
    pub values: BTreeMap<String, Value>,
    /// True if it was left out, as the problems that are mined give no library under its settings.
    pub is_without_library: bool,
}

/// How often the problems of a set were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Look {
    /// The set.
    pub set: Set,
    /// The number of its problems.
    pub problems: usize,
    /// The number of settings that its answers were used for, without plain decoding.
    pub settings: usize,
    /// The number of answers: samples of `mine`, and answers of plain decoding and of settings to the others.
    pub answers: usize,
    /// The number of times that a decision was made by them. For the test set all calibrations count that were run in the
    /// folder.
    pub looks: usize,
    /// The use that was made of it, in words.
    pub purpose: &'static str,
}

/// What a calibration cost, in generated tokens.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Spending {
    /// Rollouts, and what the validation of entries took.
    pub mining: Cost,
    /// Answers to development problems.
    pub development: Cost,
    /// Answers to test problems.
    pub test: Cost,
}

impl Spending {
    /// Returns the sum.
    pub fn total(&self) -> Cost {
        let mut total = self.mining;
        total += self.development;
        total += self.test;
        total
    }
}

/// A setting that was tested on the test set, in the file that remembers them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PastTest {
    /// The folder of the answers.
    pub(super) answers: String,
    /// The name of the setting.
    pub(super) setting: String,
    pub(super) p: PValues,
}

/// Returns what must be said of sets that have problems in common.
pub(super) fn label(overlap: &Overlap) -> String {
    let between = |a: Set, b: Set| overlap.pairs.iter().any(|(x, _, y, _)| (*x, *y) == (a, b) || (*x, *y) == (b, a));
    let evaluated = |set| between(set, Set::Development) || between(set, Set::Test);
    let mut labels = Vec::new();
    if evaluated(Set::Mine) {
        labels.push("mined on problems that it is evaluated on");
    }
    if evaluated(Set::Validation) {
        labels.push("validated on problems that it is evaluated on");
    }
    if between(Set::Development, Set::Test) {
        labels.push("chosen on problems that it is tested on");
    }
    if between(Set::Mine, Set::Validation) {
        labels.push("mined on problems that it is validated on");
    }
    labels.join("; ")
}

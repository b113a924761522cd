use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stir_core::SettingError;

use super::error::CalibrationError;
use crate::{
    FormatError,
    experiment::{AnswerSettings, Experiment, ExperimentError, MethodSpec, Mining, ModelSpec, TaskSpec, typed},
    questions::ProblemSource,
};

/// The name of plain decoding, with which every setting is compared.
pub(super) const PLAIN: &str = "plain";

/// A calibration as its file describes it; see the [module](super).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The title of its reports.
    pub name: String,
    /// The seed of everything, from the rollouts on.
    #[serde(default)]
    pub seed: u64,
    /// The number of answers generated side by side at most. No answer depends on it.
    #[serde(default = "sixteen")]
    pub max_batch: usize,
    /// True to go on where sets have problems in common, as published results do. Every table and report then says so.
    #[serde(default)]
    pub as_published: bool,
    /// The model.
    pub model: ModelSpec,
    /// The problems.
    pub problems: ProblemSets,
    /// The settings that all answers share.
    #[serde(default)]
    pub answers: AnswerSettings,
    /// The settings by which libraries are made, and the values of them to try.
    #[serde(default)]
    pub mining: Mining,
    /// The methods to try, each at every point of its grid. All of them steer; plain decoding is there anyway.
    pub methods: Vec<MethodSpec>,
    /// What may be spent.
    pub budget: Budget,
    /// How settings are dropped.
    #[serde(default)]
    pub halving: Halving,
}

/// The four sets of problems, each a [`ProblemSource`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemSets {
    /// The problems that libraries are mined from.
    pub mine: Value,
    /// The problems that entries are validated on, where `mining.validation` says that they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Value>,
    /// The problems that settings are chosen on.
    pub development: Value,
    /// The problems that the choice is judged on, once.
    pub test: Value,
}

/// What may be spent; at least one of the two must be given.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// The number of tokens that may be generated: rollouts, validation, answers and probes, the test included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// The hours that may be spent on the same, as measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<f64>,
}

/// How settings are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Halving {
    /// One of so many settings stays after every rung.
    pub eta: usize,
    /// The number of development problems of the first rung; every rung has twice as many as the one before.
    pub first: usize,
    /// The worth of tokens in the score of a setting: the accuracy that saving all of them would be worth. 0.15 makes a
    /// saving of 20 % worth 3 points. With 0, accuracy alone counts.
    pub token_weight: f64,
    /// The loss of accuracy that development must exclude before a setting is used, whatever it saves: the lower end of
    /// the one-sided 95 % interval of its gain must not be below minus this. 0.05 is 5 points; 1 excludes nothing.
    pub max_loss: f64,
    /// The tokens that count as cost.
    pub count: TokenCount,
}

/// The tokens that count as cost, in scores and in the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenCount {
    /// All that are generated for an answer, those of probes included.
    #[default]
    All,
    /// Those of the answer itself.
    Answer,
}

impl Default for Halving {
    fn default() -> Self {
        Self { eta: 2, first: 20, token_weight: 0.15, max_loss: 0.05, count: TokenCount::All }
    }
}

fn sixteen() -> usize {
    16
}

impl Calibration {
    /// Reads a calibration from TOML and checks it, as far as it can be done without its model and its problems.
    ///
    /// # Errors
    /// [`CalibrationError`] with the place and the field.
    pub fn parse(text: &str) -> Result<Self, CalibrationError> {
        let calibration: Self =
            toml::from_str(text).map_err(|error| CalibrationError::Toml(FormatError::new(error)))?;
        calibration.check()?;
        Ok(calibration)
    }

    fn check(&self) -> Result<(), CalibrationError> {
        let Self { budget, halving, .. } = self;
        let must = |holds: bool, setting: &'static str, value: String, bound: &'static str| match holds {
            true => Ok(()),
            false => Err(SettingError::new(setting, value, bound)),
        };
        SettingError::positive("halving.first", halving.first)?;
        must(halving.eta >= 2, "halving.eta", halving.eta.to_string(), ">= 2")?;
        SettingError::not_negative("halving.token_weight", halving.token_weight)?;
        let is_share = (0.0..=1.0).contains(&halving.max_loss);
        must(is_share, "halving.max_loss", halving.max_loss.to_string(), "from 0 to 1")?;
        let is_validated = self.mining.validation.is_none() || self.problems.validation.is_some();
        must(is_validated, "mining.validation", "given".into(), "accompanied by problems.validation")?;
        let is_bounded = budget.tokens.is_some() || budget.hours.is_some();
        must(is_bounded, "budget", "empty".into(), "tokens, hours, or both")?;
        SettingError::positive("budget.tokens", budget.tokens.unwrap_or(1))?;
        let hours = budget.hours.unwrap_or(1.0);
        must(hours.is_finite() && hours > 0.0, "budget.hours", hours.to_string(), "> 0 and finite")?;
        if self.methods.iter().any(|method| method.name == PLAIN) {
            return Err(ExperimentError::Twice { field: "methods", name: PLAIN.to_owned() }.into());
        }
        if self.methods.is_empty() {
            return Err(ExperimentError::Empty { field: "methods" }.into());
        }
        self.sources()?;
        let experiment = self.experiment();
        experiment.check()?;
        let methods = experiment.methods()?;
        match methods.iter().find(|method| method.name != PLAIN && !method.config.needs_library()) {
            Some(method) => Err(CalibrationError::NoLibrary { method: method.name.clone() }),
            None => Ok(()),
        }
    }

    /// Returns the experiment whose cells a calibration runs: libraries of the set `mine` are used on the others.
    pub(super) fn experiment(&self) -> Experiment {
        let plain = Map::from_iter([("method".to_owned(), json!(PLAIN))]);
        let plain = MethodSpec { name: PLAIN.to_owned(), grid: BTreeMap::new(), settings: plain };
        let ProblemSets { mine, validation, development, test } = &self.problems;
        let task = |set: Set, answer: Option<&Value>| TaskSpec {
            name: set.name().to_owned(),
            mine: None,
            validate: None,
            answer: answer.cloned(),
        };
        let mined = TaskSpec { mine: Some(mine.clone()), validate: validation.clone(), ..task(Set::Mine, None) };
        let tasks = vec![mined, task(Set::Development, Some(development)), task(Set::Test, Some(test))];
        Experiment {
            name: self.name.clone(),
            seeds: vec![self.seed],
            transfer: true,
            max_batch: self.max_batch,
            main: BTreeMap::new(),
            models: vec![self.model.clone()],
            tasks,
            answers: self.answers.clone(),
            mining: self.mining.clone(),
            methods: std::iter::once(plain).chain(self.methods.iter().cloned()).collect(),
        }
    }

    /// Returns the sources of the sets that there are.
    ///
    /// # Errors
    /// [`CalibrationError`] for settings that a source does not have or that do not go together.
    pub fn sources(&self) -> Result<Vec<(Set, ProblemSource)>, CalibrationError> {
        let ProblemSets { mine, validation, development, test } = &self.problems;
        let sets = [(Set::Mine, mine), (Set::Development, development), (Set::Test, test)];
        let sets = sets.into_iter().chain(validation.as_ref().map(|validation| (Set::Validation, validation)));
        let source = |(set, value): (Set, &Value)| {
            let at = format!("problems.{}", set.name());
            let source: ProblemSource = typed(&at, value)?;
            match source.check() {
                Ok(()) => Ok((set, source)),
                Err(source) => Err(ExperimentError::Source { at, source }.into()),
            }
        };
        sets.map(source).collect()
    }
}

/// A set of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Set {
    /// Libraries are mined from it.
    Mine,
    /// Settings are chosen on it.
    Development,
    /// The choice is judged on it.
    Test,
    /// Entries are validated on it.
    Validation,
}

impl Set {
    /// Returns the name of the set, as the file of a calibration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mine => "mine",
            Self::Development => "development",
            Self::Test => "test",
            Self::Validation => "validation",
        }
    }

    /// Returns the number of the set's task in the experiment, whose tasks are in this order.
    pub(super) fn task(self) -> usize {
        self as usize
    }
}

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stir_basis::BasisConfig;
use stir_controller::Probe;
use stir_core::Sampling;
use stir_induction::{Contrast, InductionConfig};

use super::{
    error::ExperimentError,
    grid,
    stages::{ForkSettings, RolloutSettings, ValidationSettings, check_induction},
    typed::{typed, typed_method},
};
use crate::{FormatError, method::MethodConfig, questions::ProblemSource};

/// An experiment as its file describes it; see the [module](super).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// The title of its reports.
    pub name: String,
    /// The seeds: everything is run once for each, from the rollouts on.
    #[serde(default = "seed_zero")]
    pub seeds: Vec<u64>,
    /// True if a library is used on every task, and not only on the one that it was mined from.
    #[serde(default)]
    pub transfer: bool,
    /// The number of answers generated side by side at most. No answer depends on it.
    #[serde(default = "sixteen", alias = "width")]
    pub max_batch: usize,
    /// The points of the grids that represent their methods in the main table of a report: values of settings, by name
    /// (see [`ReportConfig::main`](stir_report::ReportConfig::main)).
    #[serde(default)]
    pub main: BTreeMap<String, Value>,
    /// The models.
    pub models: Vec<ModelSpec>,
    /// The tasks.
    pub tasks: Vec<TaskSpec>,
    /// The settings that the answers of all methods share.
    #[serde(default)]
    pub answers: AnswerSettings,
    /// The settings by which libraries are made.
    #[serde(default)]
    pub mining: Mining,
    /// The methods, the baseline first.
    pub methods: Vec<MethodSpec>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The name of the model in reports.
    pub name: String,
    /// The source of the model: [`Backend::Source`](super::Backend::Source).
    pub source: Value,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// The name of the task in reports.
    pub name: String,
    /// The problems that libraries are mined from: a [`ProblemSource`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mine: Option<Value>,
    /// The problems that the entries of a library are validated on: a [`ProblemSource`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Value>,
    /// The problems that are answered: a [`ProblemSource`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
}

/// The settings that the answers of all methods share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerSettings {
    /// The number of new tokens per answer at most, without those of probes.
    pub max_tokens: usize,
    /// The way tokens are drawn, unless the method decides it.
    pub sampling: Sampling,
    /// The texts that end an answer: it ends with the token that completes one of them, and its text ends before it.
    pub stop: Vec<String>,
}

impl Default for AnswerSettings {
    fn default() -> Self {
        Self { max_tokens: 2048, sampling: Sampling::GREEDY, stop: Vec::new() }
    }
}

/// The settings of the three stages that make libraries, and the values of them to try.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mining {
    /// The settings of stage 1: [`RolloutSettings`].
    pub rollout: Map<String, Value>,
    /// The settings of forks, which are drawn for the contrast `forked`: [`ForkSettings`].
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub forks: Map<String, Value>,
    /// The settings of stage 2: an [`InductionConfig`].
    pub induction: Map<String, Value>,
    /// True to fit a read-out of success for every layer, which `probe = "value"` looks at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub heads: bool,
    /// The settings of stage 3: a [`BasisConfig`].
    pub basis: Map<String, Value>,
    /// The settings of the validation of entries ([`ValidationSettings`]) on the problems that the task names for it;
    /// `None` to use entries as they are selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Map<String, Value>>,
    /// The values to try, by stage and field: `induction.layers`.
    pub grid: BTreeMap<String, Vec<Value>>,
}

/// A method. All fields but `name` and `grid` are those of a [`MethodConfig`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodSpec {
    /// The name of the method in reports.
    pub name: String,
    /// The values to try, by field.
    #[serde(default)]
    pub grid: BTreeMap<String, Vec<Value>>,
    /// The fields of the [`MethodConfig`].
    #[serde(flatten)]
    pub settings: Map<String, Value>,
}

/// A method of an experiment at one point of its grid.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedMethod {
    /// The name that the experiment gives it.
    pub name: String,
    /// The settings that the experiment names, with the values of this point of the grid.
    pub params: BTreeMap<String, Value>,
    /// The settings of the method.
    pub config: MethodConfig,
}

/// The settings of the three stages at one point of their grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The settings that the experiment names, with the values of this point of the grid.
    pub params: BTreeMap<String, Value>,
    /// The settings of stage 1.
    pub rollout: RolloutSettings,
    /// The settings of forks.
    pub forks: ForkSettings,
    /// The settings of stage 2.
    pub induction: InductionConfig,
    /// True to fit read-outs of success.
    pub heads: bool,
    /// The settings of stage 3.
    pub basis: BasisConfig,
    /// The settings of the validation of entries; `None` without it.
    pub validation: Option<ValidationSettings>,
}

fn seed_zero() -> Vec<u64> {
    vec![0]
}

fn sixteen() -> usize {
    16
}

impl Experiment {
    /// Reads an experiment from TOML and checks everything but the sources of its models, whose form the backend knows.
    ///
    /// # Errors
    /// [`ExperimentError`] that names the place and the field: for text that is not TOML, unknown fields, names that
    /// occur twice, empty lists, grids of unknown fields, and settings out of bounds.
    pub fn parse(text: &str) -> Result<Self, ExperimentError> {
        let experiment: Self = toml::from_str(text).map_err(|error| ExperimentError::Toml(FormatError::new(error)))?;
        experiment.check()?;
        Ok(experiment)
    }

    pub(crate) fn check(&self) -> Result<(), ExperimentError> {
        let lists = [
            ("seeds", self.seeds.len()),
            ("models", self.models.len()),
            ("tasks", self.tasks.len()),
            ("methods", self.methods.len()),
            ("max_batch", self.max_batch),
            ("answers.max_tokens", self.answers.max_tokens),
        ];
        if let Some((field, _)) = lists.into_iter().find(|(_, len)| *len == 0) {
            return Err(ExperimentError::Empty { field });
        }
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        unique("seeds", seeds.iter().map(String::as_str))?;
        unique("models", self.models.iter().map(|model| model.name.as_str()))?;
        unique("tasks", self.tasks.iter().map(|task| task.name.as_str()))?;
        unique("methods", self.methods.iter().map(|method| method.name.as_str()))?;
        let AnswerSettings { sampling, stop, .. } = &self.answers;
        sampling.validate().map_err(|source| ExperimentError::Sampling { field: "answers.sampling", source })?;
        stir_core::StopMatcher::new(stop).map_err(|source| ExperimentError::Stop { field: "answers.stop", source })?;
        for task in &self.tasks {
            task.mined()?;
            task.validated()?;
            task.answered()?;
            if self.mining.validation.is_some() && task.mine.is_some() && task.validate.is_none() {
                return Err(ExperimentError::NothingToValidateOn { name: task.name.clone() });
            }
        }
        let methods = self.methods()?;
        let steers = methods.iter().any(|method| method.config.needs_library());
        // Libraries are mined at a cost; that none of them has a read-out is known before.
        let asks = |method: &&PlannedMethod| matches!(&method.config, MethodConfig::Stir(c) if c.probe == Probe::Value);
        if let Some(method) = methods.iter().find(asks).filter(|_| !self.mining.heads) {
            return Err(ExperimentError::NoValueHead { method: method.name.clone() });
        }
        self.recipes()?;
        match self.tasks.iter().find(|task| task.answer.is_none() && (task.mine.is_none() || !self.transfer)) {
            Some(task) => Err(ExperimentError::IdleTask { name: task.name.clone() }),
            None if steers && self.tasks.iter().all(|task| task.mine.is_none()) => Err(ExperimentError::NothingMined),
            None => Ok(()),
        }
    }

    /// Returns every method at every point of its grid, in order.
    ///
    /// # Errors
    /// [`ExperimentError`] for a field that the method does not have or that is out of bounds.
    pub fn methods(&self) -> Result<Vec<PlannedMethod>, ExperimentError> {
        let mut planned = Vec::new();
        for MethodSpec { name, grid, settings } in &self.methods {
            let at = format!("methods {name:?}");
            for settings in grid::points(&at, settings, grid)? {
                let config = typed_method(&at, settings.clone())?;
                config.validate().map_err(|source| ExperimentError::Method { at: at.clone(), source })?;
                let params = settings.into_iter().filter(|(field, _)| field != "method").collect();
                planned.push(PlannedMethod { name: name.clone(), params, config });
            }
        }
        Ok(planned)
    }

    /// Returns the settings of libraries at every point of their grid, in order.
    ///
    /// # Errors
    /// [`ExperimentError`] for a field that a stage does not have or that is out of bounds, and for a grid of no stage.
    pub fn recipes(&self) -> Result<Vec<Recipe>, ExperimentError> {
        let Mining { rollout, forks, induction, heads, basis, validation, grid } = &self.mining;
        let stages = [("rollout", rollout), ("forks", forks), ("induction", induction), ("basis", basis)];
        let stages = stages.into_iter().chain(validation.iter().map(|fields| ("validation", fields)));
        let stages = stages.map(|(stage, fields)| (stage.to_owned(), Value::Object(fields.clone())));
        let mut recipes = Vec::new();
        for mut stages in grid::points("mining", &stages.collect(), grid)? {
            let params = grid::flat(&stages);
            let mut take = |stage: &str| stages.remove(stage).unwrap_or_default();
            let rollout: RolloutSettings = typed("mining.rollout", &take("rollout"))?;
            rollout.validate().map_err(|source| ExperimentError::Rollout { at: "mining.rollout", source })?;
            let induction: InductionConfig = typed("mining.induction", &take("induction"))?;
            let out_of_bounds = |at| move |source| ExperimentError::Setting { at, source };
            check_induction(&induction).map_err(out_of_bounds("mining.induction"))?;
            let basis: BasisConfig = typed("mining.basis", &take("basis"))?;
            basis.validate().map_err(out_of_bounds("mining.basis"))?;
            let forks: ForkSettings = typed("mining.forks", &take("forks"))?;
            let drawn = forks.config(&rollout, &induction.delimiter, 0).validate();
            if induction.contrast == Contrast::Forked {
                drawn.map_err(|source| ExperimentError::Rollout { at: "mining.forks", source })?;
            }
            let validation = match validation {
                Some(_) => Some(typed::<ValidationSettings>("mining.validation", &take("validation"))?),
                None => None,
            };
            let checked = validation.as_ref().map_or(Ok(()), ValidationSettings::validate);
            checked.map_err(out_of_bounds("mining.validation"))?;
            if let Some(field) = stages.keys().next() {
                let (at, field) = ("mining".into(), field.clone());
                return Err(ExperimentError::Grid { at, field, what: "names no stage" });
            }
            recipes.push(Recipe { params, rollout, forks, induction, heads: *heads, basis, validation });
        }
        Ok(recipes)
    }
}

impl TaskSpec {
    /// Returns the source of the problems that are mined, checked as far as it can be without a model.
    ///
    /// # Errors
    /// [`ExperimentError`] for settings that the source does not have or that do not go together.
    pub fn mined(&self) -> Result<Option<ProblemSource>, ExperimentError> {
        self.source("mine", self.mine.as_ref())
    }

    /// Returns the source of the problems that entries are validated on, checked as far as it can be without a model.
    ///
    /// # Errors
    /// Fails like [`mined`](Self::mined).
    pub fn validated(&self) -> Result<Option<ProblemSource>, ExperimentError> {
        self.source("validate", self.validate.as_ref())
    }

    /// Returns the source of the problems that are answered, checked as far as it can be without a model.
    ///
    /// # Errors
    /// Fails like [`mined`](Self::mined).
    pub fn answered(&self) -> Result<Option<ProblemSource>, ExperimentError> {
        self.source("answer", self.answer.as_ref())
    }

    fn source(&self, part: &str, value: Option<&Value>) -> Result<Option<ProblemSource>, ExperimentError> {
        let at = format!("tasks {:?} {part}", self.name);
        let Some(source) = value.map(|value| typed::<ProblemSource>(&at, value)).transpose()? else { return Ok(None) };
        match source.check() {
            Ok(()) => Ok(Some(source)),
            Err(source) => Err(ExperimentError::Source { at, source }),
        }
    }
}

fn unique<'n>(field: &'static str, names: impl Iterator<Item = &'n str>) -> Result<(), ExperimentError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ExperimentError::Twice { field, name: name.to_owned() });
        }
    }
    Ok(())
}

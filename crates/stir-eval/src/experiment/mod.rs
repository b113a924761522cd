//! Experiments as data: a TOML file says what is run, and everything that is made lies under a name that says how.
//!
//! An [`Experiment`] names models, tasks, methods, grids of settings and seeds. [`Runner`] works through it: stages that
//! several cells share (rollouts, candidates, libraries) are made once, and the output of every stage lies in a folder
//! that is named by the digest of all that it depends on, inputs by their content. A stage that is there is not made
//! again, answers that are there are not asked for again, and results of different settings cannot meet. How models are
//! loaded, problems read and rollouts mined is the business of a [`Lab`], which the program provides.
//!
//! ```
//! use stir_eval::experiment::Experiment;
//!
//! let experiment = Experiment::parse(r#"
//!     name = "depth"
//!     seeds = [0, 1]
//!     transfer = true
//!
//!     [[models]]
//!     name = "tiny"
//!     source = { folder = "examples/assets/tiny" }
//!
//!     [[tasks]]
//!     name = "stories"
//!     mine = { stories = 120, seed = 0 }
//!     answer = { stories = 300, seed = 1 }
//!
//!     [answers]
//!     max_tokens = 200
//!
//!     [mining]
//!     rollout = { samples = 8, max_tokens = 200 }
//!     basis = { budget = 64, min_per_control_point = 4 }
//!     grid = { "induction.layers" = [["0.4"], ["0.6"]] }
//!
//!     [[methods]]
//!     name = "plain"
//!     method = "plain"
//!
//!     [[methods]]
//!     name = "stir"
//!     method = "stir"
//!     grid = { k_scale = [0.5, 0.75, 1.0] }
//! "#)?;
//! assert_eq!(experiment.methods()?.len(), 4); // plain, and stir at three scales
//! assert_eq!(experiment.recipes()?.len(), 2); // libraries at two depths
//! # Ok::<(), stir_eval::experiment::ExperimentError>(())
//! ```
//!
//! What `source`, `mine`, `answer`, `rollout` and `induction` hold is up to the lab. `[answers]` is what all methods
//! share (see [`AnswerSettings`]), a `basis` is a [`BasisConfig`], and a method a
//! [`MethodConfig`] with a name and a grid.

mod error;
mod grid;
mod lab;
mod runner;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use stir_basis::BasisConfig;
use stir_core::Sampling;

pub use self::{
    error::{ExperimentError, RunnerError},
    lab::{Asked, Event, Lab},
    runner::{LibraryFiles, Outcome, Runner},
    store::digest,
};
use crate::method::MethodConfig;

/// What is to be run; see the [module](self).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What reports call it.
    pub name: String,
    /// Every one is a run of everything, from the rollouts on.
    #[serde(default = "seed_zero")]
    pub seeds: Vec<u64>,
    /// Whether a library answers every task, and not only the one that it was mined from.
    #[serde(default)]
    pub transfer: bool,
    /// Answers under way at a time; no answer depends on it.
    #[serde(default = "sixteen")]
    pub width: usize,
    /// Which points of the grids stand for their methods in the main table of a report: values of settings, by name (see
    /// [`ReportConfig::main`](crate::report::ReportConfig::main)).
    #[serde(default)]
    pub main: BTreeMap<String, Value>,
    /// The models.
    pub models: Vec<Named>,
    /// The tasks.
    pub tasks: Vec<TaskSpec>,
    /// What the answers of all methods share.
    #[serde(default)]
    pub answers: AnswerSettings,
    /// How libraries are made.
    #[serde(default)]
    pub mining: Mining,
    /// The methods, the baseline first.
    pub methods: Vec<MethodSpec>,
}

/// A model, by the name it has in reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Where it comes from, as the lab understands it.
    pub source: Value,
}

/// A task, by the name it has in reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// The name.
    pub name: String,
    /// Problems that libraries are mined from, as the lab understands it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mine: Option<Value>,
    /// Problems that are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
}

/// What the answers of all methods share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerSettings {
    /// New tokens per answer at most; probes do not count.
    pub max_tokens: usize,
    /// How tokens are drawn where the method does not say.
    pub sampling: Sampling,
    /// An answer ends with the token that completes one of these, and its text before it.
    pub stop: Vec<String>,
}

impl Default for AnswerSettings {
    fn default() -> Self {
        Self { max_tokens: 2048, sampling: Sampling::GREEDY, stop: Vec::new() }
    }
}

/// How libraries are made: settings of the three stages, and what of them is varied.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mining {
    /// Of stage 1, as the lab understands them.
    pub rollout: Map<String, Value>,
    /// Of stage 2, as the lab understands them.
    pub induction: Map<String, Value>,
    /// Of stage 3: a [`BasisConfig`].
    pub basis: Map<String, Value>,
    /// Values to try, by stage and field: `induction.layers`.
    pub grid: BTreeMap<String, Vec<Value>>,
}

/// A method, by the name it has in reports; what is not named here is a field of
/// [`MethodConfig`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodSpec {
    /// The name.
    pub name: String,
    /// Values to try, by field.
    #[serde(default)]
    pub grid: BTreeMap<String, Vec<Value>>,
    /// The fields.
    #[serde(flatten)]
    pub settings: Map<String, Value>,
}

/// One way of answering of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedMethod {
    /// The name that the experiment gives it.
    pub name: String,
    /// The settings that the experiment names, with the values of this point of the grid.
    pub params: BTreeMap<String, Value>,
    /// All settings.
    pub config: MethodConfig,
}

/// One way of making a library.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The settings that the experiment names, with the values of this point of the grid.
    pub params: BTreeMap<String, Value>,
    /// Of stage 1.
    pub rollout: Value,
    /// Of stage 2.
    pub induction: Value,
    /// Of stage 3.
    pub basis: BasisConfig,
}

fn seed_zero() -> Vec<u64> {
    vec![0]
}

fn sixteen() -> usize {
    16
}

impl Experiment {
    /// The experiment of a TOML text, checked as far as it can be without a lab.
    ///
    /// # Errors
    /// [`ExperimentError`] that names the place and the field: for TOML that is none, unknown fields, names that occur
    /// twice, empty lists, grids of fields that are none, and settings out of bounds.
    pub fn parse(text: &str) -> Result<Self, ExperimentError> {
        let experiment: Self = toml::from_str(text)?;
        experiment.check()?;
        Ok(experiment)
    }

    fn check(&self) -> Result<(), ExperimentError> {
        let lists = [
            ("seeds", self.seeds.len()),
            ("models", self.models.len()),
            ("tasks", self.tasks.len()),
            ("methods", self.methods.len()),
            ("width", self.width),
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
        let steers = self.methods()?.iter().any(|method| method.config.needs_library());
        self.recipes()?;
        match self.tasks.iter().find(|task| task.answer.is_none() && (task.mine.is_none() || !self.transfer)) {
            Some(task) => Err(ExperimentError::IdleTask { name: task.name.clone() }),
            None if steers && self.tasks.iter().all(|task| task.mine.is_none()) => Err(ExperimentError::NothingMined),
            None => Ok(()),
        }
    }

    /// Every method at every point of its grid, in order.
    ///
    /// # Errors
    /// [`ExperimentError`] for a field that the method does not have or that is out of bounds.
    pub fn methods(&self) -> Result<Vec<PlannedMethod>, ExperimentError> {
        let mut planned = Vec::new();
        for MethodSpec { name, grid, settings } in &self.methods {
            let at = format!("methods {name:?}");
            for settings in grid::points(&at, settings, grid)? {
                let config: MethodConfig = typed(&at, Value::Object(settings.clone()))?;
                config.validate().map_err(|source| ExperimentError::Method { at: at.clone(), source })?;
                let params = settings.into_iter().filter(|(field, _)| field != "method").collect();
                planned.push(PlannedMethod { name: name.clone(), params, config });
            }
        }
        Ok(planned)
    }

    /// Every way of making a library, in order.
    ///
    /// # Errors
    /// [`ExperimentError`] for a field of `basis` that is none or out of bounds, and for a grid of no stage.
    pub fn recipes(&self) -> Result<Vec<Recipe>, ExperimentError> {
        let Mining { rollout, induction, basis, grid } = &self.mining;
        let stages = [("rollout", rollout), ("induction", induction), ("basis", basis)];
        let stages = stages.map(|(stage, fields)| (stage.to_owned(), Value::Object(fields.clone())));
        let mut recipes = Vec::new();
        for mut stages in grid::points("mining", &stages.into_iter().collect(), grid)? {
            let params = grid::flat(&stages);
            let mut take = |stage: &str| stages.remove(stage).unwrap_or_default();
            let (rollout, induction) = (take("rollout"), take("induction"));
            let basis: BasisConfig = typed("mining.basis", take("basis"))?;
            basis
                .validate()
                .map_err(|source| ExperimentError::Basis { at: "mining.basis".into(), source: source.into() })?;
            if let Some(field) = stages.keys().next() {
                let (at, field) = ("mining".into(), field.clone());
                return Err(ExperimentError::Grid { at, field, what: "names no stage" });
            }
            recipes.push(Recipe { params, rollout, induction, basis });
        }
        Ok(recipes)
    }
}

/// A part of an experiment as what it should be.
pub(crate) fn typed<T: DeserializeOwned>(at: &str, value: Value) -> Result<T, ExperimentError> {
    if let Some(field) = grid::not_finite(&value) {
        return Err(ExperimentError::NotFinite { at: at.to_owned(), field });
    }
    T::deserialize(&value).map_err(|source| {
        let mut field = Vec::new();
        blame::<T>(&value, &mut field, &source.to_string());
        ExperimentError::Settings { at: at.to_owned(), field: field.join("."), source }
    })
}

/// The field that is to blame for the error `message`: without it there is none or, failing such a field, another. (Of
/// a value within a tagged enum serde does not say where it stands.)
fn blame<T: DeserializeOwned>(whole: &Value, path: &mut Vec<String>, message: &str) {
    let pointer: String = path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
    let names = whole.pointer(&pointer).and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let innocence = |name: &&String| {
        let mut without = whole.clone();
        without.pointer_mut(&pointer).and_then(Value::as_object_mut).map(|fields| fields.remove(name.as_str()));
        match T::deserialize(&without) {
            Ok(_) => 0,
            Err(error) if error.to_string() == message => 2,
            Err(_) => 1,
        }
    };
    if let Some((_, name)) = names.map(|name| (innocence(&name), name)).filter(|(grade, _)| *grade < 2).min() {
        path.push(name.clone());
        blame::<T>(whole, path, message);
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

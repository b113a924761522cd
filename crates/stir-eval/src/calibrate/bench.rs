//! The bench of a search on a model: cells of an experiment, whose answers files grow from rung to rung.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use stir_basis::BasisError;
use stir_report::Run;

use super::{
    budget::{Cost, Who},
    error::CalibrationError,
    search::{Bench, Sizes},
    spec::Set,
    trial::Trial,
};
use crate::{
    FormatError,
    experiment::{Backend, Cell, Failure, ModelRun, Plan, RunnerError, Store},
    method::MethodConfig,
};

/// The file with the seconds that each stage took.
const SECONDS: &str = "seconds.json";

/// A model that answers for a search.
pub(super) struct ModelBench<'b, 'x, B: Backend> {
    run: ModelRun<'b, 'x, B>,
    store: &'b Store,
    /// The cells on development: that of plain decoding, then those of the settings.
    cells: &'b [Cell],
    sizes: Sizes,
    /// The stages whose cost has been counted.
    counted: BTreeSet<String>,
    seconds: BTreeMap<String, f64>,
    /// The answers to the test, and the folders that they are in.
    pub(super) tested: Vec<(Run, String)>,
}

impl<'b, 'x, B: Backend> ModelBench<'b, 'x, B> {
    pub(super) fn new(
        run: ModelRun<'b, 'x, B>,
        store: &'b Store,
        cells: &'b [Cell],
        sizes: Sizes,
    ) -> Result<Self, CalibrationError> {
        let seconds = read_or_default(store, SECONDS)?;
        Ok(Self { run, store, cells, sizes, counted: BTreeSet::new(), seconds, tested: Vec::new() })
    }

    /// Returns the library of a setting, relative to the folder of the calibration.
    pub(super) fn library(&self, setting: usize) -> Option<String> {
        let files = self.run.library(self.cells.get(setting + 1)?)?;
        files.library.strip_prefix(self.store.path("")).ok().map(|path| path.display().to_string())
    }

    fn cell(&self, who: Who) -> (usize, Cell) {
        let number = who.map_or(0, |setting| setting + 1);
        (number, self.cells[number])
    }
}

impl<B: Backend> Bench for ModelBench<'_, '_, B> {
    type Error = Failure<B>;

    fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    fn prepare(&mut self, setting: usize) -> Result<(Cost, bool), Failure<B>> {
        let (_, cell) = self.cell(Some(setting));
        let is_made = match self.run.prepare(&cell) {
            Ok(()) => true,
            // Another recipe may find something to contrast, or something that helps.
            Err(
                RunnerError::Library { source: BasisError::NoEntries { .. }, at } | RunnerError::NoUplift { at, .. },
            ) => {
                tracing::warn!("the {at} has no entry, so setting {setting} is left out");
                false
            }
            Err(error) => return Err(error),
        };
        let made = self.run.made();
        if !made.is_empty() {
            self.seconds.extend(made);
            let text = serde_json::to_vec(&self.seconds);
            let text = text.map_err(|error| RunnerError::Unwritable(FormatError::new(error)))?;
            self.store.write(SECONDS, &text)?;
        }
        let mut cost = Cost::default();
        for (folder, tokens) in self.run.costs(&cell)? {
            let seconds = self.seconds.get(&folder).copied().unwrap_or(0.0);
            if self.counted.insert(folder) {
                cost += Cost { tokens, seconds };
            }
        }
        Ok((cost, is_made))
    }

    fn answer(&mut self, who: Who, set: Set, first: usize) -> Result<Vec<Trial>, Failure<B>> {
        let (number, cell) = self.cell(who);
        let (run, mut folders) = self.run.cell(number, &Cell { task: set.task(), ..cell }, first)?;
        let trials = run.records.iter().map(Trial::from).collect();
        if set == Set::Test {
            self.tested.push((run, folders.remove("answers").unwrap_or_default()));
        }
        Ok(trials)
    }
}

/// Returns what everything can take at most, with as many problems to mine as there are.
pub(super) fn sizes<B: Backend>(plan: &Plan<'_, B>, mined: usize) -> Sizes {
    let max_tokens = plan.experiment.answers.max_tokens;
    let most = |cell: &Cell| most_tokens(&plan.methods[cell.method].config, max_tokens);
    let steered = || plan.cells.iter().skip(1);
    // Recipes that differ after the rollouts share them.
    let mut drawn = Vec::new();
    let mut rollouts = |cell: &Cell| {
        let Some(rollout) = cell.library.map(|(_, recipe)| &plan.recipes[recipe].rollout) else { return 0 };
        if drawn.contains(&rollout) {
            return 0;
        }
        drawn.push(rollout);
        mined.saturating_mul(rollout.samples).saturating_mul(rollout.max_tokens)
    };
    Sizes {
        plain: plan.cells.first().map_or(0, most),
        settings: steered().map(most).collect(),
        mining: steered().map(&mut rollouts).collect(),
    }
}

/// Returns the most tokens that an answer can take: for STIR, those of a full answer and of full probes at every
/// control point, the end of the prompt among them.
fn most_tokens(config: &MethodConfig, max_tokens: usize) -> usize {
    match config {
        MethodConfig::Stir(steering) => {
            let points = steering.max_control_points.saturating_add(1);
            let branches = steering.candidates.saturating_add(1);
            let probes = points.saturating_mul(branches).saturating_mul(steering.probe_tokens);
            max_tokens.saturating_add(probes)
        }
        _ => max_tokens,
    }
}

/// Reads a JSON file of the calibration; where there is none, returns the default.
pub(super) fn read_or_default<T: serde::de::DeserializeOwned + Default>(
    store: &Store,
    name: &str,
) -> Result<T, CalibrationError> {
    let path = store.path(name);
    if !path.exists() {
        return Ok(T::default());
    }
    let format = |source| CalibrationError::Format { what: path.display().to_string(), source };
    let text = fs::read(&path).map_err(|error| format(FormatError::new(error)))?;
    serde_json::from_slice(&text).map_err(|error| format(FormatError::new(error)))
}

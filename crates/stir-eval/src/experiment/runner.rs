use std::{fmt, path::Path};

use serde_json::json;
use stir_files::{Shard, Share};

use super::{
    backend::{Backend, Failure},
    error::{ExperimentError, RunnerError},
    event::Event,
    index::{INDEX, Index},
    model_run::ModelRun,
    outcome::Outcome,
    plan::Plan,
    spec::Experiment,
    store::Store,
};
use crate::FormatError;

/// An experiment that is ready to run: everything in it has been read and checked, and nothing loaded.
pub struct Runner<'x, B: Backend> {
    plan: Plan<'x, B>,
    backend: &'x B,
    observer: Box<dyn Fn(Event<'_>) + 'x>,
    shard: Option<Shard>,
}

impl<B: Backend> fmt::Debug for Runner<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("experiment", self.plan.experiment).finish_non_exhaustive()
    }
}

impl<'x, B: Backend> Runner<'x, B> {
    /// Reads the whole experiment.
    ///
    /// # Errors
    /// [`ExperimentError`] with the place and the field.
    pub fn new(experiment: &'x Experiment, backend: &'x B) -> Result<Self, ExperimentError> {
        Ok(Self { plan: Plan::new(experiment)?, backend, observer: Box::new(|_| ()), shard: None })
    }

    /// Reports events to `observer`.
    #[must_use]
    pub fn observer(self, observer: impl Fn(Event<'_>) + 'x) -> Self {
        Self { observer: Box::new(observer), ..self }
    }

    /// Runs one part of the experiment: cells that share rollouts stay together, so that no part makes what another one makes.
    /// [`merge`](super::merge) puts the folders of all parts together.
    #[must_use]
    pub fn shard(self, shard: Shard) -> Self {
        Self { shard: Some(shard), ..self }
    }

    /// Returns the number of runs of answers that the experiment has.
    pub fn cells(&self) -> usize {
        self.plan.cells.len()
    }

    /// Runs what is missing; outputs go to the folder `out`.
    ///
    /// Only one process at a time can use the folder. If the process dies, everything that it had finished is reused by
    /// the next one. Results of other settings, of this experiment or another, are in other folders below `out`.
    ///
    /// # Errors
    /// [`RunnerError`]; everything that was finished is kept.
    pub fn run(&self, out: &Path) -> Result<Outcome, Failure<B>> {
        let Self { plan, backend, observer, shard } = self;
        let at = |model: usize| format!("models {:?}", plan.experiment.models[model].name);
        for (model, source) in plan.models.iter().enumerate() {
            backend.check(source).map_err(|source| RunnerError::Backend { at: at(model), source })?;
        }
        let store = Store::open(out)?;
        let units = plan.units();
        let is_own = |cell: usize| shard.is_none_or(|shard| shard.contains(units[cell]));
        let (mut runs, mut libraries, mut index) = (Vec::with_capacity(plan.cells.len()), Vec::new(), Vec::new());
        for (model, source) in plan.models.iter().enumerate() {
            let name = plan.experiment.models[model].name.as_str();
            let cells = plan.cells.iter().enumerate().filter(|(number, cell)| cell.model == model && is_own(*number));
            let cells: Vec<_> = cells.collect();
            if cells.is_empty() {
                continue;
            }
            let engine = backend.load(source).map_err(|source| RunnerError::Backend { at: at(model), source })?;
            let mut run = ModelRun::new(plan, *backend, observer, &store, name, engine);
            for (number, cell) in cells {
                let (run, folders) = run.cell(number, cell, usize::MAX)?;
                index.push((number, json!({ "settings": run.settings, "folders": folders })));
                runs.push(run);
            }
            libraries.append(&mut run.used());
        }
        let experiment = json!(plan.experiment);
        let share = shard.map(|shard| {
            let count = units.iter().max().map_or(0, |last| last + 1);
            Share::new(shard, (0..count).map(|unit| unit.to_string()))
        });
        let text = Index { experiment, share, runs: index }.text();
        store.write(INDEX, text.map_err(|error| RunnerError::Unwritable(FormatError::new(error)))?.as_bytes())?;
        Ok(Outcome { runs, libraries })
    }
}

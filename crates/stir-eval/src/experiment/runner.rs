use std::{fmt, path::Path};

use serde_json::json;

use super::{
    backend::{Backend, Failure},
    error::{ExperimentError, RunnerError},
    event::Event,
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
        Ok(Self { plan: Plan::new(experiment)?, backend, observer: Box::new(|_| ()) })
    }

    /// Reports events to `observer`.
    #[must_use]
    pub fn observer(self, observer: impl Fn(Event<'_>) + 'x) -> Self {
        Self { observer: Box::new(observer), ..self }
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
        let Self { plan, backend, observer } = self;
        let at = |model: usize| format!("models {:?}", plan.experiment.models[model].name);
        for (model, source) in plan.models.iter().enumerate() {
            backend.check(source).map_err(|source| RunnerError::Backend { at: at(model), source })?;
        }
        let store = Store::open(out)?;
        let (mut runs, mut libraries, mut index) = (Vec::with_capacity(plan.cells.len()), Vec::new(), Vec::new());
        for (model, source) in plan.models.iter().enumerate() {
            let name = plan.experiment.models[model].name.as_str();
            let engine = backend.load(source).map_err(|source| RunnerError::Backend { at: at(model), source })?;
            let mut run = ModelRun::new(plan, *backend, observer, &store, name, engine);
            for (number, cell) in plan.cells.iter().enumerate().filter(|(_, cell)| cell.model == model) {
                let (run, folders) = run.cell(number, cell, usize::MAX)?;
                index.push(json!({ "settings": run.settings, "folders": folders }));
                runs.push(run);
            }
            libraries.append(&mut run.used());
        }
        let index = json!({ "experiment": plan.experiment, "runs": index });
        let text = serde_json::to_string_pretty(&index).map_err(|e| RunnerError::Unwritable(FormatError::new(e)))?;
        store.write("index.json", text.as_bytes())?;
        Ok(Outcome { runs, libraries })
    }
}

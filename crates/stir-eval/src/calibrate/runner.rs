use std::{collections::BTreeMap, fmt, path::Path};

use super::{
    bench::{ModelBench, sizes},
    error::{CalibrateError, CalibrationError},
    outcome::{CalibrationOutcome, label},
    search::{Bench, BudgetPlan, Rules, Sizes, plan, search},
    sets::overlap,
    spec::{Calibration, Set},
};
use crate::experiment::{Backend, Event, Experiment, ExperimentError, ModelRun, Plan, RunnerError, Store};

/// A calibration that is ready to run: everything in it has been read and checked, and nothing loaded.
pub struct Calibrator<'x, B: Backend> {
    pub(super) calibration: &'x Calibration,
    backend: &'x B,
    observer: Box<dyn Fn(Event<'_>) + 'x>,
}

/// The failure of a calibration on a backend.
type Failed<B> = CalibrateError<<B as Backend>::Error, <<B as Backend>::Engine as stir_core::Engine>::Error>;

/// What is known of a calibration before a model is loaded.
pub(super) struct Known {
    /// The number of problems of every set.
    pub(super) problems: BTreeMap<Set, usize>,
    pub(super) label: Option<String>,
    /// The share of test problems that guessing solves, where answers can be guessed.
    pub(super) guess: Option<f64>,
    sizes: Sizes,
    rules: Rules,
    plan: BudgetPlan,
}

impl<B: Backend> fmt::Debug for Calibrator<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calibrator").field("calibration", self.calibration).finish_non_exhaustive()
    }
}

impl<'x, B: Backend> Calibrator<'x, B> {
    /// Reads the whole calibration, its source of the model among it.
    ///
    /// # Errors
    /// [`CalibrationError`] with the place and the field.
    pub fn new(calibration: &'x Calibration, backend: &'x B) -> Result<Self, CalibrationError> {
        let experiment = calibration.experiment();
        Plan::<B>::new(&experiment)?;
        Ok(Self { calibration, backend, observer: Box::new(|_| ()) })
    }

    /// Reports events to `observer`. Cells are numbered as settings are, plain decoding first.
    #[must_use]
    pub fn observer(self, observer: impl Fn(Event<'_>) + 'x) -> Self {
        Self { observer: Box::new(observer), ..self }
    }

    /// Reads the problems, checks that sets have none in common, and returns what the calibration may take. No model is
    /// loaded.
    ///
    /// # Errors
    /// [`CalibrationError::Problems`], [`CalibrationError::Overlap`] and [`CalibrationError::Budget`].
    pub fn plan(&self) -> Result<BudgetPlan, CalibrationError> {
        let experiment = self.calibration.experiment();
        let known = self.known(&self.lay_out(&experiment)?)?;
        self.affordable(&known)?;
        Ok(known.plan)
    }

    /// Runs what is missing, and writes `report.json`, `report.html` and `preset.toml` to the folder `out`; what they
    /// are made of is below it.
    ///
    /// Only one process at a time can use the folder. If the process dies, everything that it had finished is reused by
    /// the next one, which ends with the same report and preset.
    ///
    /// # Errors
    /// [`CalibrateError`]; everything that was finished is kept.
    pub fn run(&self, out: &Path) -> Result<CalibrationOutcome, Failed<B>> {
        let experiment = self.calibration.experiment();
        let plan = self.lay_out(&experiment)?;
        let known = self.known(&plan)?;
        self.affordable(&known)?;
        let model = self.calibration.model.name.as_str();
        let refused = |source| RunnerError::Backend { at: format!("model {model:?}"), source };
        let no_model = || CalibrationError::from(ExperimentError::Empty { field: "model" });
        let source = plan.models.first().ok_or_else(no_model)?;
        self.backend.check(source).map_err(refused)?;
        let store = Store::open(out).map_err(RunnerError::from)?;
        let engine = self.backend.load(source).map_err(refused)?;
        let run = ModelRun::new(&plan, self.backend, &*self.observer, &store, model, engine);
        let mut bench = ModelBench::new(run, &store, &plan.cells, known.sizes.clone())?;

        let found = search(&mut bench, &known.rules)?;
        let test = match found.best {
            Some((setting, _)) => {
                let plain = bench.answer(None, Set::Test, usize::MAX)?;
                Some([plain, bench.answer(Some(setting), Set::Test, usize::MAX)?])
            }
            None => None,
        };
        let outcome = self.outcome(&plan, known, &found, test, &mut bench, &store)?;
        let preset = self.preset(&plan, &outcome, &bench);
        self.write(&outcome, &preset, &store, out)?;
        Ok(outcome)
    }

    /// Returns the cells of the experiment on development: plain decoding, then the settings.
    fn lay_out<'e>(&self, experiment: &'e Experiment) -> Result<Plan<'e, B>, CalibrationError> {
        let mut plan = Plan::new(experiment)?;
        plan.cells.retain(|cell| cell.task == Set::Development.task());
        Ok(plan)
    }

    fn known(&self, laid_out: &Plan<'_, B>) -> Result<Known, CalibrationError> {
        let mut sets = Vec::new();
        for (set, source) in self.calibration.sources()? {
            let questions = self.backend.problems(&source);
            sets.push((set, questions.map_err(|source| CalibrationError::Problems { set, source })?));
        }
        if let Some((set, _)) = sets.iter().find(|(_, questions)| questions.questions.is_empty()) {
            return Err(ExperimentError::Empty { field: set.name() }.into());
        }
        let label = match overlap(&sets) {
            Some(overlap) if !self.calibration.as_published => return Err(CalibrationError::Overlap { overlap }),
            found => found.map(|overlap| label(&overlap)),
        };
        let problems: BTreeMap<Set, usize> =
            sets.iter().map(|(set, questions)| (*set, questions.questions.len())).collect();
        let count = |set| problems.get(&set).copied().unwrap_or(0);
        let guess = sets.iter().find(|(set, _)| *set == Set::Test).and_then(|(_, questions)| questions.guess);
        let sizes = sizes(laid_out, count(Set::Mine));
        let rules = Rules {
            settings: sizes.settings.len(),
            development: count(Set::Development),
            test: count(Set::Test),
            halving: self.calibration.halving,
            budget: self.calibration.budget,
        };
        let plan = plan(&sizes, &rules);
        Ok(Known { problems, label, guess, sizes, rules, plan })
    }

    fn affordable(&self, known: &Known) -> Result<(), CalibrationError> {
        let needed = known.plan.needed;
        match self.calibration.budget.tokens {
            Some(tokens) if tokens < needed => Err(CalibrationError::Budget { tokens, needed }),
            _ => Ok(()),
        }
    }
}

//! An experiment that has been read, and its cells.

use std::collections::HashMap;

use super::{
    backend::Backend,
    error::ExperimentError,
    spec::{Experiment, PlannedMethod, Recipe},
    typed::typed,
};
use crate::questions::ProblemSource;

/// Everything in an experiment as what it should be.
pub(crate) struct Plan<'x, B: Backend> {
    pub(crate) experiment: &'x Experiment,
    pub(crate) models: Vec<B::Source>,
    pub(crate) tasks: Vec<Sources>,
    pub(crate) methods: Vec<PlannedMethod>,
    pub(crate) recipes: Vec<Recipe>,
    pub(crate) cells: Vec<Cell>,
}

/// The problems of a task.
pub(crate) struct Sources {
    pub(crate) mine: Option<ProblemSource>,
    pub(crate) validate: Option<ProblemSource>,
    pub(crate) answer: Option<ProblemSource>,
}

/// One run of answers, by places in the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) model: usize,
    pub(crate) seed: u64,
    pub(crate) task: usize,
    pub(crate) method: usize,
    /// The task that the library is mined from, and the recipe.
    pub(crate) library: Option<(usize, usize)>,
}

impl<'x, B: Backend> Plan<'x, B> {
    pub(crate) fn new(experiment: &'x Experiment) -> Result<Self, ExperimentError> {
        let models = experiment.models.iter();
        let models = models.map(|model| typed(&format!("models {:?} source", model.name), &model.source));
        let tasks = experiment.tasks.iter();
        let tasks = tasks
            .map(|task| Ok(Sources { mine: task.mined()?, validate: task.validated()?, answer: task.answered()? }));
        let mut plan = Self {
            experiment,
            models: models.collect::<Result<_, _>>()?,
            tasks: tasks.collect::<Result<_, ExperimentError>>()?,
            methods: experiment.methods()?,
            recipes: experiment.recipes()?,
            cells: Vec::new(),
        };
        plan.cells = plan.lay_out()?;
        Ok(plan)
    }

    fn lay_out(&self) -> Result<Vec<Cell>, ExperimentError> {
        let mut cells = Vec::new();
        for (model, &seed) in (0..self.models.len()).flat_map(|m| self.experiment.seeds.iter().map(move |s| (m, s))) {
            for task in (0..self.tasks.len()).filter(|&task| self.tasks[task].answer.is_some()) {
                for method in 0..self.methods.len() {
                    let cell = Cell { model, seed, task, method, library: None };
                    if !self.methods[method].config.needs_library() {
                        cells.push(cell);
                        continue;
                    }
                    let mined = self.mined_for(task);
                    if mined.is_empty() {
                        let method = self.methods[method].name.clone();
                        let task = self.experiment.tasks[task].name.clone();
                        return Err(ExperimentError::NoLibrary { method, task });
                    }
                    let libraries = mined.iter().flat_map(|&from| (0..self.recipes.len()).map(move |r| (from, r)));
                    cells.extend(libraries.map(|library| Cell { library: Some(library), ..cell }));
                }
            }
        }
        Ok(cells)
    }

    /// Returns, for every cell, the number of the unit that it belongs to. Cells that share rollouts are one unit, so that no
    /// stage is made by two parts of an experiment; a cell without a library is one of its own.
    pub(crate) fn units(&self) -> Vec<usize> {
        let (mut units, mut count) = (HashMap::new(), 0);
        let mut unit = |cell: &Cell| {
            let next = count;
            let mined = cell.library.map(|(from, _)| (cell.model, cell.seed, from));
            let unit = mined.map_or(next, |mined| *units.entry(mined).or_insert(next));
            count += usize::from(unit == next);
            unit
        };
        self.cells.iter().map(&mut unit).collect()
    }

    /// Returns the tasks whose libraries answer `task`: its own first.
    fn mined_for(&self, task: usize) -> Vec<usize> {
        let others = (0..self.tasks.len()).filter(|&other| other != task && self.experiment.transfer);
        std::iter::once(task).chain(others).filter(|&task| self.tasks[task].mine.is_some()).collect()
    }
}

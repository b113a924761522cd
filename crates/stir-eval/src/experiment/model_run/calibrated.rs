//! What a calibration needs besides answers: libraries before they are used, a step after selection, and what all of it
//! has cost.

use std::fs;

use serde_json::json;
use stir_basis::Library;
use stir_grade::GRADING;
use stir_rollout::{RolloutError, read_rollouts};

use super::{COST, FORMAT, ModelRun, unwritable};
use crate::{
    experiment::{
        backend::{Backend, Failure},
        error::RunnerError,
        outcome::LibraryFiles,
        plan::Cell,
        store::{Place, refused},
        validation::Validation,
    },
    method::computed_by,
};

impl<'r, B: Backend> ModelRun<'r, '_, B> {
    /// Lets every library go through `validation`, with the problems that the task of this number answers.
    pub(crate) fn validated(self, validation: Option<(&'r Validation<'r, B>, usize)>) -> Self {
        Self { validation, ..self }
    }

    /// Makes the library of a cell, or finds it.
    pub(crate) fn prepare(&mut self, cell: &Cell) -> Result<(), Failure<B>> {
        cell.library.map_or(Ok(()), |(from, recipe)| self.make(cell.seed, from, recipe))
    }

    /// Returns the folders of the stages of a cell's library, and the tokens that each has generated.
    pub(crate) fn costs(&self, cell: &Cell) -> Result<Vec<(String, usize)>, Failure<B>> {
        let stages = cell.library.and_then(|(from, recipe)| self.stages.get(&(cell.seed, from, recipe)));
        let mut costs = Vec::new();
        for place in stages.into_iter().flatten() {
            let (rollouts, cost) = (place.dir.join("rollouts.jsonl"), place.dir.join(COST));
            let mut tokens = 0;
            if rollouts.exists() {
                let failed = |source: RolloutError| RunnerError::Rollouts {
                    at: format!("rollouts in {}", place.name),
                    source: source.into(),
                };
                for rollout in read_rollouts(&rollouts).map_err(failed)? {
                    tokens += rollout.map_err(failed)?.token_ids.len();
                }
            }
            if cost.exists() {
                let text = fs::read(&cost).map_err(refused("read", &cost))?;
                tokens += serde_json::from_slice::<usize>(&text).map_err(unwritable)?;
            }
            costs.push((place.name.clone(), tokens));
        }
        Ok(costs)
    }

    /// Returns the library of a cell, which is made.
    pub(crate) fn library(&self, cell: &Cell) -> Option<&LibraryFiles> {
        let (from, recipe) = cell.library?;
        self.libraries.get(&(cell.seed, from, recipe)).map(|made| &made.files)
    }

    /// Takes the stages that this process made, and the seconds that each took.
    pub(crate) fn made(&mut self) -> Vec<(String, f64)> {
        std::mem::take(&mut self.made)
    }

    /// Remembers a stage of a library.
    pub(super) fn keep(&mut self, key: (u64, usize, usize), place: &Place) {
        self.stages.entry(key).or_default().push(place.clone());
    }

    /// Runs the step after selection.
    pub(super) fn validate(
        &mut self,
        validation: &Validation<'_, B>,
        task: usize,
        name: &str,
        selected: &Place,
        at: &str,
    ) -> Result<Place, Failure<B>> {
        let Some(source) = &self.plan.tasks[task].answer else { return Ok(selected.clone()) };
        let questions = self.ask(task, "answer", source)?;
        let asked = serde_json::to_vec(&questions.questions).map_err(unwritable)?;
        let settings = json!({
            "format": FORMAT, "library": selected.content("library.stir")?, "model": computed_by(&self.engine),
            "grading": GRADING, "questions": blake3::hash(&asked).to_hex().to_string(), "problems": source,
            "validation": validation.settings,
        });
        let unread = |error: stir_basis::FileError| RunnerError::Library { at: at.to_owned(), source: error.into() };
        let library = Library::load(selected.dir.join("library.stir")).map_err(unread)?;
        self.stage("validated", name, &settings, |run, place| {
            let validated = (validation.step)(&run.engine, &library, &questions, &place.dir);
            let validated = validated.map_err(|source| RunnerError::Backend { at: at.to_owned(), source })?;
            validated.library.map_or(Ok(()), |library| library.save(place.dir.join("library.stir"))).map_err(unread)?;
            let cost = place.dir.join(COST);
            let written = stir_files::write_atomically(&cost, validated.tokens.to_string().as_bytes());
            Ok(written.map_err(refused("write", &cost))?)
        })
    }
}

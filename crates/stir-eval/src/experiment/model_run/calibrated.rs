//! What a calibration needs besides answers: libraries before they are used, and what they have cost.

use std::fs;

use stir_rollout::{RolloutError, read_forks, read_rollouts};

use super::{COST, ModelRun, mining::FORKS, unwritable};
use crate::experiment::{
    backend::{Backend, Failure},
    error::RunnerError,
    outcome::LibraryFiles,
    plan::Cell,
    store::refused,
};

impl<B: Backend> ModelRun<'_, '_, B> {
    /// Makes the library of a cell, or finds it.
    pub(crate) fn prepare(&mut self, cell: &Cell) -> Result<(), Failure<B>> {
        cell.library.map_or(Ok(()), |(from, recipe)| self.make(cell.seed, from, recipe))
    }

    /// Returns the folders of the stages of a cell's library, and the tokens that each has generated.
    pub(crate) fn costs(&self, cell: &Cell) -> Result<Vec<(String, usize)>, Failure<B>> {
        let stages = cell.library.and_then(|(from, recipe)| self.stages.get(&(cell.seed, from, recipe)));
        let mut costs = Vec::new();
        for place in stages.into_iter().flatten() {
            let (rollouts, forks) = (place.dir.join("rollouts.jsonl"), place.dir.join(FORKS));
            let cost = place.dir.join(COST);
            let mut tokens = 0;
            let failed = |source: RolloutError| RunnerError::Rollouts {
                at: format!("rollouts in {}", place.name),
                source: source.into(),
            };
            if rollouts.exists() {
                for rollout in read_rollouts(&rollouts).map_err(failed)? {
                    tokens += rollout.map_err(failed)?.token_ids.len();
                }
            }
            if forks.exists() {
                for group in read_forks(&forks).map_err(failed)? {
                    tokens += group.map_err(failed)?.iter().map(|fork| fork.token_ids.len()).sum::<usize>();
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
}

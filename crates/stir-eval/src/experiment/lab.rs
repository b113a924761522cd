use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};
use stir_core::{Engine, RequestError, Text};

use crate::method::{Judges, Question};
use stir_report::Settings;

/// What an experiment needs and does not know: models, problems, and the stages before selection.
///
/// The associated types are what the parts of an experiment that are the lab's own business are read as; refuse unknown
/// fields (`#[serde(deny_unknown_fields)]`), so that a typo is an error.
pub trait Lab {
    /// `source` of a model.
    type Model: Serialize + DeserializeOwned;
    /// `mine` and `answer` of a task.
    type Problems: Serialize + DeserializeOwned;
    /// `mining.rollout`.
    type Rollout: Serialize + DeserializeOwned;
    /// `mining.induction`.
    type Induction: Serialize + DeserializeOwned;
    /// The models.
    type Engine: Text;
    /// What can go wrong.
    type Error: std::error::Error + 'static;

    /// The model.
    ///
    /// # Errors
    /// When it cannot be loaded.
    fn load(&self, model: &Self::Model) -> Result<Self::Engine, Self::Error>;

    /// The name of the device that computes the model: `cuda:0`. Results of different devices are kept apart.
    fn device(&self, model: &Self::Model) -> String;

    /// The problems, with their prompts for the model, and who judges the answers.
    ///
    /// # Errors
    /// When they cannot be read or rendered.
    fn questions(&self, engine: &Self::Engine, problems: &Self::Problems) -> Result<Asked<'_>, Self::Error>;

    /// The prompt of a system and a user message for the model.
    ///
    /// # Errors
    /// Those of the engine.
    fn render(
        &self,
        engine: &Self::Engine,
        system: Option<&str>,
        user: &str,
    ) -> Result<String, <Self::Engine as Engine>::Error>;

    /// Stage 1: draws and judges rollouts, which go to the file `out`. What an earlier call with the same arguments left
    /// there may be taken up.
    ///
    /// # Errors
    /// When they cannot be drawn.
    fn rollouts(
        &self,
        engine: &Self::Engine,
        questions: &[Question],
        judges: &Judges<'_>,
        settings: &Self::Rollout,
        seed: u64,
        out: &Path,
    ) -> Result<(), Self::Error>;

    /// Stage 2: mines the file `rollouts`; candidates go to the file `out`.
    ///
    /// # Errors
    /// When nothing can be mined.
    fn candidates(
        &self,
        engine: &Self::Engine,
        rollouts: &Path,
        settings: &Self::Induction,
        out: &Path,
    ) -> Result<(), Self::Error>;

    /// Hears what happens.
    fn observe(&self, _event: Event<'_>) {}
}

/// Questions in order, and who judges the answers.
pub type Asked<'l> = (Vec<Question>, Box<Judges<'l>>);

/// What happens in an experiment.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A stage begins, or its output is there already.
    Stage {
        /// `rollouts`, `candidates` or `library`.
        kind: &'static str,
        /// The task that is mined.
        task: &'a str,
        /// Its folder in that of the experiment.
        folder: &'a str,
        /// Whether its output is there.
        reused: bool,
    },
    /// A question whose prompt leaves no room for an answer: an empty one is kept for every method. Once for a model
    /// and a task.
    NoRoom {
        /// The task that is answered.
        task: &'a str,
        /// The question.
        id: &'a str,
        /// How long the prompt is.
        reason: &'a RequestError,
    },
    /// Answers of a cell: at its start, and after every one.
    Answers {
        /// Which cell, from 0.
        cell: usize,
        /// How many there are.
        cells: usize,
        /// What it runs.
        settings: &'a Settings,
        /// Answers that are there.
        done: usize,
        /// Answers that there will be.
        total: usize,
    },
}

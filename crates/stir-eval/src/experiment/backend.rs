use std::convert::Infallible;

use serde::{Serialize, de::DeserializeOwned};
use stir_core::{Engine, Text};

use super::error::RunnerError;
use crate::questions::{ProblemSource, QuestionError, Questions};

/// The engine of an experiment: how models are loaded, and how their prompts are made. Everything else is done by the
/// [`Runner`](super::Runner).
pub trait Backend {
    /// The source of a model: `source` in the file of the experiment. All of them are read before any model is loaded,
    /// so fields should have checked types, and unknown ones be refused (`#[serde(deny_unknown_fields)]`).
    type Source: Serialize + DeserializeOwned;
    /// The engine that computes a model.
    type Engine: Text;
    /// The error of loading a model and of asking it.
    type Error: std::error::Error + 'static;

    /// Checks what is quickly known of a model: that its folder and its device are there. All models are checked before
    /// the first is loaded. By default nothing is checked.
    ///
    /// # Errors
    /// When it could not be loaded.
    fn check(&self, source: &Self::Source) -> Result<(), Self::Error> {
        let _ = source;
        Ok(())
    }

    /// Loads a model.
    ///
    /// # Errors
    /// When it cannot be loaded.
    fn load(&self, source: &Self::Source) -> Result<Self::Engine, Self::Error>;

    /// Returns the problems as they are, for what is checked before a model is loaded: with prompts that are the user's
    /// messages. A backend that reads sources in its own way overrides it together with [`questions`](Self::questions).
    ///
    /// # Errors
    /// When problems cannot be read.
    fn problems(&self, source: &ProblemSource) -> Result<Questions, QuestionError<Infallible>> {
        source.questions(&|_, user| Ok(user.to_owned()))
    }

    /// Returns the problems with their prompts for the model. Most backends call [`ProblemSource::questions`] with
    /// [`render`](Self::render).
    ///
    /// # Errors
    /// When problems cannot be read or rendered.
    fn questions(&self, engine: &Self::Engine, source: &ProblemSource) -> Result<Questions, Self::Error>;

    /// Returns the prompt of a system and a user message for the model.
    ///
    /// # Errors
    /// The engine's error.
    fn render(
        &self,
        engine: &Self::Engine,
        system: Option<&str>,
        user: &str,
    ) -> Result<String, <Self::Engine as Engine>::Error>;
}

/// The error of a runner on a backend.
pub(crate) type Failure<B> = RunnerError<<B as Backend>::Error, <<B as Backend>::Engine as Engine>::Error>;

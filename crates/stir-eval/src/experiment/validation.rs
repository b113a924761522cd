use std::{fmt, path::Path};

use serde_json::Value;
use stir_basis::Library;

use super::backend::Backend;
use crate::questions::Questions;

/// The step of [`Validation`]: a model, a library, problems, and a folder for what has to survive a kill.
pub type ValidationStep<'v, B> =
    dyn Fn(&<B as Backend>::Engine, &Library, &Questions, &Path) -> Result<Validated, <B as Backend>::Error> + 'v;

/// A step between selection and use: it measures what the entries of a library do on problems of their own, and keeps
/// those that help.
pub struct Validation<'v, B: Backend> {
    pub(crate) settings: Value,
    pub(crate) step: Box<ValidationStep<'v, B>>,
}

/// A library after its validation.
#[derive(Debug, Clone)]
pub struct Validated {
    /// The library to use; `None` if no entry is left.
    pub library: Option<Library>,
    /// The number of tokens that were generated for it.
    pub tokens: usize,
}

impl<'v, B: Backend> Validation<'v, B> {
    /// Returns the step `step`; `settings` are all that its result depends on besides its arguments.
    pub fn new(
        settings: Value,
        step: impl Fn(&B::Engine, &Library, &Questions, &Path) -> Result<Validated, B::Error> + 'v,
    ) -> Self {
        Self { settings, step: Box::new(step) }
    }
}

impl<B: Backend> fmt::Debug for Validation<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validation").field("settings", &self.settings).finish_non_exhaustive()
    }
}

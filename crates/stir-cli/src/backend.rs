//! The backend of experiments: models in folders, the one that comes with the program among them, and a display of how
//! far everything is.

use std::{cell::RefCell, fmt};

use miette::{IntoDiagnostic, Report};
use stir::{
    eval::{
        experiment::{Backend, Event},
        questions::{ProblemSource, Questions},
    },
    experiment::ModelSource,
    model::{Lm, ModelError},
};

use crate::{
    model::{ModelArgs, render},
    progress::Progress,
};

/// A report as an error with a cause, which it is not by itself.
#[derive(Debug)]
pub(crate) struct BackendError(Report);

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BackendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<Report> for BackendError {
    fn from(report: Report) -> Self {
        Self(report)
    }
}

/// The backend of this program.
#[derive(Default)]
pub(crate) struct CliBackend {
    /// The work in progress, and how far it is.
    shown: RefCell<Option<(String, Progress)>>,
}

impl Backend for CliBackend {
    type Source = ModelSource;
    type Engine = Lm;
    type Error = BackendError;

    fn check(&self, source: &ModelSource) -> Result<(), BackendError> {
        Ok(args(source).check()?)
    }

    fn load(&self, source: &ModelSource) -> Result<Lm, BackendError> {
        Ok(args(source).open()?.load()?)
    }

    fn questions(&self, lm: &Lm, source: &ProblemSource) -> Result<Questions, BackendError> {
        Ok(source.questions(&|system, user| render(lm, system, user)).into_diagnostic()?)
    }

    fn render(&self, lm: &Lm, system: Option<&str>, user: &str) -> Result<String, ModelError> {
        render(lm, system, user)
    }
}

fn args(source: &ModelSource) -> ModelArgs {
    let &ModelSource { device, compute, activations, .. } = source;
    ModelArgs { model: source.folder.clone(), device, compute, activations, seed: 0 }
}

impl CliBackend {
    /// Ends the display.
    pub(crate) fn finish(&self) {
        self.shown.borrow_mut().take();
    }

    /// Shows what happens.
    pub(crate) fn observe(&self, event: Event<'_>) {
        match event {
            Event::Answers { cell, cells, settings, done, total, .. } => {
                self.show(&format!("{} of {cells}", cell + 1), &settings.method, done, total);
            }
            Event::Progress { kind, done, total, .. } => {
                let name = match kind {
                    "rollouts" => "rollout",
                    "forks" => "fork",
                    "states" => "states",
                    "validated" => "validate",
                    _ => "induce",
                };
                self.show("", name, done, total.unwrap_or_default());
            }
            // The library warns of problems that cannot be asked, and the subscriber of this program shows it.
            _ => {}
        }
    }

    fn show(&self, note: &str, name: &str, done: usize, total: usize) {
        let mut shown = self.shown.borrow_mut();
        let what = format!("{name} {note}");
        if shown.as_ref().is_none_or(|(of, _)| *of != what) {
            // One ends before the next begins.
            shown.take();
            let new = Progress::new(total as u64, name);
            new.set_note(note.to_owned());
            *shown = Some((what, new));
        }
        if let Some((_, shown)) = &*shown {
            shown.set_total(total as u64);
            shown.set_done(done as u64);
        }
    }
}

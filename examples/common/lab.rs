//! The backend of experiments: models in folders, with bars that show how far everything is.

use std::{cell::RefCell, fmt};

use indicatif::ProgressBar;
use miette::{IntoDiagnostic, Report, miette};
use stir::{
    eval::{
        experiment::{Backend, Event},
        questions::{ProblemSource, Questions},
    },
    experiment::ModelSource,
    model::{Lm, ModelError},
};

use super::{DEFAULT_MODEL, ModelArgs, answers::tell_no_room, progress, render};

/// A report as an error with a cause, which it is not by itself.
#[derive(Debug)]
pub struct LabError(Report);

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LabError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<Report> for LabError {
    fn from(report: Report) -> Self {
        Self(report)
    }
}

/// The backend of these programs.
#[derive(Default)]
pub struct CliBackend {
    /// The bar of what is under way, and what that is.
    bar: RefCell<Option<(String, ProgressBar)>>,
}

impl Backend for CliBackend {
    type Source = ModelSource;
    type Engine = Lm;
    type Error = LabError;

    fn load(&self, source: &ModelSource) -> Result<Lm, LabError> {
        let model = source.folder.clone().unwrap_or_else(|| DEFAULT_MODEL.into());
        Ok(ModelArgs { model, device: source.device, compute: source.compute, seed: 0 }.load()?)
    }

    fn device(&self, source: &ModelSource) -> String {
        source.device.to_string()
    }

    fn questions(&self, lm: &Lm, source: &ProblemSource) -> Result<Questions, LabError> {
        Ok(source.questions(&|system, user| render(lm, system, user)).into_diagnostic()?)
    }

    fn render(&self, lm: &Lm, system: Option<&str>, user: &str) -> Result<String, ModelError> {
        render(lm, system, user)
    }
}

impl CliBackend {
    /// No bar any more.
    pub fn finish(&self) {
        if let Some((_, bar)) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }

    /// Shows what happens.
    pub fn observe(&self, event: Event<'_>) {
        match event {
            Event::Answers { cell, cells, settings, done, total, .. } => {
                self.show(&format!("{} of {cells}", cell + 1), &settings.method, done, total);
            }
            Event::Progress { kind, done, total, .. } => {
                let name = if kind == "rollouts" { "rollout" } else { "induce" };
                self.show("", name, done, total.unwrap_or_default());
            }
            Event::NoRoom { task, id, reason, .. } => {
                let place = format!("tasks {task:?}: problem {id:?}");
                tell_no_room(Report::from_err(reason.clone()).wrap_err(place));
            }
            Event::Failed { id, samples, reason, .. } => tell_failed(id, samples, reason),
            _ => {}
        }
    }

    fn show(&self, message: &str, name: &str, done: usize, total: usize) {
        let mut bar = self.bar.borrow_mut();
        let what = format!("{name} {message}");
        if bar.as_ref().is_none_or(|(of, _)| *of != what) {
            if let Some((_, before)) = bar.take() {
                before.finish_and_clear();
            }
            let new = progress(total as u64, name);
            new.set_message(message.to_owned());
            *bar = Some((what, new));
        }
        if let Some((_, bar)) = &*bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    }
}

/// Tells of a problem, or a sample of it, that failed.
#[allow(clippy::print_stderr, reason = "results go to stdout")]
fn tell_failed(id: &str, samples: usize, reason: &(dyn std::error::Error + 'static)) {
    let (mut chain, mut error) = (Vec::new(), Some(reason));
    while let Some(cause) = error {
        chain.push(cause.to_string());
        error = cause.source();
    }
    let report = chain.into_iter().rev().fold(None, |report: Option<Report>, text| {
        Some(match report {
            Some(report) => report.wrap_err(text),
            None => miette!("{text}"),
        })
    });
    if let Some(report) = report {
        let report = report.wrap_err(format!("problem {id:?}"));
        eprintln!("{:?}", report.wrap_err(format!("{samples} rollouts are missing; the others are mined")));
    }
}

//! The cells of one model, and the stages that they share.

mod calibrated;
mod mining;

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    sync::Arc,
    time::Instant,
};

use serde_json::{Value, json};
use stir_basis::Library;
use stir_core::Request;
use stir_report::{Record, Run, Settings};

use super::{
    backend::{Backend, Failure},
    error::{ExperimentError, RunnerError},
    event::Event,
    outcome::LibraryFiles,
    plan::{Cell, Plan},
    store::{Place, Store},
};
use crate::{
    FormatError, answers,
    method::{AnswerRun, MethodContext},
    questions::{ProblemSource, Questions},
};

/// The version of what the digests are made of: another one makes everything anew.
const FORMAT: u32 = 1;
/// The file of a stage that says how many tokens it generated, where its output does not.
const COST: &str = "cost.json";

/// A model at work.
pub(crate) struct ModelRun<'r, 'x, B: Backend> {
    plan: &'r Plan<'x, B>,
    backend: &'r B,
    observer: &'r dyn Fn(Event<'_>),
    store: &'r Store,
    name: &'r str,
    engine: B::Engine,
    /// By seed, task and recipe.
    libraries: HashMap<(u64, usize, usize), MadeLibrary>,
    /// The stages of the libraries that were made, and of those that could not be, by the same.
    stages: HashMap<(u64, usize, usize), Vec<Place>>,
    /// The files of the libraries, in the order of first use.
    used: Vec<LibraryFiles>,
    /// The questions to answer, by task.
    questions: HashMap<usize, Questions>,
    /// The stages that this process made, and the seconds that each took.
    made: Vec<(String, f64)>,
}

/// A library that has been made.
struct MadeLibrary {
    library: Arc<Library>,
    digest: String,
    folder: String,
    files: LibraryFiles,
}

impl<'r, 'x, B: Backend> ModelRun<'r, 'x, B> {
    pub(crate) fn new(
        plan: &'r Plan<'x, B>,
        backend: &'r B,
        observer: &'r dyn Fn(Event<'_>),
        store: &'r Store,
        name: &'r str,
        engine: B::Engine,
    ) -> Self {
        let (libraries, questions, stages) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (used, made) = (Vec::new(), Vec::new());
        Self { plan, backend, observer, store, name, engine, libraries, stages, used, questions, made }
    }

    /// Takes the files of the libraries that were used, in the order of first use.
    pub(crate) fn used(&mut self) -> Vec<LibraryFiles> {
        std::mem::take(&mut self.used)
    }

    /// Returns the answers of a cell to its first `first` questions, and the folders of its stages.
    pub(crate) fn cell(
        &mut self,
        number: usize,
        cell: &Cell,
        first: usize,
    ) -> Result<(Run, BTreeMap<&'static str, String>), Failure<B>> {
        let plan = self.plan;
        let name = |task: usize| plan.experiment.tasks[task].name.as_str();
        let span = tracing::info_span!(
            "cell",
            number,
            model = self.name,
            task = name(cell.task),
            method = plan.methods[cell.method].name,
            seed = cell.seed,
            mined_from = cell.library.map(|(from, _)| name(from)),
        );
        let _entered = span.enter();
        if let Some((from, recipe)) = cell.library {
            self.make(cell.seed, from, recipe)?;
        }
        if let (None, Some(source)) = (self.questions.get(&cell.task), &self.plan.tasks[cell.task].answer) {
            let questions = self.ask(cell.task, "answer", source)?;
            self.questions.insert(cell.task, questions);
            self.report_no_room(cell)?;
        }
        let made = cell.library.and_then(|(from, recipe)| self.libraries.get(&(cell.seed, from, recipe)));
        let run = self.answer_run(cell);
        let config = plan.methods[cell.method].config.clone().seeded(cell.seed);
        let depends = run.settings(&config, made.map(|made| made.digest.as_str()));
        let mut depends = depends.map_err(RunnerError::Unwritable)?;
        depends["format"] = json!(FORMAT);
        // The judge depends on the source of the problems, not only on the questions made of them.
        depends["problems"] = json!(plan.tasks[cell.task].answer);
        if self.questions.get(&cell.task).is_some_and(|questions| questions.system_in_user) {
            depends["system_in_user"] = json!(true);
        }
        let place = self.store.place("answers", &depends)?;
        let settings = self.settings(cell, made);
        let first = first.min(run.questions.len());
        let observe = |done| {
            let (cells, total) = (plan.cells.len(), first);
            (self.observer)(Event::Answers { cell: number, cells, settings: &settings, done, total });
        };
        let file = place.dir.join("answers.jsonl");
        let ids: Vec<&str> = run.questions.iter().map(|question| question.id.as_str()).collect();
        let answers = answers::open(&file, &depends, &ids, |record: &Record| record.id.clone())?;
        let records: Vec<Record> = match self.questions.get(&cell.task) {
            Some(Questions { judges, .. }) if (0..first).any(|place| !answers.contains(place)) => {
                let render = |system: Option<&str>, user: &str| self.backend.render(&self.engine, system, user);
                let library = made.map(|made| &made.library);
                let context = MethodContext { engine: &self.engine, judges: &**judges, library, render: &render };
                let at = || describe(&settings);
                let method = config.build(context);
                let method = method.map_err(|source| ExperimentError::Method { at: at(), source })?;
                let answered = run.run_first(first, &*method, &**judges, answers, |done| {
                    observe(done);
                    ControlFlow::Continue(())
                });
                // The observer stops nothing, so all records are there.
                answered.map_err(|source| RunnerError::Answers { at: at(), source })?.unwrap_or_default()
            }
            _ => {
                observe(first);
                answers.finish()?.take(first).collect::<Result<_, _>>()?
            }
        };
        let seconds = records.iter().filter_map(|record| record.seconds).fold(0.0, f64::max);
        let folders = std::iter::once(("answers", place.name));
        let folders = folders.chain(made.map(|made| ("library", made.folder.clone()))).collect();
        Ok((Run { settings, records, seconds }, folders))
    }

    /// Reports the questions of a cell that no method can answer.
    fn report_no_room(&self, cell: &Cell) -> Result<(), Failure<B>> {
        let (task, run) = (&self.plan.experiment.tasks[cell.task].name, self.answer_run(cell));
        let at = || format!("tasks {task:?} answer");
        let requests = run.requests().map_err(|source| RunnerError::Answers { at: at(), source })?;
        for (question, request) in run.questions.iter().zip(&requests) {
            if let Err(reason) = request {
                let id = question.id.as_str();
                tracing::warn!(
                    %reason,
                    "tasks {task:?}: problem {id:?} leaves no room for an answer; every method gets an empty answer, \
                     which counts as wrong"
                );
                (self.observer)(Event::NoRoom { task, id, reason });
            }
        }
        Ok(())
    }

    /// Returns the questions of a cell and the settings that all methods share.
    fn answer_run(&self, cell: &Cell) -> AnswerRun<'_, B::Engine> {
        let experiment = self.plan.experiment;
        let request = Request {
            max_tokens: experiment.answers.max_tokens,
            sampling: experiment.answers.sampling,
            stop: experiment.answers.stop.clone(),
            seed: cell.seed,
            ..Request::default()
        };
        let questions = self.questions.get(&cell.task).map_or(&[][..], |questions| &questions.questions);
        AnswerRun { engine: &self.engine, questions, request, max_batch: experiment.max_batch }
    }

    /// Returns the settings that reports tell a cell by.
    fn settings(&self, cell: &Cell, made: Option<&MadeLibrary>) -> Settings {
        let experiment = self.plan.experiment;
        let method = &self.plan.methods[cell.method];
        let mut params = method.params.clone();
        for (name, value) in made.iter().flat_map(|made| &made.files.params) {
            let name = if params.contains_key(name) { format!("mining.{name}") } else { name.clone() };
            params.insert(name, value.clone());
        }
        Settings {
            model: experiment.models[cell.model].name.clone(),
            task: experiment.tasks[cell.task].name.clone(),
            method: method.name.clone(),
            mined_from: cell.library.map(|(from, _)| experiment.tasks[from].name.clone()),
            seed: cell.seed,
            params,
        }
    }

    fn ask(&self, task: usize, part: &str, source: &ProblemSource) -> Result<Questions, Failure<B>> {
        let at = || format!("tasks {:?} {part}", self.plan.experiment.tasks[task].name);
        let questions = self.backend.questions(&self.engine, source);
        questions.map_err(|source| RunnerError::Backend { at: at(), source })
    }

    /// Returns the place of a stage's output, which `make` makes unless it exists.
    fn stage(
        &mut self,
        kind: &'static str,
        task: &str,
        settings: &Value,
        make: impl FnOnce(&Self, &Place) -> Result<(), Failure<B>>,
    ) -> Result<Place, Failure<B>> {
        let place = self.store.place(kind, settings)?;
        let reused = place.is_done();
        let span = tracing::info_span!("stage", kind, task, folder = place.name);
        let _entered = span.enter();
        tracing::info!(reused, "{kind} of {task:?} {}", if reused { "are reused" } else { "are made" });
        (self.observer)(Event::Stage { kind, task, folder: &place.name, reused });
        if !reused {
            let start = Instant::now();
            make(self, &place)?;
            place.done()?;
            self.made.push((place.name.clone(), start.elapsed().as_secs_f64()));
        }
        Ok(place)
    }
}

fn unwritable<B: std::error::Error, X: std::error::Error>(error: serde_json::Error) -> RunnerError<B, X> {
    RunnerError::Unwritable(FormatError::new(error))
}

/// Returns a cell, for messages.
fn describe(Settings { task, method, mined_from, seed, .. }: &Settings) -> String {
    let from = mined_from.as_ref().map_or_else(String::new, |from| format!(", with the library of {from:?}"));
    format!("{method:?} answers {task:?}{from}, seed {seed}")
}

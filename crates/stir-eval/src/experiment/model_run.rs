//! The cells of one model, and the stages that they share.

mod calibrated;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::Instant,
};

use serde_json::{Value, json};
use stir_basis::{BasisError, Library, MinedPairs, select};
use stir_core::Request;
use stir_grade::GRADING;
use stir_induction::Induction;
use stir_report::{Record, Run, Settings};
use stir_rollout::{Prompt, Rollouts, read_groups};

use super::{
    backend::{Backend, Failure},
    error::{ExperimentError, RunnerError},
    event::Event,
    outcome::LibraryFiles,
    plan::{Cell, Plan},
    store::{Place, Store, refused},
    validation::Validation,
};
use crate::{
    FormatError, answers,
    method::{AnswerRun, MethodContext, computed_by},
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
    /// The step that libraries go through before they are used, and the task that has its problems.
    validation: Option<(&'r Validation<'r, B>, usize)>,
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
        let (used, validation, made) = (Vec::new(), None, Vec::new());
        Self { plan, backend, observer, store, name, engine, libraries, stages, used, questions, validation, made }
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

    /// Makes the library of a task, or finds it.
    fn make(&mut self, seed: u64, task: usize, recipe: usize) -> Result<(), Failure<B>> {
        let (plan, name) = (self.plan, self.plan.experiment.tasks[task].name.as_str());
        if self.libraries.contains_key(&(seed, task, recipe)) {
            return Ok(());
        }
        let Some(source) = &plan.tasks[task].mine else { return Ok(()) };
        let recipe_data = &plan.recipes[recipe];
        let (rollout, induction, basis) = (&recipe_data.rollout, &recipe_data.induction, &recipe_data.basis);
        let at = |what: &str| format!("{what} of {name:?}, seed {seed}");
        let model = computed_by(&self.engine);

        let key = (seed, task, recipe);
        self.stages.insert(key, Vec::new());

        let questions = self.ask(task, "mine", source)?;
        let asked = serde_json::to_vec(&questions.questions).map_err(unwritable)?;
        let asked = blake3::hash(&asked).to_hex().to_string();
        // With all defaults, which may be other ones tomorrow.
        let settings = json!({
            "format": FORMAT, "model": model, "grading": GRADING, "questions": asked, "problems": source,
            "rollout": rollout, "seed": seed
        });
        let rollouts = self.stage("rollouts", name, &settings, |run, place| {
            run.draw(&questions, recipe, seed, name, &place.dir.join("rollouts.jsonl"), &at("rollouts"))
        })?;

        self.keep(key, &rollouts);

        let from = rollouts.content("rollouts.jsonl")?;
        let settings = json!({ "format": FORMAT, "model": model, "rollouts": from, "induction": induction });
        let candidates = self.stage("candidates", name, &settings, |run, place| {
            let (rollouts, out) = (rollouts.dir.join("rollouts.jsonl"), place.dir.join("candidates.stir"));
            run.mine(&rollouts, recipe, name, &out, &at("candidates"))
        })?;

        self.keep(key, &candidates);

        let from = candidates.content("candidates.stir")?;
        let settings = json!({ "format": FORMAT, "candidates": from, "basis": basis });
        let refused = |source| RunnerError::Library { at: at("library"), source };
        let unread = |error: stir_basis::FileError| refused(error.into());
        let place = self.stage("libraries", name, &settings, |_, place| {
            let candidates = MinedPairs::load(candidates.dir.join("candidates.stir")).map_err(unread)?;
            select(&candidates, basis).map_err(refused)?.save(place.dir.join("library.stir")).map_err(unread)
        })?;
        let place = match self.validation {
            Some((validation, task)) => self.validate(validation, task, name, &place, &at("validated library"))?,
            None => place,
        };
        self.keep(key, &place);
        if !place.dir.join("library.stir").exists() {
            return Err(refused(BasisError::NoEntries { skipped: 0 }));
        }
        let library = Library::load(place.dir.join("library.stir")).map_err(unread)?;
        let mut params = recipe_data.params.clone();
        if let [layer] = library.layers()[..] {
            // However it was said, this is the one.
            params.remove("layers");
            params.insert("layer".into(), json!(layer));
        }
        let files = LibraryFiles {
            model: self.name.to_owned(),
            mined_from: name.to_owned(),
            seed,
            params,
            library: place.dir.join("library.stir"),
            candidates: candidates.dir.join("candidates.stir"),
        };
        self.used.push(files.clone());
        let library = Arc::new(library);
        let made = MadeLibrary { library, digest: place.content("library.stir")?, folder: place.name, files };
        self.libraries.insert((seed, task, recipe), made);
        Ok(())
    }

    /// Runs stage 1.
    fn draw(
        &self,
        questions: &Questions,
        recipe: usize,
        seed: u64,
        task: &str,
        out: &Path,
        at: &str,
    ) -> Result<(), Failure<B>> {
        let refused = |source| RunnerError::Rollouts { at: at.to_owned(), source };
        let config = self.plan.recipes[recipe].rollout.config(seed);
        let run = Rollouts::new(&self.engine, config).map_err(|error| refused(error.into()))?;
        let run = run.judge_name(questions.judge_name()).on_progress(|progress| {
            let (done, total) = (progress.done, Some(progress.total));
            (self.observer)(Event::Progress { kind: "rollouts", task, done, total });
            ControlFlow::Continue(())
        });
        let judge = |prompt: &Prompt, text: &str| questions.is_right(prompt, text);
        let summary = run.run(&questions.prompts(), &judge, out).map_err(refused)?;
        for failure in summary.failures {
            if summary.samples == 0 {
                return Err(RunnerError::Unsampled { at: at.to_owned(), source: failure });
            }
            let (id, samples) = (failure.id.as_str(), failure.samples);
            let reason: &(dyn std::error::Error + 'static) = &failure.reason;
            tracing::warn!(
                reason,
                "tasks {task:?}: {samples} rollouts of problem {id:?} are missing; the others are mined"
            );
            (self.observer)(Event::Failed { task, id, samples, reason });
        }
        Ok(())
    }

    /// Runs stage 2.
    fn mine(&self, rollouts: &Path, recipe: usize, task: &str, out: &Path, at: &str) -> Result<(), Failure<B>> {
        let sidecar = stir_files::Settings::path(rollouts);
        let made = fs::read_to_string(&sidecar).map_err(refused("read", &sidecar))?;
        let failed = |source| RunnerError::Candidates { at: at.to_owned(), source };
        let run = Induction::new(&self.engine, self.plan.recipes[recipe].induction.clone()).map_err(failed)?;
        let groups = read_groups(rollouts).map_err(|error| failed(error.into()))?;
        let (candidates, _) = run
            .rollout_settings(made)
            .on_progress(|progress| {
                let (done, total) = (progress.problems, progress.total);
                (self.observer)(Event::Progress { kind: "candidates", task, done, total });
                ControlFlow::Continue(())
            })
            .run(groups)
            .map_err(failed)?;
        candidates.save(out).map_err(|source| RunnerError::Library { at: at.to_owned(), source: source.into() })
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

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use stir_basis::{Candidates, Library, select};
use stir_core::{Engine, Request};

use super::{
    Asked, Event, Experiment, ExperimentError, Lab, PlannedMethod, Recipe, RunnerError,
    store::{Place, Store},
    typed,
};
use crate::{
    answers,
    method::{Bench, Exam, computed_by},
};
use stir_grade::GRADING;
use stir_report::{Record, Run, Settings};

/// The version of what the digests are made of: another one makes everything anew.
const FORMAT: u32 = 1;

type Failure<L> = RunnerError<<L as Lab>::Error, <<L as Lab>::Engine as Engine>::Error>;

/// An experiment that is ready to run: everything in it has been read, and nothing loaded.
pub struct Runner<'x, L: Lab> {
    experiment: &'x Experiment,
    lab: &'x L,
    models: Vec<L::Model>,
    tasks: Vec<Problems<L>>,
    methods: Vec<PlannedMethod>,
    recipes: Vec<(Recipe, L::Rollout, L::Induction)>,
    cells: Vec<Cell>,
}

/// What an experiment came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The runs of all cells, in order: models, seeds, tasks, methods, libraries.
    pub runs: Vec<Run>,
    /// The libraries that they used, in the order of first use.
    pub libraries: Vec<LibraryFiles>,
}

/// A library that an experiment made, and what it was selected from.
#[derive(Debug, Clone, PartialEq)]
pub struct LibraryFiles {
    /// Name of the model.
    pub model: String,
    /// Name of the task that was mined.
    pub mined_from: String,
    /// Seed of the rollouts.
    pub seed: u64,
    /// The settings that the experiment names, as in the runs that used it.
    pub params: BTreeMap<String, Value>,
    /// The file of the library.
    pub library: PathBuf,
    /// The file of the candidates.
    pub candidates: PathBuf,
}

/// What a task is to the lab.
struct Problems<L: Lab> {
    mine: Option<L::Problems>,
    answer: Option<L::Problems>,
}

/// One run of answers, by places in the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    model: usize,
    seed: u64,
    task: usize,
    method: usize,
    /// The task that the library is mined from, and how.
    library: Option<(usize, usize)>,
}

/// A library that has been made, and what it is called.
struct Made {
    library: Library,
    digest: String,
    folder: String,
    files: LibraryFiles,
}

impl<'x, L: Lab> Runner<'x, L> {
    /// Reads what is the lab's own business, and lays out the cells.
    ///
    /// # Errors
    /// [`ExperimentError`] with the place and the field.
    pub fn new(experiment: &'x Experiment, lab: &'x L) -> Result<Self, ExperimentError> {
        let model = |model: &super::Named| typed(&format!("models {:?} source", model.name), model.source.clone());
        let problems = |name: &str, part: &str, value: &Option<Value>| {
            value.clone().map(|value| typed(&format!("tasks {name:?} {part}"), value)).transpose()
        };
        let task = |task: &super::TaskSpec| {
            let (mine, answer) =
                (problems(&task.name, "mine", &task.mine)?, problems(&task.name, "answer", &task.answer)?);
            Ok(Problems { mine, answer })
        };
        let recipe = |recipe: Recipe| {
            let rollout = typed("mining.rollout", recipe.rollout.clone())?;
            let induction = typed("mining.induction", recipe.induction.clone())?;
            Ok((recipe, rollout, induction))
        };
        let mut runner = Self {
            experiment,
            lab,
            models: experiment.models.iter().map(model).collect::<Result<_, _>>()?,
            tasks: experiment.tasks.iter().map(task).collect::<Result<_, ExperimentError>>()?,
            methods: experiment.methods()?,
            recipes: experiment.recipes()?.into_iter().map(recipe).collect::<Result<_, ExperimentError>>()?,
            cells: Vec::new(),
        };
        runner.cells = runner.lay_out()?;
        Ok(runner)
    }

    /// How many runs of answers the experiment has.
    pub fn cells(&self) -> usize {
        self.cells.len()
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
                        let name = |name: &str| name.to_owned();
                        let (method, task) =
                            (name(&self.methods[method].name), name(&self.experiment.tasks[task].name));
                        return Err(ExperimentError::NoLibrary { method, task });
                    }
                    let libraries = mined.iter().flat_map(|&from| (0..self.recipes.len()).map(move |r| (from, r)));
                    cells.extend(libraries.map(|library| Cell { library: Some(library), ..cell }));
                }
            }
        }
        Ok(cells)
    }

    /// The tasks whose libraries answer `task`: its own first.
    fn mined_for(&self, task: usize) -> Vec<usize> {
        let others = (0..self.tasks.len()).filter(|&other| other != task && self.experiment.transfer);
        std::iter::once(task).chain(others).filter(|&task| self.tasks[task].mine.is_some()).collect()
    }

    /// Runs what is missing; outputs go to the folder `out`.
    ///
    /// The folder is for one process at a time. Whatever happens to that process, what it had finished is not done
    /// again; and what belongs to other settings, of this or another experiment, lies in other folders.
    ///
    /// # Errors
    /// [`RunnerError`]; what was finished stays.
    pub fn run(&self, out: &Path) -> Result<Outcome, Failure<L>> {
        let store = Store::open(out)?;
        let (mut runs, mut libraries, mut index) = (Vec::with_capacity(self.cells.len()), Vec::new(), Vec::new());
        for model in 0..self.models.len() {
            let at = || format!("models {:?}", self.experiment.models[model].name);
            let engine = self.lab.load(&self.models[model]).map_err(|source| RunnerError::Lab { at: at(), source })?;
            let mut bench = ModelBench {
                runner: self,
                store: &store,
                name: &self.experiment.models[model].name,
                device: self.lab.device(&self.models[model]),
                engine,
                libraries: HashMap::new(),
                used: Vec::new(),
                asked: HashMap::new(),
            };
            for (number, cell) in self.cells.iter().enumerate().filter(|(_, cell)| cell.model == model) {
                let (run, folders) = bench.cell(number, cell)?;
                index.push(json!({ "settings": run.settings, "folders": folders }));
                runs.push(run);
            }
            libraries.append(&mut bench.used);
        }
        let index = json!({ "experiment": self.experiment, "runs": index });
        store.write("index.json", serde_json::to_string_pretty(&index)?.as_bytes())?;
        Ok(Outcome { runs, libraries })
    }
}

/// What one model has at hand.
struct ModelBench<'r, 'x, L: Lab> {
    runner: &'r Runner<'x, L>,
    store: &'r Store,
    name: &'r str,
    engine: L::Engine,
    device: String,
    /// By seed, task and recipe.
    libraries: HashMap<(u64, usize, usize), Made>,
    /// Their files, in the order of first use.
    used: Vec<LibraryFiles>,
    /// What is to be answered, by task.
    asked: HashMap<usize, Asked<'x>>,
}

impl<'x, L: Lab> ModelBench<'_, 'x, L> {
    /// The answers of a cell, and the folders of what it is made of.
    fn cell(&mut self, number: usize, cell: &Cell) -> Result<(Run, BTreeMap<&'static str, String>), Failure<L>> {
        if let Some((from, recipe)) = cell.library {
            self.make(cell.seed, from, recipe)?;
        }
        if let (None, Some(problems)) = (self.asked.get(&cell.task), &self.runner.tasks[cell.task].answer) {
            let asked = self.questions(cell.task, "answer", problems)?;
            self.asked.insert(cell.task, asked);
            self.tell_no_room(cell)?;
        }
        let (runner, lab) = (self.runner, self.runner.lab);
        let made = cell.library.and_then(|(from, recipe)| self.libraries.get(&(cell.seed, from, recipe)));
        let exam = self.exam(cell);
        let config = runner.methods[cell.method].config.clone().seeded(cell.seed);
        let mut depends = exam.settings(&config, made.map(|made| made.digest.as_str()), &self.device)?;
        depends["format"] = json!(FORMAT);
        // Who judges is decided by the problems, not by the questions made of them.
        depends["problems"] = json!(runner.tasks[cell.task].answer);
        let place = self.store.place("answers", &depends)?;
        let settings = self.settings(cell, made);
        let observe = |done| {
            let (cells, total) = (runner.cells.len(), exam.questions.len());
            lab.observe(Event::Answers { cell: number, cells, settings: &settings, done, total });
        };
        let file = place.dir.join("answers.jsonl");
        let ids: Vec<&str> = exam.questions.iter().map(|question| question.id.as_str()).collect();
        let answers = answers::open(&file, &depends, &ids, |record: &Record| record.id.clone())?;
        let records: Vec<Record> = match self.asked.get(&cell.task) {
            Some((_, judges)) if !answers.is_complete() => {
                let render = |system: Option<&str>, user: &str| lab.render(&self.engine, system, user);
                let library = made.map(|made| &made.library);
                let method = config.build(Bench { engine: &self.engine, judges: &**judges, library, render: &render });
                let at = || describe(&settings);
                let method = method.map_err(|source| ExperimentError::Method { at: at(), source })?;
                let answered = exam.run(&*method, &**judges, answers, |done| {
                    observe(done);
                    ControlFlow::Continue(())
                });
                // Nobody breaks off.
                answered.map_err(|source| RunnerError::Run { at: at(), source })?.unwrap_or_default()
            }
            _ => {
                observe(exam.questions.len());
                answers.finish()?.collect::<Result<_, _>>()?
            }
        };
        let seconds = records.iter().filter_map(|record| record.seconds).fold(0.0, f64::max);
        let folders = std::iter::once(("answers", place.name));
        let folders = folders.chain(made.map(|made| ("library", made.folder.clone()))).collect();
        Ok((Run { settings, records, seconds }, folders))
    }

    /// Tells of the questions of a cell that no method can answer.
    fn tell_no_room(&self, cell: &Cell) -> Result<(), Failure<L>> {
        let (task, exam) = (&self.runner.experiment.tasks[cell.task].name, self.exam(cell));
        let at = || format!("tasks {task:?} answer");
        let requests = exam.requests().map_err(|error| RunnerError::Run { at: at(), source: error.into() })?;
        for (question, request) in exam.questions.iter().zip(&requests) {
            if let Err(reason) = request {
                self.runner.lab.observe(Event::NoRoom { task, id: &question.id, reason });
            }
        }
        Ok(())
    }

    /// What a cell asks.
    fn exam(&self, cell: &Cell) -> Exam<'_, L::Engine> {
        let experiment = self.runner.experiment;
        let request = Request {
            max_tokens: experiment.answers.max_tokens,
            sampling: experiment.answers.sampling,
            stop: experiment.answers.stop.clone(),
            seed: cell.seed,
            ..Request::default()
        };
        let questions = self.asked.get(&cell.task).map_or(&[][..], |(questions, _)| questions);
        Exam { engine: &self.engine, questions, request, width: experiment.width }
    }

    /// What reports tell a cell by.
    fn settings(&self, cell: &Cell, made: Option<&Made>) -> Settings {
        let experiment = self.runner.experiment;
        let method = &self.runner.methods[cell.method];
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

    fn questions(&self, task: usize, part: &str, problems: &L::Problems) -> Result<Asked<'x>, Failure<L>> {
        let at = || format!("tasks {:?} {part}", self.runner.experiment.tasks[task].name);
        self.runner.lab.questions(&self.engine, problems).map_err(|source| RunnerError::Lab { at: at(), source })
    }

    /// Makes the library of a task, or finds it.
    fn make(&mut self, seed: u64, task: usize, recipe: usize) -> Result<(), Failure<L>> {
        let (runner, name) = (self.runner, self.runner.experiment.tasks[task].name.as_str());
        if self.libraries.contains_key(&(seed, task, recipe)) {
            return Ok(());
        }
        let Some(problems) = &runner.tasks[task].mine else { return Ok(()) };
        let (recipe_data, rollout, induction) = &runner.recipes[recipe];
        let at = |what: &str| format!("{what} of {name:?}, seed {seed}");
        let model = computed_by(&self.engine, &self.device);

        let (questions, judges) = self.questions(task, "mine", problems)?;
        let asked = blake3::hash(&serde_json::to_vec(&questions)?).to_hex().to_string();
        // As the lab read them: with its defaults, which may be other ones tomorrow.
        let settings = json!({
            "format": FORMAT, "model": model, "grading": GRADING, "questions": asked, "problems": problems,
            "rollout": rollout, "seed": seed
        });
        let rollouts = self.stage("rollouts", name, &settings, |place| {
            let out = place.dir.join("rollouts.jsonl");
            let drawn = runner.lab.rollouts(&self.engine, &questions, &*judges, rollout, seed, &out);
            drawn.map_err(|source| RunnerError::Lab { at: at("rollouts"), source })
        })?;

        let from = rollouts.content("rollouts.jsonl")?;
        let settings = json!({ "format": FORMAT, "model": model, "rollouts": from, "induction": induction });
        let candidates = self.stage("candidates", name, &settings, |place| {
            let (rollouts, out) = (rollouts.dir.join("rollouts.jsonl"), place.dir.join("candidates.stir"));
            let mined = runner.lab.candidates(&self.engine, &rollouts, induction, &out);
            mined.map_err(|source| RunnerError::Lab { at: at("candidates"), source })
        })?;

        let (from, basis) = (candidates.content("candidates.stir")?, &recipe_data.basis);
        let settings = json!({ "format": FORMAT, "candidates": from, "basis": basis });
        let refused = |source| ExperimentError::Basis { at: at("library"), source };
        let place = self.stage("libraries", name, &settings, |place| {
            let candidates = Candidates::load(candidates.dir.join("candidates.stir")).map_err(refused)?;
            Ok(select(&candidates, basis).map_err(refused)?.save(place.dir.join("library.stir")).map_err(refused)?)
        })?;
        let library = Library::load(place.dir.join("library.stir")).map_err(refused)?;
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
        let made = Made { library, digest: place.content("library.stir")?, folder: place.name, files };
        self.libraries.insert((seed, task, recipe), made);
        Ok(())
    }

    /// The place of a stage's output, which `make` makes where it is not there.
    fn stage(
        &self,
        kind: &'static str,
        task: &str,
        settings: &Value,
        make: impl FnOnce(&Place) -> Result<(), Failure<L>>,
    ) -> Result<Place, Failure<L>> {
        let place = self.store.place(kind, settings)?;
        let reused = place.is_done();
        self.runner.lab.observe(Event::Stage { kind, task, folder: &place.name, reused });
        if !reused {
            make(&place)?;
            place.done()?;
        }
        Ok(place)
    }
}

/// A cell, for messages.
fn describe(Settings { task, method, mined_from, seed, .. }: &Settings) -> String {
    let from = mined_from.as_ref().map_or_else(String::new, |from| format!(", with the library of {from:?}"));
    format!("{method:?} answers {task:?}{from}, seed {seed}")
}

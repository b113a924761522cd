//! Answering problems, steered or not: what `steer`, `evaluate` and `pipeline` do alike.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::{IntoDiagnostic, Report, Result, WrapErr, ensure, miette};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use stir::{
    basis::Library,
    controller::Strength,
    eval::{
        answers::{self, Answers, AnswersError},
        calibrate::Preset,
        method::{AnswerError, AnswerRun, Deer, Method, MethodConfig, MethodContext, Render, StaticAt, known_settings},
        questions::{Questions, location},
    },
    files::Shard,
    model::{Lm, ModelError},
    report::{Record, Run, Settings},
};
use tracing::warn;

use crate::{
    files::begun,
    model::{ModelArgs, OpenModel, render},
    output,
    present::{LibraryView, present},
    progress::Progress,
    settings::{AnswerArgs, ConstantVectorArgs, DeerArgs, SelfConsistencyArgs},
    shard::ShardArgs,
    tasks::{TaskArgs, check_golds},
};

/// The comparison to make and the way it is shown.
#[derive(clap::Args)]
pub(crate) struct CompareArgs {
    /// Methods to compare, the baseline first: plain, sampling, self_consistency, self_discover, deer,
    /// constant_vector, stir, and the ablations no_memory, no_probing, random_vector, random_choice, static_vector
    #[arg(long, value_delimiter = ',', value_parser = MethodName::parse,
        default_value = "plain,stir,no_probing,random_vector,static_vector,sampling,self_consistency")]
    methods: Vec<MethodName>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub answers: AnswerArgs,
    #[command(flatten)]
    self_consistency: SelfConsistencyArgs,
    #[command(flatten)]
    constant_vector: ConstantVectorArgs,
    #[command(flatten)]
    deer: DeerArgs,
}

impl CompareArgs {
    /// Takes the settings of the preset in the file `path` in the place of the flags; returns its library.
    pub(crate) fn preset(&mut self, path: &Path) -> Result<Option<PathBuf>> {
        let Preset { library, method, answers, sentence, .. } = Preset::load(path).into_diagnostic()?;
        self.answers.take(&answers);
        match method {
            MethodConfig::Stir(config) => self.answers.steering.preset = Some(config),
            MethodConfig::ConstantVector(config) => self.constant_vector.preset = Some(config),
            _ => {
                return Err(miette!(
                    help = "`stir steer` takes such a preset",
                    "{} says to decode plainly, so there is nothing to compare: {sentence}",
                    path.display()
                ));
            }
        }
        Ok(library)
    }

    /// Checks that no method occurs twice, that all settings are within their bounds, and that there is a library if a
    /// method steers.
    pub(crate) fn check(&self, has_library: bool) -> Result<()> {
        self.answers.check()?;
        let deer = Deer::default();
        let elicit = [deer.elicit, deer.close];
        for (place, method) in self.methods.iter().enumerate() {
            let name = &method.name;
            ensure!(self.methods[..place].iter().all(|other| other.name != *name), "method {name:?} occurs twice");
            ensure!(has_library || !method.config.needs_library(), "method {name:?} needs a library: give --library");
            method.config(self, &elicit, 0).validate().into_diagnostic()?;
        }
        Ok(())
    }
}

/// A way of answering, by the name it has in tables.
#[derive(Debug, Clone, PartialEq)]
struct MethodName {
    name: String,
    config: MethodConfig,
    /// The place that the method's name gives for the vector: every boundary or every token.
    at: Option<StaticAt>,
}

impl MethodName {
    fn parse(name: &str) -> Result<Self, String> {
        let (known, at) = match name {
            "static_boundary" => ("constant_vector", Some(StaticAt::Boundary)),
            "static_token" => ("constant_vector", Some(StaticAt::Token)),
            name => (name, None),
        };
        let config = MethodConfig::named(known).ok_or_else(|| "there is no such method".to_owned())?;
        Ok(Self { name: name.to_owned(), config, at })
    }

    /// Returns the file of the method's answers in the folder `dir`.
    fn out(&self, dir: &Path) -> PathBuf {
        dir.join(format!("answers.{}.jsonl", self.name))
    }

    /// Returns the settings of the command line.
    fn config(&self, args: &CompareArgs, elicit: &[String; 2], seed: u64) -> MethodConfig {
        let steering = &args.answers.steering;
        match &self.config {
            MethodConfig::Stir(own) => MethodConfig::Stir(steering.config(own.variant, seed)),
            MethodConfig::ConstantVector(_) => {
                MethodConfig::ConstantVector(args.constant_vector.config(self.at, steering))
            }
            MethodConfig::SelfConsistency(own) => {
                MethodConfig::SelfConsistency(args.self_consistency.over(own.clone()))
            }
            MethodConfig::Deer(own) => MethodConfig::Deer(args.deer.over(own.clone(), elicit)),
            other => other.clone(),
        }
    }
}

/// Problems, and the library that steers where one does, read before there is a model.
pub(crate) struct ProblemFiles {
    library: Option<LibraryFile>,
    pub questions: Questions,
    /// The name of the task in reports.
    name: String,
}

/// Problems to be answered by a model.
pub(crate) struct Problems<'l> {
    lm: &'l Lm,
    model: &'l ModelArgs,
    library: Option<LibraryFile>,
    pub questions: Questions,
    name: String,
    render: Box<Render<'l, ModelError>>,
}

/// A library and where it comes from.
struct LibraryFile {
    library: Arc<Library>,
    path: PathBuf,
    /// The digest of the file.
    digest: String,
}

impl LibraryFile {
    fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { library: Arc::new(Library::load(path).into_diagnostic()?), path: path.to_owned(), digest })
    }
}

impl ProblemFiles {
    /// Reads the problems of `task`, with prompts by `render`, and the library in `library`.
    pub(crate) fn open(render: &Render<'_, ModelError>, library: Option<&Path>, task: &TaskArgs) -> Result<Self> {
        let library = library.map(LibraryFile::open).transpose()?;
        Ok(Self { library, questions: task.open(render)?, name: task.name() })
    }

    /// Checks, as far as that can be told before the model is loaded, that it can answer by a method and that the
    /// answers can go to `out`.
    pub(crate) fn check(
        &self,
        model: &OpenModel<'_>,
        args: &AnswerArgs,
        config: &MethodConfig,
        shard: Option<Shard>,
        out: &Path,
    ) -> Result<()> {
        config.validate().into_diagnostic()?;
        args.check()?;
        let request = args.request(model.args.seed);
        model.check_request(&request)?;
        let file = self.library.as_ref().filter(|_| config.needs_library());
        if let Some(LibraryFile { library, path, .. }) = file {
            let fits = model.check_sizes(library.fingerprint());
            fits.into_diagnostic().wrap_err_with(|| path.display().to_string())?;
            warn_of_strength(library, config);
        }
        let library = file.map(|file| file.digest.as_str());
        let known = known_settings(&request, &self.questions.questions, config, library).into_diagnostic()?;
        answers::check(out, &known, shard).map_err(cannot_begin)
    }

    /// Checks a comparison whose answers go to the folder `dir` as [`check`](Self::check) checks one method.
    pub(crate) fn check_all(
        &self,
        model: &OpenModel<'_>,
        args: &CompareArgs,
        shard: Option<Shard>,
        dir: &Path,
    ) -> Result<()> {
        check_golds(&self.questions)?;
        self.warn_of_mined();
        args.methods.iter().try_for_each(|method| {
            let config = method.config(args, &self.questions.elicit, model.args.seed);
            self.check(model, &args.answers, &config, shard, &method.out(dir))
        })
    }

    /// Warns where problems are answered that the library was mined from: what they gain says nothing about others.
    fn warn_of_mined(&self) {
        let Some(LibraryFile { library, path, .. }) = &self.library else { return };
        let mined: HashSet<&str> = library.entries().iter().map(|entry| entry.problem.as_str()).collect();
        let mut asked = self.questions.questions.iter().filter(|question| mined.contains(question.id.as_str()));
        let Some(first) = asked.next() else { return };
        warn!(
            library = %path.display(),
            problems = 1 + asked.count(),
            first = first.id,
            "problems have the ids of problems that the library was mined from: if they are the same, the result says \
             nothing about others"
        );
    }

    /// Returns the problems, to be answered by `lm`, which is what `model` names.
    pub(crate) fn with<'l>(self, lm: &'l Lm, model: &'l ModelArgs) -> Problems<'l> {
        let Self { library, questions, name } = self;
        Problems { lm, model, library, questions, name, render: Box::new(|system, user| render(lm, system, user)) }
    }
}

/// Warns where entries are to act at another strength than the one at which they were seen to help.
fn warn_of_strength(library: &Library, config: &MethodConfig) {
    let MethodConfig::Stir(controller) = config else { return };
    let seen = library.entries().iter().find_map(|entry| Some(entry.evidence.as_ref()?.strength));
    if let Some(seen) = seen.filter(|seen| controller.strength != Strength::Relative(*seen)) {
        let (validated, used) = (Strength::Relative(seen), controller.strength);
        warn!(%validated, %used, "the entries were validated at another strength (--strength)");
    }
}

impl Problems<'_> {
    /// Returns the questions put to the model.
    pub(crate) fn answer_run(&self, args: &AnswerArgs) -> AnswerRun<'_, Lm> {
        let (questions, request) = (&self.questions.questions, args.request(self.model.seed));
        AnswerRun { engine: self.lm, questions, request, max_batch: args.max_batch }
    }

    /// Checks that all questions can be asked; those that are too long for the model are reported.
    pub(crate) fn check(&self, answer_run: &AnswerRun<'_, Lm>) -> Result<()> {
        let requests = answer_run.requests().map_err(|error| self.located(error))?;
        for (question, request) in answer_run.questions.iter().zip(requests) {
            if let Err(source) = request {
                tell_no_room(self.located(AnswerError::Request { id: question.id.clone(), source }));
            }
        }
        Ok(())
    }

    /// Returns a method, and all that its answers depend on.
    pub(crate) fn method(
        &self,
        answer_run: &AnswerRun<'_, Lm>,
        config: &MethodConfig,
    ) -> Result<(Box<dyn Method<Lm> + '_>, Value)> {
        let file = self.library.as_ref().filter(|_| config.needs_library());
        let (judges, library) = (&*self.questions.judges, file.map(|file| &file.library));
        let method =
            config.build(MethodContext { engine: self.lm, judges, library, render: &*self.render }).into_diagnostic();
        let method = match file {
            Some(file) => method.wrap_err_with(|| file.path.display().to_string())?,
            None => method?,
        };
        let library = file.map(|file| file.digest.as_str());
        let mut settings = answer_run.settings(config, library).into_diagnostic()?;
        if self.questions.system_in_user {
            settings["system_in_user"] = true.into();
        }
        Ok((method, settings))
    }

    /// Begins or resumes the file `out` of answers, to all problems or those of one part.
    pub(crate) fn begin<R: Serialize + DeserializeOwned>(
        &self,
        out: &Path,
        settings: &Value,
        shard: Option<Shard>,
        id: fn(&R) -> String,
    ) -> Result<Answers<R>> {
        let ids: Vec<&str> = self.questions.questions.iter().map(|question| question.id.as_str()).collect();
        let answers = match shard {
            Some(shard) => answers::open_shard(out, settings, &ids, shard, id),
            None => answers::open(out, settings, &ids, id),
        };
        answers.map_err(cannot_begin)
    }

    /// Answers every problem by every method and shows how they compare; answers go to `dir/answers.METHOD.jsonl`, the
    /// comparison to `dir/results.json`, the report to `dir/report.html`. Finished parts of it are reused.
    /// `candidates` is the file that the library was selected from, to be shown. A part answers its own problems and shows
    /// nothing.
    pub(crate) fn compare(
        &self,
        args: &CompareArgs,
        part: ShardArgs,
        candidates: Option<PathBuf>,
        dir: &Path,
    ) -> Result<()> {
        check_golds(&self.questions)?;
        let answer_run = self.answer_run(&args.answers);
        self.check(&answer_run)?;
        let model = self.model.name();
        let mut runs = Vec::with_capacity(args.methods.len());
        // What is wrong with one of them is found before another takes its time.
        let methods: Vec<_> = (args.methods.iter())
            .map(|method| self.method(&answer_run, &method.config(args, &self.questions.elicit, self.model.seed)))
            .collect::<Result<_>>()?;
        for (method, (built, settings)) in args.methods.iter().zip(methods) {
            let answers = self.begin(&method.out(dir), &settings, part.shard, |record: &Record| record.id.clone())?;
            let asked = self.questions.questions.len();
            let asked = part.shard.map_or(asked, |shard| shard.len_of(asked));
            let shown = Progress::new(asked as u64, &method.name);
            let judges = &*self.questions.judges;
            let observer = |done: usize| {
                shown.set_done(done as u64);
                ControlFlow::Continue(())
            };
            let records = match part.shard {
                Some(shard) => answer_run.run_shard(shard, &*built, judges, answers, observer),
                None => answer_run.run(&*built, judges, answers, observer),
            };
            drop(shown);
            let records = records.map_err(|error| self.located(error))?;
            let mut params = settings["method"].as_object().cloned().unwrap_or_default();
            params.remove("method");
            let settings = Settings {
                model: model.clone(),
                task: self.name.clone(),
                method: method.name.clone(),
                mined_from: None,
                seed: self.model.seed,
                params: params.into_iter().collect(),
            };
            runs.push(run(settings, records.unwrap_or_default()));
        }
        if part.shard.is_some() {
            part.tell();
            return Ok(());
        }
        let library = self.library.as_ref();
        let library = library.map(|file| LibraryView::new(&model, &self.name, &file.path, candidates)).transpose()?;
        present(&self.name, &runs, library.into_iter().collect(), BTreeMap::new(), args.json, dir)
    }

    /// Returns an error with the place of its problem in the file.
    pub(crate) fn located(&self, error: AnswerError<ModelError>) -> Report {
        let place = match &error {
            AnswerError::Request { id, .. } | AnswerError::Prompt { id, .. } | AnswerError::Sampling { id, .. } => {
                let place = self.questions.questions.iter().position(|question| question.id == *id);
                place.map(|place| location(&self.questions.source, place, id))
            }
            _ => None,
        };
        let report = Report::from_err(error);
        match place {
            Some(place) => report.wrap_err(place),
            None => report,
        }
    }
}

/// Tells of a problem whose prompt leaves no room for an answer.
pub(crate) fn tell_no_room(problem: Report) {
    output::warn(&problem.wrap_err("one problem gets an empty answer, which counts as wrong"));
}

fn cannot_begin(error: AnswersError) -> Report {
    match error {
        AnswersError::File(error) => begun(error),
        error => Report::from_err(error),
    }
}

fn run(settings: Settings, records: Vec<Record>) -> Run {
    let seconds = records.iter().filter_map(|record| record.seconds).fold(0.0, f64::max);
    Run { settings, records, seconds }
}
